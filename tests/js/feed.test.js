import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { FINAL, PASSING, configOf, diff, follow, member, open, settle, snapshot } from "./stub.js";

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
  it("feed_subscribes_since_the_position_of_the_page_and_fetches_nothing_when_recovered", async () => {
    const { sub, follower, world } = await live();
    assert.deepEqual(sub.options.since, POSITION);
    publish(sub, diff(12, { joins: [member("5")], total: 2 }));
    assert.deepEqual(shownIds(follower), ["42", "5"]);
    assert.deepEqual(world.asked("/snapshot"), []);
  });

  it("feed_never_sends_an_empty_epoch", async () => {
    for (const position of [null, { offset: 3, epoch: "" }]) {
      const { sub } = await open({ position });
      assert.equal(sub.options.since, null);
    }
  });

  it("feed_not_recovered_on_a_new_page_fetches_once_and_at_once", async () => {
    const { sub, follower, world } = await open({ position: POSITION });
    serve(world, [200, { channel: "presence:a", ...snapshot(20, [member("9")]) }]);
    sub.trigger("subscribed", { wasRecovering: true, recovered: false });
    assert.equal(follower.feed.phase, "static");
    assert.deepEqual(await world.tick(), [0]);
    assert.equal(follower.feed.phase, "live");
    assert.deepEqual(shownIds(follower), ["9"]);
    const [request, ...others] = world.asked("/snapshot");
    assert.equal(request.url, "/snapshot?grant=next%20presence%3Aa");
    assert.deepEqual([request.cache, others.length], ["no-store", 0]);
  });

  it("feed_without_a_snapshot_fetches_even_when_recovered", async () => {
    const { sub, world } = await open({ shown: snapshot(0, [], { epoch: "" }), position: POSITION });
    serve(world, [200, snapshot(1)]);
    sub.trigger("subscribed", { recovered: true });
    await world.tick();
    assert.equal(world.asked("/snapshot").length, 1);
  });

  it("feed_tells_a_first_snapshot_as_a_sync", async () => {
    const { sub, world, follower } = await open({ shown: snapshot(0, [], { epoch: "" }) });
    serve(world, [200, snapshot(3, [member("1"), member("2")])]);
    sub.trigger("subscribed", { recovered: false });
    await world.tick();
    assert.deepEqual(follower.told.flatMap(({ joined }) => joined), []);
    assert.equal(follower.told.at(-1).synced, true);
  });

  it("feed_resubscribed_waits_at_random_longer_for_a_larger_room", async () => {
    const { sub, world, follower } = await live({ shown: snapshot(12, [member("42")], { total: 400, anonymous: 100 }) });
    serve(world, [200, snapshot(13)]);
    sub.trigger("subscribing", {});
    assert.equal(follower.feed.phase, "stale");
    sub.trigger("subscribed", { wasRecovering: true, recovered: false });
    assert.equal(follower.feed.phase, "stale");
    assert.deepEqual(await world.tick(), [0.5 * (50 + 2 * 500)]);
    assert.equal(follower.feed.phase, "live");
  });

  it("feed_resubscribed_waits_five_seconds_at_most", async () => {
    const { sub, world } = await live({ shown: snapshot(12, [], { listed: false, total: 90_000 }) });
    sub.trigger("subscribed", { recovered: false });
    assert.equal(world.timers[0].ms, 2500);
  });

  it("feed_recovered_after_an_interruption_is_live_without_a_fetch", async () => {
    const { sub, world, follower } = await live();
    sub.trigger("subscribing", {});
    sub.trigger("subscribed", { wasRecovering: true, recovered: true });
    publish(sub, diff(12, { total: 4 }));
    assert.equal(follower.feed.phase, "live");
    assert.equal(follower.feed.view.total, 4);
    assert.deepEqual(world.asked("/snapshot"), []);
  });
});

describe("publications of clients", () => {
  it("feed_ignores_what_a_client_published", async () => {
    const { sub, world, follower } = await live();
    const info = { client: "a-client", user: "13" };
    const forged = [
      diff(12, { joins: [member("5")], total: 2 }),
      { type: "presence.reload", epoch: "zzzzzz", version: 1, within: 1 },
      { type: "presence.event", event: "saved", payload: {} },
    ];
    const told = follower.told.length;
    for (const data of forged) sub.trigger("publication", { data, info });
    assert.deepEqual([shownIds(follower), follower.told.length], [["42"], told]);
    assert.deepEqual([world.timers, follower.feed.phase], [[], "live"]);
  });
});

describe("snapshot that is awaited", () => {
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

  it("fetch_is_one_for_many_diffs_that_do_not_fit", async () => {
    const { sub, world, answer, follower } = await gapped();
    publish(sub, diff(15));
    publish(sub, diff(16, { joins: [member("5")], total: 2 }));
    await answer([200, snapshot(14)]);
    assert.equal(world.asked("/snapshot").length, 1);
    assert.equal(follower.feed.state.version, 17);
    assert.deepEqual(shownIds(follower), ["42", "5"]);
    assert.equal(follower.feed.phase, "live");
  });

  it("fetch_is_repeated_later_when_kept_diffs_do_not_fit", async () => {
    const { world, answer, follower } = await gapped();
    await answer([200, snapshot(13)]);
    assert.equal(follower.feed.state.version, 13);
    assert.deepEqual(await world.tick(), [375]);
    await answer([200, snapshot(14)]);
    assert.equal(follower.feed.state.version, 15);
    assert.equal(follower.feed.phase, "live");
  });

  it("fetch_is_repeated_when_the_snapshot_lags_behind_a_diff", async () => {
    const { sub, world, answer, follower } = await gapped();
    publish(sub, diff(18));
    await answer([200, snapshot(15)]);
    assert.equal(follower.feed.phase, "stale");
    assert.deepEqual(await world.tick(), [375]);
    await answer([200, snapshot(18)]);
    assert.equal(follower.feed.state.version, 19);
    assert.equal(follower.feed.phase, "live");
  });

  it("fetch_is_repeated_for_a_diff_that_came_during_it_also_after_one_that_failed", async () => {
    const { sub, world, answer, follower } = await gapped();
    await answer([503, undefined]);
    await world.tick();
    publish(sub, diff(17, { joins: [member("5")], total: 2 }));
    await answer([200, snapshot(16)]);
    assert.equal(follower.feed.phase, "stale", "the answer is from before the diff");
    await world.tick();
    await answer([200, snapshot(17)]);
    assert.deepEqual([follower.feed.state.version, shownIds(follower)], [18, ["42", "5"]]);
    assert.equal(follower.feed.phase, "live");
  });

  it("fetch_of_an_older_snapshot_is_not_taken", async () => {
    const { world, answer, follower } = await gapped();
    await answer([200, snapshot(11, [member("1")])]);
    assert.deepEqual(shownIds(follower), ["42"]);
    assert.deepEqual(await world.tick(), [375]);
    await answer([200, snapshot(11, [member("1")])]);
    assert.deepEqual(await world.tick(), [750]);
    await answer([200, snapshot(15)]);
    assert.equal(follower.feed.phase, "live");
  });

  it("fetch_is_retried_for_ever_after_passing_errors", async () => {
    const { world, answer, follower } = await gapped();
    for (const failure of PASSING) {
      await answer(failure);
      assert.equal(follower.feed.phase, "stale");
      await world.tick();
    }
    await answer([200, snapshot(15)]);
    assert.equal(follower.feed.phase, "live");
    assert.equal(world.asked("/snapshot").length, 6);
  });

  it("fetch_of_a_foreign_answer_leaves_the_widget_static", async () => {
    for (const failure of [...FINAL, [200, { members: [], epoch: 1 }]]) {
      const { world, answer, follower } = await gapped();
      await answer(failure);
      await world.pass(3_600_000);
      assert.deepEqual([follower.feed.phase, world.warnings.length], ["static", 1], `${failure}`);
      assert.equal(world.asked("/snapshot").length, 1);
    }
  });

  it("fetch_with_an_error_of_our_own_leaves_the_widget_static", async () => {
    const { world, answer, follower, page } = await gapped();
    follower.feed.roster = { ...page.tools.roster, splice: () => { throw new TypeError("a mistake"); } };
    await answer([200, snapshot(15)]);
    await world.pass(3_600_000);
    assert.deepEqual([follower.feed.phase, world.warnings], ["static", ["a mistake"]]);
  });

  it("fetch_under_way_does_not_hold_up_diffs_that_fit", async () => {
    const { sub, answer, follower } = await gapped();
    publish(sub, diff(12, { joins: [member("5")], total: 2 }));
    assert.deepEqual(shownIds(follower), ["42", "5"]);
    await answer([200, snapshot(15)]);
    assert.equal(follower.feed.phase, "live");
  });

  it("fetch_under_way_keeps_a_bounded_number_of_diffs", async () => {
    const { sub, answer, world } = await gapped();
    for (let base = 20; base < 140; base += 1) publish(sub, diff(base));
    await answer([200, snapshot(20)]);
    assert.equal(world.timers.length, 1, "the oldest were let go: one more fetch");
  });

  it("fetch_is_repeated_when_the_subscription_was_lost_meanwhile", async () => {
    const { sub, world, answer, follower } = await gapped();
    sub.trigger("subscribing", {});
    sub.trigger("subscribed", { wasRecovering: true, recovered: false });
    await answer([200, snapshot(15)]);
    assert.equal(follower.feed.phase, "stale");
    await world.tick();
    await answer([200, snapshot(16)]);
    assert.equal(follower.feed.phase, "live");
  });

  it("fetch_that_is_forbidden_leaves_the_widget_static", async () => {
    const { world, answer, follower } = await gapped();
    await answer([403, { error: "not any more" }]);
    assert.equal(follower.feed.phase, "static");
    assert.deepEqual(world.timers, []);
    assert.equal(world.warnings.length, 1);
    assert.match(world.warnings[0], /not any more/u);
  });

  it("fetch_after_the_last_widget_left_shows_nothing", async () => {
    const { answer, follower } = await gapped();
    follower.end();
    await settle();
    await answer([200, snapshot(15, [])]);
    assert.deepEqual(shownIds(follower), ["42"]);
  });
});

describe("reload", () => {
  it("reload_is_followed_at_a_random_moment_in_its_time", async () => {
    const { sub, world, follower } = await live();
    serve(world, [200, snapshot(1, [member("9")], { epoch: "zzzzzz" })]);
    publish(sub, { type: "presence.reload", epoch: "zzzzzz", version: 1, within: 8 });
    publish(sub, { type: "presence.reload", epoch: "zzzzzz", version: 1, within: 8 });
    assert.deepEqual(await world.tick(), [4000]);
    assert.deepEqual(shownIds(follower), ["9"]);
    assert.equal(world.asked("/snapshot").length, 1);
  });

  it("reload_to_a_shown_version_fetches_nothing", async () => {
    const { sub, world } = await live();
    publish(sub, { type: "presence.reload", epoch: "k3f9a1", version: 12, within: 8 });
    assert.deepEqual(world.timers, []);
  });
});

describe("oneself", () => {
  const user = member("7", "Me");
  const joined = ({ told }) => told.flatMap((news) => news.joined).map(({ id }) => id);

  it("self_is_shown_once_subscribed_and_joins_once", async () => {
    const { sub, follower } = await open({ user, ahead: true, position: POSITION });
    assert.deepEqual(joined(follower), [], "not before it stands");
    sub.trigger("subscribed", { recovered: true });
    assert.deepEqual(shownIds(follower), ["42", "7"]);
    assert.deepEqual(follower.feed.ahead, [user]);
    assert.equal(follower.feed.state.members.has("7"), false);
    publish(sub, diff(12, { joins: [user], total: 2 }));
    assert.deepEqual(shownIds(follower), ["42", "7"]);
    assert.equal(follower.feed.view.total, 2);
    assert.deepEqual(follower.feed.ahead, []);
    assert.deepEqual(joined(follower), ["7"]);
  });

  it("self_stays_while_interrupted_and_when_refused", async () => {
    const { sub, follower } = await live({ user, ahead: true });
    sub.trigger("subscribing", {});
    assert.deepEqual(shownIds(follower), ["42", "7"]);
    sub.trigger("unsubscribed", { code: 103, reason: "permission denied" });
    assert.deepEqual(shownIds(follower), ["42", "7"]);
    assert.deepEqual(follower.told.flatMap(({ left }) => left), []);
  });

  it("self_is_not_shown_ahead_of_an_unknown_or_hidden_user", async () => {
    for (const options of [{ user, ahead: false }, { user: null, ahead: true }]) {
      const { follower } = await live(options);
      assert.deepEqual(shownIds(follower), ["42"]);
    }
  });
});

describe("refused feed", () => {
  const user = member("7", "Me");

  /** A page whose snapshot was refused as somebody else has signed in. */
  async function refused() {
    const made = await live({ user, ahead: true });
    serve(made.world, [403, { error: "another user" }]);
    publish(made.sub, diff(14));
    await made.world.tick(5000);
    return made;
  }

  it("refused_feed_stays_as_shown_and_says_why", async () => {
    const { follower, world } = await refused();
    assert.deepEqual([follower.feed.phase, shownIds(follower)], ["static", ["42", "7"]]);
    assert.match(follower.feed.refusal, /another user/u);
    assert.match(world.warnings[0], /another user/u);
    assert.deepEqual(follower.told.flatMap(({ left }) => left), []);
  });

  it("refused_feed_is_unsubscribed_and_takes_nothing", async () => {
    const { follower, sub, client, world } = await refused();
    assert.deepEqual(client.removed, ["presence:a"]);
    const told = follower.told.length;
    publish(sub, diff(12, { joins: [member("9")], total: 2 }));
    sub.trigger("subscribing", {});
    sub.trigger("subscribed", { recovered: false });
    await world.tick();
    assert.equal(follower.told.length, told);
    assert.deepEqual([world.asked("/snapshot").length, world.timers], [1, []]);
  });

  it("refused_feed_ignores_the_fetch_under_way", async () => {
    for (const late of [[500, {}], [200, snapshot(20, [member("9")])], [403, {}]]) {
      const { client, follower, sub, world } = await live();
      let answer;
      world.routes.set("/snapshot", () => new Promise((resolve) => { answer = resolve; }));
      publish(sub, diff(14));
      await world.tick();
      client.end(3500, "invalid token");
      const told = follower.told.length;
      answer(late);
      await settle();
      assert.deepEqual([follower.told.length, world.timers], [told, []]);
    }
  });

  it("refused_feed_tells_that_it_is_static_whatever_it_was", async () => {
    const { client, follower } = await live();
    const states = () => follower.told.filter(({ stale }) => stale).map(({ phase }) => phase);
    client.end(3500, "invalid token");
    assert.equal(states().at(-1), "static");
    const never = await open();
    never.client.end(3500, "invalid token");
    assert.equal(never.follower.feed.phase, "static");
    assert.deepEqual(never.follower.told.filter(({ stale }) => stale), [], "it was never live");
  });
});

describe("two fetches under way", () => {
  /** A page with a fetch under way when another became due. The test gives both answers. */
  async function doubled() {
    const made = await live();
    const answers = [];
    made.world.routes.set("/snapshot", () => new Promise((resolve) => { answers.push(resolve); }));
    for (let fetches = 0; fetches < 2; fetches += 1) {
      made.sub.trigger("subscribing", {});
      made.sub.trigger("subscribed", { recovered: false });
      await made.world.tick();
    }
    const answer = async (which, value) => { answers[which](value); await settle(); };
    return { ...made, answer };
  }

  it("fetches_under_way_only_the_newest_counts", async () => {
    for (const late of [[200, snapshot(15)], [500, {}], [403, {}], new TypeError("timeout")]) {
      const { answer, follower, world } = await doubled();
      await answer(1, [200, snapshot(3, [member("9")], { epoch: "newone" })]);
      const told = follower.told.length;
      await answer(0, late);
      assert.deepEqual([follower.feed.phase, shownIds(follower)], ["live", ["9"]]);
      assert.deepEqual([follower.told.length, world.timers], [told, []]);
    }
  });

  it("fetches_under_way_wait_for_the_newest", async () => {
    const { answer, follower } = await doubled();
    await answer(0, [200, snapshot(15)]);
    assert.deepEqual([follower.feed.phase, follower.feed.state.version], ["stale", 12]);
    await answer(1, [200, snapshot(16)]);
    assert.deepEqual([follower.feed.phase, follower.feed.state.version], ["live", 16]);
  });
});

describe("publication of the future", () => {
  it("future_publication_changes_nothing_and_fetches_twice_at_most", async () => {
    const far = Number.MAX_SAFE_INTEGER;
    const odd = [
      { type: "presence.reload", epoch: "k3f9a1", version: far, within: 0 },
      { ...diff(12, { joins: [member("5")], total: 99 }), version: far },
      diff(far - 1),
      { ...diff(12), epoch: "another" },
    ];
    for (const publication of odd) {
      const { sub, world, follower } = await live();
      serve(world, [200, snapshot(12)]);
      publish(sub, publication);
      await world.pass(600_000);
      assert.deepEqual([follower.feed.phase, world.asked("/snapshot").length], ["live", 2]);
      assert.deepEqual([shownIds(follower), world.timers], [["42"], []]);
      publish(sub, diff(12, { joins: [member("8")], total: 2 }));
      assert.deepEqual([shownIds(follower), follower.feed.phase], [["42", "8"], "live"]);
    }
  });
});

describe("listener that throws", () => {
  it("throwing_listener_is_reported_and_others_are_told", async () => {
    const { page, sub, follower, world } = await live();
    const caught = [];
    const before = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", (error) => caught.push(error.message));
    try {
      follower.end();
      page.follow(configOf("presence:a"), follower.feed.state, () => { throw new Error("mistake"); });
      const second = follow(page, "presence:a", snapshot(12));
      serve(world, [200, snapshot(20)]);
      publish(sub, diff(14));
      await world.tick();
      assert.deepEqual([second.told.at(-1).phase, second.feed.state.version], ["live", 20]);
      publish(sub, diff(20, { joins: [member("5")], total: 2 }));
      await settle();
      assert.deepEqual(shownIds(second), ["42", "5"]);
    } finally {
      process.removeAllListeners("uncaughtException");
      before.forEach((listener) => process.on("uncaughtException", listener));
    }
    assert.deepEqual(new Set(caught), new Set(["mistake"]));
  });
});

describe("malformed publications", () => {
  it("malformed_publications_change_nothing", async () => {
    const { sub, world, follower } = await live();
    const before = structuredClone(follower.feed.state);
    for (const data of [null, undefined, 7, "x", [], {}, { type: "presence.diff" }, diff(12, { joins: [null] })]) {
      publish(sub, data);
    }
    assert.deepEqual(follower.feed.state, before);
    assert.deepEqual(world.timers, []);
  });
});

describe("age of what is shown", () => {
  it("age_is_that_of_the_page_until_the_feed_is_live", async () => {
    const { sub, world, follower } = await open({ position: POSITION, asOf: 999_000 });
    world.time += 4000;
    const second = await open({ position: POSITION });
    second.sub.trigger("subscribing", {});
    sub.trigger("subscribed", { recovered: false });
    assert.equal(follower.feed.age(), 5);
    serve(world, [200, snapshot(20, [], { age: 3 })]);
    await world.tick();
    assert.deepEqual([follower.feed.phase, follower.feed.age()], ["live", 0]);
  });

  it("age_is_unknown_when_the_page_does_not_say", async () => {
    const { sub, follower } = await open({ position: POSITION });
    sub.trigger("subscribed", { recovered: false });
    assert.equal(follower.feed.age(), null);
  });

  it("age_grows_while_stale_and_shrinks_by_newer_data", async () => {
    const { sub, world, follower } = await live();
    assert.equal(follower.feed.asOf, world.time);
    sub.trigger("subscribing", {});
    world.time += 60_000;
    assert.equal(follower.feed.age(), 60);
    assert.equal(follower.told.at(-1).stale, true);
    serve(world, [200, snapshot(20, [], { age: 2.5 })], [200, snapshot(20)]);
    sub.trigger("subscribed", { recovered: false });
    sub.trigger("subscribing", {});
    await world.tick();
    assert.deepEqual([follower.feed.phase, follower.feed.age()], ["stale", 2.5]);
    world.time += 1000;
    publish(sub, diff(20));
    assert.equal(follower.feed.age(), 0);
    world.time += 1000;
    assert.equal(follower.feed.age(), 1);
  });

  it("age_takes_no_time_of_the_future", async () => {
    const { sub, world, follower } = await live();
    sub.trigger("subscribing", {});
    world.time += 10_000;
    serve(world, [200, snapshot(20, [], { age: -3600 })]);
    sub.trigger("subscribed", { recovered: false });
    sub.trigger("subscribing", {});
    await world.tick();
    assert.equal(follower.feed.age(), 0);
    world.time += 5000;
    assert.equal(follower.feed.age(), 5);
  });

  it("age_does_not_grow_by_a_snapshot_of_greater_or_unknown_age", async () => {
    const { sub, world, follower } = await live();
    sub.trigger("subscribing", {});
    world.time += 10_000;
    for (const age of [undefined, "x", 400]) {
      serve(world, [200, snapshot(20, [], { age })]);
      sub.trigger("subscribed", { recovered: false });
      sub.trigger("subscribing", {});
      await world.tick();
      assert.equal(follower.feed.age(), 10);
    }
  });
});

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A room as the server has it, every version of it, and what it published on the way. */
class Server {
  epoch = "k3f9a1";
  version = 1;
  members = new Map();
  anonymous = 0;
  listed = true;
  published = [];
  versions = new Map();

  constructor(chance) {
    this.chance = chance;
    this.#commit();
  }

  some(items) {
    return items[Math.floor(this.chance() * items.length)];
  }

  /** The next version: a diff, or a reload where the room is counted from now on, or listed. */
  step() {
    const changes = { joins: [], leaves: [], updates: [] };
    for (const user of ["1", "2", "3", "4", "5", "7"]) {
      if (this.chance() < 0.6) continue;
      const known = this.members.has(user);
      const now = member(user, this.some(["Ada", "<b>Bob</b>", "\u202e\u05d0"]), { n: this.version });
      if (!known) changes.joins.push(now);
      else if (this.chance() < 0.6) changes.leaves.push(user);
      else changes.updates.push(now);
    }
    for (const id of changes.leaves) this.members.delete(id);
    for (const member of [...changes.updates, ...changes.joins]) this.members.set(member.id, member);
    this.anonymous = Math.floor(this.chance() * 3);
    const { epoch, listed, version: base } = this;
    if (this.chance() < 0.05) this.listed = !listed;
    if (this.chance() < 0.03) [this.epoch, this.version] = [`epoch${base}${this.chance()}`, 0];
    this.version += 1;
    const whole = this.listed === listed && this.epoch === epoch;
    const { version, anonymous } = this;
    const counts = { total: this.members.size, anonymous };
    this.published.push(whole
      ? { ...diff(base, this.listed ? { ...changes, ...counts } : counts), epoch, version }
      : { type: "presence.reload", epoch: this.epoch, version, within: this.chance() });
    this.#commit();
  }

  #commit() {
    const { epoch, version, listed, anonymous } = this;
    const members = listed ? [...this.members.values()] : [];
    const more = { epoch, listed, anonymous, total: this.members.size, age: this.chance() * 60 };
    this.versions.set(`${epoch} ${version}`, snapshot(version, members, more));
  }

  /** The newest snapshot, or one of the same epoch that lags behind it. */
  snapshot(lag = 0) {
    return this.versions.get(`${this.epoch} ${Math.max(1, this.version - lag)}`);
  }
}

/** A widget of a room, and what must hold for it at any time. */
class Watcher {
  #shown = new Map();
  #listed = true;
  #seen = { epoch: "", version: 0 };

  constructor({ follower, page }) {
    this.follower = follower;
    this.#reset(follower.feed.view);
    page.follow(configOf("presence:a"), follower.feed.state, (feed, news) => this.#fold(feed, news));
  }

  #reset({ members, listed }) {
    this.#shown = new Map(members.map((member) => [member.id, member]));
    this.#listed = listed;
  }

  /** A listener that reads only the news knows who is shown. */
  #fold({ view }, { joined, left, updated }) {
    for (const { id } of left) assert.equal(this.#shown.delete(id), true, `${id} left but was not shown`);
    for (const member of joined) {
      assert.equal(this.#shown.has(member.id), false, `${member.id} joined but was shown`);
      this.#shown.set(member.id, member);
    }
    for (const member of updated) {
      assert.equal(this.#shown.has(member.id), true, `${member.id} is different but was not shown`);
      this.#shown.set(member.id, member);
    }
    if (view.listed !== this.#listed) this.#reset(view);
    assert.deepEqual([...this.#shown.keys()].sort(), view.members.map(({ id }) => id).sort());
    for (const member of view.members) assert.deepEqual(this.#shown.get(member.id), member);
  }

  check(server) {
    const { state, view, ahead } = this.follower.feed;
    const { epoch, version } = state;
    const expected = server.versions.get(`${epoch} ${version}`);
    assert.equal(epoch === this.#seen.epoch && version < this.#seen.version, false, "it went back");
    this.#seen = { epoch, version };
    assert.deepEqual([...state.members.values()], expected.members);
    assert.deepEqual([state.total, state.anonymous, state.listed], [expected.total, expected.anonymous, expected.listed]);
    const all = view.members.map(({ id }) => id);
    assert.equal(new Set(all).size, all.length, "somebody is shown twice");
    assert.deepEqual(all, [...state.members.keys(), ...ahead.map(({ id }) => id)]);
    assert.equal(view.total, state.total + ahead.length);
    if (!view.listed) assert.deepEqual(all, []);
  }
}

describe("random histories", () => {
  const junk = [
    null, 7, "x", [], {}, { type: "presence.diff" }, { type: "presence.event", event: "e", payload: {} },
    { type: "constructor" }, { type: "presence.reload", epoch: "k3f9a1", version: 1e9, within: "1" },
    diff(1e6, { joins: [{ id: 4 }] }),
  ];

  /** One history of a room and of a widget that sees some of it. */
  async function history(seed) {
    const chance = random(seed);
    const server = new Server(chance);
    const user = chance() < 0.5 ? member("7", "Me") : null;
    const made = await open({ shown: server.snapshot(), position: POSITION, user, ahead: true });
    const { world, sub, follower } = made;
    world.host.random = chance;
    let lag = 1;
    world.routes.set("/snapshot", () => {
      const odd = PASSING;
      if (lag && chance() < 0.3) return server.some(odd);
      return [200, server.snapshot(Math.floor(chance() * 4) * lag)];
    });
    let delivered = server.published.length;
    sub.trigger("subscribed", { recovered: true });
    const watcher = new Watcher(made);
    const steps = [
      () => server.step(),
      () => server.published[delivered] && publish(sub, server.published[delivered++]),
      () => server.published[delivered] && publish(sub, server.published[delivered++]),
      () => { delivered = Math.min(delivered + 1, server.published.length); },
      () => publish(sub, structuredClone(server.some(server.published))),
      () => publish(sub, structuredClone(server.some(junk))),
      () => publish(sub, { ...diff(follower.feed.state.version + 5), epoch: "foreign" }),
      () => sub.trigger("subscribing", {}),
      () => {
        const recovered = chance() < 0.5;
        sub.trigger("subscribed", { recovered });
        if (recovered) while (delivered < server.published.length) publish(sub, server.published[delivered++]);
        delivered = server.published.length;
      },
      () => world.pass(chance() * 3000),
      () => world.pass(chance() * 70_000),
    ];
    for (let step = 0; step < 120; step += 1) {
      await server.some(steps)();
      watcher.check(server);
    }
    lag = 0;
    sub.trigger("subscribing", {});
    sub.trigger("subscribed", { recovered: false });
    await world.pass(120_000);
    watcher.check(server);
    const { phase, state, ahead } = follower.feed;
    assert.equal(phase, "live");
    assert.deepEqual([state.epoch, state.version], [server.epoch, server.version]);
    assert.deepEqual(ahead, user && server.listed && !server.members.has("7") ? [user] : []);
    assert.deepEqual(world.timers, []);
  }

  it("feed_in_any_order_of_events_shows_true_versions_and_comes_to_rest", async () => {
    for (let seed = 1; seed <= 150; seed += 1) {
      await history(seed).catch((error) => {
        throw new Error(`seed ${seed}: ${error.stack}`);
      });
    }
  });
});
