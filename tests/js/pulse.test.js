import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { Channel } from "../../presence/static/presence/js/cursor_channel.js";
import {
  Centrifuge, configOf, diff, follow, makePage, member, open, settle, snapshot,
} from "./stub.js";

const PULSE = "presence.tick";
const MESSAGE = JSON.parse(readFileSync(new URL("../fixtures/wire/pulse.json", import.meta.url)));
const POSITION = { offset: 12, epoch: "StBPPVJn" };
const EVERY = 60_000;
/** Milliseconds after which a page without a pulse is stale, and the least time that it waits. */
const SILENCE = 150_000;
const BACK = 2500;

const pulse = (client, data = MESSAGE, more = {}) =>
  client.trigger("publication", { channel: PULSE, data, ...more });
const stales = ({ told }) => told.filter(({ stale }) => stale).length;
const syncs = ({ told }) => told.filter(({ synced }) => synced).length;

/** Interrupt a subscription so shortly that Centrifugo delivers what it missed. */
function blip(sub) {
  sub.trigger("subscribing", { code: 1 });
  sub.trigger("subscribed", { wasRecovering: true, recovered: true });
}

/** A page in the foreground that is live, with a snapshot that was `age` seconds old. */
async function live({ age = 0, ...options } = {}) {
  const asOf = age === null ? null : 1_000_000 - 1000 * age;
  const made = await open({ position: POSITION, hidden: false, asOf, ...options });
  made.sub.trigger("subscribed", { wasRecovering: true, recovered: true });
  assert.equal(made.follower.feed.phase, "live");
  return { ...made, feed: made.follower.feed };
}

describe("silence", () => {
  it("page_without_a_pulse_for_two_and_a_half_intervals_is_stale_as_of_the_last", async () => {
    const { world, client, feed, follower } = await live();
    await world.pass(EVERY);
    pulse(client);
    const heard = world.time;
    await world.pass(SILENCE);
    assert.deepEqual([feed.phase, stales(follower)], ["stale", 1]);
    assert.equal(feed.asOf, heard);
    const [[, detail]] = [...feed.events(follower.told.at(-1))];
    assert.deepEqual([detail.state, detail.age], ["stale", 150]);
  });

  it("page_that_hears_pulses_stays_live", async () => {
    const { world, client, feed, follower } = await live();
    for (let tick = 0; tick < 10; tick += 1) {
      await world.pass(2.4 * EVERY);
      pulse(client);
    }
    assert.deepEqual([feed.phase, stales(follower), feed.age()], ["live", 0, 0]);
  });

  it("page_is_live_again_at_the_next_pulse_and_asks_nobody", async () => {
    const { world, client, feed, follower } = await live();
    await world.pass(SILENCE);
    assert.equal(feed.phase, "stale");
    const before = [syncs(follower), world.requests.length];
    await world.pass(EVERY);
    pulse(client);
    assert.deepEqual([feed.phase, feed.age()], ["live", 0]);
    assert.deepEqual([syncs(follower), world.requests.length], [before[0] + 1, before[1]]);
    await world.pass(SILENCE);
    assert.deepEqual([feed.phase, stales(follower)], ["stale", 2]);
  });

  it("stale_page_still_takes_diffs_and_their_time", async () => {
    const { world, sub, feed } = await live();
    await world.pass(2 * SILENCE);
    sub.trigger("publication", { data: diff(12, { joins: [member("5")], total: 2 }) });
    assert.deepEqual([feed.phase, feed.view.total, feed.age()], ["stale", 2, 0]);
  });

  it("all_rooms_of_a_page_are_stale_and_live_together_and_cursors_are_not_concerned", async () => {
    const { world, page, client, feed } = await live();
    const other = follow(page, "presence:b", snapshot(3), { position: POSITION });
    page.follow(configOf("cursors:a", { ids: page.clientIds }), null, () => {}, Channel);
    await world.pass(10);
    for (const name of ["presence:b", "cursors:a"]) {
      client.getSubscription(name).trigger("subscribed", { recovered: true });
    }
    await world.pass(SILENCE);
    assert.deepEqual([...page.feeds.values()].map(({ phase }) => phase), ["stale", "stale", "live"]);
    pulse(client);
    assert.deepEqual([feed.phase, other.feed.phase], ["live", "live"]);
  });

  it("page_with_short_interruptions_and_no_pulse_is_stale_in_time", async () => {
    const { world, client, sub, feed } = await live();
    pulse(client);
    await world.pass(100_000);
    blip(sub);
    assert.equal(feed.phase, "live");
    await world.pass(50_000);
    assert.equal(feed.phase, "stale");
    for (let time = 0; time < 20; time += 1) {
      await world.pass(100_000);
      blip(sub);
      assert.equal(feed.phase, "stale");
    }
  });

  it("stale_page_that_connects_again_is_stale_until_the_pulse", async () => {
    const { world, client, sub, feed, follower } = await live();
    await world.pass(SILENCE);
    const { asOf } = feed;
    await world.pass(EVERY);
    blip(sub);
    await world.pass(10 * SILENCE);
    assert.deepEqual([feed.phase, feed.asOf, stales(follower)], ["stale", asOf, 1]);
    pulse(client);
    assert.equal(feed.phase, "live");
    await world.pass(SILENCE);
    assert.equal(feed.phase, "stale");
  });

  it("stale_page_stays_so_when_a_room_is_followed_that_nobody_was_in", async () => {
    const { world, page, client, feed } = await live();
    await world.pass(SILENCE);
    const other = follow(page, "presence:b", snapshot(3, []), { position: POSITION });
    await world.pass(10);
    client.getSubscription("presence:b").trigger("subscribed", { recovered: true });
    assert.deepEqual([feed.phase, other.feed.phase], ["stale", "stale"]);
    pulse(client);
    assert.deepEqual([feed.phase, other.feed.phase], ["live", "live"]);
  });

  it("live_page_waits_no_longer_when_a_room_is_followed_that_nobody_was_in", async () => {
    const { world, page, client, feed } = await live();
    await world.pass(100_000);
    follow(page, "presence:b", snapshot(3, []), { position: POSITION });
    await world.pass(10);
    client.getSubscription("presence:b").trigger("subscribed", { recovered: true });
    await world.pass(50_000);
    assert.equal(feed.phase, "stale");
  });

  it("room_that_is_followed_while_there_is_silence_is_stale_until_the_pulse", async () => {
    const { world, page, client } = await live();
    await world.pass(SILENCE);
    const shown = snapshot(3);
    const other = follow(page, "presence:b", shown, { position: POSITION, asOf: 1_000_000 });
    await world.pass(10);
    client.getSubscription("presence:b").trigger("subscribed", { recovered: true });
    assert.equal(other.feed.phase, "stale");
    pulse(client);
    assert.equal(other.feed.phase, "live");
  });

  it("refused_room_stays_static_when_the_pulse_is_back", async () => {
    const { world, client, sub, feed } = await live();
    await world.pass(SILENCE);
    sub.trigger("unsubscribed", { code: 103, reason: "permission denied" });
    pulse(client);
    assert.equal(feed.phase, "static");
  });

  it("pulse_does_not_make_a_room_live_that_awaits_its_snapshot_or_is_not_subscribed", async () => {
    const { world, client, sub, feed } = await live();
    world.routes.set("/snapshot", () => [503, undefined]);
    await world.pass(SILENCE);
    sub.trigger("subscribing", { code: 1 });
    pulse(client);
    assert.equal(feed.phase, "stale");
    sub.trigger("subscribed", { recovered: false });
    pulse(client);
    assert.equal(feed.phase, "stale");
  });
});

describe("interval of the pulse", () => {
  it("pulse_tells_a_longer_interval_than_the_snapshot", async () => {
    const { world, client, feed } = await live();
    pulse(client, { type: PULSE, every: 600 });
    await world.pass(1_499_000);
    assert.equal(feed.phase, "live");
    await world.pass(1000);
    assert.equal(feed.phase, "stale");
  });

  it("pulse_tells_a_shorter_interval_than_the_snapshot", async () => {
    const { world, client, feed } = await live();
    for (let time = 0; time < 3; time += 1) {
      pulse(client, { type: PULSE, every: 10 });
      assert.equal(feed.phase, "live");
      await world.pass(25_000);
      assert.equal(feed.phase, "stale");
    }
  });

  it("page_with_a_very_short_interval_waits_for_two_and_a_half_seconds", async () => {
    const { world, client, feed } = await live({ every: 0.1 });
    pulse(client, { type: PULSE, every: 0.1 });
    await world.pass(BACK - 1);
    assert.equal(feed.phase, "live");
    await world.pass(1);
    assert.equal(feed.phase, "stale");
  });

  it("message_that_is_no_pulse_or_was_published_by_a_client_is_ignored", async () => {
    const { world, client, feed } = await live();
    await world.pass(EVERY);
    const bad = [
      null, undefined, 7, "x", [], {}, { type: PULSE }, { type: "other", every: 60 },
      ...[null, 0, -1, "x", {}, Number.NaN].map((every) => ({ type: PULSE, every })),
    ];
    for (const data of bad) pulse(client, data ?? null);
    pulse(client, MESSAGE, { info: { user: "7", client: "c" } });
    await world.pass(SILENCE - EVERY);
    assert.equal(feed.phase, "stale");
  });
});

describe("age of the snapshot", () => {
  it("silence_is_counted_from_the_time_at_which_the_snapshot_was_true", async () => {
    const { world, feed } = await live({ age: 100 });
    await world.pass(49_000);
    assert.equal(feed.phase, "live");
    await world.pass(1000);
    assert.deepEqual([feed.phase, feed.age()], ["stale", 150]);
  });

  it("page_with_a_snapshot_that_is_too_old_is_stale_in_two_and_a_half_seconds", async () => {
    const { world, feed } = await live({ age: 10_800 });
    await world.pass(BACK);
    assert.deepEqual([feed.phase, Math.round(feed.age())], ["stale", 10_803]);
  });

  it("page_with_an_old_snapshot_that_hears_a_pulse_in_time_is_never_stale", async () => {
    const { world, client, feed, follower } = await live({ age: 10_800 });
    await world.pass(1000);
    pulse(client);
    await world.pass(SILENCE - 1);
    assert.deepEqual([feed.phase, stales(follower)], ["live", 0]);
  });

  for (const [why, options] of [
    ["nobody_was_in", { age: 10_800, shown: snapshot(12, []) }],
    ["no_known_age", { age: null }],
  ]) {
    it(`room_with_${why}_counts_silence_from_the_moment_it_is_live`, async () => {
      const { world, feed } = await live(options);
      await world.pass(SILENCE - 1);
      assert.equal(feed.phase, "live");
      await world.pass(1);
      assert.equal(feed.phase, "stale");
    });
  }

  it("fetched_snapshot_tells_a_page_that_was_offline_whether_ticks_run", async () => {
    for (const [age, phase] of [[30, "live"], [10_800, "stale"]]) {
      const { world, sub, feed } = await live();
      sub.trigger("subscribing", { code: 1 });
      await world.pass(2 * SILENCE);
      world.routes.set("/snapshot", () => [200, snapshot(13, undefined, { age })]);
      sub.trigger("subscribed", { recovered: false });
      await world.pass(525);
      assert.equal(feed.phase, "live");
      await world.pass(BACK);
      assert.equal(feed.phase, phase);
    }
  });

  it("fetched_snapshot_of_a_look_does_not_end_silence", async () => {
    const { world, client, sub, feed } = await live();
    await world.pass(SILENCE);
    world.routes.set("/snapshot", () => [200, snapshot(13, undefined, { age: 1 })]);
    sub.trigger("subscribing", { code: 1 });
    sub.trigger("subscribed", { recovered: false });
    await world.pass(BACK);
    assert.deepEqual([feed.phase, feed.state.version], ["stale", 13]);
    pulse(client);
    assert.equal(feed.phase, "live");
  });
});

describe("page in the background", () => {
  const show = ({ world, page }, hidden) => {
    world.hidden = hidden;
    page.turn();
  };

  it("page_in_the_background_sets_no_timer_and_does_not_become_stale", async () => {
    const made = await live();
    show(made, true);
    assert.deepEqual(made.world.timers, []);
    pulse(made.client);
    assert.deepEqual(made.world.timers, []);
    await made.world.pass(10 * SILENCE);
    assert.deepEqual([made.feed.phase, stales(made.follower)], ["live", 0]);
  });

  it("page_that_is_opened_in_the_background_sets_no_timer", async () => {
    const { world, sub } = await open({ position: POSITION });
    sub.trigger("subscribed", { recovered: true });
    assert.deepEqual(world.timers, []);
  });

  it("page_that_heard_pulses_in_the_background_is_live_when_it_is_shown", async () => {
    const made = await live();
    show(made, true);
    await made.world.pass(10 * SILENCE);
    pulse(made.client);
    await made.world.pass(EVERY);
    show(made, false);
    await made.world.pass(SILENCE - EVERY - 1);
    assert.deepEqual([made.feed.phase, stales(made.follower)], ["live", 0]);
    await made.world.pass(1);
    assert.equal(made.feed.phase, "stale");
  });

  it("page_that_heard_none_is_stale_soon_after_it_is_shown_as_of_the_last", async () => {
    const made = await live();
    pulse(made.client);
    const heard = made.world.time;
    show(made, true);
    await made.world.pass(10 * SILENCE);
    show(made, false);
    assert.equal(made.feed.phase, "live", "what it missed may be under way");
    await made.world.pass(BACK);
    assert.deepEqual([made.feed.phase, made.feed.asOf], ["stale", heard]);
  });

  it("page_whose_messages_waited_for_it_shows_no_silence", async () => {
    const made = await live();
    show(made, true);
    await made.world.pass(10 * SILENCE);
    show(made, false);
    await made.world.pass(100);
    pulse(made.client);
    await made.world.pass(SILENCE - 1);
    assert.equal(stales(made.follower), 0);
  });

  it("listener_is_called_when_the_page_is_shown_so_that_it_shows_the_time", async () => {
    const made = await live();
    const told = made.follower.told.length;
    show(made, false);
    assert.equal(made.follower.told.length, told + 1);
  });
});

describe("page that was away", () => {
  /** Let the computer sleep: the timers run when it wakes. */
  async function sleep(world, ms) {
    world.time += ms;
    await world.pass(0);
  }

  it("page_after_sleep_is_stale_only_if_it_hears_nothing_then", async () => {
    const { world, client, feed, follower } = await live();
    await sleep(world, 8 * 3_600_000);
    assert.equal(feed.phase, "live");
    await world.pass(BACK - 1);
    pulse(client);
    await world.pass(EVERY);
    assert.deepEqual([feed.phase, stales(follower)], ["live", 0]);
    await sleep(world, 8 * 3_600_000);
    await world.pass(BACK);
    assert.equal(feed.phase, "stale");
  });

  it("page_whose_connection_broke_in_its_sleep_is_as_of_the_last_pulse", async () => {
    const { world, client, sub, feed } = await live();
    await world.pass(EVERY);
    pulse(client);
    const heard = world.time;
    await sleep(world, 8 * 3_600_000);
    sub.trigger("subscribing", { code: 1 });
    assert.deepEqual([feed.phase, feed.asOf], ["stale", heard]);
  });

  it("page_that_was_offline_is_live_when_its_stream_is_recovered_and_then_waits", async () => {
    const { world, sub, feed, follower } = await live();
    sub.trigger("subscribing", { code: 1 });
    await world.pass(10 * SILENCE);
    const asked = world.requests.length;
    sub.trigger("subscribed", { wasRecovering: true, recovered: true });
    assert.equal(feed.phase, "live");
    await world.pass(SILENCE - 1);
    assert.deepEqual([feed.phase, stales(follower), world.requests.length], ["live", 1, asked]);
    await world.pass(1);
    assert.equal(feed.phase, "stale");
  });

  it("page_that_wakes_without_a_connection_is_live_when_its_stream_is_recovered", async () => {
    const { world, sub, feed } = await live();
    await sleep(world, 8 * 3_600_000);
    sub.trigger("subscribing", { code: 1 });
    await world.pass(10_000);
    sub.trigger("subscribed", { wasRecovering: true, recovered: true });
    await world.pass(SILENCE - 1);
    assert.equal(feed.phase, "live");
    await world.pass(1);
    assert.equal(feed.phase, "stale");
  });

  it("diff_that_is_recovered_has_not_the_time_at_which_it_arrives", async () => {
    const { world, client, sub, feed } = await live();
    pulse(client);
    const heard = world.time;
    await sleep(world, 8 * 3_600_000);
    sub.trigger("subscribing", { code: 1 });
    sub.trigger("subscribed", { wasRecovering: true, recovered: true });
    sub.trigger("publication", { data: diff(12) });
    await world.pass(SILENCE);
    assert.deepEqual([feed.phase, feed.asOf], ["stale", heard]);
  });
});

describe("pulse over a connection of the site", () => {
  async function given() {
    const { world, page } = makePage({ hidden: false });
    const site = new Centrifuge("ws://site", {});
    page.useConnection(site);
    const follower = follow(page, "presence:a", snapshot(12), { position: POSITION, asOf: world.time });
    await world.pass(10);
    site.getSubscription("presence:a").trigger("subscribed", { recovered: true });
    const sub = site.getSubscription(PULSE);
    return { world, page, site, follower, feed: follower.feed, sub };
  }

  it("pulse_is_heard_through_a_subscription_with_a_token", async () => {
    const { world, feed, sub } = await given();
    assert.deepEqual([sub.state, sub.options.token], ["subscribing", "pulse token"]);
    const renewed = sub.options.getToken();
    await world.pass(10);
    assert.equal(await renewed, "pulse token");
    await world.pass(EVERY);
    sub.trigger("publication", { channel: PULSE, data: MESSAGE });
    await world.pass(SILENCE - 1);
    assert.equal(feed.phase, "live");
    await world.pass(1);
    assert.equal(feed.phase, "stale");
    sub.trigger("publication", { channel: PULSE, data: MESSAGE });
    assert.equal(feed.phase, "live");
  });

  it("pulse_has_one_subscription_that_ends_with_the_last_room", async () => {
    const { world, page, site, follower, sub } = await given();
    const other = follow(page, "presence:b", snapshot(1));
    await world.pass(10);
    assert.equal(site.getSubscription(PULSE), sub);
    follower.end();
    await settle();
    assert.deepEqual(site.removed, ["presence:a"]);
    other.end();
    await settle();
    assert.deepEqual(site.removed, ["presence:a", "presence:b", PULSE]);
    follow(page, "presence:c", snapshot(1));
    await world.pass(10);
    assert.notEqual(site.getSubscription(PULSE), null);
  });

  it("pulse_moves_to_another_connection_of_the_site", async () => {
    const { world, page, site, feed } = await given();
    const next = new Centrifuge("ws://next", {});
    page.useConnection(next);
    await world.pass(10);
    assert.deepEqual([...site.subscriptions.keys()], []);
    next.getSubscription("presence:a").trigger("subscribed", { recovered: true });
    await world.pass(EVERY);
    next.getSubscription(PULSE).trigger("publication", { data: MESSAGE });
    await world.pass(SILENCE - 1);
    assert.equal(feed.phase, "live");
  });

  it("pulse_that_is_refused_is_named_on_the_console_and_rooms_stay_until_there_is_silence", async () => {
    const { world, feed, sub } = await given();
    sub.trigger("unsubscribed", { code: 103, reason: "permission denied" });
    assert.deepEqual(world.warnings, ["presence.tick was refused (103 permission denied)"]);
    assert.equal(feed.phase, "live");
    await world.pass(SILENCE);
    assert.equal(feed.phase, "stale");
  });

  it("own_connection_needs_no_subscription", async () => {
    const { client } = await live();
    assert.deepEqual([...client.subscriptions.keys()], ["presence:a"]);
  });
});
