import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Room } from "../../presence/static/presence/js/room.js";
import * as roster from "../../presence/static/presence/js/roster.js";
import { configOf, diff, makePage, member, settle, snapshot, Centrifuge } from "./stub.js";

const NAMES = ["join", "leave", "update", "sync", "stale", "event"];

/** A room that is live at version 12, and all that it told. */
async function enter() {
  const { world, page } = makePage();
  const config = configOf("presence:a", { position: { offset: 12, epoch: "StBPPVJn" } });
  const room = new Room(page, config, roster.fromSnapshot(snapshot(12)));
  const told = [];
  for (const name of NAMES) room.on(name, (detail) => told.push([name, detail]));
  await world.tick();
  const [client] = Centrifuge.made;
  const sub = client.getSubscription("presence:a");
  return { world, page, room, told, client, sub };
}

describe("Room", () => {
  it("room_has_the_snapshot_of_the_page_from_the_start", async () => {
    const { room } = await enter();
    assert.deepEqual(room.members, [member("42")]);
    assert.deepEqual(
      [room.channel, room.total, room.anonymous, room.version, room.state],
      ["presence:a", 1, 0, 12, "static"],
    );
  });

  it("room_follows_the_roster_and_tells_one_event_a_member", async () => {
    const { room, told, sub, world } = await enter();
    sub.trigger("subscribed", { recovered: true });
    const about = { channel: "presence:a", version: 12 };
    const [[name, { channel, version, members, total, anonymous }], ...others] = told.splice(0);
    assert.deepEqual([name, channel, version, members, total, anonymous, others], ["sync", "presence:a", 12, [member("42")], 1, 0, []]);
    const changes = { joins: [member("5"), member("6")], updates: [member("42", "New")], total: 3, anonymous: 1 };
    sub.trigger("publication", { data: diff(12, changes) });
    sub.trigger("publication", { data: diff(13, { leaves: ["5"], total: 2 }) });
    assert.deepEqual(told.splice(0), [
      ["join", { ...about, version: 13, member: member("5") }],
      ["join", { ...about, version: 13, member: member("6") }],
      ["update", { ...about, version: 13, member: member("42", "New") }],
      ["leave", { ...about, version: 14, member: member("5") }],
    ]);
    assert.deepEqual([room.members.map(({ id }) => id), room.total, room.version, room.state], [["42", "6"], 2, 14, "live"]);
    sub.trigger("subscribing", {});
    assert.deepEqual(told, [["stale", { ...about, version: 14, state: "stale", age: 0 }]]);
    assert.equal(room.state, "stale");
    assert.deepEqual(world.requests.length, 1);
  });

  it("room_passes_on_events_of_the_site_and_nothing_malformed", async () => {
    const { room, told, sub, world } = await enter();
    sub.trigger("subscribed", { recovered: true });
    told.length = 0;
    const publish = (data) => sub.trigger("publication", { data });
    const payload = { by: "42", text: "<b>saved</b>" };
    publish({ type: "presence.event", event: "document.saved", payload });
    publish({ type: "presence.event", event: 7, payload });
    publish({ type: "presence.event", event: "document.saved", payload: "text" });
    publish({ type: "presence.event", event: "bare" });
    assert.deepEqual(told, [
      ["event", { channel: "presence:a", event: "document.saved", payload }],
      ["event", { channel: "presence:a", event: "bare", payload: {} }],
    ]);
    assert.deepEqual([room.version, room.state, world.requests.length], [12, "live", 1]);
  });

  it("room_tells_events_once_while_a_snapshot_is_awaited", async () => {
    const { told, sub, world } = await enter();
    world.routes.set("/snapshot", () => [200, snapshot(14)]);
    sub.trigger("subscribed", { recovered: false });
    sub.trigger("publication", { data: { type: "presence.event", event: "saved", payload: {} } });
    await world.tick();
    assert.deepEqual(told.map(([name]) => name), ["event", "sync"]);
  });

  it("room_off_ends_one_listener", async () => {
    const { room, told, sub, client } = await enter();
    const off = room.on("join", () => assert.fail("it was ended"));
    off();
    sub.trigger("subscribed", { recovered: true });
    room.close();
    sub.trigger("publication", { data: diff(12, { joins: [member("5")] }) });
    assert.deepEqual(told.map(([name]) => name), ["sync"]);
    await settle();
    assert.deepEqual(client.removed, ["presence:a"]);
  });

  it("room_close_silences_even_the_current_diff", async () => {
    const { room, sub, told } = await enter();
    sub.trigger("subscribed", { recovered: true });
    const off = room.on("join", () => room.close());
    room.on("join", () => assert.fail("it is closed"));
    sub.trigger("publication", { data: diff(12, { joins: [member("5"), member("6")], total: 3 }) });
    off();
    assert.deepEqual(told.map(([name, { member: who }]) => [name, who?.id]), [["sync", undefined], ["join", "5"]]);
  });

  it("room_refused_after_it_was_live_says_so", async () => {
    const { sub, told, client, room } = await enter();
    sub.trigger("subscribed", { recovered: true });
    client.end(3500, "invalid token");
    const said = told.filter(([name]) => name === "stale").map(([, { state }]) => state);
    assert.deepEqual([said.at(-1), room.state], ["static", "static"]);
  });

  it("room_shares_the_feed_of_a_widget_and_outlives_it", async () => {
    const { page, room, sub } = await enter();
    const widget = page.follow(configOf("presence:a"), roster.fromSnapshot(snapshot(12)), () => {});
    sub.trigger("subscribed", { recovered: true });
    const second = new Room(page, configOf("presence:a"), roster.fromSnapshot(snapshot(12)));
    assert.equal(second.state, "live");
    widget();
    room.close();
    await settle();
    sub.trigger("publication", { data: diff(12, { joins: [member("5")], total: 2 }) });
    assert.equal(second.members.length, 2);
  });

  it("room_goes_on_when_a_listener_throws", async () => {
    const { room, told, sub } = await enter();
    const caught = [];
    const before = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", (error) => caught.push(error.message));
    try {
      const first = room.on("sync", () => { throw new Error("mistake"); });
      room.on("sync", () => told.push(["after", {}]));
      sub.trigger("subscribed", { recovered: true });
      await settle();
      first();
      sub.trigger("publication", { data: diff(12, { joins: [member("5")] }) });
    } finally {
      process.removeAllListeners("uncaughtException");
      before.forEach((listener) => process.on("uncaughtException", listener));
    }
    assert.deepEqual(caught, ["mistake"]);
    assert.deepEqual(told.map(([name]) => name), ["sync", "after", "join"]);
  });
});
