import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Cursors, Sender, encode, read, readMember } from "../../presence/static/presence/js/cursor_state.js";
import { SHOWS } from "../../presence/static/presence/js/render.js";
import { member } from "./stub.js";

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
      const [timer, { run, at }] = due.reduce((a, b) => (b[1].at < a[1].at ? b : a));
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

describe("Sender", () => {
  it("sender_publishes_at_once_then_once_an_interval_and_always_the_last_position", () => {
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

  it("sender_publishes_at_most_once_an_interval_for_a_fast_pointer", () => {
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

  it("sender_publishes_only_signs_of_life_for_a_resting_pointer", () => {
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

  it("sender_with_a_short_timeout_gives_a_sign_within_half_of_it", () => {
    const { time, sent, sender } = sending({ timeout: 2000 });
    sender.open(true);
    sender.move(at(1));
    time.pass(900);
    assert.equal(sent.length, 2);
  });

  it("sender_while_closed_publishes_nothing_and_then_the_current_position", () => {
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

  it("sender_publishes_gone_once_and_only_after_a_position", () => {
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

  it("sender_greets_soon_and_once_for_many_who_come", () => {
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

describe("Sender.repeat", () => {
  it("sender_repeats_a_refused_position_soon", () => {
    const { time, sent, sender } = sending();
    sender.open(true);
    sender.move(at(1));
    sender.repeat(at(1));
    time.pass(250);
    assert.deepEqual(sent, [at(1), at(1)]);
  });

  it("sender_repeats_gone_only_while_the_pointer_is_away_and_the_sender_open", () => {
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

describe("clock that is set back", () => {
  it("sender_goes_on_when_the_clock_is_set_back", () => {
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

  it("cursors_time_out_when_the_clock_is_set_back", () => {
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

describe("encode", () => {
  it("encode_rounds_to_what_can_be_seen", () => {
    assert.deepEqual(encode("fraction", at(1 / 3, 0.99999)), at(0.3333, 1));
    assert.deepEqual(encode("px", at(12.345, 99)), at(12.3, 99));
  });

  it("encode_gives_null_for_what_is_no_position", () => {
    for (const value of [NaN, Infinity, -Infinity, -0.01, 1.01, "0.5x", undefined]) {
      assert.equal(encode("fraction", { x: value, y: 0.5 }), null);
      assert.equal(encode("fraction", { x: 0.5, y: value }), null);
    }
    assert.equal(encode("px", at(100_001)), null);
  });

  it("encode_never_exceeds_64_bytes", () => {
    for (const unit of ["fraction", "px"]) {
      for (let i = 0; i < 2000; i += 1) {
        const value = () => Math.random() * 10 ** (Math.random() * 24 - 12);
        const point = encode(unit, at(value(), value()));
        assert.ok(!point || JSON.stringify(point).length <= 64);
      }
    }
  });
});

describe("read", () => {
  const info = { client: "c1", user: "42", chanInfo: { name: "Ada", info: { color: "#abc" } } };
  const taken = (data, from = info, unit = "fraction") => read(unit, data, from, SHOWS);

  it("read_takes_the_user_from_centrifugo_and_not_from_the_data", () => {
    const spoof = { x: 0.5, y: 0.25, user: "17", meta: { name: "Eve" }, client: "c9", more: {} };
    const { key, member, x, y } = taken(spoof);
    assert.deepEqual(member, { id: "42", name: "Ada", info: { color: "#abc" } });
    assert.equal(key, taken({ gone: true, user: "17" }).key);
    assert.deepEqual([x, y], [0.5, 0.25]);
  });

  it("read_takes_the_user_from_the_data_only_if_the_server_published", () => {
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

  it("read_gives_null_for_malformed_data", () => {
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

describe("Cursors", () => {
  it("cursor_starts_where_it_is_first_heard_of_and_is_eased_from_there", () => {
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

  it("cursor_is_as_far_after_one_long_frame_as_after_many_short_ones", () => {
    const places = [1, 4, 64].map((frames) => {
      const { cursors, hear } = watching();
      hear("a", 0);
      hear("a", 1);
      for (let i = 0; i < frames; i += 1) cursors.step(64 / frames, ignore);
      return cursors.shown()[0].left;
    });
    for (const place of places) assert.ok(Math.abs(place - places[0]) < 1e-9);
  });

  it("cursor_is_drawn_only_while_it_moves", () => {
    const { cursors, hear } = watching();
    for (const key of ["a", "b"]) hear(key, 0);
    hear("a", 1);
    const drawn = new Set();
    while (cursors.step(16, ({ key }) => drawn.add(key)));
    assert.deepEqual([...drawn], ["a"]);
    cursors.step(16, assert.fail);
  });

  it("cursor_jumps_when_motion_is_not_wanted", () => {
    const { cursors, hear } = watching();
    hear("a", 0);
    hear("a", 1);
    cursors.step(Infinity, ignore);
    assert.equal(cursors.shown()[0].left, 1);
    assert.equal(cursors.step(Infinity, ignore), false);
  });

  it("cursors_of_a_user_go_together_when_the_server_says_so", () => {
    const { cursors, hear, keys } = watching();
    for (const key of ["a", "b"]) hear(key);
    const { x, y } = at(0.5, 0.5);
    cursors.hear({ key: "client c9", x, y, member: { id: "a" } });
    cursors.hear({ key: "user a", gone: true, user: "a" });
    assert.deepEqual(keys(), ["b"]);
  });

  it("cursor_goes_when_it_says_so_and_after_the_timeout", () => {
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

  it("cursors_after_an_interruption_have_a_second_to_give_a_sign", () => {
    const { time, cursors, hear, keys } = watching();
    for (const key of ["a", "b"]) hear(key);
    time.pass(9500);
    hear("b");
    cursors.doubtAll();
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

  it("cursors_shown_are_those_that_moved_last_up_to_the_limit", () => {
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

  it("cursors_do_not_take_turns_while_more_than_the_limit_move", () => {
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

  it("cursor_shown_again_starts_at_its_new_place", () => {
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

describe("readMember", () => {
  const named = { name: "Ada", info: { color: "#123456" }, iat: 1, anonymous: "" };

  it("read_member_names_by_subscription_then_connection_then_id", () => {
    const expected = [
      [{ chanInfo: named, connInfo: { name: "Bob" } }, member("7", "Ada", named.info)],
      [{ chanInfo: {}, connInfo: named }, member("7", "Ada", named.info)],
      [{ chanInfo: { role: "admin" }, connInfo: named }, member("7", "Ada", named.info)],
      [{ connInfo: { name: "Bob", info: 4, avatar: "/b.png", secret: 1 } },
        member("7", "Bob", { avatar: "/b.png", color: undefined })],
    ];
    for (const [client, shown] of expected) assert.deepEqual(readMember({ user: "7", ...client }, SHOWS), shown);
    for (const odd of [undefined, null, 4, "x", [], { name: 4 }]) {
      assert.equal(readMember({ user: "7", chanInfo: odd, connInfo: odd }, SHOWS).name, "7");
    }
  });

  it("read_member_gives_null_when_a_token_is_hidden", () => {
    const hidden = { iat: 2, hidden: true };
    for (const client of [{ chanInfo: hidden }, { connInfo: hidden }, { chanInfo: named, connInfo: hidden }]) {
      assert.equal(readMember({ user: "7", ...client }, SHOWS), null);
    }
  });

  it("read_member_gives_null_without_a_user", () => {
    for (const client of [{}, { user: "" }, { user: 7 }, { user: null, connInfo: named }]) {
      assert.equal(readMember(client, SHOWS), null);
    }
  });
});
