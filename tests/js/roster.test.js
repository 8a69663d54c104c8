import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import {
  ahead, fromSnapshot, overlay, read, readEvent, readPush, reduce, since, splice, view,
} from "../../presence/static/presence/js/roster.js";
import { diff, member, snapshot } from "./stub.js";

const load = (name) => JSON.parse(readFileSync(new URL(`../fixtures/wire/${name}`, import.meta.url)));
const ids = (state) => [...state.members.keys()];

/** Every object and array in a value, frozen: a reducer that writes to its input throws. */
function frozen(value) {
  if (typeof value === "object" && value !== null) Object.values(value).forEach(frozen);
  return Object.freeze(value);
}

describe("the sequences that Python and JavaScript share", () => {
  for (const { name, snapshot: first, publications, expect } of load("sequences.json")) {
    it(name, () => {
      const state = fromSnapshot(frozen(first));
      let asked = false;
      for (const publication of publications) {
        const before = structuredClone(state);
        const { changes, fetch } = reduce(state, frozen(publication));
        if (!changes) assert.deepEqual(state, before);
        asked ||= fetch;
      }
      const { version, total, anonymous, listed } = state;
      const names = [...state.members.values()].map((one) => one.name);
      assert.deepEqual(
        { version, members: ids(state), names, total, anonymous, listed, fetch: asked }, expect,
      );
    });
  }
});

describe("reading the wire", () => {
  it("reads the examples", () => {
    assert.equal(read(load("diff.json")).version, 13);
    assert.deepEqual(read(load("reload.json")), load("reload.json"));
    assert.equal(read(load("event.json")), null);
    assert.deepEqual(ids(fromSnapshot(load("snapshot.json"))), ["42", "17"]);
    assert.equal(fromSnapshot(load("snapshot-counted.json")).total, 412);
  });

  it("never throws, and takes nothing malformed for a snapshot", () => {
    const odd = [undefined, null, [], "x", 7, {}, { ...load("snapshot.json"), members: null }];
    odd.push({ ...load("snapshot.json"), version: "12" }, { ...load("snapshot.json"), listed: 1 });
    for (const value of odd) assert.equal(fromSnapshot(value), null);
  });

  it("takes an event for what it says, and for no change of a roster", () => {
    const { event, payload } = load("event.json");
    assert.deepEqual(readEvent(load("event.json")), { event, payload });
    assert.deepEqual(readEvent({ type: "presence.event", event, more: 1 }), { event, payload: {} });
    for (const name of ["diff.json", "reload.json", "cursor.json"]) assert.equal(readEvent(load(name)), null);
    const state = fromSnapshot(snapshot(12));
    const untouched = { changes: null, fetch: false, within: null };
    assert.deepEqual(reduce(state, frozen(load("event.json"))), untouched);
    assert.deepEqual(state, fromSnapshot(snapshot(12)));
  });

  it("takes nothing malformed for an event", () => {
    const good = load("event.json");
    const odd = [undefined, null, [], "x", 7, {}, { type: "presence.event" }];
    for (const event of [undefined, null, "", 7, {}, ["saved"]]) odd.push({ ...good, event });
    for (const payload of [null, 7, "x", true, []]) odd.push({ ...good, payload });
    odd.push({ ...good, type: "presence.events" }, { ...good, type: null });
    for (const value of odd) assert.equal(readEvent(frozen(value)), null, JSON.stringify(value));
  });

  it("says within how many seconds a reload wants to be followed", () => {
    const state = fromSnapshot(snapshot(12));
    assert.equal(reduce(state, { ...load("reload.json"), within: 3.5 }).within, 3.5);
    assert.equal(reduce(state, diff(20)).within, null);
  });
});

describe("applying a diff", () => {
  const idsOf = ({ joined, left, updated }) => [joined, left, updated].map((all) => all.map(({ id }) => id));

  it("changes the state in place and says who joined, left and is different", () => {
    const state = fromSnapshot(load("snapshot.json"));
    const { members } = state;
    const { changes } = reduce(state, load("diff.json"));
    assert.equal(state.members, members);
    assert.deepEqual(idsOf(changes), [["5", "99"], ["17"], ["42"]]);
    assert.deepEqual(changes.left, [member("17", "Grace Hopper")]);
    assert.equal(changes.updated[0].name, "Ada King");
  });

  it("says nothing of joins, leaves and updates that change nothing", () => {
    const state = fromSnapshot(snapshot(12));
    const { changes } = reduce(state, diff(12, {
      joins: [member("42", "Somebody else")], leaves: ["9"], updates: [member("8"), member("42")],
    }));
    assert.deepEqual(idsOf(changes), [[], [], []]);
    assert.deepEqual([...state.members.values()], [member("42")]);
  });

  it("says of who leaves and comes back in one diff only what is different", () => {
    for (const [name, updated] of [["Member 42", []], ["New name", ["42"]]]) {
      const state = fromSnapshot(snapshot(12, [member("42"), member("7")]));
      const { changes } = reduce(state, diff(12, { leaves: ["42"], joins: [member("42", name)] }));
      assert.deepEqual(idsOf(changes), [[], [], updated]);
      assert.deepEqual(ids(state), ["7", "42"]);
    }
  });

  it("passes names through as they are", () => {
    const names = ["<b onload=x>&amp;", "👩‍👩‍👧 😀", "\u202Eevil\u2066", "x".repeat(10_000), "", "\0\n", "__proto__"];
    const state = fromSnapshot(snapshot(12, []));
    const joins = names.map((name, at) => member(String(at), name, { title: name }));
    const { changes } = reduce(state, diff(12, { joins }));
    assert.deepEqual(changes.joined, joins);
    assert.deepEqual([...state.members.values()], joins);
    assert.deepEqual([...fromSnapshot(snapshot(1, joins)).members.values()], joins);
    assert.deepEqual(names.slice(0, 4).map((name) => readPush({ user: "7", connInfo: { name } }).name), names.slice(0, 4));
  });

  it("takes none that skips a version", () => {
    const state = fromSnapshot(snapshot(12));
    const far = { ...diff(12, { joins: [member("5")] }), version: Number.MAX_SAFE_INTEGER };
    assert.deepEqual(reduce(state, far), { changes: null, fetch: true, within: null });
    assert.deepEqual(state, fromSnapshot(snapshot(12)));
  });

  it("lists nobody in a counted room", () => {
    const state = fromSnapshot(snapshot(12, [member("1")], { listed: false, total: 900 }));
    const { changes } = reduce(state, diff(12, { joins: [member("5")], total: 901 }));
    assert.deepEqual(idsOf(changes), [[], [], []]);
    assert.deepEqual([ids(state), state.total], [[], 901]);
  });
});

describe("splicing a fetched snapshot", () => {
  const shown = () => fromSnapshot(snapshot(12));

  it("applies what was kept after it, and says what changed", () => {
    const kept = [diff(11), diff(14, { joins: [member("5")], total: 2 })];
    const next = splice(shown(), snapshot(14, [member("42", "New name")]), kept);
    assert.equal(next.state.version, 15);
    assert.deepEqual(ids(next.state), ["42", "5"]);
    assert.deepEqual(next.changes, { joined: [member("5")], left: [], updated: [member("42", "New name")] });
    assert.deepEqual(next.open, []);
  });

  it("does not take an older one of the same epoch", () => {
    assert.equal(splice(shown(), snapshot(11), []), null);
  });

  it("takes an older one that the kept diffs bring up to what is shown", () => {
    assert.equal(splice(shown(), snapshot(11), [diff(11)]).state.version, 12);
  });

  it("takes one of another epoch whatever its version", () => {
    assert.equal(splice(shown(), snapshot(1, [], { epoch: "zzzzzz" }), []).state.epoch, "zzzzzz");
  });

  it("gives back what does not fit, as it was kept", () => {
    const kept = [diff(13), diff(15), { ...diff(14), epoch: "zzzzzz" }];
    const { open } = splice(shown(), snapshot(13), kept);
    assert.deepEqual(open, [kept[1], kept[2]]);
    assert.equal(open[0], kept[1]);
  });

  it("leaves everybody the very object who did not change", () => {
    const state = fromSnapshot(snapshot(12, [member("42"), member("7")]));
    const next = splice(state, snapshot(14, [member("7", "New"), member("42"), member("9")]), []).state;
    assert.deepEqual(ids(next), ["7", "42", "9"]);
    assert.equal(next.members.get("42"), state.members.get("42"));
    assert.equal(next.members.get("7").name, "New");
  });

  it("takes nothing malformed", () => {
    for (const odd of [null, undefined, new Error("offline"), { epoch: 4 }, [], "x"]) {
      assert.throws(() => splice(shown(), odd, []), /no snapshot/u);
    }
  });

  it("leaves what is shown as it is", () => {
    const state = shown();
    const before = structuredClone(state);
    splice(state, snapshot(14), [diff(14, { joins: [member("5")] })]);
    assert.deepEqual(state, before);
  });

  it("does not take a room that is seen anew for a crowd that comes or goes", () => {
    const counted = snapshot(13, [], { listed: false, total: 400 });
    assert.equal(splice(shown(), counted, []).changes, null);
    assert.equal(splice(fromSnapshot(counted), snapshot(14), []).changes, null);
    assert.equal(since(fromSnapshot(snapshot(0, [], { epoch: "" })), shown()), null);
  });
});

describe("what is shown", () => {
  const me = member("7", "Me");
  const mine = new Map([["7", me]]);

  it("has those ahead last, counted once, until the roster has them", () => {
    const state = fromSnapshot(snapshot(12));
    const before = view(state, mine);
    assert.deepEqual(before.members.map(({ id }) => id), ["42", "7"]);
    assert.deepEqual([[...before.provisional], before.total], [["7"], 2]);
    reduce(state, diff(12, { joins: [me], total: 2 }));
    const after = view(state, mine);
    assert.deepEqual(after.members.map(({ id }) => id), ["42", "7"]);
    assert.deepEqual([[...after.provisional], after.total], [[], 2]);
  });

  it("has nobody ahead in a counted room", () => {
    const counted = view(fromSnapshot(load("snapshot-counted.json")), mine);
    assert.deepEqual([counted.members, counted.provisional.size, counted.total], [[], 0, 412]);
  });

  it("changes by what is new to the eye, not by being confirmed", () => {
    const nothing = { joined: [], left: [], updated: [] };
    assert.deepEqual(overlay({ ...nothing, joined: [me] }, mine, new Map()), nothing);
    assert.deepEqual(overlay({ ...nothing, left: [me] }, new Map(), mine), nothing);
    assert.deepEqual(overlay(nothing, new Map(), mine), { ...nothing, joined: [me] });
    assert.deepEqual(overlay(nothing, mine, new Map()), { ...nothing, left: [me] });
    const renamed = member("7", "Myself");
    assert.deepEqual(overlay({ ...nothing, joined: [renamed] }, mine, new Map()), { ...nothing, updated: [renamed] });
    const candidates = [me, member("42"), member("5")];
    assert.deepEqual([...ahead(fromSnapshot(snapshot(12)), candidates).keys()], ["5", "7"], "ties by id");
  });
});

describe("whom a join push shows", () => {
  const named = { name: "Ada", info: { color: "#123456" }, iat: 1, anonymous: "" };

  it("is named by the subscription, else by the connection, else by the id", () => {
    const expected = [
      [{ chanInfo: named, connInfo: { name: "Bob" } }, member("7", "Ada", named.info)],
      [{ chanInfo: {}, connInfo: named }, member("7", "Ada", named.info)],
      [{ chanInfo: { role: "admin" }, connInfo: named }, member("7", "Ada", named.info)],
      [{ connInfo: { name: "Bob", info: 4, avatar: "/b.png", secret: 1 } },
        member("7", "Bob", { avatar: "/b.png", color: undefined })],
    ];
    for (const [push, shown] of expected) assert.deepEqual(readPush({ user: "7", ...push }), shown);
    for (const odd of [undefined, null, 4, "x", [], { name: 4 }]) {
      assert.equal(readPush({ user: "7", chanInfo: odd, connInfo: odd }).name, "7");
    }
  });

  it("is nobody where either token hides its bearer", () => {
    const hidden = { iat: 2, hidden: true };
    for (const push of [{ chanInfo: hidden }, { connInfo: hidden }, { chanInfo: named, connInfo: hidden }]) {
      assert.equal(readPush({ user: "7", ...push }), null);
    }
  });

  it("is nobody where no user is told", () => {
    for (const push of [{}, { user: "" }, { user: 7 }, { user: null, connInfo: named }]) {
      assert.equal(readPush(push), null);
    }
  });
});
