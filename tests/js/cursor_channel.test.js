import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Channel } from "../../presence/static/presence/js/cursor_channel.js";
import * as motion from "../../presence/static/presence/js/cursor_state.js";
import { SHOWS } from "../../presence/static/presence/js/render.js";
import { Centrifuge, makePage, member, settle } from "./stub.js";

const NAME = "cursors:a";
const ADA = member("1", "Ada");
const OWN = { client: "own", user: "1", connInfo: { name: "Ada" } };
const BOB = { client: "b1", user: "2", connInfo: { name: "Bob" } };
const EVE = { client: "e1", user: "3", connInfo: { name: "Eve" } };
const AT = { x: 0.5, y: 0.25 };

/** Follow a channel as a surface does; `told` has the news. */
function follow(page, grant = `grant ${NAME}`) {
  const follower = { told: [] };
  const read = (data, info) => motion.read("fraction", data, info, SHOWS);
  const config = { channel: NAME, grant, read, ids: page.clientIds };
  follower.end = page.follow(config, null, (channel, { heard, greet, again }) => {
    follower.channel = channel;
    const { phase, open } = channel;
    const news = Object.entries({ heard, greet, again }).filter(([, value]) => value);
    follower.told.push({ phase, open, ...Object.fromEntries(news) });
  }, Channel);
  follower.heard = () => follower.told.flatMap(({ heard }) => heard ?? []);
  follower.greetings = () => follower.told.filter(({ greet }) => greet).length;
  return follower;
}

/** A channel that is subscribed. `clients` is the number of clients, or a promise of it. */
async function enter({ clients = 1, user = ADA, known = true } = {}) {
  const { world, page } = makePage({ user, ahead: Boolean(user) });
  const follower = follow(page);
  await world.tick();
  const [client] = Centrifuge.made;
  const sub = client.getSubscription(NAME);
  sub.clients = clients;
  if (known) client.trigger("connected", { client: "own" });
  sub.trigger("subscribed");
  await settle();
  return { world, page, follower, client, sub, channel: follower.channel };
}

const publication = (sub, info, ...data) => (
  sub.trigger("publication", { data: data.length ? data[0] : AT, info }));

describe("company of a cursor channel", () => {
  it("company_of_the_only_client_is_false", async () => {
    const { channel, sub, follower } = await enter();
    assert.equal(channel.phase, "live");
    assert.equal(channel.open, false);
    assert.equal(sub.asked, 1);
    assert.ok(follower.told.every(({ open }) => !open));
  });

  it("company_of_a_client_that_was_there_before_is_true", async () => {
    const { channel, follower } = await enter({ clients: 2 });
    assert.equal(channel.open, true);
    assert.equal(follower.told.at(-1).open, true);
  });

  it("company_when_a_client_comes_is_true_and_greets_only_if_others_were_there", async () => {
    const { sub, channel, follower } = await enter();
    sub.trigger("join", { info: BOB });
    assert.equal(channel.open, true);
    assert.equal(follower.greetings(), 0);
    sub.trigger("join", { info: EVE });
    assert.equal(follower.greetings(), 1);
  });

  it("company_when_a_browser_publishes_is_true_but_not_when_the_server_does", async () => {
    const { sub, channel, follower } = await enter();
    publication(sub, undefined, { ...AT, user: "7" });
    assert.equal(channel.open, false);
    publication(sub, BOB);
    assert.equal(channel.open, true);
    assert.deepEqual(follower.heard().map(({ key }) => key), ["user 7", "client b1"]);
  });

  it("company_ignores_oneself_and_own_echoes_with_and_without_a_known_id", async () => {
    for (const known of [true, false]) {
      const { sub, channel, follower } = await enter({ known });
      sub.trigger("join", { info: OWN });
      publication(sub, OWN);
      assert.equal(channel.open, false, `known: ${known}`);
      assert.deepEqual(follower.heard(), []);
      assert.equal(follower.greetings(), 0);
    }
  });

  it("company_counts_another_tab_of_the_same_user_when_ids_are_known", async () => {
    const { sub, channel, follower } = await enter();
    publication(sub, { ...OWN, client: "other" });
    assert.equal(channel.open, true);
    assert.equal(follower.heard()[0].member.id, "1");
  });

  it("company_after_many_leaves_is_asked_for_once", async () => {
    const { world, sub, channel, follower } = await enter({ clients: 3 });
    sub.clients = 1;
    sub.trigger("leave", { info: BOB });
    sub.trigger("leave", { info: EVE });
    assert.deepEqual(follower.heard(), [
      { key: "client b1", gone: true }, { key: "client e1", gone: true },
    ]);
    assert.equal(sub.asked, 1);
    await world.pass(250);
    assert.equal(sub.asked, 2);
    assert.equal(channel.open, false);
    await world.pass(10_000);
    assert.equal(sub.asked, 2);
  });

  it("company_is_true_when_presence_may_not_be_asked", async () => {
    for (const code of [103, 108]) {
      const { channel } = await enter({ clients: { code, message: "no" } });
      assert.equal(channel.open, true, `${code}`);
    }
  });

  it("company_is_asked_for_again_when_the_answer_was_lost", async () => {
    for (const code of [1, 11, 100]) {
      const { world, sub, channel } = await enter({ clients: { code, temporary: true } });
      assert.equal(channel.open, false, `${code}`);
      sub.clients = 2;
      channel.refreshCompany();
      assert.equal(sub.asked, 1);
      await world.pass(4501);
      await settle();
      assert.equal(channel.open, true);
    }
  });

  it("company_without_join_pushes_is_refreshed_when_the_pointer_moves", async () => {
    const { world, sub, channel } = await enter();
    sub.clients = 2;
    await world.pass(4501);
    assert.equal(sub.asked, 1);
    channel.refreshCompany();
    await settle();
    assert.equal(channel.open, true);
    sub.clients = 1;
    await world.pass(60_000);
    channel.refreshCompany();
    assert.equal(sub.asked, 2);
    await world.pass(1);
    channel.refreshCompany();
    await settle();
    assert.equal(sub.asked, 3);
    assert.equal(channel.open, false);
  });

  it("company_is_not_lost_by_an_answer_older_than_a_join", async () => {
    let answer;
    const { sub, channel } = await enter({ clients: new Promise((done) => (answer = done)) });
    sub.trigger("join", { info: BOB });
    answer(1);
    await settle();
    assert.equal(channel.open, true);
  });

  it("company_is_unknown_after_an_interruption", async () => {
    const { sub, channel, follower } = await enter({ clients: 2 });
    sub.clients = 1;
    sub.trigger("subscribing", { code: 1 });
    assert.deepEqual([channel.phase, channel.open], ["stale", false]);
    assert.equal(follower.told.at(-1).open, false);
    sub.trigger("subscribed");
    await settle();
    assert.deepEqual([channel.phase, channel.open], ["live", false]);
  });
});

describe("publications of others", () => {
  it("publication_of_a_client_that_left_is_ignored_until_it_is_back", async () => {
    const { world, sub, follower } = await enter({ clients: 2 });
    const moves = () => follower.heard().filter(({ gone }) => !gone).length;
    sub.trigger("leave", { info: BOB });
    publication(sub, BOB);
    assert.equal(moves(), 0);
    sub.trigger("join", { info: BOB });
    publication(sub, BOB);
    assert.equal(moves(), 1);
    sub.trigger("leave", { info: BOB });
    await world.pass(5000);
    publication(sub, BOB);
    assert.equal(moves(), 2);
  });

  it("publication_counts_only_if_centrifugo_or_the_server_names_somebody_else", async () => {
    const { sub, follower } = await enter();
    for (const user of ["1", undefined, "", 7]) publication(sub, undefined, { ...AT, user });
    assert.deepEqual(follower.heard(), []);
    publication(sub, undefined, { ...AT, user: "9", meta: { name: "Bot" } });
    publication(sub, BOB, { ...AT, user: "1", meta: { name: "Ada" } });
    assert.deepEqual(follower.heard().map((heard) => heard.member.name), ["Bot", "Bob"]);
  });

  it("publication_of_any_shape_throws_nothing", async () => {
    const { sub, follower } = await enter();
    for (const data of [null, undefined, 4, "x", [], {}, { x: 0 }, { gone: 1 }]) {
      publication(sub, undefined, data);
      publication(sub, BOB, data);
    }
    for (const event of ["join", "leave"]) for (const ctx of [{}, { info: null }]) sub.trigger(event, ctx);
    assert.deepEqual(follower.heard(), []);
  });
});

describe("own publications", () => {
  it("publish_after_a_lasting_refusal_stops_with_one_warning", async () => {
    for (const code of [103, 108, 403]) {
      const { world, sub, channel, follower } = await enter({ clients: 2 });
      sub.refusal = { code, message: "permission denied", temporary: false };
      for (let i = 0; i < 3; i += 1) channel.publish(AT);
      await settle();
      assert.equal(channel.open, false);
      assert.equal(follower.told.at(-1).open, false);
      assert.deepEqual(world.warnings, [`${NAME}: permission denied (${code})`]);
      sub.trigger("join", { info: BOB });
      publication(sub, EVE);
      assert.equal(channel.open, false);
    }
  });

  it("publish_after_a_passing_refusal_asks_again_and_ignores_other_errors", async () => {
    const { world, sub, channel, follower } = await enter({ clients: 2 });
    const again = () => follower.told.flatMap((news) => news.again ?? []);
    for (const [refusal, data, asked] of [
      [{ code: 429, message: "too many", temporary: true }, AT, [AT]],
      [{ code: 503, message: "not now", temporary: true }, { gone: true }, [AT, { gone: true }]],
      [{ code: 1, message: "timeout" }, AT, [AT, { gone: true }]],
      [{ code: 400, message: "no move" }, AT, [AT, { gone: true }]],
    ]) {
      sub.refusal = refusal;
      channel.publish(data);
      await settle();
      assert.deepEqual(again(), asked);
      assert.equal(channel.open, true);
    }
    assert.deepEqual(world.warnings, []);
  });

  it("publish_is_allowed_again_after_the_next_subscription", async () => {
    const { sub, channel } = await enter({ clients: 2 });
    sub.refusal = { code: 403, message: "not subscribed" };
    channel.publish(AT);
    await settle();
    assert.equal(channel.open, false);
    sub.trigger("subscribing");
    sub.trigger("subscribed");
    await settle();
    assert.equal(channel.open, true);
  });

  it("publish_of_the_anonymous_is_closed_and_asks_for_no_company", async () => {
    const { sub, channel, follower } = await enter({ user: null, clients: 5 });
    sub.trigger("join", { info: BOB });
    publication(sub, BOB);
    channel.refreshCompany();
    assert.equal(channel.open, false);
    assert.equal(sub.asked, 0);
    assert.equal(follower.heard().length, 1);
  });
});

describe("connection of a cursor channel", () => {
  it("channel_reports_a_refused_subscription_once", async () => {
    const { world, sub, channel, follower, client } = await enter({ clients: 2 });
    sub.trigger("unsubscribed", { code: 103, reason: "permission denied" });
    assert.deepEqual([channel.phase, channel.open], ["static", false]);
    assert.match(channel.refusal, /cursors:a was refused \(103 permission denied\)/);
    assert.equal(follower.told.at(-1).phase, "static");
    assert.equal(world.warnings.length, 1);
    assert.deepEqual(client.removed, [NAME]);
  });

  it("channel_without_a_grant_is_refused", async () => {
    const { world, page } = makePage();
    world.routes.set("/tokens", () => [200, {
      url: "ws://x", connection: "t", user: null, channels: {}, refused: { [NAME]: "not allowed" },
    }]);
    const { told } = follow(page);
    await world.tick();
    assert.deepEqual(world.warnings, [`${NAME}: not allowed`]);
    assert.ok(told.every(({ open }) => !open));
  });

  it("channel_waits_while_the_connection_is_down_and_is_refused_when_it_ends", async () => {
    const { client, channel } = await enter({ clients: 2 });
    client.end(0, "disconnect called");
    assert.deepEqual([channel.phase, channel.refusal], ["stale", ""]);
    const other = await enter({ clients: 2 });
    other.client.end(3500, "invalid token");
    assert.equal(other.channel.phase, "static");
    assert.match(other.channel.refusal, /the connection was refused \(3500/);
  });

  it("channel_moves_to_a_connection_of_the_site_and_is_open_there", async () => {
    const { world, page, channel, follower, client } = await enter({ clients: 2 });
    const site = new Centrifuge("ws://site");
    page.useConnection(site);
    assert.deepEqual([channel.phase, channel.open], ["stale", false]);
    assert.deepEqual(client.removed, [NAME]);
    await world.tick();
    const sub = site.getSubscription(NAME);
    sub.clients = 2;
    sub.trigger("subscribed");
    await settle();
    assert.equal(channel.open, true);
    channel.publish(AT);
    assert.deepEqual(sub.published, [AT]);
    sub.trigger("publication", { data: AT, info: OWN });
    assert.deepEqual(follower.heard(), [], "its id there is not known, but whose it is");
  });

  it("channel_shares_a_subscription_of_the_site_and_leaves_it_in_place", async () => {
    const { world, page } = makePage({ user: ADA, ahead: true });
    const site = new Centrifuge("ws://site");
    const sub = site.newSubscription(NAME);
    sub.state = "subscribed";
    sub.clients = 2;
    page.useConnection(site);
    const follower = follow(page);
    await world.tick();
    assert.equal(follower.channel.open, true);
    follower.end();
    await settle();
    assert.deepEqual(site.removed, ["presence.tick", "session:42.a"]);
    const told = follower.told.length;
    publication(sub, BOB);
    sub.trigger("subscribing", { code: 1 });
    assert.equal(follower.told.length, told);
  });

  it("channel_ends_with_its_last_follower_and_leaves_no_timer", async () => {
    const { world, page, client, sub, follower, channel } = await enter({ clients: 2 });
    const second = follow(page);
    assert.equal(second.channel, channel);
    assert.equal(second.told.at(-1).open, true);
    follower.end();
    await settle();
    assert.deepEqual(client.removed, []);
    sub.trigger("leave", { info: BOB });
    second.end();
    await settle();
    assert.deepEqual(client.removed, [NAME]);
    const { asked } = sub;
    await world.pass(60_000);
    assert.equal(sub.asked, asked);
    assert.deepEqual(world.timers, []);
    assert.deepEqual(world.asked("/check"), [], "it has no roster");
  });

  it("channel_followed_again_is_a_new_one", async () => {
    const { world, page, follower, channel } = await enter({ clients: 2 });
    follower.end();
    await settle();
    const again = follow(page);
    await world.tick();
    const sub = Centrifuge.made.at(-1).getSubscription(NAME);
    sub.clients = 2;
    sub.trigger("subscribed");
    await settle();
    assert.notEqual(again.channel, channel);
    assert.equal(again.channel.open, true);
  });
});
