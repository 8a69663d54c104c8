import assert from "node:assert/strict";
import { it } from "node:test";

// The parts of the browser that the module needs to be loaded.
Object.assign(globalThis, {
  HTMLElement: class {},
  customElements: { get: () => undefined, define: () => {} },
});
const { ago } = await import("../../presence/static/presence/js/widget.js");

it("ago_takes_the_largest_unit_that_fits_in_the_language_of_the_page", () => {
  const expected = {
    60: "1 minute ago", 3599: "59 minutes ago", 7300: "2 hours ago", 90000: "yesterday",
  };
  for (const [age, words] of Object.entries(expected)) assert.equal(ago(Number(age), "en"), words);
  assert.equal(ago(180, "de"), "vor 3 Minuten");
  assert.equal(ago(180, "de_AT"), "vor 3 Minuten");
  assert.equal(ago(180, "xx"), "3 minutes ago");
});
