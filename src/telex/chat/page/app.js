// The page: the form to enter, the room, and their use of the connection.

import { explain, Log } from "./log.js";
import { count, make, newKey, sign } from "./text.js";
import { Refused, Wire } from "./wire.js";

const HISTORY = 200;
const at = Object.fromEntries(
  ["door", "enter", "name", "room-id", "problem", "enter-button", "room", "room-name", "state", "state-text", "retry",
    "people-toggle", "log", "empty", "messages", "pending", "newer", "say", "text", "left", "side", "count", "people",
    "here", "share", "share-text", "leave", "news"].map((id) => [id, document.getElementById(id)]),
);

/** Local storage, which a browser may deny. */
const kept = {
  get(store, name) {
    try {
      return store.getItem(`telex.${name}`);
    } catch {
      return null;
    }
  },
  set(store, name, value) {
    try {
      if (value === null) store.removeItem(`telex.${name}`);
      else store.setItem(`telex.${name}`, value);
    } catch {
      // Without storage the page works, and forgets the name.
    }
  },
};

function secret() {
  const key = kept.get(localStorage, "key") ?? newKey();
  kept.set(localStorage, "key", key);
  return key;
}

function roomInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

/** One visit of one room, over any number of connections. */
class Stay {
  constructor(name, room) {
    this.wish = { name, room, key: secret() };
    this.entered = null;
    this.position = null;
    this.unsent = [];
    this.sending = false;
    this.unread = 0;
    this.names = null;
    this.ready = false;
    this.over = false;
    const url = new URL("ws", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.hash = "";
    this.wire = new Wire(url.href, {
      state: (state, detail) => this.showState(state, detail),
      greet: () => this.greet(),
      frame: (frame) => this.take(frame),
    });
  }

  async greet() {
    let answer;
    try {
      answer = await this.wire.request({ op: "call", name: "enter", content: this.wish });
    } catch (error) {
      if (["name_taken", "bad_name", "bad_option", "bad_content", "limit"].includes(error.code)) {
        leaveRoom(error.message);
      }
      throw error;
    }
    const first = this.entered === null;
    this.entered = answer.content;
    if (first) {
      this.log = new Log(at, this.entered.name);
      this.wish.name = this.entered.name;
      showRoom(this.entered);
    }
    // The server removes a room without messages, and its positions with it.
    this.joining = this.position === null || this.position.endsWith(":0");
    this.names = null;
    this.showPeople(this.entered.people);
    const joined = await this.wire.request({ op: "subscribe", topic: this.entered.topic, since: this.joining ? HISTORY : this.position });
    if (this.joining) this.log.expect(joined.waiting ?? 0);
    this.position = joined.position;
    await this.wire.request({ op: "subscribe", topic: this.entered.presence, since: this.entered.position });
    this.ready = true;
    this.flush();
  }

  take(frame) {
    if (!this.entered || this.over) return;
    if (frame.topic === this.entered.presence) {
      if (frame.op === "messages") frame.messages.forEach((message) => this.showPeople(message.content.people));
      return;
    }
    if (frame.topic !== this.entered.topic) return;
    if (frame.op === "lost") {
      this.log.note(explain(frame, this.joining), this.joining ? "" : "missing");
      this.position = frame.position;
    } else if (frame.op === "messages") {
      this.position = frame.position;
      this.count(frame.messages);
      this.log.add(frame.messages);
    } else if (frame.op === "ended") {
      this.log.note("This room was closed by the server.", "missing");
    }
  }

  count(messages) {
    if (!document.hidden || this.log.expected) return;
    this.unread += messages.filter((message) => message.content?.name !== this.entered.name).length;
    showTitle(this.entered.room, this.unread);
  }

  seen() {
    this.unread = 0;
    if (this.entered) showTitle(this.entered.room, 0);
  }

  // -- sending

  say(text) {
    const id = this.log.say(text);
    this.unsent.push({ id, text });
    this.flush();
  }

  /** Send the waiting messages one by one, in order. The server stores a message with a known id only once. */
  async flush() {
    if (this.sending) return;
    this.sending = true;
    try {
      while (this.unsent.length && this.ready) {
        await this.publish(this.unsent[0]);
      }
    } finally {
      this.sending = false;
    }
    for (const { id } of this.unsent) this.log.waits(id, "Waits for the connection");
  }

  async publish(entry) {
    const { id, text } = entry;
    if (!this.log.pending.has(id)) {
      this.unsent.shift();
      return;
    }
    try {
      this.log.waits(id, "Sending");
      await this.wire.request({ op: "publish", topic: this.entered.topic, id, content: { text } });
      this.unsent.shift();
      this.log.waits(id, "Sent");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.code === "gone") {
        this.ready = false;
      } else if (error.retryAfter) {
        this.log.waits(id, "Waits a moment");
        await new Promise((resolve) => setTimeout(resolve, error.retryAfter * 1000));
      } else {
        this.unsent.shift();
        this.log.failed(id, error.message, () => {
          this.unsent.push(entry);
          this.flush();
        });
      }
    }
  }

  // -- display

  showState(state, detail) {
    if (this.over) return;
    this.ready = this.ready && state === "online";
    const words = {
      connecting: this.entered ? "Connecting again" : "Connecting",
      online: "Connected",
      offline: "Offline",
      ended: `Ended by the server: ${detail}`,
      stopped: "",
    };
    at.state.dataset.state = state;
    at.here.textContent = state === "online" || !this.entered ? "Here now" : "Here a moment ago";
    at["state-text"].textContent = words[state];
    at.retry.hidden = !(state === "offline" || state === "ended");
    at["enter-button"].disabled = state === "connecting" && !this.entered;
    if (state === "offline" && !this.entered) {
      at.problem.textContent = "The server cannot be reached. It is tried again by itself.";
    } else if (state !== "stopped" && !this.entered) {
      at.problem.textContent = "";
    }
  }

  showPeople(people) {
    const names = new Set(people.map((person) => person.name));
    if (this.names) {
      const came = [...names].filter((name) => !this.names.has(name) && name !== this.entered.name);
      const went = [...this.names].filter((name) => !names.has(name));
      const news = [...came.map((name) => `${name} came`), ...went.map((name) => `${name} left`)].join(", ");
      if (news) at.news.textContent = news;
    }
    this.names = names;
    at.people.replaceChildren(...people.map((person) => this.person(person)));
    at.count.textContent = String(people.length);
    at["people-toggle"].textContent = `${people.length} here`;
  }

  person({ name }) {
    const element = make("li", "person");
    element.append(sign(name), make("bdi", "name", name));
    if (name === this.entered.name) element.append(make("span", "hint", "you"));
    return element;
  }

  async end() {
    this.over = true;
    this.log?.close();
    try {
      if (this.entered) await this.wire.request({ op: "call", name: "leave" }, 1000);
    } catch {
      // The server notices that the connection is gone.
    }
    this.wire.stop();
  }
}

let stay = null;

function showTitle(room, unread) {
  document.title = `${unread ? `(${unread}) ` : ""}${room} · telex`;
}

function showRoom({ room, name }) {
  kept.set(localStorage, "name", name);
  kept.set(sessionStorage, "inside", room);
  at["room-name"].textContent = room;
  at["share-text"].textContent = "";
  history.replaceState(null, "", `#${encodeURIComponent(room)}`);
  showTitle(room, 0);
  at.door.hidden = true;
  at.room.hidden = false;
  at.text.focus();
}

function showDoor(problem = "") {
  document.title = "telex";
  at.room.hidden = true;
  at.door.hidden = false;
  at["enter-button"].disabled = false;
  at.problem.textContent = problem;
  // After a refusal the form keeps its text.
  at.name.value ||= kept.get(localStorage, "name") ?? "";
  if (!problem || !at["room-id"].value) at["room-id"].value = roomInAddress() || "lobby";
  (at.name.value && !problem ? at["room-id"] : at.name).focus();
  if (problem) at.name.select();
}

function enterRoom(name, room) {
  stay?.end();
  stay = new Stay(name, room);
  stay.wire.start();
}

function leaveRoom(problem = "") {
  kept.set(sessionStorage, "inside", null);
  const ending = stay;
  stay = null;
  ending?.end();
  showDoor(problem);
}

function grow() {
  at.text.style.height = "auto";
  at.text.style.height = `${Math.min(at.text.scrollHeight + 2, 180)}px`;
  const left = at.text.maxLength - at.text.value.length;
  at.left.textContent = left < 200 ? `${count(left, "character")} left` : "";
}

function say() {
  const text = at.text.value.trim();
  if (!text || !stay?.entered) return;
  stay.say(text);
  at.text.value = "";
  grow();
}

function toggleSide(open) {
  at.side.classList.toggle("open", open);
  at["people-toggle"].setAttribute("aria-expanded", String(open));
}

at.enter.onsubmit = (event) => {
  event.preventDefault();
  enterRoom(at.name.value, at["room-id"].value);
};
at.say.onsubmit = (event) => {
  event.preventDefault();
  say();
};
at.text.oninput = grow;
at.text.onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say();
};
at.retry.onclick = () => stay?.wire.start();
at.leave.onclick = () => leaveRoom();
at["people-toggle"].onclick = () => toggleSide(!at.side.classList.contains("open"));
at.room.onkeydown = (event) => {
  if (event.key === "Escape") toggleSide(false);
};
at.share.onclick = async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    at["share-text"].textContent = "The link is copied.";
  } catch {
    at["share-text"].textContent = location.href;
  }
};
window.onhashchange = () => {
  const room = roomInAddress();
  if (stay?.entered && room && room !== stay.entered.room) enterRoom(stay.entered.name, room);
  else if (!stay) showDoor();
};
window.ononline = () => stay?.wire.state === "offline" && stay.wire.start();
document.onvisibilitychange = () => {
  if (document.hidden) return;
  stay?.seen();
  if (stay?.wire.state === "offline") stay.wire.start();
};

showDoor();
// A reload returns to the room; a link to a room asks for a name first.
if (kept.get(sessionStorage, "inside") === roomInAddress() && at.name.value && roomInAddress()) {
  enterRoom(at.name.value, roomInAddress());
}
