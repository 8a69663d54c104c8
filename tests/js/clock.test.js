import assert from "node:assert/strict";
import { afterEach, beforeEach, it } from "node:test";

import "./stub.js";

const HOUR = 3_600_000;
const clocks = { running: 0, set: 1_800_000_000_000 };
const real = { now: Date.now, running: performance.now };

beforeEach(() => {
  Date.now = () => clocks.set;
  performance.now = () => clocks.running;
});

afterEach(() => {
  Date.now = real.now;
  performance.now = real.running;
});

/** The host of a page that is opened now. */
async function opened() {
  delete globalThis[Symbol.for("presence")];
  await import(`../../presence/static/presence/js/widget.js?${Math.random()}`);
  return globalThis[Symbol.for("presence")].host;
}

function pass(ms) {
  clocks.running += ms;
  clocks.set += ms;
}

it("now_counts_the_time_that_passes", async () => {
  const { now } = await opened();
  const before = now();
  pass(5000);
  assert.equal(now() - before, 5000);
});

it("now_counts_no_time_when_the_clock_is_set_back", async () => {
  clocks.set += HOUR;
  const { now } = await opened();
  const before = now();
  for (const back of [HOUR, 500, 24 * HOUR]) {
    clocks.set -= back;
    assert.equal(now(), before);
  }
  pass(7000);
  assert.equal(now() - before, 7000);
});

it("now_counts_a_sleep_in_which_only_the_clock_goes_on", async () => {
  const { now } = await opened();
  const before = now();
  clocks.set += HOUR;
  assert.equal(now() - before, HOUR);
  assert.equal(now() - before, HOUR, "once");
});

it("now_does_not_run_faster_when_it_is_read_often", async () => {
  const { now } = await opened();
  const before = now();
  for (let reading = 0; reading < 10_000; reading += 1) {
    clocks.running += 0.4;
    clocks.set += reading % 2;
    now();
  }
  assert.ok(now() - before < 4001);
});
