import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { FINAL, PASSING, World, settle } from "./stub.js";

// Of the browser, only what the module needs to be loaded.
Object.assign(globalThis, {
  HTMLElement: class {},
  customElements: { get: () => undefined, define: () => {} },
});
const { Heart } = await import("../../presence/static/presence/js/heartbeat.js");

const EVERY = 30_000;

/** A heart of a page, and a server that keeps whoever it is asked to. */
function make(...lifelines) {
  const world = new World();
  world.routes.set("/heartbeat", ({ body }) => [
    200, { present: JSON.parse(body).tokens.map((token) => token.replace(/\+*$/u, "+")), gone: {} },
  ]);
  const heart = new Heart({ url: "/heartbeat", every: EVERY, lifelines }, world.host);
  const said = () => world.requests.map(({ body }) => JSON.parse(body));
  return { world, heart, said };
}

describe("a heart", () => {
  it("beats every so often, one POST for all, with what the last answer renewed", async () => {
    const { world, heart, said } = make("a", "b");
    heart.begin(false);
    await world.pass(EVERY - 1);
    assert.deepEqual(said(), []);
    await world.pass(1);
    assert.deepEqual(said(), [{ tokens: ["a", "b"], back: false }]);
    const [{ url, method, cache }] = world.requests;
    assert.deepEqual([url, method, cache], ["/heartbeat", "POST", "no-store"]);
    await world.pass(2 * EVERY);
    assert.deepEqual(said().slice(1), Array(2).fill({ tokens: ["a+", "b+"], back: false }));
  });

  it("waits from the answer on, and never for two", async () => {
    const { world, heart } = make("a");
    let answer;
    world.routes.set("/heartbeat", () => new Promise((resolve) => { answer = resolve; }));
    heart.begin(false);
    await world.pass(3 * EVERY);
    assert.equal(world.requests.length, 1);
    answer([200, { present: ["a"], gone: {} }]);
    await settle();
    await world.pass(EVERY - 1);
    assert.equal(world.requests.length, 1);
    await world.pass(1);
    assert.equal(world.requests.length, 2);
  });

  it("begins at once, as one that is back, where the page may have left before", () => {
    const { heart, said } = make("a");
    heart.begin(true);
    assert.deepEqual(said(), [{ tokens: ["a"], back: true }]);
  });

  it("goes on with whom the server still has", async () => {
    const { world, heart, said } = make("a", "b");
    world.routes.set("/heartbeat", () => [200, { present: ["b2"], gone: { 0: "why" } }]);
    heart.begin(false);
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
      const { world, heart } = make("a");
      world.routes.set("/heartbeat", () => answer);
      heart.begin(false);
      await world.pass(EVERY);
      assert.deepEqual([world.requests.length, world.timers, heart.lifelines], [1, [], []]);
      world.time += EVERY;
      heart.wake();
      heart.leave();
      assert.deepEqual([world.requests.length, world.timers, world.beacons], [1, [], beacons]);
    });
  }

  it("stops for good, leaves and says so once, after any answer that is not ours", async () => {
    for (const answer of FINAL) {
      const { world, heart } = make("a");
      world.routes.set("/heartbeat", () => answer);
      heart.begin(false);
      await world.pass(3_600_000);
      assert.deepEqual([world.requests.length, world.beacons, world.warnings.length], [1, [left], 1], `${answer}`);
      assert.match(world.warnings[0], /\/heartbeat answered (a redirect|\d+): sign in/u);
      assert.equal(world.requests[0].redirect, "manual");
    }
  });

  it("tries again sooner after a failure, and for ever", async () => {
    const { world, heart, said } = make("a");
    heart.begin(false);
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

describe("a page that is seen again", () => {
  it("beats at once, and from then on as ever", async () => {
    const { world, heart } = make("a");
    heart.begin(false);
    world.time += EVERY / 2;
    heart.wake();
    await settle();
    assert.equal(world.requests.length, 1);
    assert.deepEqual(world.timers.map(({ ms }) => ms), [EVERY]);
  });

  it("does not beat that was made, or did, a moment ago, even if the clock is set back", async () => {
    const { world, heart } = make("a");
    heart.begin(true);
    for (const [later, requests] of [[0, 1], [4000, 1], [2000, 2], [-60_000, 3], [4000, 3]]) {
      world.time += later;
      heart.wake();
      await settle();
      assert.equal(world.requests.length, requests, `${later}`);
    }
  });
});

describe("a page that closes", () => {
  it("lets go of its members and is silent", async () => {
    const { world, heart } = make("a", "b");
    heart.begin(false);
    await world.pass(EVERY);
    heart.leave();
    assert.deepEqual(world.beacons, [{ url: "/heartbeat", tokens: ["a+", "b+"], leave: true }]);
    await world.pass(5 * EVERY);
    assert.equal(world.requests.length, 1);
  });

  it("beats at once when it is back, and says that it is", async () => {
    const { world, heart, said } = make("a");
    heart.begin(false);
    await world.pass(EVERY);
    heart.leave();
    heart.wake();
    await settle();
    await world.pass(EVERY);
    assert.deepEqual(said().map(({ back }) => back), [false, true, false]);
  });

  it("takes no notice of an answer that comes after that", async () => {
    const { world, heart } = make("a");
    let answer;
    world.routes.set("/heartbeat", () => new Promise((resolve) => { answer = resolve; }));
    heart.begin(false);
    await world.pass(EVERY);
    heart.leave();
    answer([200, { present: ["a"], gone: {} }]);
    await settle();
    assert.deepEqual(world.timers, []);
  });
});
