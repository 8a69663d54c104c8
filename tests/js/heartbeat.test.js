import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { FINAL, PASSING, World, settle } from "./stub.js";

// The parts of the browser that the module needs to be loaded.
Object.assign(globalThis, {
  HTMLElement: class {},
  customElements: { get: () => undefined, define: () => {} },
});
const { Heartbeat } = await import("../../presence/static/presence/js/heartbeat.js");

const EVERY = 30_000;

/** The heartbeat of a page, and a server that keeps all members it is asked for. */
function make(...lifelines) {
  const world = new World();
  world.routes.set("/heartbeat", ({ body }) => [
    200, { present: JSON.parse(body).tokens.map((token) => token.replace(/\+*$/u, "+")), gone: {} },
  ]);
  const heartbeat = new Heartbeat({ url: "/heartbeat", every: EVERY, lifelines }, world.host);
  const said = () => world.requests.map(({ body }) => JSON.parse(body));
  return { world, heartbeat, said };
}

describe("Heartbeat", () => {
  it("heartbeat_sends_one_post_for_all_members_with_the_renewed_lifelines", async () => {
    const { world, heartbeat, said } = make("a", "b");
    heartbeat.begin(false);
    await world.pass(EVERY - 1);
    assert.deepEqual(said(), []);
    await world.pass(1);
    assert.deepEqual(said(), [{ tokens: ["a", "b"], back: false }]);
    const [{ url, method, cache }] = world.requests;
    assert.deepEqual([url, method, cache], ["/heartbeat", "POST", "no-store"]);
    await world.pass(2 * EVERY);
    assert.deepEqual(said().slice(1), Array(2).fill({ tokens: ["a+", "b+"], back: false }));
  });

  it("heartbeat_waits_an_interval_from_the_answer_and_never_sends_two", async () => {
    const { world, heartbeat } = make("a");
    let answer;
    world.routes.set("/heartbeat", () => new Promise((resolve) => { answer = resolve; }));
    heartbeat.begin(false);
    await world.pass(3 * EVERY);
    assert.equal(world.requests.length, 1);
    answer([200, { present: ["a"], gone: {} }]);
    await settle();
    await world.pass(EVERY - 1);
    assert.equal(world.requests.length, 1);
    await world.pass(1);
    assert.equal(world.requests.length, 2);
  });

  it("heartbeat_begins_at_once_when_the_page_may_have_left_before", () => {
    const { heartbeat, said } = make("a");
    heartbeat.begin(true);
    assert.deepEqual(said(), [{ tokens: ["a"], back: true }]);
  });

  it("heartbeat_goes_on_with_the_members_that_the_server_still_has", async () => {
    const { world, heartbeat, said } = make("a", "b");
    world.routes.set("/heartbeat", () => [200, { present: ["b2"], gone: { 0: "why" } }]);
    heartbeat.begin(false);
    await world.pass(2 * EVERY);
    assert.deepEqual(said()[1].tokens, ["b2"]);
  });

  const left = { url: "/heartbeat", tokens: ["a"], leave: true };
  for (const [what, beacons, ...answer] of [
    ["nobody is left", [], 200, { present: [], gone: { 0: "why" } }],
    ["every token is refused, and leaves", [left], 403, { error: "why" }],
    ["the URL is gone", [left], 404, undefined],
  ]) {
    it(`stops for good when ${what}`, async () => {
      const { world, heartbeat } = make("a");
      world.routes.set("/heartbeat", () => answer);
      heartbeat.begin(false);
      await world.pass(EVERY);
      assert.deepEqual([world.requests.length, world.timers, heartbeat.lifelines], [1, [], []]);
      world.time += EVERY;
      heartbeat.wake();
      heartbeat.leave();
      assert.deepEqual([world.requests.length, world.timers, world.beacons], [1, [], beacons]);
    });
  }

  it("heartbeat_stops_leaves_and_warns_once_after_a_foreign_answer", async () => {
    for (const answer of FINAL) {
      const { world, heartbeat } = make("a");
      world.routes.set("/heartbeat", () => answer);
      heartbeat.begin(false);
      await world.pass(3_600_000);
      assert.deepEqual([world.requests.length, world.beacons, world.warnings.length], [1, [left], 1], `${answer}`);
      assert.match(world.warnings[0], /\/heartbeat answered (a redirect|\d+): sign in/u);
      assert.equal(world.requests[0].redirect, "manual");
    }
  });

  it("heartbeat_tries_again_sooner_after_a_failure", async () => {
    const { world, heartbeat, said } = make("a");
    heartbeat.begin(false);
    const usual = world.routes.get("/heartbeat");
    for (const failure of PASSING) {
      world.routes.set("/heartbeat", () => failure);
      await world.tick();
      assert.deepEqual(world.timers.map(({ ms }) => ms), [0.3 * EVERY]);
    }
    world.routes.set("/heartbeat", usual);
    await world.tick();
    assert.deepEqual(world.timers.map(({ ms }) => ms), [EVERY]);
    assert.deepEqual(said().at(-1), { tokens: ["a"], back: false });
  });
});

describe("Heartbeat.wake", () => {
  it("wake_beats_at_once_and_then_every_interval", async () => {
    const { world, heartbeat } = make("a");
    heartbeat.begin(false);
    world.time += EVERY / 2;
    heartbeat.wake();
    await settle();
    assert.equal(world.requests.length, 1);
    assert.deepEqual(world.timers.map(({ ms }) => ms), [EVERY]);
  });

  it("wake_right_after_a_heartbeat_sends_none_even_if_the_clock_is_set_back", async () => {
    const { world, heartbeat } = make("a");
    heartbeat.begin(true);
    for (const [later, requests] of [[0, 1], [4000, 1], [2000, 2], [-60_000, 3], [4000, 3]]) {
      world.time += later;
      heartbeat.wake();
      await settle();
      assert.equal(world.requests.length, requests, `${later}`);
    }
  });
});

describe("Heartbeat.leave", () => {
  it("leave_lets_go_of_the_members_and_is_silent", async () => {
    const { world, heartbeat } = make("a", "b");
    heartbeat.begin(false);
    await world.pass(EVERY);
    heartbeat.leave();
    assert.deepEqual(world.beacons, [{ url: "/heartbeat", tokens: ["a+", "b+"], leave: true }]);
    await world.pass(5 * EVERY);
    assert.equal(world.requests.length, 1);
  });

  it("leave_then_wake_beats_at_once_and_says_that_the_page_is_back", async () => {
    const { world, heartbeat, said } = make("a");
    heartbeat.begin(false);
    await world.pass(EVERY);
    heartbeat.leave();
    heartbeat.wake();
    await settle();
    await world.pass(EVERY);
    assert.deepEqual(said().map(({ back }) => back), [false, true, false]);
  });

  it("leave_ignores_an_answer_that_comes_later", async () => {
    const { world, heartbeat } = make("a");
    let answer;
    world.routes.set("/heartbeat", () => new Promise((resolve) => { answer = resolve; }));
    heartbeat.begin(false);
    await world.pass(EVERY);
    heartbeat.leave();
    answer([200, { present: ["a"], gone: {} }]);
    await settle();
    assert.deepEqual(world.timers, []);
  });
});
