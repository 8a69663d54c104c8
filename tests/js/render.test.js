import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { paletteIndex, pluralForm, safeColour, safeUrl } from "../../presence/static/presence/js/render.js";

describe("paletteIndex", () => {
  it("palette_index_is_fnv_1a_of_the_bytes_of_the_id", () => {
    const expected = { "": 0x811c9dc5, a: 0xe40c292c, foobar: 0xbf9cf968 };
    for (const [id, hash] of Object.entries(expected)) assert.equal(paletteIndex(id), hash % 12);
    assert.equal(paletteIndex("é"), paletteIndex("\u00e9"));
  });
});

describe("safeUrl, safeColour", () => {
  it("safe_url_takes_only_http_https_and_paths_of_this_site", () => {
    for (const url of ["https://a.example/x.png", "HTTP://a.example/x.png", "/a/42.png"]) {
      assert.equal(safeUrl(url), url);
    }
    for (const url of ["javascript:alert(1)", "data:image/png;base64,x", "//a.example/x", "/\\a.example", "x.png", " https://a", "", null, 4, {}]) {
      assert.equal(safeUrl(url), "");
    }
  });

  it("safe_colour_takes_only_hexadecimal", () => {
    for (const colour of ["#abc", "#4363D8"]) assert.equal(safeColour(colour), colour);
    for (const colour of ["red", "#ab", "#abcd", "#12345g", "#fff;", "url(x)", "#fff\n", null, 0]) {
      assert.equal(safeColour(colour), "");
    }
  });
});

describe("pluralForm", () => {
  const samples = (words) => [0, 1, 2, 3, 5, 6, 7, 11, 20, 100].map((n) => [n, words(n)]);
  const polish = samples((n) => (n === 1 ? "osoba" : [2, 3].includes(n) ? "osoby" : "osób"));

  it("plural_form_of_a_count_is_that_of_a_sample_of_its_category", () => {
    assert.deepEqual([1, 2, 4, 5, 22, 25].map((n) => pluralForm(polish, n, "pl")),
      ["osoba", "osoby", "osoby", "osób", "osoby", "osób"]);
    const english = samples((n) => (n === 1 ? "visitor" : "visitors"));
    assert.deepEqual([0, 1, 2, 100].map((n) => pluralForm(english, n, "en-gb")),
      ["visitors", "visitor", "visitors", "visitors"]);
  });

  it("plural_form_has_a_sample_for_every_category_of_every_language", () => {
    for (const language of ["ar", "br", "cs", "cy", "en", "ga", "he", "ja", "lt", "lv", "mt", "ro", "ru", "sl"]) {
      const rules = new Intl.PluralRules(language);
      const covered = new Set(samples((n) => n).map(([n]) => rules.select(n)));
      for (let n = 0; n < 1000; n += 1) {
        assert.equal(covered.has(rules.select(n)), true, `${language}: ${n} is ${rules.select(n)}`);
      }
    }
  });

  it("plural_form_of_whole_millions_is_the_usual_one", () => {
    const words = (n) => (n === 1 ? "visitante anónimo" : "visitantes anónimos");
    for (const language of ["es", "fr", "it", "pt"]) {
      assert.equal(new Intl.PluralRules(language).select(1_000_000), "many");
      assert.equal(pluralForm(samples(words), 1_000_000, language), "visitantes anónimos");
    }
  });

  it("plural_form_of_an_unknown_language_or_no_forms_does_not_throw", () => {
    assert.equal(pluralForm([[1, "one"], [100, "many"]], 7, "xx"), "many");
    assert.equal(pluralForm([], 7, "en"), "");
  });
});
