/**
 * Cursors without a page: what is sent when, and who is drawn where. Clocks and timers are given, so
 * that tests decide about time.
 *
 * @import { Host } from "./connection.js"
 * @import { Member } from "./presence.js"
 */

/**
 * `fraction`: 0 to 1 of the surface. `px`: 0 to 100,000 CSS pixels from its top left corner.
 *
 * @typedef {"fraction" | "px"} Unit
 */

/** @typedef {{ x: number, y: number }} Point */

/** @typedef {Pick<Host, "now" | "random" | "setTimeout" | "clearTimeout">} Clock */

/**
 * A cursor moved, or is gone. `key` tells cursors apart: the client, or the user of a cursor that the
 * server moves. `gone` with a `user` takes every cursor of that user.
 *
 * @typedef {{ key: string, gone: true, user?: string | null }
 *   | { key: string, member: Member, x: number, y: number, gone?: undefined }} Heard
 */

/**
 * @typedef {object} Cursor
 * @property {string} key
 * @property {Member} member
 * @property {number} x Where it is.
 * @property {number} y
 * @property {number} left Where it is drawn, on its way to `x`.
 * @property {number} top
 * @property {boolean} shown
 * @property {number} moved Time in milliseconds at which it last moved.
 * @property {number} heard Time in milliseconds of the last sign of it.
 */

const FARTHEST = { fraction: 1, px: 100_000 };
// Positions are rounded to one part in so many of a unit: to what can be seen.
const PLACES = { fraction: 10_000, px: 10 };
// Largest size in bytes of a position as JSON.
const LONGEST = 64;
// All of these are milliseconds. The longest pause between two signs of life:
const KEEP_ALIVE = 4500;
// The longest wait before a user who came is told the position:
const GREETING = 500;
// The time for which a cursor that moves is not replaced by another:
const HELD = 250;
// The time constant of easing:
const EASING = 60;
// The time that a cursor has to give a sign after an interruption:
const DOUBTED = 1000;

const isText = (value) => typeof value === "string" && value !== "";

/**
 * Round a point to what is published.
 *
 * @param {Unit} unit
 * @param {Point} point
 * @returns {Point | null} Null for what is no point of the surface.
 */
export function encode(unit, { x, y }) {
  const round = (value) => Math.round(value * PLACES[unit]) / PLACES[unit];
  const point = { x: round(x), y: round(y) };
  return within(unit, point) && JSON.stringify(point).length <= LONGEST ? point : null;
}

function within(unit, { x, y }) {
  return [x, y].every((value) => (
    Number.isFinite(value) && value >= 0 && value <= FARTHEST[unit]));
}

/**
 * Read the member that a client belongs to, by the rules of `presence/roster/merge.py`.
 *
 * A site may sign more for its own use. Only `name`, `avatar` and `color` of that are for everybody.
 *
 * @param {any} client What Centrifugo says of it: `chanInfo` is signed in the subscription token,
 *   `connInfo` in the connection token.
 * @param {RegExp} shows A letter that shows anything.
 * @returns {Member | null} Null for the anonymous and the invisible.
 */
export function readMember({ user, chanInfo, connInfo }, shows) {
  const isName = (value) => isText(value) && shows.test(value);
  const signed = isName(chanInfo?.name) || chanInfo?.info ? chanInfo : connInfo;
  const { name, info, avatar, color } = signed ?? {};
  if (!isText(user) || chanInfo?.hidden || connInfo?.hidden) return null;
  const isObject = info && typeof info === "object" && !Array.isArray(info);
  return { id: user, name: isName(name) ? name : user, info: isObject ? info : { avatar, color } };
}

/**
 * Read a publication.
 *
 * Centrifugo attaches `info` to everything that a browser published, and it decides who moved. `user`
 * and `meta` of the data count only without it: then the server published. Otherwise one page could
 * move the cursor of another.
 *
 * @param {Unit} unit
 * @param {any} data
 * @param {any} info
 * @param {RegExp} shows A letter that shows anything.
 * @returns {Heard | null} Null for what is malformed, out of range or nobody's.
 */
export function read(unit, data, info, shows) {
  const { x, y, gone, user, meta } = data ?? {};
  if (!info && !isText(user)) return null;
  const member = readMember(info ?? { user, connInfo: { ...meta, name: meta?.name ?? user } }, shows);
  const key = info ? `client ${info.client}` : `user ${user}`;
  if (gone === true) return { key, gone, user: info ? null : user };
  return member && within(unit, { x, y }) ? { key, member, x, y } : null;
}

/**
 * Publishes where the pointer is: at most once an interval, and always the last position. A pointer
 * that rests gives a sign of life. Nothing is sent while the sender is closed, while the pointer is
 * nowhere, or twice without a change.
 */
export class Sender {
  #point = null;
  // The last message; null where nobody knows one.
  #sent = null;
  #sentAt = -Infinity;
  // Time at which the position is due to somebody who came.
  #greetAt = Infinity;
  #open = false;
  #timer;

  /**
   * @param {object} given
   * @param {number} given.interval Milliseconds.
   * @param {number} given.timeout Milliseconds after which others drop a cursor without a sign.
   * @param {(data: Point | { gone: true }) => void} given.publish
   * @param {Clock} given.host
   */
  constructor({ interval, timeout, publish, host }) {
    const keepAlive = Math.min(KEEP_ALIVE, 0.45 * timeout);
    Object.assign(this, { interval, keepAlive, publish, host });
  }

  /**
   * The pointer is here, or nowhere, which is published at once.
   *
   * @param {Point | null} point
   */
  move(point) {
    this.#point = point;
    this.#plan();
  }

  /**
   * Set whether anybody can hear. Without company or a connection nobody knows what was sent before.
   *
   * @param {boolean} open
   */
  open(open) {
    if (open === this.#open) return;
    if (!open) this.#sent = null;
    this.#open = open;
    this.#plan();
  }

  /** Somebody came: publish the position within half a second, once for many who come. */
  greet() {
    const soon = this.host.now() + this.host.random() * GREETING;
    this.#greetAt = Math.min(this.#greetAt, soon);
    this.#plan();
  }

  /**
   * A message was refused for the moment: publish it again within half a second, unless there is
   * something newer by then.
   *
   * @param {Point | { gone: true }} data
   */
  repeat({ gone }) {
    if (gone && this.#open && !this.#point) this.#sent = { gone };
    this.greet();
  }

  #plan() {
    this.host.clearTimeout(this.#timer);
    const now = this.host.now();
    // The clock of the computer was set back: without this, nothing would be due for that long.
    if (this.#sentAt > now) this.#sentAt = this.#greetAt = now;
    const wait = this.#open ? this.#due() - now : Infinity;
    if (wait <= 0) this.#send();
    else if (wait < Infinity) this.#timer = this.host.setTimeout(() => this.#plan(), wait);
  }

  #due() {
    const [point, sent] = [this.#point, this.#sent];
    if (!point) return sent?.gone ? this.#greetAt : sent ? -Infinity : Infinity;
    if (point.x !== sent?.x || point.y !== sent?.y) return this.#sentAt + this.interval;
    return Math.min(this.#sentAt + this.keepAlive, this.#greetAt);
  }

  #send() {
    this.#sent = this.#point;
    this.#sentAt = this.host.now();
    this.#greetAt = Infinity;
    this.publish(this.#point ?? { gone: true });
    this.#plan();
  }
}

/**
 * The cursors of the others. At most `limit` are shown, those that moved last. One that gives no sign
 * for the time-out is dropped.
 */
export class Cursors {
  /** @type {Map<string, Cursor>} */
  all = new Map();

  /**
   * @param {object} given
   * @param {number} given.limit
   * @param {number} given.timeout Milliseconds.
   * @param {number} given.near Distance at which a cursor has arrived.
   * @param {Clock} given.host
   */
  constructor({ limit, timeout, near, host }) {
    Object.assign(this, { limit, timeout, near, host });
  }

  /** @param {Heard} heard */
  hear({ key, member, x, y, gone, user }) {
    if (gone) return this.drop(key, user);
    const now = this.host.now();
    const known = this.all.get(key);
    const cursor = known ?? { key, x, y, left: x, top: y, shown: false, moved: now };
    if (cursor.x !== x || cursor.y !== y) cursor.moved = now;
    // A cursor that was not drawn has no place to be eased from.
    if (!cursor.shown) Object.assign(cursor, { left: x, top: y });
    Object.assign(cursor, { member, x, y, heard: now });
    this.all.set(key, cursor);
    if (!cursor.shown) this.choose();
  }

  /**
   * Drop one cursor, and every cursor of a user if one is given: the server takes away users, and
   * knows nothing of their connections.
   *
   * @param {string} key
   * @param {string | null} [user]
   */
  drop(key, user = null) {
    this.all.delete(key);
    for (const [other, { member }] of this.all) {
      if (user !== null && member.id === user) this.all.delete(other);
    }
    this.choose();
  }

  /**
   * The page is live again after an interruption, in which it saw nobody leave: drop what gives no
   * sign within a second. A user who is still there greets us, since we have just come.
   */
  doubtAll() {
    const heard = this.host.now() - this.timeout + DOUBTED;
    for (const cursor of this.all.values()) cursor.heard = Math.min(cursor.heard, heard);
  }

  /**
   * Drop what has timed out, and choose which cursors are shown. One that moved less than 250 ms ago
   * stays: where more than `limit` move at once, they would take turns many times a second.
   */
  choose() {
    const now = this.host.now();
    for (const [key, cursor] of this.all) {
      // The clock of the computer may have been set back.
      cursor.heard = Math.min(cursor.heard, now);
      cursor.moved = Math.min(cursor.moved, now);
      if (now - cursor.heard >= this.timeout) this.all.delete(key);
    }
    const rank = ({ shown, moved }) => moved + (shown && now - moved < HELD ? HELD : 0);
    const ranked = [...this.all.values()].sort((a, b) => rank(b) - rank(a));
    ranked.forEach((cursor, place) => {
      cursor.shown = place < this.limit;
    });
  }

  /** @returns {Cursor[]} */
  shown() {
    return [...this.all.values()].filter(({ shown }) => shown);
  }

  /**
   * Ease all cursors towards where they are.
   *
   * @param {number} elapsed Milliseconds since the last step; Infinity: they jump.
   * @param {(cursor: Cursor) => void} draw Called for each cursor that moved.
   * @returns {boolean} Whether any is still on its way.
   */
  step(elapsed, draw) {
    const share = 1 - Math.exp(-elapsed / EASING);
    let moving = false;
    for (const cursor of this.all.values()) {
      const { shown, x, y, left, top } = cursor;
      if (!shown || (x === left && y === top)) continue;
      const there = Math.abs(x - left) < this.near && Math.abs(y - top) < this.near;
      cursor.left = there ? x : left + (x - left) * share;
      cursor.top = there ? y : top + (y - top) * share;
      draw(cursor);
      moving ||= !there;
    }
    return moving;
  }
}
