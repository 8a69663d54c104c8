import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Cursors, Sender, encode, read } from "../../presence/static/presence/js/cursor_state.js";
import { readPush } from "../../presence/static/presence/js/roster.js";

/** Time that passes when a test says so, and the timers that wait for it. */
class Time {
  #now = 1000;
  #timers = new Map();
  #made = 0;

  host = {
    now: () => this.#now,
    random: () => 0.5,
    setTimeout: (run, wait) => {
      this.#timers.set(++this.#made, { run, at: this.#now + wait });
      return this.#made;
    },
    clearTimeout: (timer) => this.#timers.delete(timer),
  };

  get waiting() {
    return this.#timers.size;
  }

  pass(milliseconds) {
    const end = this.#now + milliseconds;
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end);
      if (!due.length) break;
      const [timer, { run, at }] = due.reduce((one, other) => (other[1].at < one[1].at ? other : one));
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, at);
      run();
    }
    this.#now = end;
  }
}

function sending({ interval = 50, timeout = 10_000 } = {}) {
  const time = new Time();
  const sent = [];
  const publish = (data) => sent.push(data);
  return { time, sent, sender: new Sender({ interval, timeout, publish, host: time.host }) };
}

const at = (x, y = 0) => ({ x, y });

describe("what is sent", () => {
  it("goes at once, then at most once an interval, and the last position always", () => {
    const { time, sent, sender } = sending();
    sender.open(true);
    for (const x of [1, 2, 3]) sender.move(at(x));
    assert.deepEqual(sent, [at(1)]);
    time.pass(49);
    assert.equal(sent.length, 1);
    time.pass(1);
    assert.deepEqual(sent, [at(1), at(3)]);
    time.pass(1000);
    assert.equal(sent.length, 2);
  });

  it("is never more than one message an interval, however fast the pointer is", () => {
    const { time, sent, sender } = sending({ interval: 16 });
    sender.open(true);
    for (let x = 0; x < 1000; x += 1) {
      sender.move(at(x));
      time.pass(1);
    }
    time.pass(16);
    assert.ok(sent.length <= 1 + Math.ceil(1016 / 16), `${sent.length} messages`);
    assert.deepEqual(sent.at(-1), at(999));
  });

  it("is nothing for a pointer that stands still, but a sign of life", () => {
    const { time, sent, sender } = sending();
    sender.open(true);
    sender.move(at(1));
    for (let i = 0; i < 10; i += 1) sender.move(at(1));
    time.pass(4499);
    assert.equal(sent.length, 1);
    time.pass(1);
    assert.deepEqual(sent, [at(1), at(1)]);
    time.pass(9000);
    assert.equal(sent.length, 4);
  });

  it("keeps alive in less than half of a shorter timeout", () => {
    const { time, sent, sender } = sending({ timeout: 2000 });
    sender.open(true);
    sender.move(at(1));
    time.pass(900);
    assert.equal(sent.length, 2);
  });

  it("is nothing while alone, hidden or not connected; then the position that stands", () => {
    const { time, sent, sender } = sending();
    sender.move(at(1));
    time.pass(60_000);
    assert.deepEqual(sent, []);
    assert.equal(time.waiting, 0);
    sender.open(true);
    assert.deepEqual(sent, [at(1)]);
    sender.open(false);
    sender.move(at(2));
    time.pass(60_000);
    assert.equal(sent.length, 1);
    sender.open(true);
    assert.deepEqual(sent, [at(1), at(2)]);
  });

  it("says once that the pointer is gone, at once, and only to whom it was shown", () => {
    const { time, sent, sender } = sending();
    sender.open(true);
    sender.move(null);
    assert.deepEqual(sent, []);
    sender.move(at(1));
    sender.move(at(2));
    sender.move(null);
    sender.move(null);
    assert.deepEqual(sent, [at(1), { gone: true }]);
    time.pass(60_000);
    assert.equal(sent.length, 2);
    assert.equal(time.waiting, 0);
    sender.open(false);
    sender.move(at(3));
    sender.move(null);
    sender.open(true);
    assert.equal(sent.length, 2);
  });

  it("is repeated soon for whoever has come, once for many of them", () => {
    const { time, sent, sender } = sending();
    sender.open(true);
    sender.greet();
    sender.move(at(1));
    time.pass(1000);
    assert.equal(sent.length, 1);
    for (let i = 0; i < 20; i += 1) sender.greet();
    time.pass(250);
    assert.deepEqual(sent, [at(1), at(1)]);
    time.pass(1000);
    assert.equal(sent.length, 2);
  });
});

describe("what was refused for the moment", () => {
  it("is said again soon, as it is then", () => {
    const { time, sent, sender } = sending();
    sender.open(true);
    sender.move(at(1));
    sender.repeat(at(1));
    time.pass(250);
    assert.deepEqual(sent, [at(1), at(1)]);
  });

  it("is said again of a pointer that has gone, but not once it is back, or nobody hears", () => {
    const { time, sent, sender } = sending();
    sender.open(true);
    sender.move(at(1));
    sender.move(null);
    sender.repeat({ gone: true });
    assert.equal(sent.length, 2);
    time.pass(250);
    assert.deepEqual(sent.slice(2), [{ gone: true }]);
    time.pass(60_000);
    assert.equal(sent.length, 3);
    sender.repeat({ gone: true });
    sender.move(at(2));
    time.pass(300);
    assert.deepEqual(sent.slice(3, 4), [at(2)]);
    assert.ok(!sent.slice(3).some(({ gone }) => gone));
    sender.move(null);
    sender.open(false);
    const count = sent.length;
    sender.repeat({ gone: true });
    sender.open(true);
    time.pass(60_000);
    assert.equal(sent.length, count);
  });
});

describe("a clock that is set back", () => {
  it("silences nobody", () => {
    const { time, sent, sender } = sending();
    sender.open(true);
    sender.move(at(1));
    sender.greet();
    time.pass(-3_600_000);
    sender.move(at(2));
    time.pass(50);
    assert.deepEqual(sent.at(-1), at(2));
    time.pass(4500);
    assert.equal(sent.at(-1).x, 2);
    assert.ok(sent.length >= 3);
  });

  it("keeps nobody for longer than the timeout", () => {
    const { time, cursors, hear, keys } = watching();
    hear("a");
    time.pass(-3_600_000);
    cursors.choose();
    assert.deepEqual(keys(), ["a"]);
    time.pass(10_000);
    cursors.choose();
    assert.deepEqual(keys(), []);
  });
});

describe("a position", () => {
  it("is rounded to what can be seen", () => {
    assert.deepEqual(encode("fraction", at(1 / 3, 0.99999)), at(0.3333, 1));
    assert.deepEqual(encode("px", at(12.345, 99)), at(12.3, 99));
  });

  it("is nothing where it cannot be one", () => {
    for (const value of [NaN, Infinity, -Infinity, -0.01, 1.01, "0.5x", undefined]) {
      assert.equal(encode("fraction", { x: value, y: 0.5 }), null);
      assert.equal(encode("fraction", { x: 0.5, y: value }), null);
    }
    assert.equal(encode("px", at(100_001)), null);
  });

  it("never weighs more than 64 bytes", () => {
    for (const unit of ["fraction", "px"]) {
      for (let i = 0; i < 2000; i += 1) {
        const value = () => Math.random() * 10 ** (Math.random() * 24 - 12);
        const point = encode(unit, at(value(), value()));
        assert.ok(!point || JSON.stringify(point).length <= 64);
      }
    }
  });
});

describe("a publication", () => {
  const info = { client: "c1", user: "42", chanInfo: { name: "Ada", info: { color: "#abc" } } };
  const taken = (data, from = info, unit = "fraction") => read(unit, data, from, readPush);

  it("moves the cursor of the client whom Centrifugo names, whatever it says itself", () => {
    const spoof = { x: 0.5, y: 0.25, user: "17", meta: { name: "Eve" }, client: "c9", more: {} };
    const { key, member, x, y } = taken(spoof);
    assert.deepEqual(member, { id: "42", name: "Ada", info: { color: "#abc" } });
    assert.equal(key, taken({ gone: true, user: "17" }).key);
    assert.deepEqual([x, y], [0.5, 0.25]);
  });

  it("may say who moved where only the server can have sent it", () => {
    const meta = { name: "Bot", color: "#123456", avatar: "/b.png" };
    const { member } = taken({ x: 1, y: 0, user: "7", meta }, null);
    assert.deepEqual(member, { id: "7", name: "Bot", info: { color: "#123456", avatar: "/b.png" } });
    assert.equal(taken({ x: 1, y: 0, user: "7" }, null).member.name, "7");
    assert.notEqual(taken({ x: 1, y: 0, user: "c1" }, null).key, taken({ x: 1, y: 0 }).key);
    for (const user of [undefined, "", 7, null, {}]) {
      assert.equal(taken({ x: 1, y: 0, user }, null), null);
      assert.equal(taken({ gone: true, user }, null), null);
    }
    for (const odd of ["x", 5, [], null, { name: 4 }, { name: "" }]) {
      assert.equal(taken({ x: 1, y: 0, user: "7", meta: odd }, null).member.id, "7");
    }
  });

  it("is nothing where it is malformed", () => {
    const bad = [
      null, undefined, "x", 4, [], {}, { x: 0.5 }, { x: "0.5", y: 0.5 }, { x: 2, y: 0.5 },
      { x: -0.1, y: 0 }, { x: null, y: null }, { x: true, y: true }, { gone: "yes" }, { x: [0], y: [0] },
    ];
    for (const data of bad) assert.equal(taken(data), null, JSON.stringify(data));
    assert.equal(taken({ x: 0.5, y: 0.5 }, { client: "c1", user: "" }), null);
    assert.equal(taken({ x: 800, y: 20 }, info, "px").x, 800);
  });
});

function watching({ limit = 30, timeout = 10_000 } = {}) {
  const time = new Time();
  const cursors = new Cursors({ limit, timeout, near: 0.001, host: time.host });
  const hear = (key, x = 0.5, y = 0.5) => cursors.hear({ key, x, y, member: { id: key } });
  const keys = () => cursors.shown().map(({ key }) => key).sort();
  return { time, cursors, hear, keys };
}

const ignore = () => {};

describe("who is shown", () => {
  it("is placed where it is first heard of, and eased from there", () => {
    const { cursors, hear } = watching();
    hear("a", 0.2, 0.4);
    const [cursor] = cursors.shown();
    assert.deepEqual([cursor.left, cursor.top], [0.2, 0.4]);
    assert.equal(cursors.step(16, ignore), false);
    hear("a", 0.8, 0.4);
    assert.equal(cursors.step(16, ignore), true);
    assert.ok(cursor.left > 0.2 && cursor.left < 0.8);
    assert.equal(cursor.top, 0.4);
    while (cursors.step(16, ignore));
    assert.deepEqual([cursor.left, cursor.top], [0.8, 0.4]);
  });

  it("is as far along after one long frame as after many short ones", () => {
    const places = [1, 4, 64].map((frames) => {
      const { cursors, hear } = watching();
      hear("a", 0);
      hear("a", 1);
      for (let i = 0; i < frames; i += 1) cursors.step(64 / frames, ignore);
      return cursors.shown()[0].left;
    });
    for (const place of places) assert.ok(Math.abs(place - places[0]) < 1e-9);
  });

  it("is drawn again only while it is under way", () => {
    const { cursors, hear } = watching();
    for (const key of ["a", "b"]) hear(key, 0);
    hear("a", 1);
    const drawn = new Set();
    while (cursors.step(16, ({ key }) => drawn.add(key)));
    assert.deepEqual([...drawn], ["a"]);
    cursors.step(16, assert.fail);
  });

  it("jumps where motion is not wanted", () => {
    const { cursors, hear } = watching();
    hear("a", 0);
    hear("a", 1);
    cursors.step(Infinity, ignore);
    assert.equal(cursors.shown()[0].left, 1);
    assert.equal(cursors.step(Infinity, ignore), false);
  });

  it("goes with all of a user's when the server says so", () => {
    const { cursors, hear, keys } = watching();
    for (const key of ["a", "b"]) hear(key);
    const { x, y } = at(0.5, 0.5);
    cursors.hear({ key: "client c9", x, y, member: { id: "a" } });
    cursors.hear({ key: "user a", gone: true, user: "a" });
    assert.deepEqual(keys(), ["b"]);
  });

  it("goes when it says so, and after the timeout without a sign", () => {
    const { time, cursors, hear, keys } = watching();
    hear("a");
    hear("b");
    cursors.hear({ key: "a", gone: true });
    cursors.hear({ key: "never there", gone: true });
    assert.deepEqual(keys(), ["b"]);
    time.pass(9999);
    cursors.choose();
    assert.deepEqual(keys(), ["b"]);
    time.pass(1);
    cursors.choose();
    assert.deepEqual(keys(), []);
    assert.equal(cursors.all.size, 0);
  });

  it("has a second after an interruption to be heard of again", () => {
    const { time, cursors, hear, keys } = watching();
    for (const key of ["a", "b"]) hear(key);
    time.pass(9500);
    hear("b");
    cursors.doubt();
    time.pass(499);
    cursors.choose();
    assert.deepEqual(keys(), ["a", "b"]);
    time.pass(1);
    cursors.choose();
    assert.deepEqual(keys(), ["b"], "whom it was soon over for has no second more");
    hear("c");
    time.pass(499);
    cursors.choose();
    assert.deepEqual(keys(), ["b", "c"]);
    time.pass(1);
    cursors.choose();
    assert.deepEqual(keys(), ["c"]);
  });

  it("is whoever moved last, up to the limit", () => {
    const { time, cursors, hear, keys } = watching({ limit: 2 });
    for (const key of ["a", "b", "c"]) {
      hear(key);
      time.pass(300);
    }
    assert.deepEqual(keys(), ["b", "c"]);
    hear("a", 0.1);
    assert.deepEqual(keys(), ["a", "c"]);
    time.pass(300);
    hear("b", 0.5);
    hear("c", 0.5);
    assert.deepEqual(keys(), ["a", "c"], "signs of life are no moves");
    cursors.drop("a");
    assert.deepEqual(keys(), ["b", "c"]);
  });

  it("does not flicker while more than the limit are moving, and is right when they rest", () => {
    const { time, cursors, hear, keys } = watching({ limit: 2 });
    for (let round = 1; round <= 20; round += 1) {
      for (const key of ["a", "b", "c"]) hear(key, round / 100);
      assert.deepEqual(keys(), ["a", "b"]);
      time.pass(50);
    }
    hear("c", 0.9);
    time.pass(250);
    cursors.choose();
    assert.ok(keys().includes("c"));
    assert.equal(keys().length, 2);
  });

  it("has not moved in from an old place when it is shown again", () => {
    const { time, cursors, hear } = watching({ limit: 1 });
    hear("a", 0.1);
    time.pass(300);
    hear("b", 0.5);
    hear("a", 0.9);
    time.pass(300);
    hear("a", 0.8);
    const [cursor] = cursors.shown();
    assert.deepEqual([cursor.key, cursor.left], ["a", 0.8]);
  });
});
