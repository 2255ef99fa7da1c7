// The dashboard: it shows the newest snapshot, and sends actions.

import { Refused, Wire } from "./wire.js";

const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const STATES = { connecting: "Connecting", online: "Live", offline: "Offline", ended: "Ended", stopped: "Ended" };

let snapshot = null;
let problem = "";  // of the engine, as the notice shows it

/** Make an element with text or elements inside. */
function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...inside);
  return element;
}

function count(value, warn = false) {
  return make("span", { class: warn && value ? "number warn" : "number" }, number.format(value));
}

function rate(value) {
  return make("span", { class: "number" }, value === 0 ? "0" : value < 10 ? value.toFixed(1) : number.format(Math.round(value)));
}

function time(value) {
  if (!value) return "never";
  const at = new Date(value);
  const seconds = Math.round((Date.now() - at.getTime()) / 1000);
  const ahead = seconds < 0;
  const length = Math.abs(seconds);
  const [amount, unit] = length < 60 ? [length, "s"] : length < 3600 ? [Math.round(length / 60), "min"]
    : length < 86_400 ? [Math.round(length / 3600), "h"] : [Math.round(length / 86_400), "d"];
  return make("time", { datetime: value, title: at.toLocaleString() }, ahead ? `in ${amount} ${unit}` : `${amount} ${unit} ago`);
}

function badge(text, kind) {
  return make("span", { class: `badge ${kind}` }, text);
}

/** A button for an action; `label` says to a screen reader what it is about. */
function button(text, label, action) {
  const key = text === "Resume" ? "Pause" : text;  // the same button: it keeps the focus when it has changed
  return make("button", { type: "button", "aria-label": `${text} ${label}`, "data-key": `${key} ${label}`, click: action }, text);
}

/** Move the focus to the button with this key. */
function focus(table, key) {
  [...table.querySelectorAll("button")].find((each) => each.dataset.key === key)?.focus();
}

/** Fill a table. The focus stays on the button that it was on. */
function fill(id, titles, rows, nothing) {
  const table = byId(id);
  const focused = table.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  table.replaceChildren(
    make("caption", { class: "hidden" }, byId(`${id}-title`).textContent),
    make("thead", {}, make("tr", {}, ...titles.map((title) => make("th", { scope: "col" }, title)))),
    make("tbody", {}, ...(rows.length
      ? rows.map((cells) => make("tr", {}, ...cells.map((cell, index) => index
        ? make("td", {}, cell) : make("th", { scope: "row" }, cell))))
      : [make("tr", {}, make("td", { colspan: titles.length, class: "none" }, nothing))])),
  );
  if (focused) focus(table, focused);
}

const opened = new Set();  // the keys of the long texts that are shown in full

/** Text that may be long: the table shows its beginning, and all of it after a click. `key` is that of the text. */
function long(text, key, tag = "span") {
  if (text.length <= 24) return make(tag, {}, text);
  const open = (event) => {
    if (!opened.delete(key)) opened.add(key);
    event.currentTarget.setAttribute("aria-expanded", opened.has(key));
  };
  return make("button", { type: "button", class: "long", "data-key": key, "aria-expanded": `${opened.has(key)}`, click: open }, make(tag, {}, text));
}

/** The badge of something that runs until it is paused or has ended. */
function running(each) {
  return each.ended ? badge("ended", "calm") : each.paused ? badge("paused", "warn") : badge("runs", "good");
}

function some(...parts) {
  return make("span", { class: "some" }, ...parts);
}

function show() {
  const { groups, dead, commands, triggers, schedules, topics, more: hidden, lacking } = snapshot;
  byId("url").textContent = snapshot.url;
  const totals = {
    Topics: number.format(topics.length + hidden.topics),
    "Messages a second": number.format(Math.round(topics.reduce((sum, each) => sum + each.rate, 0))),
    Lag: number.format(groups.reduce((sum, each) => sum + each.lag, 0)),
    "Dead letters": number.format(dead.length + hidden.dead),
    "Commands unfinished": number.format(commands.reduce((sum, each) => sum + each.unfinished, 0)),
  };
  byId("totals").replaceChildren(...Object.entries(totals).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  fill("groups", ["Group", "Lag", "Dead", "State", "Action", "Leased", "Delayed", "Pattern"], groups.map((each) => [
    each.group, count(each.lag, each.lag > 1000), count(each.dead, true),
    running(each),
    button(each.paused ? "Resume" : "Pause", `${each.group} on ${each.pattern}`,
      () => act(each.paused ? "resume" : "pause", { group: each.group, pattern: each.pattern })),
    count(each.leased), count(each.delayed), each.pattern,
  ]), lacking.groups ?? "No group has taken messages yet.");
  fill("dead", ["Topic", "Reason", "Action", "Content", "Died", "Group", "Attempts"], dead.map((each) => [
    each.topic, long(each.reason, `reason ${each.id}`),
    some(
      button("Retry", `the message of ${each.topic}, ${each.id}`, () => act("retry", { id: each.id })),
      button("Drop", `the message of ${each.topic}, ${each.id}`, () => ask(
        `Drop the message of ${each.topic} in the group ${each.group}? It cannot be brought back.`, "Drop it",
        () => act("drop", { id: each.id }))),
    ),
    long(each.content, `content ${each.id}`, "code"), time(each.died), each.group, count(each.attempts),
  ]), "No message is dead.");
  fill("commands", ["Command", "Unfinished", "Leased", "Dead", "Done here", "Failed here"], commands.map((each) => [
    each.command, count(each.unfinished), count(each.leased), count(each.dead, true), count(each.ok), count(each.failed, true),
  ]), "No command was sent yet.");
  fill("triggers", ["Trigger", "Schedule", "Next", "Last", "Fired", "State", "Action"], triggers.map((each) => [
    each.trigger, make("code", {}, each.schedule), each.next ? time(each.next) : "–", time(each.last), count(each.fired),
    running(each),
    each.ended ? "" : button(each.paused ? "Resume" : "Pause", each.trigger,
      () => act(each.paused ? "resume_trigger" : "pause_trigger", { trigger: each.trigger })),
  ]), lacking.triggers ?? "No trigger is declared.");
  showJobs();
  fill("schedules", ["Schedule", "State", "Action", "When", "Next", "Last", "Runs", "Missed", "Target", "Content", "Zone"], schedules.map((each) => [
    each.schedule, running(each),
    some(
      each.ended ? "" : button(each.paused ? "Resume" : "Pause", `the schedule ${each.schedule}`,
        () => act(each.paused ? "resume_schedule" : "pause_schedule", { schedule: each.schedule })),
      button("Delete", `the schedule ${each.schedule}`, () => ask(
        `Delete the schedule ${each.schedule}? It never runs again, in any process.`, "Delete it",
        () => act("delete_schedule", { schedule: each.schedule }))),
    ),
    /^\d{4}-/.test(each.when) ? new Date(each.when).toLocaleString(undefined, { timeZone: each.tz }) : make("code", {}, each.when),
    each.next ? time(each.next) : "–", time(each.last), count(each.fired), count(each.missed, true), each.target,
    long(each.content, `schedule ${each.schedule}`, "code"), each.tz,
  ]), lacking.schedules ?? "No schedule was added.");
  for (const [id, name] of [["groups", "group"], ["dead", "dead letter"], ["commands", "command"], ["triggers", "trigger"],
    ["schedules", "schedule"]]) more(id, name);
  showTopics();
}

function showJobs() {
  const { jobs, more_jobs: moreJobs, lacking } = snapshot;
  const kinds = { running: "good", queued: "calm", delayed: "calm", failed: "bad", expired: "bad" };
  fill("jobs", ["Command", "State", "Action", "Content", "Since", "Error", "Attempt", "Key", "Id"], jobs.map((each) => {
    const failed = kinds[each.state] === "bad", about = `the command ${each.command}, ${each.id}`;
    return [
      each.command, badge(each.state, kinds[each.state]),
      failed ? button("Retry", about, () => act("retry_job", { id: each.id }))
        : button("Cancel", about, () => ask(
          `Cancel the command ${each.command} with the id ${each.id}?`, "Cancel it", () => act("cancel_job", { id: each.id }))),
      each.content === null ? "not available" : long(each.content, `content ${each.id}`, "code"),
      time(each.since), long(each.error, `error ${each.id}`), count(each.attempt), long(each.key, `key ${each.id}`), make("code", {}, each.id),
    ];
  }), lacking.jobs ?? "No command runs, waits or has failed.");
  if (moreJobs.length) lastRow("jobs", `Of each state only the newest are shown. There are more that are ${moreJobs.join(", ")}.`);
}

function showTopics() {
  const wanted = byId("filter").value.trim().toLowerCase();
  const found = snapshot.topics.filter((each) => each.topic.toLowerCase().includes(wanted));
  fill("topics", ["Topic", "Messages a second", "Last message"], found.map((each) => [each.topic, rate(each.rate), time(each.last)]),
    wanted ? "No topic has this in its name." : "Nothing was published yet.");
  more("topics", "topic");
}

/** Add a last row with the number of things that the snapshot leaves out. */
function more(id, name) {
  const amount = snapshot.more[id];
  if (amount) lastRow(id, `and ${number.format(amount)} more ${name}${amount === 1 ? "" : "s"}`);
}

function lastRow(id, text) {
  const table = byId(id);
  table.tBodies[0].append(make("tr", {}, make("td", { colspan: table.tHead.rows[0].cells.length, class: "none" }, text)));
}

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

async function act(name, content) {
  notice("");
  try {
    await wire.request({ op: "call", name, content });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    notice(`Nothing was changed: ${error.message}`);
  }
}

/** Ask before an action; `yes` is the text of the button that carries it out. */
function ask(question, yes, action) {
  const dialog = byId("sure"), asked = document.activeElement, { key } = asked.dataset, table = asked.closest("table");
  byId("question").textContent = question;
  byId("yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.onclose = () => {
    if (table && !asked.isConnected) focus(table, key);  // the table was filled again meanwhile
    if (dialog.returnValue === "yes") action();
  };
  dialog.showModal();
}

const address = new URL("ws", document.baseURI);
address.protocol = address.protocol.replace("http", "ws");
const wire = new Wire(address, {
  state(name, detail) {
    byId("state").dataset.state = name;
    byId("state-text").textContent = name === "ended" && detail ? `Ended: ${detail}` : STATES[name];
    delete byId("state").dataset.engine;  // until the next snapshot
  },
  async greet() {
    await wire.request({ op: "subscribe", topic: "state", since: 1 });
  },
  frame(frame) {
    if (frame.op !== "messages") return;
    snapshot = frame.messages.at(-1).content;
    byId("state").dataset.engine = snapshot.problem ? "down" : "up";
    byId("state-text").textContent = snapshot.problem ? "Engine not read" : STATES.online;
    if (snapshot.problem !== problem) {  // a notice of an action stays until the next action
      problem = snapshot.problem;
      notice(problem && `The engine cannot be read, and these figures are of ${new Date(snapshot.at).toLocaleTimeString()}: ${problem}`);
    }
    show();
  },
});
byId("filter").addEventListener("input", () => snapshot && showTopics());
wire.start();
