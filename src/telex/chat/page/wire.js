// The connection to the gateway: requests and answers, a heartbeat, and reconnecting.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
const ANSWER_WITHIN = 15_000;
const SILENT_FOR = 20_000;
const PONG_WITHIN = 8_000;

/** The gateway refused a request, or the connection was lost before the answer (code "gone"). */
export class Refused extends Error {
  constructor(code, problem, retryAfter) {
    super(problem);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** True when the page may reconnect after this close code. */
export function mayComeBack(code) {
  return !(code === 1003 || code === 1009 || (code >= 3500 && code < 4000));
}

/**
 * A connection that reconnects.
 *
 * `hooks.state(name, detail)` is called with "connecting", "online", "offline" (detail: the time of the next try, in
 * milliseconds since 1970) and "ended" (detail: the reason). `hooks.greet()` is awaited after each connect, before
 * "online". `hooks.frame(frame)` is called with each frame that is not an answer.
 */
export class Wire {
  constructor(url, hooks) {
    this.url = url;
    this.hooks = hooks;
    this.state = "";
    this.socket = null;
    this.waiting = new Map();
    this.nextRef = 1;
    this.failures = 0;
    this.timer = 0;
    this.beat = 0;
    this.heard = 0;
  }

  /** Connect now. */
  start() {
    clearTimeout(this.timer);
    if (this.socket) return;
    this.tell("connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onmessage = (event) => this.receive(socket, event.data);
    socket.onclose = (event) => this.closed(socket, event.code, event.reason);
  }

  /** Close the connection for good. */
  stop() {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.drop();
    socket?.close(1000);
    this.tell("stopped");
  }

  /** Send a frame. Returns the answer, or throws `Refused`. */
  request(frame, within = ANSWER_WITHIN) {
    return new Promise((resolve, reject) => {
      if (this.socket?.readyState !== WebSocket.OPEN) {
        reject(new Refused("gone", "there is no connection"));
        return;
      }
      const ref = this.nextRef++;
      const timer = setTimeout(() => this.answer({ ref, op: "error", code: "timeout", problem: "no answer came" }), within);
      this.waiting.set(ref, { resolve, reject, timer });
      this.socket.send(JSON.stringify({ ...frame, ref }));
    });
  }

  receive(socket, data) {
    if (socket !== this.socket) return;
    this.heard = Date.now();
    const frame = JSON.parse(data);
    if (frame.op === "hello") this.greet(socket);
    else if (this.waiting.has(frame.ref)) this.answer(frame);
    else this.hooks.frame(frame);
  }

  async greet(socket) {
    try {
      await this.hooks.greet();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      // A refusal that passes is tried again after the next connect.
      if (socket === this.socket) socket.close(1000);
      return;
    }
    if (socket !== this.socket) return;
    this.failures = 0;
    this.tell("online");
    this.beat = setInterval(() => this.check(socket), SILENT_FOR / 4);
  }

  answer(frame) {
    const asked = this.waiting.get(frame.ref);
    if (!asked) return;
    this.waiting.delete(frame.ref);
    clearTimeout(asked.timer);
    if (frame.op === "error") asked.reject(new Refused(frame.code, frame.problem, frame.retry_after));
    else asked.resolve(frame);
  }

  /** Ping the server: a lost connection may give no sign. */
  async check(socket) {
    if (Date.now() - this.heard < SILENT_FOR) return;
    try {
      await this.request({ op: "ping" }, PONG_WITHIN);
    } catch {
      if (socket !== this.socket) return;
      socket.close(1000);
      this.closed(socket, 1006, "");
    }
  }

  closed(socket, code, reason) {
    if (socket !== this.socket) return;
    this.drop();
    if (!mayComeBack(code)) {
      this.tell("ended", reason);
      return;
    }
    // Jitter: pages that lost the connection at the same time do not reconnect at the same time.
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.failures++) * (0.5 + Math.random() / 2);
    this.tell("offline", Date.now() + wait);
    this.timer = setTimeout(() => this.start(), wait);
  }

  drop() {
    clearInterval(this.beat);
    this.socket = null;
    const asked = [...this.waiting.values()];
    this.waiting.clear();
    for (const { reject, timer } of asked) {
      clearTimeout(timer);
      reject(new Refused("gone", "the connection was lost"));
    }
  }

  tell(state, detail) {
    this.state = state;
    this.hooks.state(state, detail);
  }
}
