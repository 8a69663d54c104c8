import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { extent, locate } from "../../presence/static/presence/js/cursor_surface.js";

const STYLE = { overflowX: "visible", overflowY: "visible", direction: "ltr" };

/** A box as the browser describes it: laid out with these sizes, and seen at `left`, `top`. */
function boxOf({
  width = 400, height = 200, border = 0, left = 0, top = 0, scale = 1, content = {}, scroll = [0, 0],
} = {}) {
  const [offsetWidth, offsetHeight] = [width + 2 * border, height + 2 * border];
  return {
    clientWidth: width,
    clientHeight: height,
    clientLeft: border,
    clientTop: border,
    offsetWidth,
    offsetHeight,
    scrollWidth: content.width ?? width,
    scrollHeight: content.height ?? height,
    scrollLeft: scroll[0],
    scrollTop: scroll[1],
    getBoundingClientRect: () => ({ left, top, width: offsetWidth * scale, height: offsetHeight * scale }),
  };
}

function found(given, clientX, clientY, { unit = "px", ...style } = {}) {
  const box = boxOf(given);
  return locate(box, extent(box, { ...STYLE, ...style }), unit, { clientX, clientY });
}

const SCROLLS = { overflowX: "auto", overflowY: "auto" };

describe("extent", () => {
  it("extent_of_a_box_is_within_its_borders", () => {
    const box = boxOf({ border: 5, content: { width: 900, height: 900 } });
    assert.deepEqual(extent(box, STYLE), { width: 400, height: 200, scrolls: false, start: 0 });
    const { scrolls } = extent(box, { ...STYLE, overflowX: "hidden", overflowY: "hidden" });
    assert.equal(scrolls, false);
  });

  it("extent_of_a_box_that_scrolls_is_all_of_its_content", () => {
    const box = boxOf({ content: { width: 400, height: 900 } });
    for (const style of [SCROLLS, { overflowY: "scroll" }, { overflowX: "auto", overflowY: "hidden" }]) {
      const { width, height, scrolls } = extent(box, { ...STYLE, ...style });
      assert.deepEqual([width, height, scrolls], [400, 900, true]);
    }
  });

  it("extent_of_a_box_that_reads_from_the_right_starts_left_of_what_shows_first", () => {
    const box = boxOf({ content: { width: 1000, height: 200 } });
    assert.equal(extent(box, { ...STYLE, ...SCROLLS, direction: "rtl" }).start, 600);
    assert.equal(extent(box, { ...STYLE, direction: "rtl" }).start, 0);
  });
});

describe("locate", () => {
  it("locate_counts_from_the_corner_of_the_content_within_the_border", () => {
    assert.deepEqual(found({ left: 100, top: 50 }, 130, 90), { x: 30, y: 40 });
    assert.deepEqual(found({ left: 100, top: 50, border: 10 }, 140, 100), { x: 30, y: 40 });
    assert.deepEqual(found({ left: -300, top: -20 }, 0, 0), { x: 300, y: 20 });
  });

  it("locate_in_fractions_counts_parts_of_the_content", () => {
    const unit = "fraction";
    assert.deepEqual(found({ left: 100, border: 10 }, 310, 110, { unit }), { x: 0.5, y: 0.5 });
    const given = { content: { width: 800, height: 1000 }, scroll: [400, 800] };
    assert.deepEqual(found(given, 200, 100, { unit, ...SCROLLS }), { x: 0.75, y: 0.9 });
  });

  it("locate_on_a_scaled_surface_gives_the_same_place", () => {
    for (const scale of [0.5, 1, 2.5]) {
      const given = { left: 40, top: 10, border: 8, scale };
      const at = (offset) => (8 + offset) * scale;
      const { x, y } = found(given, 40 + at(100), 10 + at(60));
      assert.ok(Math.abs(x - 100) < 1e-9 && Math.abs(y - 60) < 1e-9, `${scale}: ${x}, ${y}`);
    }
  });

  it("locate_in_a_scrolled_box_adds_what_was_scrolled_away", () => {
    const content = { width: 1000, height: 800 };
    assert.deepEqual(found({ content, scroll: [50, 300] }, 100, 100, SCROLLS), { x: 150, y: 400 });
    const scaled = { content, scroll: [50, 300], scale: 2 };
    assert.deepEqual(found(scaled, 100, 100, SCROLLS), { x: 100, y: 350 });
    const right = { ...SCROLLS, direction: "rtl" };
    assert.equal(found({ content, scroll: [0, 0] }, 399, 0, right).x, 999);
    assert.equal(found({ content, scroll: [-600, 0] }, 0, 0, right).x, 0);
  });

  it("locate_outside_gives_a_place_on_the_edge", () => {
    const unit = "fraction";
    assert.deepEqual(found({ left: 10, border: 10 }, 0, 5000, { unit }), { x: 0, y: 1 });
    assert.deepEqual(found({}, 1e9, -1), { x: 100_000, y: 0 });
  });

  it("locate_in_a_box_without_a_size_gives_a_number", () => {
    for (const unit of ["fraction", "px"]) {
      const { x, y } = found({ width: 0, height: 0 }, 5, 5, { unit });
      assert.ok(Number.isFinite(x) && Number.isFinite(y));
    }
  });
});
