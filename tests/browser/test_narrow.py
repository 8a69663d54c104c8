"""Long names, narrow pages, paper, and screen readers."""

from __future__ import annotations

import re
import zlib
from base64 import b64encode

import pytest
from playwright.sync_api import Locator, Page, expect

from presence import services
from presence.roster.messages import Member
from tests.browser.one_page_site import Guest, Tick, Visit, include, live, overflowing
from tests.stored_rooms import fill

LONG = [Member("u1", "Maximiliane von Langenfeld " * 5), Member("u2", "X" * 150)]
CROWD = [Member(f"u{n:02}", f"Person {n:02}") for n in range(40)]

# The parts of a box, and of what is in it, that are cut off or reach out of it.
CUT = """(box) => [box, ...box.querySelectorAll("*")]
    .filter((part) => part.scrollWidth > part.clientWidth + 1 && part.clientWidth
        || part.scrollHeight > part.clientHeight + 1 && part.clientHeight)
    .map((part) => part.outerHTML)"""

# The share of the pixels of a picture that are dark, and that are light.
SHARES = """async (picture) => {
    const image = new Image();
    image.src = `data:image/png;base64,${picture}`;
    await image.decode();
    const brush = new OffscreenCanvas(image.width, image.height).getContext("2d");
    brush.drawImage(image, 0, 0);
    const { data } = brush.getImageData(0, 0, image.width, image.height);
    const reds = [...data].filter((value, at) => at % 4 === 0);
    const share = (test) => reds.filter(test).length / reds.length;
    return [share((red) => red < 64), share((red) => red > 192)];
}"""


def part(widget: Locator, name: str) -> Locator:
    return widget.locator(f'[data-presence-part="{name}"]')


def open_stack(guest: Guest, channel: str) -> tuple[Page, Locator]:
    page = guest.open(include(channel, "stack"))
    return page, live(page, channel)


@pytest.mark.parametrize("who", ["u1", "u2"])
def test_long_name_of_a_face_shows_in_full(
    visit: Visit, tick: Tick, channel: str, who: str
) -> None:
    fill(services.store(), channel, *LONG)
    _, widget = open_stack(visit(), channel)
    face = widget.locator(f'[data-presence-face="{who}"]')
    face.hover()
    label = face.locator(".presence-label")
    expect(label).to_have_css("clip-path", "none")
    assert label.evaluate(CUT) == []


def test_long_names_stay_in_their_box_on_focus(visit: Visit, tick: Tick, channel: str) -> None:
    fill(services.store(), channel, *LONG)
    page, widget = open_stack(visit(viewport={"width": 320, "height": 700}), channel)
    page.keyboard.press("Tab")
    tip = part(widget, "names")
    expect(tip).to_have_css("clip-path", "none")
    assert tip.evaluate(CUT) == []


@pytest.mark.parametrize("by", ["pointer", "keyboard"])
def test_names_of_faces_have_letters_in_forced_colours(
    visit: Visit, tick: Tick, channel: str, by: str
) -> None:
    fill(services.store(), channel, Member("u1", "Ada Lovelace"))
    guest = visit(forced_colors="active")
    page, widget = open_stack(guest, channel)
    face = widget.locator('[data-presence-face="u1"]')
    if by == "pointer":
        face.hover()
    else:
        page.keyboard.press("Tab")
    shown = face.locator(".presence-label") if by == "pointer" else part(widget, "names")
    expect(shown).to_have_css("clip-path", "none")
    picture = b64encode(shown.screenshot()).decode()
    shares: list[float] = guest.context.new_page().evaluate(SHARES, picture)
    letters, ground = sorted(shares)
    assert ground > 0.6
    assert letters > 0.03


@pytest.mark.parametrize("limit", [8, 20, 50])
def test_stack_with_a_limit_of_its_own_is_no_wider_than_a_phone(
    visit: Visit, tick: Tick, channel: str, limit: int
) -> None:
    fill(services.store(), channel, *CROWD)
    page = visit(viewport={"width": 320, "height": 700}).open(
        f'{{% presence_widget "{channel}" limit={limit} %}}'
    )
    widget = live(page, channel)
    expect(part(widget, "faces").locator("[data-presence-face]")).to_have_count(min(limit, 40))
    assert overflowing(page) == []


def test_panel_keeps_its_width_while_names_are_searched(
    visit: Visit, tick: Tick, channel: str
) -> None:
    fill(services.store(), channel, *CROWD, Member("long", "A name of some length " * 3))
    _, widget = open_stack(visit(), channel)
    part(widget, "overflow").click()
    panel, field = part(widget, "panel"), part(widget, "field")
    expect(field).to_be_visible()
    widths: list[float] = []
    for text in ("", "person 01", "nobody at all"):
        field.fill(text)
        box = panel.bounding_box()
        assert box is not None
        widths.append(box["width"])
    assert len(set(widths)) == 1


def test_faces_have_their_colours_on_paper(visit: Visit, tick: Tick, channel: str) -> None:
    fill(services.store(), channel, Member("u1", "Ada", {"color": "#ff0000"}))
    page, _ = open_stack(visit(), channel)
    streams = re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", page.pdf(), re.DOTALL)
    drawn = b"\n".join(zlib.decompressobj().decompress(stream) for stream in streams)
    assert re.search(rb"\b1 0 0 rg", drawn)


@pytest.mark.parametrize("variant", ["stack", "list", "count"])
def test_empty_status_is_displayed_for_screen_readers_and_takes_no_room(
    visit: Visit, tick: Tick, channel: str, variant: str
) -> None:
    fill(services.store(), channel, Member("u1", "Ada"))
    widget = live(visit().open(include(channel, variant)), channel)
    status = part(widget, "status")
    expect(status).to_have_css("display", "block")
    expect(status).to_have_css("height", "0px")
    expect(status).to_have_css("margin-top", "0px")
