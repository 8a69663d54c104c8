import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import {
  ahead, fromSnapshot, overlay, read, readEvent, reduce, since, splice, view,
} from "../../presence/static/presence/js/roster.js";
import { diff, member, snapshot } from "./stub.js";

const load = (name) => JSON.parse(readFileSync(new URL(`../fixtures/wire/${name}`, import.meta.url)));
const ids = (state) => [...state.members.keys()];

/** Every object and array in a value, frozen: a reducer that writes to its input throws. */
function frozen(value) {
  if (typeof value === "object" && value !== null) Object.values(value).forEach(frozen);
  return Object.freeze(value);
}

describe("sequences that Python and JavaScript share", () => {
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
      const names = [...state.members.values()].map(({ name }) => name);
      assert.deepEqual(
        { version, members: ids(state), names, total, anonymous, listed, fetch: asked }, expect,
      );
    });
  }
});

describe("read, readEvent, fromSnapshot", () => {
  it("read_takes_the_examples_of_the_wire", () => {
    assert.equal(read(load("diff.json")).version, 13);
    assert.deepEqual(read(load("reload.json")), load("reload.json"));
    assert.equal(read(load("event.json")), null);
    assert.deepEqual(ids(fromSnapshot(load("snapshot.json"))), ["42", "17"]);
    assert.equal(fromSnapshot(load("snapshot-counted.json")).total, 412);
  });

  it("from_snapshot_gives_null_for_malformed_snapshots", () => {
    const odd = [undefined, null, [], "x", 7, {}, { ...load("snapshot.json"), members: null }];
    odd.push({ ...load("snapshot.json"), version: "12" }, { ...load("snapshot.json"), listed: 1 });
    for (const value of odd) assert.equal(fromSnapshot(value), null);
  });

  it("read_event_gives_the_event_and_reduce_changes_nothing", () => {
    const { event, payload } = load("event.json");
    assert.deepEqual(readEvent(load("event.json")), { event, payload });
    assert.deepEqual(readEvent({ type: "presence.event", event, more: 1 }), { event, payload: {} });
    for (const name of ["diff.json", "reload.json", "cursor.json"]) assert.equal(readEvent(load(name)), null);
    const state = fromSnapshot(snapshot(12));
    const untouched = { changes: null, fetch: false, within: null };
    assert.deepEqual(reduce(state, frozen(load("event.json"))), untouched);
    assert.deepEqual(state, fromSnapshot(snapshot(12)));
  });

  it("read_event_gives_null_for_malformed_events", () => {
    const good = load("event.json");
    const odd = [undefined, null, [], "x", 7, {}, { type: "presence.event" }];
    for (const event of [undefined, null, "", 7, {}, ["saved"]]) odd.push({ ...good, event });
    for (const payload of [null, 7, "x", true, []]) odd.push({ ...good, payload });
    odd.push({ ...good, type: "presence.events" }, { ...good, type: null });
    for (const value of odd) assert.equal(readEvent(frozen(value)), null, JSON.stringify(value));
  });

  it("reduce_of_a_reload_gives_its_seconds", () => {
    const state = fromSnapshot(snapshot(12));
    assert.equal(reduce(state, { ...load("reload.json"), within: 3.5 }).within, 3.5);
    assert.equal(reduce(state, diff(20)).within, null);
  });
});

describe("reduce", () => {
  const idsOf = ({ joined, left, updated }) => [joined, left, updated].map((all) => all.map(({ id }) => id));

  it("reduce_changes_the_state_in_place_and_gives_joins_leaves_and_updates", () => {
    const state = fromSnapshot(load("snapshot.json"));
    const { members } = state;
    const { changes } = reduce(state, load("diff.json"));
    assert.equal(state.members, members);
    assert.deepEqual(idsOf(changes), [["5", "99"], ["17"], ["42"]]);
    assert.deepEqual(changes.left, [member("17", "Grace Hopper")]);
    assert.equal(changes.updated[0].name, "Ada King");
  });

  it("reduce_is_silent_on_joins_leaves_and_updates_that_change_nothing", () => {
    const state = fromSnapshot(snapshot(12));
    const { changes } = reduce(state, diff(12, {
      joins: [member("42", "Somebody else")], leaves: ["9"], updates: [member("8"), member("42")],
    }));
    assert.deepEqual(idsOf(changes), [[], [], []]);
    assert.deepEqual([...state.members.values()], [member("42")]);
  });

  it("reduce_of_a_leave_and_join_in_one_diff_gives_only_what_differs", () => {
    for (const [name, updated] of [["Member 42", []], ["New name", ["42"]]]) {
      const state = fromSnapshot(snapshot(12, [member("42"), member("7")]));
      const { changes } = reduce(state, diff(12, { leaves: ["42"], joins: [member("42", name)] }));
      assert.deepEqual(idsOf(changes), [[], [], updated]);
      assert.deepEqual(ids(state), ["7", "42"]);
    }
  });

  it("reduce_keeps_names_as_they_are", () => {
    const names = ["<b onload=x>&amp;", "👩‍👩‍👧 😀", "\u202Eevil\u2066", "x".repeat(10_000), "", "\0\n", "__proto__"];
    const state = fromSnapshot(snapshot(12, []));
    const joins = names.map((name, at) => member(String(at), name, { title: name }));
    const { changes } = reduce(state, diff(12, { joins }));
    assert.deepEqual(changes.joined, joins);
    assert.deepEqual([...state.members.values()], joins);
    assert.deepEqual([...fromSnapshot(snapshot(1, joins)).members.values()], joins);
  });

  it("reduce_of_a_diff_that_skips_a_version_asks_to_fetch", () => {
    const state = fromSnapshot(snapshot(12));
    const far = { ...diff(12, { joins: [member("5")] }), version: Number.MAX_SAFE_INTEGER };
    assert.deepEqual(reduce(state, far), { changes: null, fetch: true, within: null });
    assert.deepEqual(state, fromSnapshot(snapshot(12)));
  });

  it("reduce_in_a_counted_room_lists_nobody", () => {
    const state = fromSnapshot(snapshot(12, [member("1")], { listed: false, total: 900 }));
    const { changes } = reduce(state, diff(12, { joins: [member("5")], total: 901 }));
    assert.deepEqual(idsOf(changes), [[], [], []]);
    assert.deepEqual([ids(state), state.total], [[], 901]);
  });
});

describe("splice", () => {
  const shown = () => fromSnapshot(snapshot(12));

  it("splice_applies_the_kept_diffs_and_gives_the_changes", () => {
    const kept = [diff(11), diff(14, { joins: [member("5")], total: 2 })];
    const next = splice(shown(), snapshot(14, [member("42", "New name")]), kept);
    assert.equal(next.state.version, 15);
    assert.deepEqual(ids(next.state), ["42", "5"]);
    assert.deepEqual(next.changes, { joined: [member("5")], left: [], updated: [member("42", "New name")] });
    assert.deepEqual(next.open, []);
  });

  it("splice_of_an_older_snapshot_of_the_same_epoch_gives_null", () => {
    assert.equal(splice(shown(), snapshot(11), []), null);
  });

  it("splice_takes_an_older_snapshot_that_the_kept_diffs_bring_up_to_date", () => {
    assert.equal(splice(shown(), snapshot(11), [diff(11)]).state.version, 12);
  });

  it("splice_takes_a_snapshot_of_another_epoch_whatever_its_version", () => {
    assert.equal(splice(shown(), snapshot(1, [], { epoch: "zzzzzz" }), []).state.epoch, "zzzzzz");
  });

  it("splice_gives_back_the_publications_that_do_not_fit", () => {
    const kept = [diff(13), diff(15), { ...diff(14), epoch: "zzzzzz" }];
    const { open } = splice(shown(), snapshot(13), kept);
    assert.deepEqual(open, [kept[1], kept[2]]);
    assert.equal(open[0], kept[1]);
  });

  it("splice_keeps_the_very_object_of_a_member_who_did_not_change", () => {
    const state = fromSnapshot(snapshot(12, [member("42"), member("7")]));
    const next = splice(state, snapshot(14, [member("7", "New"), member("42"), member("9")]), []).state;
    assert.deepEqual(ids(next), ["7", "42", "9"]);
    assert.equal(next.members.get("42"), state.members.get("42"));
    assert.equal(next.members.get("7").name, "New");
  });

  it("splice_of_a_malformed_snapshot_throws", () => {
    for (const odd of [null, undefined, new Error("offline"), { epoch: 4 }, [], "x"]) {
      assert.throws(() => splice(shown(), odd, []), /no snapshot/u);
    }
  });

  it("splice_leaves_the_shown_state_unchanged", () => {
    const state = shown();
    const before = structuredClone(state);
    splice(state, snapshot(14), [diff(14, { joins: [member("5")] })]);
    assert.deepEqual(state, before);
  });

  it("splice_of_a_room_seen_anew_gives_no_changes", () => {
    const counted = snapshot(13, [], { listed: false, total: 400 });
    assert.equal(splice(shown(), counted, []).changes, null);
    assert.equal(splice(fromSnapshot(counted), snapshot(14), []).changes, null);
    assert.equal(since(fromSnapshot(snapshot(0, [], { epoch: "" })), shown()), null);
  });
});

describe("view", () => {
  const me = member("7", "Me");

  it("view_has_oneself_last_and_counts_each_once", () => {
    const state = fromSnapshot(snapshot(12));
    const before = view(state, ahead(state, [me]));
    assert.deepEqual([before.members, before.total], [[member("42"), me], 2]);
    reduce(state, diff(12, { joins: [me], total: 2 }));
    const after = view(state, ahead(state, [me]));
    assert.deepEqual([after.members, after.total], [[member("42"), me], 2]);
  });

  it("ahead_of_a_counted_room_is_nobody", () => {
    assert.deepEqual(ahead(fromSnapshot(load("snapshot-counted.json")), [me]), []);
  });

  it("overlay_is_silent_when_a_diff_confirms_a_member_ahead", () => {
    const nothing = { joined: [], left: [], updated: [] };
    assert.deepEqual(overlay({ ...nothing, joined: [me] }, [me], []), nothing);
    assert.deepEqual(overlay({ ...nothing, left: [me] }, [], [me]), nothing);
    assert.deepEqual(overlay(nothing, [], [me]), { ...nothing, joined: [me] });
    assert.deepEqual(overlay(nothing, [me], []), { ...nothing, left: [me] });
    const renamed = member("7", "Myself");
    assert.deepEqual(overlay({ ...nothing, joined: [renamed] }, [me], []), { ...nothing, updated: [renamed] });
  });
});
