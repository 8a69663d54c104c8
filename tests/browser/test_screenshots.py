"""Pictures of the variants; `make screenshots` keeps them for the README."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from project.people import PEOPLE
from tests.browser.one_page_site import Crowd, Tick, Visit, include, live, overflowing

OTHERS = {"u1": "Radia Perlman", "u2": "محمد الخوارزمي"}
VARIANTS = ("stack", "list", "count")
GALLERY = """<div class="gallery">
    <section><h2 dir="ltr">stack</h2>{}</section>
    <div>
        <section><h2 dir="ltr">list</h2>{}</section>
        <section><h2 dir="ltr">count</h2>{}</section>
    </div>
</div>"""
KINDS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "right-to-left": {"color_scheme": "light", "locale": "ar"},
    "forced-colours": {"forced_colors": "active", "color_scheme": "dark"},
}


CLIP: Any = {"x": 0, "y": 0, "width": 820, "height": 520}
LOADED = """() => [...document.images]
    .filter((image) => image.checkVisibility()).every(({ naturalWidth }) => naturalWidth > 0)"""


@pytest.mark.parametrize("kind", KINDS)
def test_variants_match_their_screenshots(
    visit: Visit, crowd: Crowd, tick: Tick, tmp_path: Path, kind: str
) -> None:
    channel = f"presence:picture-{kind}"
    katherine = visit(
        "katherine",
        "Katherine Johnson",
        viewport={"width": 820, "height": 720},
        device_scale_factor=1.5,
        reduced_motion="reduce",
        **KINDS[kind],
    )
    for person in list(PEOPLE.values())[:5]:
        info = {"avatar": f"/static/demo/people/{person.username}.svg", "color": person.color}
        if person.username != "katherine":
            crowd.join(person.username, channel, name=person.full_name, **info)
            tick(channel)
    for who, name in OTHERS.items():
        crowd.join(who, channel, name=name)
        tick(channel)
    live(visit().open(include(channel)), channel)
    page = katherine.open(GALLERY.format(*(include(channel, v) for v in VARIANTS)))
    tick(channel)
    stacked = live(page, channel, "stack")
    expect(stacked).to_have_attribute("data-presence-total", "7")
    expect(stacked).to_have_attribute("data-presence-anonymous", "1")
    directory = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    directory.mkdir(parents=True, exist_ok=True)
    stacked.get_by_role("button").click()
    expect(stacked.get_by_role("heading")).to_contain_text("7 ")
    page.wait_for_function(LOADED)
    page.mouse.move(0, 0)
    page.screenshot(path=directory / f"{kind}.png", clip=CLIP)
    assert overflowing(page) == []
