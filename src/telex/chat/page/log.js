// The messages on the page: those of the log in order, notes between them, and unsent messages below.

import { count, dayKey, dayName, linked, make, newId, sign, timeElement } from "./text.js";

const MOST = 1000;
const TOGETHER = 5 * 60_000;

export class Log {
  constructor(elements, me) {
    this.at = elements;
    this.me = me;
    this.seen = new Set();
    this.last = null;
    this.unread = 0;
    this.expected = 0;
    this.pending = new Map();
    this.at.messages.replaceChildren();
    this.at.pending.replaceChildren();
    this.at.newer.hidden = true;
    this.at.log.onscroll = () => this.scrolled();
    this.at.newer.onclick = () => this.toEnd();
    this.resize = new ResizeObserver(() => this.stick && this.toEnd());
    this.resize.observe(this.at.log);
    this.stick = true;
    this.showEmpty();
  }

  close() {
    this.resize.disconnect();
  }

  /** Begin to load history: `waiting` messages, which a screen reader does not read aloud one by one. */
  expect(waiting) {
    this.expected = waiting;
    this.at.log.setAttribute("aria-busy", String(waiting > 0));
    this.showEmpty();
  }

  /** Add messages of the log, in order. A message is shown once. */
  add(messages) {
    const stick = this.stick;
    for (const message of messages) {
      if (!this.seen.has(message.id)) this.show(message);
    }
    this.expected = Math.max(0, this.expected - messages.length);
    if (!this.expected) this.at.log.removeAttribute("aria-busy");
    this.trim();
    this.showEmpty();
    if (stick) this.toEnd();
    else this.at.newer.hidden = false;
  }

  show(message) {
    this.seen.add(message.id);
    this.settle(message.id);
    const { name, text } = message.content ?? {};
    if (typeof name !== "string" || typeof text !== "string") return;
    const moment = new Date(message.timestamp);
    const day = dayKey(moment);
    if (this.last?.day !== day) {
      const separator = make("p", "day");
      separator.append(make("span", "", dayName(moment)));
      this.at.messages.append(separator);
      this.last = null;
    }
    const follows = this.last?.name === name && moment - this.last.moment < TOGETHER;
    this.at.messages.append(this.element(name, text, moment, follows));
    this.last = { name, moment, day };
  }

  element(name, text, moment, follows) {
    const mine = name === this.me;
    const element = make("div", `message${mine ? " mine" : ""}${follows ? " follows" : ""}`);
    element.append(follows ? make("span", "sign-space") : sign(name));
    const body = make("div", "body");
    const head = make("p", follows ? "head unseen" : "head");
    head.append(make("bdi", "name", mine ? `${name} (you)` : name), " ", timeElement(moment));
    const bubble = make("p", "text");
    bubble.dir = "auto";
    bubble.append(linked(text));
    body.append(head, bubble);
    element.append(body);
    return element;
  }

  /** Add a note between messages about missing messages and the reason. */
  note(text, kind = "") {
    const stick = this.stick;
    this.at.messages.append(make("p", `note ${kind}`.trim(), text));
    if (this.last) this.last.name = null; // the next message shows its name again, and not its day
    this.showEmpty();
    if (stick) this.toEnd();
  }

  /** Show a message of this page before the server has stored it. Returns its id. */
  say(text) {
    const id = newId();
    const element = this.element(this.me, text, new Date(), true);
    element.classList.add("waiting");
    const fate = make("p", "fate", "Sending");
    element.querySelector(".body").append(fate);
    this.at.pending.append(element);
    this.pending.set(id, { element, fate, text });
    this.showEmpty();
    this.toEnd();
    return id;
  }

  /** Show for each unsent message what it waits for. */
  waits(id, why) {
    const entry = this.pending.get(id);
    if (entry) entry.fate.textContent = why;
  }

  /** Show that a message was refused; `again` sends it again. */
  failed(id, why, again) {
    const entry = this.pending.get(id);
    if (!entry) return;
    entry.element.classList.add("failed");
    const retry = make("button", "link", "Try again");
    const discard = make("button", "link", "Discard");
    retry.type = discard.type = "button";
    retry.onclick = () => {
      entry.element.classList.remove("failed");
      entry.fate.textContent = "Sending";
      again();
    };
    discard.onclick = () => this.settle(id);
    entry.fate.replaceChildren(`Not sent: ${why} `, retry, " ", discard);
  }

  /** Remove an unsent message that is in the log, or was given up. */
  settle(id) {
    this.pending.get(id)?.element.remove();
    this.pending.delete(id);
  }

  showEmpty() {
    const nothing = !this.at.messages.childElementCount && !this.pending.size && !this.expected;
    this.at.empty.hidden = !nothing;
  }

  trim() {
    // Old messages are removed, but not while they are in view.
    if (!this.stick) return;
    while (this.at.messages.childElementCount > MOST) this.at.messages.firstElementChild.remove();
  }

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.at.log;
    this.stick = scrollHeight - scrollTop - clientHeight < 60;
    if (this.stick) this.at.newer.hidden = true;
  }

  toEnd() {
    this.at.log.scrollTop = this.at.log.scrollHeight;
    this.stick = true;
    this.at.newer.hidden = true;
  }
}

/** The text for a hole in the log. */
export function explain(lost, joining) {
  if (joining) return "Earlier messages are no longer kept.";
  if (lost.reason === "epoch" || lost.reason === "ahead") {
    return "The server was restarted. Messages from the time without a connection could not be recovered.";
  }
  return `${count(lost.count, "message")} could not be recovered.`;
}
