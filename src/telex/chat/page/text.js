// Ids, times, links and colours. Without state and without network.

/** Make an element with a class and a text. The text is never parsed as markup. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Make a UUIDv7 (RFC 9562). `crypto.randomUUID` is missing on pages that come over plain http from another machine. */
export function newId(now = Date.now()) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  for (let index = 0; index < 6; index++) bytes[index] = Math.floor(now / 2 ** (8 * (5 - index))) % 256;
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** Make a secret of 128 bits, as text. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const date = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

/** Make a `<time>` that shows hours and minutes, and date and time as its title. */
export function timeElement(moment) {
  const element = make("time", "time", clock.format(moment));
  element.dateTime = moment.toISOString();
  element.title = whole.format(moment);
  return element;
}

/** The key of a day, in the time zone of the page. */
export function dayKey(moment) {
  return `${moment.getFullYear()}-${moment.getMonth() + 1}-${moment.getDate()}`;
}

/** "Today", "Yesterday", or the date. */
export function dayName(moment, now = new Date()) {
  const yesterday = new Date(now);
  yesterday.setDate(now.getDate() - 1);
  if (dayKey(moment) === dayKey(now)) return "Today";
  return dayKey(moment) === dayKey(yesterday) ? "Yesterday" : date.format(moment);
}

const address = /https?:\/\/[^\s<>"'`]+/giu;
const trailing = /[.,;:!?)\]}…]+$/u;

/** Split a text into nodes, with links for web addresses. */
export function linked(text) {
  const nodes = document.createDocumentFragment();
  let done = 0;
  for (const found of text.matchAll(address)) {
    const shown = found[0].replace(trailing, "");
    if (!URL.canParse(shown)) continue;
    nodes.append(text.slice(done, found.index));
    const link = make("a", "", shown);
    link.href = shown;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    nodes.append(link);
    done = found.index + shown.length;
  }
  nodes.append(text.slice(done));
  return nodes;
}

/** Make the avatar of a person: the first letter of the name, in a colour that depends on the name. */
export function sign(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 8;
  const first = Array.from(name)[0] ?? "?";
  const element = make("span", `sign hue-${sum}`, first.toUpperCase());
  element.setAttribute("aria-hidden", "true");
  return element;
}

/** "1 message", "3 messages". */
export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}
