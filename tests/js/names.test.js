// Twins of tests/unit/test_names.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { initials } from "../../presence/static/presence/js/render.js";
import { readPush } from "../../presence/static/presence/js/roster.js";

const cases = JSON.parse(readFileSync(new URL("../fixtures/names.json", import.meta.url)));

describe("the names that Python and JavaScript share", () => {
  for (const { name, clean, initials: letters } of cases) {
    it(JSON.stringify(name), () => {
      assert.equal(initials(name), letters);
      assert.equal(initials(clean), letters);
      for (const info of [{ connInfo: { name } }, { chanInfo: { name, iat: 1 } }]) {
        assert.equal(readPush({ user: "7", ...info }).name, clean ? name : "7");
      }
    });
  }

  it("give way to the name of the connection where the subscription's shows nothing", () => {
    const push = { user: "7", chanInfo: { name: "\u3164" }, connInfo: { name: "Ada" } };
    assert.equal(readPush(push).name, "Ada");
  });

  it("have the initials of code points in a browser that knows no graphemes", () => {
    const { Segmenter } = Intl;
    delete Intl.Segmenter;
    try {
      assert.equal(initials("ada \u{1f98a}x"), "A\u{1f98a}");
    } finally {
      Intl.Segmenter = Segmenter;
    }
  });
});
