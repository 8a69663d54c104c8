"""Weight of the browser files, and contrast of their colours."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

import presence
from presence.web.widget import PALETTE
from tools.strip_comments import COMMENT, strip_comments

STATIC = Path(presence.__file__).parent / "static" / "presence"
README = (Path(__file__).parents[2] / "README.md").read_text()
CSS = (STATIC / "css" / "presence.css").read_text()
BUDGET_JS = 13_990
"""Bytes of the modules that every widget loads. A stack of faces needs most of them."""
BUDGET_SEARCH_JS = 1_024
"""Bytes of the module that is loaded once a long list is opened."""
BUDGET_CURSORS_JS = 7_616
CURSORS_JS = {"cursors.js", "cursor_channel.js", "cursor_state.js", "cursor_surface.js"}
"""Modules that only pages with cursors load, besides those of the widget."""
BUDGET_HEARTBEAT_JS = 1_536
"""Bytes of the module of pages that track members without a widget."""
BUDGET_ANNOUNCE_JS = 1_024
"""Bytes of the module of widgets with `announce=True`."""
BUDGET_ROOM_JS = 512
"""Bytes of the module for scripts that draw a room themselves."""
BUDGET_COVER_JS = 1_024
"""Bytes of the module of surfaces that cannot hold their layer."""
ON_DEMAND_JS = {"heartbeat.js", "search.js", "announce.js", "room.js", "cover.js"}
"""Modules that a page with a widget loads only when it needs them."""
BUDGET_CSS = 5_120
READABLE = 4.5  # WCAG 2.2, 1.4.3


def weight(paths: Iterable[Path]) -> dict[str, int]:
    """Return the bytes of each file, gzipped."""
    return {path.name: len(gzip.compress(path.read_bytes(), 9)) for path in paths}


def weight_of_code(paths: Iterable[Path]) -> dict[str, int]:
    """Return the bytes of each module, gzipped, without the lines of comments.

    A budget must not be met by taking the reasons out of the code.
    """
    code = {path.name: COMMENT.sub("", path.read_text("utf-8")) for path in paths}
    return {name: len(gzip.compress(text.encode(), 9)) for name, text in code.items()}


def weight_in_wheel(paths: Iterable[Path]) -> dict[str, int]:
    """Return the bytes of each module as the wheel serves it, gzipped."""
    served = {path.name: strip_comments(path.read_text("utf-8")) for path in paths}
    return {name: len(gzip.compress(text.encode(), 9)) for name, text in served.items()}


def test_modules_without_comments_stay_within_their_budgets():
    weights = weight_of_code((STATIC / "js").glob("*.js"))
    cursors = {name: weights.pop(name) for name in CURSORS_JS}
    assert weights.pop("heartbeat.js") <= BUDGET_HEARTBEAT_JS
    assert weights.pop("search.js") <= BUDGET_SEARCH_JS
    assert weights.pop("announce.js") <= BUDGET_ANNOUNCE_JS
    assert weights.pop("room.js") <= BUDGET_ROOM_JS
    assert weights.pop("cover.js") <= BUDGET_COVER_JS
    assert sum(weights.values()) <= BUDGET_JS, weights
    assert sum(cursors.values()) <= BUDGET_CURSORS_JS, cursors


def test_stylesheets_stay_within_their_budget():
    weights = weight((STATIC / "css").glob("*.css"))
    assert sum(weights.values()) <= BUDGET_CSS, weights


def test_readme_weights_in_kilobytes_are_those_of_the_files():
    scripts = weight_in_wheel((STATIC / "js").glob("*.js"))
    styles = weight((STATIC / "css").glob("*.css"))
    (sdk,) = weight([STATIC / "js" / "vendor" / "centrifuge.js"]).values()
    cursors = sum(scripts.pop(name) for name in CURSORS_JS)
    widget = sum(size for name, size in scripts.items() if name not in ON_DEMAND_JS)
    told = re.search(
        r"scripts weigh (\d+) KB \(cursors: (\d+) KB more\), the stylesheet (\d+) KB\s+"
        r"and Centrifugo's SDK (\d+) KB",
        README,
    )
    assert told is not None
    weights = [widget, cursors, styles["presence.css"], sdk]
    assert [int(size) for size in told.groups()] == [round(size / 1000) for size in weights]


def luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(ink: str, paper: str) -> float:
    """Return the contrast ratio of two colours "#rrggbb" by WCAG: 1 to 21."""
    darker, lighter = sorted((luminance(ink), luminance(paper)))
    return (lighter + 0.05) / (darker + 0.05)


PALETTE_COLOURS = re.findall(
    r"\.presence-colour-(\d+) \{ --presence-colour: (#[\da-f]{6}); \}", CSS
)


def test_palette_has_a_colour_for_every_place():
    assert [int(place) for place, _ in PALETTE_COLOURS] == list(range(PALETTE))
    assert len({colour for _, colour in PALETTE_COLOURS}) == PALETTE


@pytest.mark.parametrize("colour", [colour for _, colour in PALETTE_COLOURS])
def test_palette_colour_under_white_letters_is_readable(colour: str):
    assert contrast("#ffffff", colour) >= READABLE
    # Below this luminance the stylesheet chooses white.
    assert luminance(colour) < 0.179


def test_letters_on_any_colour_are_readable():
    """The stylesheet goes from white to black letters at one lightness."""
    (threshold,) = re.findall(r"calc\(\(([\d.]+) - l\) \* 99999\)", CSS)
    for value in range(256):
        grey = f"#{value:02x}{value:02x}{value:02x}"
        lightness = 116 * luminance(grey) ** (1 / 3) - 16
        ink = "#000000" if lightness > float(threshold) else "#ffffff"
        assert contrast(ink, grey) >= READABLE, grey


def test_stylesheet_names_no_left_and_no_right():
    assert not re.findall(r"\b(?:left|right)\b", re.sub(r"/\*.*?\*/", "", CSS, flags=re.DOTALL))
