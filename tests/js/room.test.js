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

describe("a room", () => {
  it("has what the page shows from the start", async () => {
    const { room } = await enter();
    assert.deepEqual(room.members, [member("42")]);
    assert.deepEqual(
      [room.channel, room.total, room.anonymous, room.version, room.state],
      ["presence:a", 1, 0, 12, "static"],
    );
  });

  it("has the roster as it is, and says what happens, one member at a time", async () => {
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

  it("passes on what the site tells the room, and nothing malformed", async () => {
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

  it("hears events while it awaits a snapshot, each once", async () => {
    const { told, sub, world } = await enter();
    world.routes.set("/snapshot", () => [200, snapshot(14)]);
    sub.trigger("subscribed", { recovered: false });
    sub.trigger("publication", { data: { type: "presence.event", event: "saved", payload: {} } });
    await world.tick();
    assert.deepEqual(told.map(([name]) => name), ["event", "sync"]);
  });

  it("ends what it is asked to end", async () => {
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

  it("tells nothing after it is closed, even of the same diff", async () => {
    const { room, sub, told } = await enter();
    sub.trigger("subscribed", { recovered: true });
    const off = room.on("join", () => room.close());
    room.on("join", () => assert.fail("it is closed"));
    sub.trigger("publication", { data: diff(12, { joins: [member("5"), member("6")], total: 3 }) });
    off();
    assert.deepEqual(told.map(([name, { member: who }]) => [name, who?.id]), [["sync", undefined], ["join", "5"]]);
  });

  it("says when it is refused, once it was live", async () => {
    const { sub, told, client, room } = await enter();
    sub.trigger("subscribed", { recovered: true });
    client.end(3500, "invalid token");
    const said = told.filter(([name]) => name === "stale").map(([, { state }]) => state);
    assert.deepEqual([said.at(-1), room.state], ["static", "static"]);
  });

  it("shares the feed of a widget of its channel, and outlives it", async () => {
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

  it("is not stopped by a mistake of who listens", async () => {
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
      before.forEach((one) => process.on("uncaughtException", one));
    }
    assert.deepEqual(caught, ["mistake"]);
    assert.deepEqual(told.map(([name]) => name), ["sync", "after", "join"]);
  });
});
