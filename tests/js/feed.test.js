import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { diff, member, open, settle, snapshot } from "./stub.js";

const POSITION = { offset: 12, epoch: "StBPPVJn" };
const shownIds = ({ feed }) => feed.view.members.map(({ id }) => id);
const serve = (world, ...answers) => world.routes.set("/snapshot", () =>
  (answers.length > 1 ? answers.shift() : answers[0]));
const publish = (sub, data) => sub.trigger("publication", { data });

/** A page that is live at version 12. */
async function live(options) {
  const made = await open({ position: POSITION, ...options });
  made.sub.trigger("subscribed", { wasRecovering: true, recovered: true });
  assert.equal(made.follower.feed.phase, "live");
  return made;
}

describe("splicing the page and the stream", () => {
  it("subscribes since the page's position and fetches nothing when recovered", async () => {
    const { sub, follower, world } = await live();
    assert.deepEqual(sub.options.since, POSITION);
    publish(sub, diff(12, { joins: [member("5")], total: 2 }));
    assert.deepEqual(shownIds(follower), ["42", "5"]);
    assert.deepEqual(world.asked("/snapshot"), []);
  });

  it("never sends an empty epoch", async () => {
    for (const position of [null, { offset: 3, epoch: "" }]) {
      const { sub } = await open({ position });
      assert.equal("since" in sub.options, false);
    }
  });

  it("fetches the snapshot once, at once, when it was not recovered", async () => {
    const { sub, follower, world } = await open({ position: POSITION });
    serve(world, [200, { channel: "presence:a", ...snapshot(20, [member("9")]) }]);
    sub.trigger("subscribed", { wasRecovering: true, recovered: false });
    assert.equal(follower.feed.phase, "static");
    assert.deepEqual(await world.tick(), [0]);
    assert.equal(follower.feed.phase, "live");
    assert.deepEqual(shownIds(follower), ["9"]);
    const [request, ...others] = world.asked("/snapshot");
    assert.equal(request.url, "/snapshot?grant=renewed%20presence%3Aa");
    assert.deepEqual([request.cache, request.credentials, others.length], ["no-store", "same-origin", 0]);
  });

  it("fetches the first snapshot of a room that has none, even if recovered", async () => {
    const { sub, world } = await open({ shown: snapshot(0, [], { epoch: "" }), position: POSITION });
    serve(world, [200, snapshot(1)]);
    sub.trigger("subscribed", { recovered: true });
    await world.tick();
    assert.equal(world.asked("/snapshot").length, 1);
  });

  it("tells a first snapshot as a sync, not as a crowd that joins", async () => {
    const { sub, world, follower } = await open({ shown: snapshot(0, [], { epoch: "" }) });
    serve(world, [200, snapshot(3, [member("1"), member("2")])]);
    sub.trigger("subscribed", { recovered: false });
    await world.tick();
    assert.deepEqual(follower.told.flatMap(({ joined }) => joined), []);
    assert.equal(follower.told.at(-1).synced, true);
  });

  it("waits at random before it fetches after a resubscription, the longer the larger the room", async () => {
    const { sub, world, follower } = await live({ shown: snapshot(12, [member("42")], { total: 400, anonymous: 100 }) });
    serve(world, [200, snapshot(13)]);
    sub.trigger("subscribing", {});
    assert.equal(follower.feed.phase, "stale");
    sub.trigger("subscribed", { wasRecovering: true, recovered: false });
    assert.equal(follower.feed.phase, "stale");
    assert.deepEqual(await world.tick(), [0.5 * (50 + 2 * 500)]);
    assert.equal(follower.feed.phase, "live");
  });

  it("never waits for more than five seconds", async () => {
    const { sub, world } = await live({ shown: snapshot(12, [], { listed: false, total: 90_000 }) });
    sub.trigger("subscribed", { recovered: false });
    assert.equal(world.timers[0].ms, 2500);
  });

  it("is live again without a fetch after a recovered resubscription", async () => {
    const { sub, world, follower } = await live();
    sub.trigger("subscribing", {});
    sub.trigger("subscribed", { wasRecovering: true, recovered: true });
    publish(sub, diff(12, { total: 4 }));
    assert.equal(follower.feed.phase, "live");
    assert.equal(follower.feed.view.total, 4);
    assert.deepEqual(world.asked("/snapshot"), []);
  });
});

describe("a snapshot that is awaited", () => {
  /** A page that has found a gap, and the means to answer its fetch. */
  async function gapped() {
    const made = await live();
    let answer;
    made.world.routes.set("/snapshot", () => new Promise((resolve) => { answer = resolve; }));
    publish(made.sub, diff(14));
    assert.equal(made.follower.feed.phase, "stale");
    await made.world.tick();
    return { ...made, answer: async (value) => { answer(value); await settle(); } };
  }

  it("is asked for once, however many diffs do not fit", async () => {
    const { sub, world, answer, follower } = await gapped();
    publish(sub, diff(15));
    publish(sub, diff(16, { joins: [member("5")], total: 2 }));
    await answer([200, snapshot(14)]);
    assert.equal(world.asked("/snapshot").length, 1);
    assert.equal(follower.feed.state.version, 17);
    assert.deepEqual(shownIds(follower), ["42", "5"]);
    assert.equal(follower.feed.phase, "live");
  });

  it("is asked for again, after a while, when the kept diffs do not fit it", async () => {
    const { world, answer, follower } = await gapped();
    await answer([200, snapshot(13)]);
    assert.equal(follower.feed.state.version, 13);
    assert.deepEqual(await world.tick(), [375]);
    await answer([200, snapshot(14)]);
    assert.equal(follower.feed.state.version, 15);
    assert.equal(follower.feed.phase, "live");
  });

  it("is asked for again when it lags behind a diff that came meanwhile", async () => {
    const { sub, world, answer, follower } = await gapped();
    publish(sub, diff(18));
    await answer([200, snapshot(15)]);
    assert.equal(follower.feed.phase, "stale");
    assert.deepEqual(await world.tick(), [375]);
    await answer([200, snapshot(18)]);
    assert.equal(follower.feed.state.version, 19);
    assert.equal(follower.feed.phase, "live");
  });

  it("is not taken when it is older than what is shown", async () => {
    const { world, answer, follower } = await gapped();
    await answer([200, snapshot(11, [member("1")])]);
    assert.deepEqual(shownIds(follower), ["42"]);
    assert.deepEqual(await world.tick(), [375]);
    await answer([200, snapshot(11, [member("1")])]);
    assert.deepEqual(await world.tick(), [750]);
    await answer([200, snapshot(15)]);
    assert.equal(follower.feed.phase, "live");
  });

  it("is retried after errors, and for ever", async () => {
    const { world, answer, follower } = await gapped();
    const bad = [[500, {}], [200, undefined], [200, null], [200, { epoch: 1 }], new TypeError("offline")];
    for (const one of bad) {
      await answer(one);
      assert.equal(follower.feed.phase, "stale");
      await world.tick();
    }
    await answer([200, snapshot(15)]);
    assert.equal(follower.feed.phase, "live");
    assert.equal(world.asked("/snapshot").length, 6);
  });

  it("does not keep diffs from being shown that fit", async () => {
    const { sub, answer, follower } = await gapped();
    publish(sub, diff(12, { joins: [member("5")], total: 2 }));
    assert.deepEqual(shownIds(follower), ["42", "5"]);
    await answer([200, snapshot(15)]);
    assert.equal(follower.feed.phase, "live");
  });

  it("is bounded in what it keeps", async () => {
    const { sub, answer, world } = await gapped();
    for (let base = 20; base < 140; base += 1) publish(sub, diff(base));
    await answer([200, snapshot(20)]);
    assert.equal(world.timers.length, 1, "the oldest were let go: one more fetch");
  });

  it("is read once more when the subscription was lost meanwhile", async () => {
    const { sub, world, answer, follower } = await gapped();
    sub.trigger("subscribing", {});
    sub.trigger("subscribed", { wasRecovering: true, recovered: false });
    await answer([200, snapshot(15)]);
    assert.equal(follower.feed.phase, "stale");
    await world.tick();
    await answer([200, snapshot(16)]);
    assert.equal(follower.feed.phase, "live");
  });

  it("leaves the widget static when the endpoint says no", async () => {
    const { world, answer, follower } = await gapped();
    await answer([403, { error: "not any more" }]);
    assert.equal(follower.feed.phase, "static");
    assert.deepEqual(world.timers, []);
    assert.equal(world.warnings.length, 1);
    assert.match(world.warnings[0], /not any more/u);
  });

  it("shows nothing any more once the last widget has left", async () => {
    const { answer, follower } = await gapped();
    follower.end();
    await settle();
    await answer([200, snapshot(15, [])]);
    assert.deepEqual(shownIds(follower), ["42"]);
  });
});

describe("a reload", () => {
  it("is followed at a random moment within the time it gives", async () => {
    const { sub, world, follower } = await live();
    serve(world, [200, snapshot(1, [member("9")], { epoch: "zzzzzz" })]);
    publish(sub, { type: "presence.reload", epoch: "zzzzzz", version: 1, within: 8 });
    publish(sub, { type: "presence.reload", epoch: "zzzzzz", version: 1, within: 8 });
    assert.deepEqual(await world.tick(), [4000]);
    assert.deepEqual(shownIds(follower), ["9"]);
    assert.equal(world.asked("/snapshot").length, 1);
  });

  it("to a version that is shown asks for nothing", async () => {
    const { sub, world } = await live();
    publish(sub, { type: "presence.reload", epoch: "k3f9a1", version: 12, within: 8 });
    assert.deepEqual(world.timers, []);
  });
});

describe("oneself", () => {
  const user = member("7", "Me");
  const joined = ({ told }) => told.flatMap((news) => news.joined).map(({ id }) => id);

  it("is shown once the subscription stands, and joins only once", async () => {
    const { sub, follower } = await open({ user, ahead: true, position: POSITION });
    assert.deepEqual(follower.told, [], "not before it stands");
    sub.trigger("subscribed", { recovered: true });
    assert.deepEqual(shownIds(follower), ["42", "7"]);
    assert.deepEqual([...follower.feed.view.provisional], ["7"]);
    assert.equal(follower.feed.state.members.has("7"), false);
    publish(sub, diff(12, { joins: [user], total: 2 }));
    assert.deepEqual(shownIds(follower), ["42", "7"]);
    assert.equal(follower.feed.view.total, 2);
    assert.equal(follower.feed.view.provisional.size, 0);
    assert.deepEqual(joined(follower), ["7"]);
  });

  it("stays while the connection is only interrupted, and goes when it is refused", async () => {
    const { sub, follower } = await live({ user, ahead: true });
    sub.trigger("subscribing", {});
    assert.deepEqual(shownIds(follower), ["42", "7"]);
    sub.trigger("unsubscribed", { code: 103, reason: "permission denied" });
    assert.deepEqual(shownIds(follower), ["42"]);
  });

  it("is not shown ahead where the server says so, or where nobody is known", async () => {
    for (const options of [{ user, ahead: false }, { user: null, ahead: true }]) {
      const { follower } = await live(options);
      assert.deepEqual(shownIds(follower), ["42"]);
    }
  });
});

describe("bad publications", () => {
  it("change nothing", async () => {
    const { sub, world, follower } = await live();
    const before = structuredClone(follower.feed.state);
    for (const data of [null, undefined, 7, "x", [], {}, { type: "presence.diff" }, diff(12, { joins: [null] })]) {
      publish(sub, data);
    }
    assert.deepEqual(follower.feed.state, before);
    assert.deepEqual(world.timers, []);
  });
});
