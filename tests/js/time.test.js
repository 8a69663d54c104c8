import assert from "node:assert/strict";
import { afterEach, beforeEach, it, mock } from "node:test";

// The parts of the browser that the module needs to be loaded.
Object.assign(globalThis, {
  HTMLElement: class {},
  customElements: { get: () => undefined, define: () => {} },
});
const { timeOf } = await import("../../presence/static/presence/js/widget.js");

const NOW = new Date(2026, 10, 29, 14, 5, 30).getTime();
const DAY = 86_400;

beforeEach(() => {
  mock.timers.enable({ apis: ["Date"], now: NOW });
});

afterEach(() => {
  mock.timers.reset();
});

/** Spaces of `Intl` differ between versions. */
const plain = (text) => text.replace(/\s/gu, " ");

it("time_of_today_has_no_date_and_is_in_the_language_of_the_page", () => {
  assert.equal(plain(timeOf(0, "en")), "2:05 PM");
  assert.equal(plain(timeOf(31, "en")), "2:04 PM");
  assert.equal(timeOf(150, "de"), "14:03");
  assert.equal(timeOf(150, "de_AT"), "14:03");
  assert.equal(plain(timeOf(150, "xx")), "2:03 PM");
});

it("time_of_another_day_has_the_date", () => {
  assert.equal(plain(timeOf(15 * 3600, "en")), "Nov 28, 2026, 11:05 PM");
  assert.equal(plain(timeOf(DAY, "de")), "28.11.2026, 14:05");
  assert.equal(plain(timeOf(366 * DAY, "en")), "Nov 28, 2025, 2:05 PM");
});
