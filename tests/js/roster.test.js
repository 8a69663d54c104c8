import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { changes, fromSnapshot, read, reduce, splice, view } from "../../presence/static/presence/js/roster.js";
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
      let state = frozen(fromSnapshot(frozen(first)));
      let asked = false;
      for (const publication of publications) {
        const step = reduce(state, frozen(publication));
        state = frozen(step.state);
        asked ||= step.fetch;
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

  it("says within how many seconds a reload wants to be followed", () => {
    const state = fromSnapshot(snapshot(12));
    assert.equal(reduce(state, { ...load("reload.json"), within: 3.5 }).within, 3.5);
    assert.equal(reduce(state, diff(20)).within, null);
  });
});

describe("splicing a fetched snapshot", () => {
  const state = fromSnapshot(snapshot(12));

  it("applies what was kept after it", () => {
    const kept = [diff(11), diff(14, { joins: [member("5")], total: 2 })];
    const next = splice(state, snapshot(14), kept);
    assert.equal(next.state.version, 15);
    assert.deepEqual(ids(next.state), ["42", "5"]);
    assert.equal(next.taken && !next.fetch, true);
    assert.deepEqual(next.kept, []);
  });

  it("does not take an older one of the same epoch", () => {
    assert.deepEqual(splice(state, snapshot(11), []), { state, taken: false, fetch: false, kept: [] });
  });

  it("takes an older one that the kept diffs bring up to what is shown", () => {
    const next = splice(state, snapshot(11), [diff(11)]);
    assert.equal(next.taken, true);
    assert.equal(next.state.version, 12);
  });

  it("takes one of another epoch whatever its version", () => {
    assert.equal(splice(state, snapshot(1, [], { epoch: "zzzzzz" }), []).state.epoch, "zzzzzz");
  });

  it("asks once more for what does not fit, and keeps it", () => {
    const next = splice(state, snapshot(13), [diff(14)]);
    assert.equal(next.fetch, true);
    assert.equal(next.kept.length, 1);
  });

  it("gives up what was kept of another epoch, so that it cannot ask for ever", () => {
    const next = splice(state, snapshot(3, [], { epoch: "zzzzzz" }), [diff(12)]);
    assert.equal(next.fetch, true);
    assert.deepEqual(next.kept, []);
  });

  it("takes nothing malformed", () => {
    assert.equal(splice(state, { epoch: 4 }, []).taken, false);
  });
});

describe("what is shown", () => {
  const state = fromSnapshot(snapshot(12));
  const me = member("7", "Me");

  it("has oneself last, counted once, until the roster has it", () => {
    const ahead = view(state, me);
    assert.deepEqual(ahead.members.map(({ id }) => id), ["42", "7"]);
    assert.equal(ahead.provisional, "7");
    assert.equal(ahead.total, 2);
    const confirmed = view(reduce(state, diff(12, { joins: [me], total: 2 })).state, me);
    assert.equal(confirmed.provisional, null);
    assert.equal(confirmed.total, 2);
    assert.deepEqual(changes(ahead, confirmed), { joined: [], left: [], updated: [] });
  });

  it("does not have oneself in a counted room", () => {
    const counted = fromSnapshot(load("snapshot-counted.json"));
    assert.deepEqual(view(counted, me).members, []);
    assert.equal(view(counted, me).total, 412);
  });

  it("changes by who joined, who left and who is different", () => {
    const after = reduce(fromSnapshot(load("snapshot.json")), load("diff.json")).state;
    const found = changes(view(fromSnapshot(load("snapshot.json")), null), view(after, null));
    assert.deepEqual(found.joined.map(({ id }) => id), ["5", "99"]);
    assert.deepEqual(found.left.map(({ id }) => id), ["17"]);
    assert.deepEqual(found.updated.map(({ name }) => name), ["Ada King"]);
  });
});
