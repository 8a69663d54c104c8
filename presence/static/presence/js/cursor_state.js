// Cursors without a page: when something is sent, and where each cursor is drawn. Clocks are given.

const FARTHEST = { fraction: 1, px: 100_000 };
const PLACES = { fraction: 10_000, px: 10 };
const LONGEST = 64;
const KEEP_ALIVE = 4500;
const GREETING = 500;
const HELD = 250;
const EASING = 60;
const DOUBTED = 1000;

const isText = (value) => typeof value === "string" && value !== "";

export function encode(unit, { x, y }) {
  const round = (value) => Math.round(value * PLACES[unit]) / PLACES[unit];
  const point = { x: round(x), y: round(y) };
  return within(unit, point) && JSON.stringify(point).length <= LONGEST ? point : null;
}

function within(unit, { x, y }) {
  return [x, y].every((value) => (
    Number.isFinite(value) && value >= 0 && value <= FARTHEST[unit]));
}

// Who moved is what Centrifugo says; only what no browser has sent may say so itself.
export function read(unit, data, info, readPush) {
  const { x, y, gone, user, meta } = data ?? {};
  if (!info && !isText(user)) return null;
  const shown = info ?? { user, connInfo: { ...meta, name: meta?.name ?? user } };
  const member = readPush(shown);
  const key = info ? `client ${info.client}` : `user ${user}`;
  if (gone === true) return { key, gone, user: info ? null : user };
  return member && within(unit, { x, y }) ? { key, member, x, y } : null;
}

export class Sender {
  #at = null;
  #sent = null;
  #last = -Infinity;
  #greeting = Infinity;
  #open = false;
  #timer;

  constructor({ interval, timeout, publish, host }) {
    const keepAlive = Math.min(KEEP_ALIVE, 0.45 * timeout);
    Object.assign(this, { interval, keepAlive, publish, host });
  }

  move(point) {
    this.#at = point;
    this.#plan();
  }

  // Without company, or a connection, nobody knows any more what was sent.
  open(open) {
    if (open === this.#open) return;
    if (!open) this.#sent = null;
    this.#open = open;
    this.#plan();
  }

  greet() {
    const soon = this.host.now() + this.host.random() * GREETING;
    this.#greeting = Math.min(this.#greeting, soon);
    this.#plan();
  }

  // It was refused for the moment.
  repeat({ gone }) {
    if (gone && this.#open && !this.#at) this.#sent = { gone };
    this.greet();
  }

  #plan() {
    this.host.clearTimeout(this.#timer);
    const now = this.host.now();
    // Clocks are set back.
    if (this.#last > now) this.#last = this.#greeting = now;
    const wait = this.#open ? this.#due() - now : Infinity;
    if (wait <= 0) this.#send();
    else if (wait < Infinity) this.#timer = this.host.setTimeout(() => this.#plan(), wait);
  }

  #due() {
    const [at, sent] = [this.#at, this.#sent];
    if (!at) return sent?.gone ? this.#greeting : sent ? -Infinity : Infinity;
    if (at.x !== sent?.x || at.y !== sent?.y) return this.#last + this.interval;
    return Math.min(this.#last + this.keepAlive, this.#greeting);
  }

  #send() {
    this.#sent = this.#at;
    this.#last = this.host.now();
    this.#greeting = Infinity;
    this.publish(this.#at ?? { gone: true });
    this.#plan();
  }
}

export class Cursors {
  all = new Map();

  constructor({ limit, timeout, near, host }) {
    Object.assign(this, { limit, timeout, near, host });
  }

  hear({ key, member, x, y, gone, user }) {
    if (gone) return this.drop(key, user);
    const now = this.host.now();
    const known = this.all.get(key);
    const cursor = known ?? { key, x, y, left: x, top: y, shown: false, moved: now };
    if (cursor.x !== x || cursor.y !== y) cursor.moved = now;
    if (!cursor.shown) Object.assign(cursor, { left: x, top: y });
    Object.assign(cursor, { member, x, y, heard: now });
    this.all.set(key, cursor);
    if (!cursor.shown) this.choose();
  }

  // The server speaks of users, whoever moved their cursors.
  drop(key, user = null) {
    this.all.delete(key);
    for (const [other, { member }] of this.all) {
      if (user !== null && member.id === user) this.all.delete(other);
    }
    this.choose();
  }

  // Nobody was seen leaving while the page was not live; who is still there greets whoever comes.
  doubt() {
    const heard = this.host.now() - this.timeout + DOUBTED;
    for (const cursor of this.all.values()) cursor.heard = Math.min(cursor.heard, heard);
  }

  // Who is moving is not pushed out by another: a crowd would flicker.
  choose() {
    const now = this.host.now();
    for (const [key, cursor] of this.all) {
      cursor.heard = Math.min(cursor.heard, now);
      cursor.moved = Math.min(cursor.moved, now);
      if (now - cursor.heard >= this.timeout) this.all.delete(key);
    }
    const rank = ({ shown, moved }) => moved + (shown && now - moved < HELD ? HELD : 0);
    const ranked = [...this.all.values()].sort((one, other) => rank(other) - rank(one));
    ranked.forEach((cursor, place) => {
      cursor.shown = place < this.limit;
    });
  }

  shown() {
    return [...this.all.values()].filter(({ shown }) => shown);
  }

  // Whether anything is still under way.
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
