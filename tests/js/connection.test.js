import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Feed } from "../../presence/static/presence/js/feed.js";
import {
  Centrifuge, FINAL, MODULES, PASSING, configOf, diff, follow, grantOf, makePage, member, open, readGrant, settle, snapshot,
} from "./stub.js";

const POSITION = { offset: 12, epoch: "StBPPVJn" };
const recovered = { wasRecovering: true, recovered: true };

describe("connection of the page", () => {
  it("connection_is_one_for_all_widgets_and_opened_with_one_post", async () => {
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

  it("feed_is_shared_by_the_widgets_of_one_channel", async () => {
    const { page, follower, client, sub } = await open({ position: POSITION });
    sub.trigger("subscribed", recovered);
    const second = follow(page, "presence:a", snapshot(9, []));
    assert.equal(second.feed, follower.feed);
    assert.deepEqual(second.told, [
      { phase: "live", joined: [], left: [], updated: [], synced: true },
    ]);
    sub.trigger("publication", { data: diff(12, { joins: [member("5")], total: 2 }) });
    assert.equal(second.feed.view.members.length, 2);
    assert.equal(client.subscriptions.size, 1);
  });

  it("feed_takes_the_newer_state_of_a_later_widget", async () => {
    const { page, follower } = await open();
    follow(page, "presence:a", snapshot(14, [member("1")]));
    assert.equal(follower.feed.state.version, 14);
  });

  it("connection_unsubscribes_with_the_last_widget_of_a_channel_and_closes_with_the_last_of_all", async () => {
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

  it("connection_keeps_the_subscription_of_a_widget_that_is_moved", async () => {
    const { page, follower, client } = await open();
    follower.end();
    follow(page, "presence:a", snapshot(12));
    await settle();
    assert.deepEqual(client.removed, []);
  });

  it("connection_opens_again_with_a_fetch_for_a_widget_that_comes_back", async () => {
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

  it("connection_stays_for_a_widget_that_comes_as_the_last_two_go", async () => {
    const { page, follower } = await open();
    const second = follow(page, "presence:a", snapshot(12));
    follower.end();
    const third = Promise.resolve().then(() => follow(page, "presence:a", snapshot(12)));
    second.end();
    await settle();
    assert.equal(page.feeds.get("presence:a"), (await third).feed);
  });

  it("follow_tells_a_widget_that_comes_back_at_once", async () => {
    const { world, page, follower, sub } = await open({ position: POSITION });
    sub.trigger("subscribed", recovered);
    follower.end();
    await settle();
    world.routes.set("/tokens", () => new TypeError("offline"));
    const again = follow(page, "presence:a", snapshot(12));
    assert.deepEqual(again.told.map(({ phase, synced }) => [phase, synced]), [["static", false]]);
  });

  it("follow_shows_the_state_of_a_later_widget_in_a_room_never_read", async () => {
    const { page, follower } = await open({ shown: snapshot(0, [], { epoch: "" }) });
    const second = follow(page, "presence:a", snapshot(5, [member("1")]));
    for (const { feed } of [follower, second]) {
      assert.deepEqual([feed.view.members, feed.view.version], [[member("1")], 5]);
    }
    assert.deepEqual(follower.told.flatMap(({ joined }) => joined), []);
  });

  it("follow_ended_while_tokens_are_asked_for_opens_nothing", async () => {
    const { world, page } = makePage();
    follow(page, "presence:a", snapshot(1)).end();
    await settle();
    await world.tick();
    assert.deepEqual(Centrifuge.made, []);
  });

  it("connection_is_tried_again_while_the_tokens_endpoint_is_out_of_reach", async () => {
    const { world, page } = makePage();
    const usual = world.routes.get("/tokens");
    world.routes.set("/tokens", () => new TypeError("offline"));
    const { told } = follow(page, "presence:a", snapshot(1));
    await world.tick();
    assert.deepEqual(await world.tick(), [375]);
    world.routes.set("/tokens", usual);
    await world.tick();
    await world.tick();
    await world.tick();
    assert.equal(Centrifuge.made.length, 1);
    assert.deepEqual(world.warnings, []);
    assert.deepEqual(told.map(({ phase }) => phase), ["static"], "nothing was told meanwhile");
  });
});

describe("grant that comes later", () => {
  const user = member("7", "Ada");
  const ofNobody = grantOf("presence:a", "");
  const ofAda = grantOf("presence:a", user.id);

  /** A page that is live; the server knows for whom grants were made, and who is signed in. */
  async function visited(who, grant) {
    const { world, page } = makePage();
    const session = { user: who };
    const usual = world.routes.get("/tokens");
    world.routes.set("/tokens", (request) => {
      const [status, answer] = usual(request);
      const { user: now } = session;
      for (const grant of JSON.parse(request.body).grants) {
        const [channel, owner] = readGrant(grant);
        if (owner === (now?.id ?? "")) answer.channels[channel].grant = grantOf(channel, owner);
        else delete answer.channels[channel];
      }
      return Object.keys(answer.channels).length ? [status, { ...answer, id: now?.id ?? "", user: now }] : [403, {}];
    });
    const follower = follow(page, "presence:a", snapshot(12), { grant, owner: who?.id ?? "", position: POSITION });
    await world.tick();
    Centrifuge.made[0].connect();
    Centrifuge.made[0].getSubscription("presence:a").trigger("subscribed", recovered);
    assert.equal(follower.feed.phase, "live");
    return { world, page, session, follower };
  }

  it("grant_for_a_refused_channel_is_tried", async () => {
    const { world, page, follower } = await visited(user, ofAda);
    Centrifuge.made[0].end(3500, "invalid token");
    assert.equal(follower.feed.phase, "static");
    const second = follow(page, "presence:a", snapshot(14), { grant: ofAda, owner: "7" });
    assert.equal(second.feed.refusal, "");
    follower.end();
    await world.tick();
    world.routes.set("/snapshot", () => [200, snapshot(15)]);
    Centrifuge.made[1].getSubscription("presence:a").trigger("subscribed", {});
    await world.tick();
    assert.deepEqual([second.feed.phase, second.feed.state.version], ["live", 15]);
  });

  it("grant_of_a_user_who_signed_in_opens_a_connection_of_theirs", async () => {
    const { world, page, session, follower } = await visited(null, ofNobody);
    session.user = user;
    const second = follow(page, "presence:a", snapshot(12), { grant: ofAda, owner: "7" });
    follower.end();
    await world.tick();
    assert.equal(world.asked("/tokens").at(-1).body, JSON.stringify({ grants: [ofAda] }));
    const [first, theirs, ...others] = Centrifuge.made;
    assert.deepEqual([first.state, theirs.state, others], ["disconnected", "connecting", []]);
    assert.equal(second.feed.client, theirs);
  });

  it("grant_of_an_invisible_user_opens_a_connection_of_theirs", async () => {
    const { world, page, session, follower } = await visited(null, ofNobody);
    session.user = user;
    const answer = world.routes.get("/tokens");
    world.routes.set("/tokens", (request) => {
      const [status, body] = answer(request);
      return [status, { ...body, user: null }];
    });
    const second = follow(page, "presence:a", snapshot(12), { grant: ofAda, owner: "7" });
    follower.end();
    await world.tick();
    const [first, theirs, ...others] = Centrifuge.made;
    assert.deepEqual([first.state, theirs.state, others], ["disconnected", "connecting", []]);
    assert.equal(second.feed.client, theirs);
  });

  it("grant_of_another_user_has_the_other_channels_ask_again", async () => {
    const { world, page, session } = await visited(null, ofNobody);
    const other = follow(page, "presence:b", snapshot(1), { grant: grantOf("presence:b", ""), owner: "" });
    await world.tick();
    session.user = user;
    follow(page, "presence:a", snapshot(12), { grant: ofAda, owner: "7" });
    await world.tick();
    await world.tick();
    assert.notEqual(other.feed.refusal, "");
    assert.equal(page.feeds.get("presence:a").refusal, "");
    follow(page, "presence:b", snapshot(1), { grant: grantOf("presence:b", user.id), owner: user.id });
    await world.tick();
    assert.equal(Centrifuge.made.length, 2);
    assert.equal(other.feed.client, Centrifuge.made[1]);
  });

  it("grant_of_the_same_user_asks_for_nothing_and_that_of_another_does", async () => {
    const users = ["", "7", "8", "77", "é", "\u2603", "a-long_name:with,\"all\"", "1", "11", "111"];
    for (const id of users) {
      const who = id ? member(id) : null;
      const { world, page } = await visited(who, grantOf("presence:a", id));
      // Grants that are signed in another way: a browser never reads what is in a grant.
      for (const grant of [grantOf("presence:a", id, 9_999_999_999), "compressed", ""]) {
        follow(page, "presence:a", snapshot(12), { grant, owner: id });
      }
      await world.tick();
      assert.equal(world.asked("/tokens").length, 1, id);
      for (const other of users.filter((user) => user !== id)) {
        page.feeds.get("presence:a").refusal = "";
        const asked = world.asked("/tokens").length;
        follow(page, "presence:a", snapshot(12), { grant: grantOf("presence:a", other), owner: other });
        await world.tick();
        assert.equal(world.asked("/tokens").length, asked + 1, `${id} ${other}`);
      }
    }
  });

  it("grant_is_posted_and_kept_while_an_older_one_is_under_way", async () => {
    const { world, page } = makePage({ user });
    const usual = world.routes.get("/tokens");
    const answers = [];
    world.routes.set("/tokens", (request) =>
      new Promise((resolve) => { answers.push(() => resolve(usual(request))); }));
    const first = follow(page, "presence:a", snapshot(12), { grant: "old presence:a" });
    await world.tick();
    first.end();
    await settle();
    follow(page, "presence:a", snapshot(12), { grant: "new presence:a" });
    answers[0]();
    await world.tick();
    assert.deepEqual(Centrifuge.made, []);
    assert.equal(page.tools.tokens.grants.get("presence:a"), "new presence:a");
    answers[1]();
    await settle();
    const bodies = world.asked("/tokens").map(({ body }) => JSON.parse(body).grants);
    assert.deepEqual(bodies, [["old presence:a"], ["new presence:a"]]);
    assert.equal(Centrifuge.made.length, 1);
  });

  it("grant_is_not_overtaken_by_the_answer_to_an_older_one", async () => {
    const { world, page } = makePage({ user });
    const answers = [];
    world.routes.set("/tokens", () => new Promise((resolve) => { answers.push(resolve); }));
    const first = follow(page, "presence:a", snapshot(12), { grant: ofNobody });
    await world.tick();
    follow(page, "presence:a", snapshot(12), { grant: ofAda, owner: "7" });
    await world.tick();
    answers[0]([403, {}]);
    await settle();
    assert.equal(first.feed.refusal, "");
  });
});

describe("Page.follow with another kind", () => {
  class Cursors extends Feed {
    attach(client, { token }, user) {
      Object.assign(this, { client, token, user });
    }
  }

  it("other_kind_shares_connection_and_tokens", async () => {
    const { world, page } = makePage({ user: member("7") });
    follow(page, "presence:a", snapshot(1));
    const end = page.follow(configOf("cursors:a"), {}, () => {}, Cursors);
    await world.tick();
    const cursors = page.feeds.get("cursors:a");
    assert.deepEqual([cursors.constructor, cursors.token, cursors.user], [Cursors, "token cursors:a", member("7")]);
    assert.deepEqual([cursors.client, world.asked("/tokens").length], [Centrifuge.made[0], 1]);
    end();
    await settle();
    assert.deepEqual([...page.feeds.keys()], ["presence:a"]);
  });
});

describe("Page.clientIds", () => {
  it("client_id_is_known_from_each_connect_on", async () => {
    const { page, client } = await open();
    assert.equal(page.clientIds.get(client), undefined);
    for (const id of ["first", "second"]) {
      client.trigger("connected", { client: id });
      assert.equal(page.clientIds.get(client), id);
    }
  });

  it("client_id_of_a_connection_of_the_site_is_known", async () => {
    const { page } = makePage();
    const site = new Centrifuge("ws://site", {});
    page.useConnection(site);
    site.trigger("connected", { client: "theirs" });
    assert.equal(page.clientIds.get(site), "theirs");
  });
});

describe("final failures", () => {
  /** A page of three channels that wait for an hour; the phases and refusals of their feeds. */
  async function opened({ world, page }) {
    const followers = ["presence:a", "presence:b", "presence:c"].map((channel) => follow(page, channel, snapshot(1)));
    await world.pass(3_600_000);
    return followers.map(({ feed }) => [feed.phase, feed.refusal !== ""]);
  }
  const allStatic = Array(3).fill(["static", true]);

  it("final_failure_of_the_tokens_endpoint_leaves_widgets_static_with_one_request_and_warning", async () => {
    for (const answer of FINAL) {
      const made = makePage();
      made.world.routes.set("/tokens", () => answer);
      assert.deepEqual(await opened(made), allStatic, `${answer}`);
      assert.equal(made.world.requests.length, 1, `${answer}`);
      assert.equal(new Set(made.world.warnings).size, 1, `${answer}`);
    }
  });

  it("final_failure_is_told_from_a_passing_one_which_is_retried_silently", async () => {
    for (const answer of PASSING) {
      const made = makePage();
      made.world.routes.set("/tokens", () => answer);
      await opened(made);
      assert.ok(made.world.requests.length > 100, `${answer}`);
      assert.deepEqual(made.world.warnings, []);
    }
  });

  it("final_failure_of_the_sdk_leaves_widgets_static_with_one_warning", async () => {
    const broken = [
      async () => { throw new Error("no such file"); },
      async () => class { constructor() { throw new TypeError("a broken SDK"); } },
      async () => class { on() {} connect() {} getSubscription() { throw new TypeError("a foreign SDK"); } },
      async () => 7,
    ];
    for (const sdk of broken) {
      const made = makePage({ modules: { ...MODULES, sdk } });
      assert.deepEqual(await opened(made), allStatic);
      assert.equal(made.world.requests.length, 1);
      assert.equal(new Set(made.world.warnings).size, 1);
    }
  });

  it("final_failure_of_a_renewal_leaves_widgets_static_with_one_warning", async () => {
    const { world, page, follower, client, sub } = await open();
    const other = follow(page, "presence:b", snapshot(1));
    await world.tick();
    world.routes.set("/tokens", () => [0, undefined]);
    const asked = [client.options.getToken, sub.options.getToken].map((getToken) =>
      assert.rejects(getToken(), Centrifuge.UnauthorizedError));
    await world.tick();
    await Promise.all(asked);
    client.end(1, "unauthorized");
    assert.deepEqual([follower.feed.phase, other.feed.phase], ["static", "static"]);
    assert.equal(new Set(world.warnings).size, 1);
    assert.match(world.warnings[0], /a redirect: sign in/u);
  });

  it("final_failure_of_the_last_channel_ends_the_connection", async () => {
    const { page, follower, client } = await open();
    const other = follow(page, "presence:b", snapshot(1));
    follower.feed.refuse("a wall");
    assert.notEqual(client.state, "disconnected");
    other.feed.refuse("a wall");
    assert.equal(client.state, "disconnected");
  });

  it("final_failure_of_one_renewal_leaves_other_channels_live", async () => {
    const { world, page, follower, sub } = await open();
    const other = follow(page, "presence:b", snapshot(1));
    await world.tick();
    const usual = world.routes.get("/tokens");
    world.routes.set("/tokens", (request) => {
      const [status, answer] = usual(request);
      delete answer.channels["presence:a"];
      return [status, { ...answer, refused: { "presence:a": "not any more" } }];
    });
    const asked = assert.rejects(sub.options.getToken(), Centrifuge.UnauthorizedError);
    await world.tick();
    await asked;
    assert.deepEqual([follower.feed.refusal, other.feed.refusal], ["presence:a: not any more", ""]);
  });
});

describe("refused connection", () => {
  it("refused_connection_leaves_widgets_static_with_one_warning", async () => {
    const { world, page, follower, client } = await open();
    const other = follow(page, "presence:b", snapshot(1));
    await world.tick();
    client.end(3500, "invalid token");
    for (const each of [follower, other]) {
      assert.equal(each.feed.phase, "static");
      assert.match(each.feed.refusal, /3500 invalid token/u);
    }
    assert.equal(new Set(world.warnings).size, 1);
  });

  it("refused_connection_lets_a_later_widget_connect", async () => {
    const { world, page, client } = await open();
    client.end(3500, "invalid token");
    follow(page, "presence:b", snapshot(1));
    await world.tick();
    assert.equal(Centrifuge.made.length, 2);
  });

  it("refused_grants_leave_all_widgets_static", async () => {
    const { world, page } = makePage();
    world.routes.set("/tokens", () => [403, { error: "the grants are for another user" }]);
    const follower = follow(page, "presence:a", snapshot(1));
    await world.tick();
    assert.equal(follower.feed.phase, "static");
    assert.match(world.warnings[0], /for another user/u);
    assert.deepEqual(Centrifuge.made, []);
  });

  it("refused_channel_leaves_only_its_widget_static", async () => {
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
    assert.deepEqual([granted.feed.refusal, granted.feed.phase], ["", "static"]);
  });

  it("refused_renewal_stops_the_sdk_and_a_passing_failure_does_not", async () => {
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

  it("renewal_of_the_tokens_of_a_page_takes_one_post", async () => {
    const { world, client, sub } = await open();
    const asked = Promise.all([client.options.getToken(), sub.options.getToken()]);
    await world.tick();
    assert.deepEqual(await asked, ["connection token", "token presence:a"]);
    assert.equal(world.asked("/tokens").length, 2);
  });

  it("subscription_that_ends_for_good_leaves_its_widget_static", async () => {
    const { follower, sub } = await open();
    sub.trigger("unsubscribed", { code: 103, reason: "permission denied" });
    assert.equal(follower.feed.phase, "static");
    assert.match(follower.feed.refusal, /permission denied/u);
  });
});

describe("Page.useConnection", () => {
  it("use_connection_takes_the_place_of_our_own_and_is_left_as_it_is", async () => {
    const { world, page } = makePage();
    const site = new Centrifuge("ws://site", {});
    Centrifuge.made.length = 0;
    page.useConnection(site);
    const follower = follow(page, "presence:a", snapshot(1));
    await world.tick();
    assert.deepEqual(Centrifuge.made, []);
    assert.equal(site.state, "disconnected", "connecting is the site's business");
    assert.deepEqual([...site.subscriptions.keys()], ["presence.tick", "presence:a"]);
    site.state = "connected";
    follower.end();
    await settle();
    assert.equal(site.state, "connected");
    assert.deepEqual(site.removed, ["presence:a", "presence.tick"]);
  });

  it("use_connection_given_later_takes_over_from_our_own", async () => {
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
    assert.equal(taken.options.since, null);
    world.routes.set("/snapshot", () => [200, snapshot(13)]);
    taken.trigger("subscribed", {});
    await world.tick();
    assert.equal(follower.feed.phase, "live");
    assert.deepEqual(world.warnings, []);
  });

  it("use_connection_with_the_subscription_shares_it_and_leaves_it", async () => {
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
    assert.deepEqual(site.removed, ["presence.tick"]);
    own.trigger("publication", { data: diff(2) });
    assert.equal(follower.feed.state.version, 2);
  });

  it("use_connection_is_tried_after_our_own_was_refused", async () => {
    const { world, page, follower, client } = await open();
    client.end(3500, "invalid token");
    const site = new Centrifuge("ws://site", {});
    page.useConnection(site);
    await world.tick();
    assert.deepEqual([follower.feed.refusal, follower.feed.client], ["", site]);
  });

  it("use_connection_with_an_ended_subscription_is_static_and_begins_nothing", async () => {
    const { world, page } = makePage();
    const site = new Centrifuge("ws://site", {});
    const own = site.newSubscription("presence:a", {});
    page.useConnection(site);
    const follower = follow(page, "presence:a", snapshot(1));
    await world.tick();
    assert.deepEqual([own.state, follower.feed.phase], ["unsubscribed", "static"]);
    assert.equal(follower.told.length, 1);
    own.trigger("subscribed", {});
    assert.equal(world.timers.length, 1, "a snapshot is awaited");
  });

  it("use_connection_that_the_site_disconnects_is_stale", async () => {
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

describe("passing failures", () => {
  it("passing_failure_has_all_channels_ask_again_in_one_request", async () => {
    const { world, page } = makePage();
    const grant = world.routes.get("/tokens");
    world.routes.set("/tokens", () => [503, undefined]);
    follow(page, "presence:a", snapshot(1));
    await world.tick();
    follow(page, "presence:b", snapshot(1));
    follow(page, "cursors:c", null);
    await world.pass(10_000);
    const before = world.asked("/tokens").length;
    await world.pass(300_000);
    const [first, ...more] = world.asked("/tokens").slice(before);
    assert.ok(more.length < 300 / 15, `${more.length} requests in five minutes`);
    assert.equal(JSON.parse(first.body).grants.length, 3);
    world.routes.set("/tokens", grant);
    await world.pass(30_000);
    for (const feed of page.feeds.values()) assert.ok(feed.client, feed.config.channel);
  });
});

describe("Page.block", () => {
  const blocked = (blockedURI, more) => (
    { blockedURI, effectiveDirective: "connect-src", disposition: "enforce", ...more });

  it("block_of_an_address_of_ours_refuses_what_is_not_live", async () => {
    const { world, page } = makePage();
    world.routes.set("/tokens", () => new TypeError("blocked"));
    const follower = follow(page, "presence:a", snapshot(1));
    await world.tick();
    page.block(blocked("https://site.example/tokens"));
    await world.pass(300_000);
    assert.equal(world.asked("/tokens").length, 1);
    assert.match(follower.feed.refusal, /blocks https:..site.example.tokens/u);
  });

  it("block_of_other_addresses_reports_or_live_channels_refuses_nothing", async () => {
    const { page, follower, sub } = await open({ position: POSITION });
    page.block(blocked("https://tracker.example/", {}));
    page.block(blocked("/tokens", { disposition: "report" }));
    page.block(blocked("/tokens", { effectiveDirective: "img-src" }));
    sub.trigger("subscribed", recovered);
    page.block(blocked("/tokens"));
    assert.equal(follower.feed.refusal, "");
    assert.equal(follower.feed.phase, "live");
  });
});
