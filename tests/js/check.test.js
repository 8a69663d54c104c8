import assert from "node:assert/strict";
import { describe, it } from "node:test";

import {
  Centrifuge, FINAL, PASSING, diff, follow, makePage, member, open, settle, snapshot,
} from "./stub.js";

const POSITION = { offset: 12, epoch: "StBPPVJn" };
const user = member("7", "Me");
const recovered = { recovered: true };
// Milliseconds in which a check is decided and sent.
const DECIDED = 1600;
const checks = (world) => world.asked("/check").map(({ body }) => JSON.parse(body).grants);

/** The page of a member, live at version 12, which lacks them. */
async function live(options) {
  const made = await open({ user, ahead: true, position: POSITION, ...options });
  made.sub.trigger("subscribed", recovered);
  return made;
}

describe("check of a roster", () => {
  it("check_is_sent_once_by_a_page_whose_member_came_by_a_swap", async () => {
    const { world } = await live();
    await world.pass(1499);
    assert.deepEqual(checks(world), []);
    await world.pass(101);
    assert.deepEqual(checks(world), [["next presence:a"]]);
    const [{ method, headers }] = world.asked("/check");
    assert.deepEqual([method, headers["Content-Type"]], ["POST", "application/json"]);
    await world.pass(3_600_000);
    assert.equal(checks(world).length, 1);
    assert.deepEqual(world.timers, []);
  });

  it("check_is_not_sent_when_a_diff_or_the_snapshot_has_the_member", async () => {
    for (const wait of [1, 500, 1499]) {
      const { world, sub } = await live();
      await world.pass(wait);
      sub.trigger("publication", { data: diff(12, { joins: [user], total: 2 }) });
      await world.pass(600_000);
      assert.deepEqual(checks(world), [], `${wait} ms`);
    }
    const { world } = await live({ shown: snapshot(12, [user]) });
    await world.pass(600_000);
    assert.deepEqual(checks(world), []);
  });

  it("check_of_all_rooms_of_a_page_takes_one_request", async () => {
    const { world, page } = makePage({ user, ahead: true });
    for (const name of ["a", "b", "c"]) {
      const shown = snapshot(12, name === "b" ? [user] : []);
      follow(page, `presence:${name}`, shown, { position: POSITION });
    }
    await world.tick();
    for (const sub of Centrifuge.made[0].subscriptions.values()) {
      sub.trigger("subscribed", recovered);
      await world.pass(20);
    }
    await world.pass(DECIDED);
    assert.deepEqual(checks(world), [["next presence:a", "next presence:c"]]);
  });

  it("check_of_many_rooms_is_sent_in_parts", async () => {
    const { world, page } = makePage({ user, ahead: true });
    for (let at = 0; at < 101; at += 1) follow(page, `presence:${at}`, snapshot(1), { position: POSITION });
    await world.tick();
    for (const sub of Centrifuge.made[0].subscriptions.values()) sub.trigger("subscribed", recovered);
    await world.pass(DECIDED);
    assert.deepEqual(checks(world).map(({ length }) => length), [100, 1]);
  });

  it("check_waits_for_a_snapshot_that_is_awaited", async () => {
    for (const [members, sent] of [[[user], 0], [[], 1]]) {
      const { world, sub, follower } = await open({ user, ahead: true });
      let answer;
      world.routes.set("/snapshot", () => new Promise((resolve) => { answer = resolve; }));
      sub.trigger("subscribed", {});
      await world.pass(2000);
      assert.deepEqual([follower.feed.phase, checks(world)], ["static", []]);
      answer([200, snapshot(12, members)]);
      await settle();
      await world.pass(600_000);
      assert.equal(checks(world).length, sent);
    }
  });

  it("check_is_sent_by_a_page_that_is_stale_for_want_of_a_pulse_and_leaves_no_timer", async () => {
    for (const [members, sent] of [[[user], 0], [[], 1]]) {
      const shown = snapshot(12, members);
      const { world, sub, follower } = await live({ shown, hidden: false });
      await world.pass(300_000);
      sub.trigger("subscribing", { code: 1 });
      sub.trigger("subscribed", recovered);
      assert.equal(follower.feed.phase, "stale");
      const before = checks(world).length;
      await world.pass(600_000);
      assert.deepEqual([checks(world).length - before, world.timers], [sent, []]);
    }
  });

  it("check_waits_for_the_next_subscription_without_a_timer_while_offline", async () => {
    const { world, sub } = await live();
    sub.trigger("subscribing", { code: 1 });
    await world.pass(600_000);
    assert.deepEqual([checks(world), world.timers], [[], []]);
    sub.trigger("subscribed", recovered);
    await world.pass(DECIDED);
    assert.equal(checks(world).length, 1);
  });

  it("check_is_sent_once_for_each_subscription", async () => {
    const { world, sub } = await live();
    await world.pass(1000);
    sub.trigger("subscribing", { code: 1 });
    sub.trigger("subscribed", recovered);
    await world.pass(1499);
    assert.deepEqual(checks(world), [], "the second subscription has its own time");
    await world.pass(600_000);
    assert.equal(checks(world).length, 1);
    sub.trigger("subscribing", { code: 1 });
    sub.trigger("subscribed", recovered);
    await world.pass(600_000);
    assert.equal(checks(world).length, 2);
  });

  it("check_is_sent_by_an_anonymous_visitor_whom_the_roster_lists", async () => {
    const lacking = await live({ user: null, self: "anon_1" });
    await lacking.world.pass(DECIDED);
    assert.deepEqual(checks(lacking.world), [["next presence:a"]]);
    const listed = await live({ user: null, self: "anon_1", shown: snapshot(12, [member("anon_1")]) });
    await listed.world.pass(DECIDED);
    assert.deepEqual(checks(listed.world), []);
  });

  it("check_is_not_sent_without_url_by_unlisted_visitors_or_in_counted_rooms", async () => {
    const counted = snapshot(12, [], { listed: false, total: 500 });
    for (const options of [{ check: "" }, { self: "" }, { user: null }, { shown: counted }]) {
      const { world, follower } = await live(options);
      await world.pass(600_000);
      assert.deepEqual([follower.feed.phase, checks(world), world.timers], ["live", [], []], options);
    }
  });

  it("check_is_not_sent_for_a_room_that_was_left_or_refused", async () => {
    for (const end of [({ follower }) => follower.end(), ({ client }) => client.end(3500, "invalid token")]) {
      const made = await live();
      await made.world.pass(1000);
      end(made);
      await settle();
      await made.world.pass(600_000);
      assert.deepEqual([checks(made.world), made.world.timers], [[], []]);
    }
  });

  it("check_that_fails_is_silent_and_not_repeated", async () => {
    for (const answer of [...PASSING, ...FINAL]) {
      const { world, follower } = await live();
      world.routes.set("/check", () => answer);
      await world.pass(600_000);
      assert.deepEqual([checks(world).length, world.warnings, follower.feed.phase], [1, [], "live"]);
    }
  });

  it("check_is_sent_over_a_connection_of_the_site_as_well", async () => {
    for (const exists of [false, true]) {
      const { world, page } = makePage({ user, ahead: true });
      const site = new Centrifuge("ws://site", {});
      if (exists) site.newSubscription("presence:a", {}).state = "subscribed";
      page.useConnection(site);
      world.routes.set("/snapshot", () => [200, snapshot(12)]);
      follow(page, "presence:a", snapshot(12));
      await world.pass(10);
      if (!exists) site.getSubscription("presence:a").trigger("subscribed", {});
      await world.pass(DECIDED);
      assert.deepEqual(checks(world), [["next presence:a"]]);
    }
  });
});
