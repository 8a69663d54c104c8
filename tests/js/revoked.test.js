import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Channel } from "../../presence/static/presence/js/cursor_channel.js";
import { Centrifuge, configOf, follow, makePage, member, snapshot } from "./stub.js";

const POSITION = { offset: 12, epoch: "StBPPVJn" };
const REVOKED = [4501, "revoked"];
const LOST = { code: 2000, reason: "server unsubscribe" };
const ADA = member("42", "Ada");
const SESSION = "session:42.a";

/** A page of Ada with two rooms and cursors, live over its own connection or over one of the site. */
async function live({ given } = {}) {
  const { world, page } = makePage({ user: ADA });
  const site = given && new Centrifuge("ws://site", {});
  if (site) page.useConnection(site);
  const rooms = ["presence:a", "presence:b"].map((name) => follow(page, name, snapshot(12), { position: POSITION }));
  const config = { ...configOf("cursors:a"), ids: page.clientIds };
  page.follow(config, null, () => {}, Channel);
  await world.pass(10);
  const client = site || Centrifuge.made[0];
  client.state = "connected";
  for (const sub of client.subscriptions.values()) sub.trigger("subscribed", { recovered: true });
  const [first, second] = rooms.map(({ feed }) => feed);
  assert.deepEqual(phases(page), ["live", "live", "live"]);
  return { world, page, client, rooms, first, second };
}

const phases = (page) => [...page.feeds.values()].map(({ phase }) => phase);

describe("revoked connection", () => {
  for (const given of [false, true]) {
    const whose = given ? "connection_of_the_site" : "connection";

    it(`${whose}_that_was_revoked_ends_all_for_good_and_tells_the_page_once`, async () => {
      const { world, page, client, first, second } = await live({ given });
      const before = world.requests.length;
      client.end(...REVOKED);
      assert.deepEqual(phases(page), ["static", "static", "static"]);
      assert.deepEqual([first.revoked, second.revoked, world.revocations], [true, true, 1]);
      await world.pass(3_600_000);
      assert.deepEqual([phases(page), world.requests.length], [["static", "static", "static"], before]);
      assert.deepEqual([...client.subscriptions.keys()], []);
    });

    it(`${whose}_that_ends_for_another_reason_is_not_revoked`, async () => {
      const { world, page, client, first } = await live({ given });
      client.end(3500, "invalid token");
      assert.deepEqual(phases(page), ["static", "static", "static"]);
      assert.deepEqual([first.revoked, world.revocations], [false, 0]);
    });
  }

  it("room_is_opened_again_with_a_grant_of_the_next_session", async () => {
    const { world, page, client, first } = await live();
    client.end(...REVOKED);
    follow(page, "presence:a", snapshot(13), { position: POSITION, owner: ADA.id });
    await world.pass(10);
    const [, next, ...others] = Centrifuge.made;
    assert.deepEqual([others.length, first.refusal], [0, ""]);
    next.end(3500, "invalid token");
    assert.deepEqual([first.phase, first.revoked], ["static", false]);
  });
});

describe("revoked subscription", () => {
  it("room_that_was_lost_ends_alone_and_tells_the_page", async () => {
    const { world, page, client, first, second } = await live();
    client.getSubscription("presence:a").trigger("unsubscribed", LOST);
    assert.deepEqual(phases(page), ["static", "live", "live"]);
    assert.deepEqual([first.revoked, second.revoked, world.revocations], [true, undefined, 1]);
    assert.deepEqual([client.state, client.removed], ["connected", ["presence:a"]]);
  });

  it("room_that_is_refused_for_another_reason_is_not_revoked", async () => {
    const { world, client, first } = await live();
    client.getSubscription("presence:a").trigger("unsubscribed", { code: 103, reason: "permission denied" });
    assert.deepEqual([first.phase, first.revoked, world.revocations], ["static", false, 0]);
  });

  it("subscription_of_the_site_is_left_to_the_site", async () => {
    const { world, page } = makePage();
    const site = new Centrifuge("ws://site", {});
    const theirs = site.newSubscription("presence:a", {});
    theirs.trigger("subscribed");
    page.useConnection(site);
    const { feed } = follow(page, "presence:a", snapshot(12));
    await world.pass(10);
    theirs.trigger("unsubscribed", LOST);
    assert.deepEqual([feed.phase, feed.revoked, site.removed], ["static", true, ["presence.tick"]]);
    assert.equal(site.getSubscription("presence:a"), theirs);
  });
});

describe("session over a connection of the site", () => {
  it("session_has_a_subscription_by_a_token_that_is_renewed", async () => {
    const { world, client } = await live({ given: true });
    const { options } = client.getSubscription(SESSION);
    assert.equal(options.token, "session token");
    const renewed = options.getToken();
    await world.pass(10);
    assert.equal(await renewed, "session token");
  });

  it("session_moves_to_the_connection_that_replaces_a_revoked_one", async () => {
    const { world, page, client } = await live({ given: true });
    client.end(...REVOKED);
    const next = new Centrifuge("ws://next", {});
    page.useConnection(next);
    await world.pass(10);
    assert.notEqual(next.getSubscription(SESSION), null);
    assert.equal(client.getSubscription(SESSION), null);
  });

  it("session_that_is_refused_is_named_on_the_console_and_rooms_stay", async () => {
    const { world, page, client } = await live({ given: true });
    client.getSubscription(SESSION).trigger("unsubscribed", { code: 102, reason: "unknown channel" });
    assert.deepEqual(world.warnings, [`${SESSION} was refused (102 unknown channel)`]);
    assert.deepEqual(phases(page), ["live", "live", "live"]);
  });

  it("visitor_without_a_session_has_none", async () => {
    const { world, page } = makePage();
    const site = new Centrifuge("ws://site", {});
    page.useConnection(site);
    follow(page, "presence:a", snapshot(12));
    await world.pass(10);
    assert.deepEqual([...site.subscriptions.keys()], ["presence.tick", "presence:a"]);
  });
});
