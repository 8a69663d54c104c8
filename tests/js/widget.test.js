import assert from "node:assert/strict";
import { it } from "node:test";

import { Page } from "../../presence/static/presence/js/connection.js";

const JS = new URL("../../presence/static/presence/js/", import.meta.url);

// The parts of the browser that the module needs to be loaded.
Object.assign(globalThis, {
  HTMLElement: class {},
  customElements: { get: () => undefined, define: () => {} },
  addEventListener: () => {},
  document: { readyState: "complete" },
});
const { modules, ready } = await import(new URL("widget.js", JS));

/** An element of a page whose modules are in some folder. */
const root = (folder) => ({
  dataset: { presenceTokens: "/tokens" },
  getAttribute(attribute) {
    const name = /^data-presence-(\w+)-js$/u.exec(attribute)[1];
    return new URL(`${name === "draw" ? "render" : name}.js`, folder).href;
  },
});

it("modules_are_loaded_once_a_page_and_again_only_after_a_failure", async () => {
  const missing = new URL("missing/", JS);
  const first = modules(root(missing));
  assert.equal(modules(root(missing)), first);
  await assert.rejects(first);
  const second = modules(root(JS));
  const loaded = await second;
  assert.deepEqual(
    Object.keys(loaded).sort(),
    ["connection", "draw", "feed", "handlers", "page", "roster", "sdk"],
  );
  assert.equal(loaded.page instanceof Page, true);
  assert.equal(modules(root(missing)), second);
});

it("url_of_the_reports_is_that_of_the_first_element_that_has_one", async () => {
  const checks = [];
  for (const presenceCheck of [undefined, "/check", undefined, "/other"]) {
    const element = root(JS);
    Object.assign(element.dataset, { presenceCheck });
    checks.push((await ready(element)).page.tools.tokens.check);
  }
  assert.deepEqual(checks, [undefined, "/check", "/check", "/check"]);
});
