// Twins of tests/unit/roster/test_names.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { readMember } from "../../presence/static/presence/js/cursor_state.js";
import { SHOWS, initials } from "../../presence/static/presence/js/render.js";

const cases = JSON.parse(readFileSync(new URL("../fixtures/names.json", import.meta.url)));

describe("names that Python and JavaScript share", () => {
  for (const { name, clean, initials: letters } of cases) {
    it(JSON.stringify(name), () => {
      assert.equal(initials(name), letters);
      assert.equal(initials(clean), letters);
      for (const info of [{ connInfo: { name } }, { chanInfo: { name, iat: 1 } }]) {
        assert.equal(readMember({ user: "7", ...info }, SHOWS).name, clean ? name : "7");
      }
    });
  }

  it("read_member_falls_back_to_the_connection_when_the_subscription_name_shows_nothing", () => {
    const client = { user: "7", chanInfo: { name: "\u3164" }, connInfo: { name: "Ada" } };
    assert.equal(readMember(client, SHOWS).name, "Ada");
  });

  it("initials_without_a_segmenter_are_code_points", () => {
    const { Segmenter } = Intl;
    delete Intl.Segmenter;
    try {
      assert.equal(initials("ada \u{1f98a}x"), "A\u{1f98a}");
    } finally {
      Intl.Segmenter = Segmenter;
    }
  });
});
