import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Feed } from "../../presence/static/presence/js/feed.js";
import {
  Centrifuge, configOf, diff, follow, makePage, member, open, settle, snapshot,
} from "./stub.js";

const POSITION = { offset: 12, epoch: "StBPPVJn" };
const recovered = { wasRecovering: true, recovered: true };

describe("the page's connection", () => {
  it("is one for all widgets, opened with one POST", async () => {
    const { world, page } = makePage();
    follow(page, "presence:a", snapshot(1));
    follow(page, "presence:b", snapshot(1));
    await world.tick();
    const [client, ...others] = Centrifuge.made;
    assert.deepEqual(others, []);
    assert.equal(client.url, "ws://centrifugo/connection/websocket");
    assert.equal(client.options.token, "connection token");
    assert.equal(client.options.maxReconnectDelay, 5000);
    assert.deepEqual([...client.subscriptions.keys()], ["presence:a", "presence:b"]);
    assert.equal(client.getSubscription("presence:b").options.token, "token presence:b");
    assert.equal(world.asked("/tokens").length, 1);
  });

  it("is shared by the widgets of one channel, down to the state", async () => {
    const { page, follower, client, sub } = await open({ position: POSITION });
    sub.trigger("subscribed", recovered);
    const second = follow(page, "presence:a", snapshot(9, []));
    assert.equal(second.feed, follower.feed);
    assert.deepEqual(second.told, [
      { phase: "live", joined: [], left: [], updated: [], synced: true, stale: false },
    ]);
    sub.trigger("publication", { data: diff(12, { joins: [member("5")], total: 2 }) });
    assert.equal(second.feed.view.members.length, 2);
    assert.equal(client.subscriptions.size, 1);
  });

  it("takes the newer state of a widget that comes later", async () => {
    const { page, follower } = await open();
    follow(page, "presence:a", snapshot(14, [member("1")]));
    assert.equal(follower.feed.state.version, 14);
  });

  it("loses the subscription with the last widget of a channel, and closes with the last of all", async () => {
    const { world, page, follower, client } = await open();
    const second = follow(page, "presence:a", snapshot(12));
    const other = follow(page, "presence:b", snapshot(1));
    await world.tick();
    follower.end();
    await settle();
    assert.deepEqual(client.removed, []);
    second.end();
    await settle();
    assert.deepEqual(client.removed, ["presence:a"]);
    assert.equal(client.state, "connecting");
    other.end();
    await settle();
    assert.equal(client.state, "disconnected");
  });

  it("keeps the subscription of a widget that is only moved within the page", async () => {
    const { page, follower, client } = await open();
    follower.end();
    follow(page, "presence:a", snapshot(12));
    await settle();
    assert.deepEqual(client.removed, []);
  });

  it("comes back, with a fetch, for a widget that comes back", async () => {
    const { world, page, follower } = await open();
    follower.end();
    await settle();
    const again = follow(page, "presence:a", snapshot(12));
    await world.tick();
    assert.equal(Centrifuge.made.length, 2);
    const sub = Centrifuge.made[1].getSubscription("presence:a");
    world.routes.set("/snapshot", () => [200, snapshot(13)]);
    sub.trigger("subscribed", {});
    await world.tick();
    assert.equal(again.feed.phase, "live");
    assert.equal(again.feed.state.version, 13);
  });

  it("opens nothing for a widget that left while tokens were asked for", async () => {
    const { world, page } = makePage();
    follow(page, "presence:a", snapshot(1)).end();
    await settle();
    await world.tick();
    assert.deepEqual(Centrifuge.made, []);
  });

  it("is tried again while the tokens endpoint is out of reach", async () => {
    const { world, page } = makePage();
    const usual = world.routes.get("/tokens");
    world.routes.set("/tokens", () => new TypeError("offline"));
    const { feed } = follow(page, "presence:a", snapshot(1));
    await world.tick();
    assert.deepEqual(await world.tick(), [375]);
    world.routes.set("/tokens", usual);
    await world.tick();
    await world.tick();
    await world.tick();
    assert.equal(Centrifuge.made.length, 1);
    assert.deepEqual(world.warnings, []);
    assert.equal(feed, undefined, "nothing was told meanwhile");
  });
});

describe("whatever is followed in place of a feed", () => {
  class Cursors extends Feed {
    attach(client, { token }, user) {
      Object.assign(this, { client, token, user });
    }
  }

  it("shares the connection and the exchange of tokens, and is in no beacon", async () => {
    const { world, page } = makePage({ user: member("7") });
    follow(page, "presence:a", snapshot(1));
    const end = page.follow(configOf("cursors:a"), {}, () => {}, Cursors);
    await world.tick();
    const cursors = page.feeds.get("cursors:a");
    assert.deepEqual([cursors.constructor, cursors.token, cursors.user], [Cursors, "token cursors:a", member("7")]);
    assert.deepEqual([cursors.client, world.asked("/tokens").length], [Centrifuge.made[0], 1]);
    page.leave();
    assert.deepEqual(world.beacons.map(({ grants }) => grants), [["renewed presence:a"]]);
    end();
    await settle();
    assert.deepEqual([...page.feeds.keys()], ["presence:a"]);
  });
});

describe("the id of a connection", () => {
  it("is known from when it connects, each time", async () => {
    const { page, client } = await open();
    assert.equal(page.clientIds.get(client), undefined);
    for (const id of ["first", "second"]) {
      client.trigger("connected", { client: id });
      assert.equal(page.clientIds.get(client), id);
    }
  });

  it("is known of one that the site gives, too", async () => {
    const { page } = makePage();
    const site = new Centrifuge("ws://site", {});
    page.useConnection(site);
    site.trigger("connected", { client: "theirs" });
    assert.equal(page.clientIds.get(site), "theirs");
  });
});

describe("a connection that is refused", () => {
  it("leaves every widget static, for one reason", async () => {
    const { world, page, follower, client } = await open();
    const other = follow(page, "presence:b", snapshot(1));
    await world.tick();
    client.trigger("disconnected", { code: 3500, reason: "invalid token" });
    for (const one of [follower, other]) {
      assert.equal(one.feed.phase, "static");
      assert.match(one.feed.refusal, /3500 invalid token/u);
    }
    assert.equal(new Set(world.warnings).size, 1);
  });

  it("does not stand in the way of a widget that comes later", async () => {
    const { world, page, client } = await open();
    client.state = "disconnected";
    client.trigger("disconnected", { code: 3500, reason: "invalid token" });
    follow(page, "presence:b", snapshot(1));
    await world.tick();
    assert.equal(Centrifuge.made.length, 2);
  });

  it("is refused for all when no grant is taken", async () => {
    const { world, page } = makePage();
    world.routes.set("/tokens", () => [403, { error: "the grants are for another user" }]);
    const follower = follow(page, "presence:a", snapshot(1));
    await world.tick();
    assert.equal(follower.feed.phase, "static");
    assert.match(world.warnings[0], /for another user/u);
    assert.deepEqual(Centrifuge.made, []);
  });

  it("is static for the one channel that is refused", async () => {
    const { world, page } = makePage();
    const usual = world.routes.get("/tokens");
    world.routes.set("/tokens", (request) => {
      const [status, answer] = usual(request);
      delete answer.channels["presence:b"];
      return [status, { ...answer, refused: { "presence:b": "not yours" } }];
    });
    const granted = follow(page, "presence:a", snapshot(1));
    const refused = follow(page, "presence:b", snapshot(1));
    await world.tick();
    assert.equal(refused.feed.refusal, "presence:b: not yours");
    assert.equal(granted.feed, undefined, "nothing was told yet, nothing was refused");
  });

  it("stops the SDK when a renewal is refused, and lets it try again otherwise", async () => {
    const { world, client, sub } = await open();
    for (const getToken of [client.options.getToken, sub.options.getToken]) {
      for (const [answer, unauthorized] of [[[403, {}], true], [[500, {}], false], [new TypeError("offline"), false]]) {
        world.routes.set("/tokens", () => answer);
        const asked = assert.rejects(getToken(), (error) =>
          (error instanceof Centrifuge.UnauthorizedError) === unauthorized);
        await world.tick();
        await asked;
      }
    }
  });

  it("renews the tokens of the page with one POST", async () => {
    const { world, client, sub } = await open();
    const asked = Promise.all([client.options.getToken(), sub.options.getToken()]);
    await world.tick();
    assert.deepEqual(await asked, ["connection token", "token presence:a"]);
    assert.equal(world.asked("/tokens").length, 2);
  });

  it("is static when its subscription ends for good", async () => {
    const { follower, sub } = await open();
    sub.trigger("unsubscribed", { code: 103, reason: "permission denied" });
    assert.equal(follower.feed.phase, "static");
    assert.match(follower.feed.refusal, /permission denied/u);
  });
});

describe("a connection that the site gives", () => {
  it("is used instead of our own, and left as it is", async () => {
    const { world, page } = makePage();
    const site = new Centrifuge("ws://site", {});
    Centrifuge.made.length = 0;
    page.useConnection(site);
    const follower = follow(page, "presence:a", snapshot(1));
    await world.tick();
    assert.deepEqual(Centrifuge.made, []);
    assert.equal(site.state, "disconnected", "connecting is the site's business");
    assert.equal(site.subscriptions.size, 1);
    site.state = "connected";
    follower.end();
    await settle();
    assert.equal(site.state, "connected");
    assert.deepEqual(site.removed, ["presence:a"]);
  });

  it("takes over from our own when it is given later", async () => {
    const { world, page, follower, client, sub } = await open({ position: POSITION });
    sub.trigger("subscribed", recovered);
    const site = new Centrifuge("ws://site", {});
    page.useConnection(site);
    page.useConnection(site);
    await world.tick();
    assert.equal(client.state, "disconnected");
    client.trigger("disconnected", { code: 3500, reason: "of no interest any more" });
    assert.equal(follower.feed.phase, "stale");
    const taken = site.getSubscription("presence:a");
    assert.equal("since" in taken.options, false);
    world.routes.set("/snapshot", () => [200, snapshot(13)]);
    taken.trigger("subscribed", {});
    await world.tick();
    assert.equal(follower.feed.phase, "live");
    assert.deepEqual(world.warnings, []);
  });

  it("may have the subscription already: it is shared, and stays", async () => {
    const { world, page } = makePage();
    const site = new Centrifuge("ws://site", {});
    const own = site.newSubscription("presence:a", {});
    own.state = "subscribed";
    page.useConnection(site);
    world.routes.set("/snapshot", () => [200, snapshot(2, [member("9")])]);
    const follower = follow(page, "presence:a", snapshot(1));
    await world.tick();
    await world.tick();
    assert.equal(follower.feed.phase, "live");
    assert.equal(follower.feed.state.version, 2);
    follower.end();
    await settle();
    assert.deepEqual(site.removed, []);
    own.trigger("publication", { data: diff(2) });
    assert.equal(follower.feed.state.version, 2);
  });

  it("is only stale while the site itself has disconnected it", async () => {
    const { world, page } = makePage();
    const site = new Centrifuge("ws://site", {});
    page.useConnection(site);
    const follower = follow(page, "presence:a", snapshot(12), { position: POSITION });
    await world.tick();
    site.getSubscription("presence:a").trigger("subscribed", recovered);
    site.disconnect();
    assert.equal(follower.feed.phase, "stale");
    assert.deepEqual(world.warnings, []);
  });
});

describe("leaving", () => {
  const user = member("7");

  it("is said of every room of the page, with the newest grants, in one beacon", async () => {
    const { world, page } = await open({ user });
    follow(page, "presence:b", snapshot(1));
    await world.tick();
    page.leave();
    const grants = ["renewed presence:a", "renewed presence:b"];
    assert.deepEqual(world.beacons, [{ url: "/beacon", grants }]);
  });

  it("is said when the last widget of a room has gone, not when one is moved", async () => {
    const { world, page, follower } = await open({ user });
    follow(page, "presence:b", snapshot(1));
    await world.tick();
    follower.end();
    const moved = follow(page, "presence:a", snapshot(12));
    await settle();
    assert.deepEqual(world.beacons, []);
    moved.end();
    await settle();
    assert.deepEqual(world.beacons, [{ url: "/beacon", grants: ["renewed presence:a"] }]);
  });

  it("is said in parts that the server takes", async () => {
    const { world, page } = makePage({ user });
    for (let at = 0; at < 101; at += 1) follow(page, `presence:${at}`, snapshot(1));
    await world.tick();
    page.leave();
    assert.deepEqual(world.beacons.map(({ grants }) => grants.length), [100, 1]);
  });

  it("is not said without a beacon, by the anonymous, of counted rooms, or before a connection", async () => {
    const counted = snapshot(12, [], { listed: false, total: 500 });
    for (const options of [{ user, beacon: "" }, { user: null }, { user, shown: counted }]) {
      const { world, page } = await open(options);
      page.leave();
      assert.deepEqual(world.beacons, []);
    }
    const { world, page } = makePage({ user });
    follow(page, "presence:a", snapshot(12));
    page.leave();
    assert.deepEqual(world.beacons, []);
  });
});
