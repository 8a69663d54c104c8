"""The widget in other languages, whether Django or the script writes the words."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from presence import services
from presence.roster.messages import Member
from tests.browser.one_page_site import (
    EVERY,
    Crowd,
    Stage,
    Tick,
    Visit,
    include,
    live,
    pass_time,
    roster,
)
from tests.stored_rooms import fill

NUMBERS = (1, 2, 3, 11, 100)


@pytest.mark.parametrize("language", ["de", "fr", "es", "ar"])
def test_script_chooses_plurals_as_django_does(
    visit: Visit, tick: Tick, channel: str, stage: Stage, language: str
) -> None:
    store = services.store()
    guest = visit(locale=language)
    start = f"{channel}-start"
    fill(store, start, anonymous=50)
    rendered = {number: f"{channel}-{number}" for number in NUMBERS}
    for number, room in rendered.items():
        fill(store, room, anonymous=number)
    page = guest.open("".join(include(room) for room in (start, *rendered.values())))
    widget = live(page, start)
    epoch = widget.get_attribute("data-presence-epoch")
    words = widget.locator("[data-presence-part=anonymous-words]")
    for base, (number, room) in enumerate(rendered.items(), 1):
        diff = {"type": "presence.diff", "epoch": epoch, "base": base, "version": base + 1}
        stage.publish(start, {**diff, "total": 0, "anonymous": number})
        expect(widget).to_have_attribute("data-presence-anonymous", str(number))
        plain = roster(page, room).locator("[data-presence-part=anonymous-words]").text_content()
        assert words.text_content() == plain
        assert "visitor" not in str(plain)


def test_page_in_arabic_is_arabic_throughout(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    fill(services.store(), channel, Member("u1", "Ada"))
    guest = visit("zoe", locale="ar")
    guest.expected = "WebSocket|ERR_INTERNET|Failed to load"
    page = guest.new_page(clock=True)
    body = f'{{% presence_widget "{channel}" variant="stack" announce=True %}}'
    page.goto(stage.page(body))
    widget = live(page, channel)
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    expect(widget).to_have_attribute("lang", "ar")
    tick()  # Ada was never connected.
    region = widget.locator("[data-presence-part=announcement]")
    pass_time(page, EVERY)
    expect(region).not_to_be_empty()
    guest.cut()
    page.clock.fast_forward("05:00")
    status = widget.locator("[data-presence-part=status]")
    expect(status).to_contain_text(re.compile(r"\d:\d\d\s[صم]\.$"))  # AM or PM.
    latin = widget.evaluate(
        """(root) => [root.innerText, ...root.querySelectorAll("[data-presence-part=announcement]")]
            .map((found) => found.textContent ?? found)
            .flatMap((text) => text.match(/[A-Za-z]{2,}/g) ?? [])"""
    )
    assert set(latin) <= {"Zoe", "ZZ", "AD"}


def test_member_without_a_name_has_the_same_words_from_django_and_the_script(
    visit: Visit, tick: Tick, channel: str, stage: Stage
) -> None:
    fill(services.store(), channel, Member("anon_1", "Anonymous"))
    widget = live(visit(locale="de").open(include(channel)), channel)
    diff = {"type": "presence.diff", "epoch": "e1", "base": 1, "version": 2}
    joins = [{"id": "anon_2", "name": "Anonymous"}, {"id": "42", "name": "Ada"}]
    stage.publish(channel, {**diff, "joins": joins, "total": 3, "anonymous": 0})
    expect(widget).to_have_attribute("data-presence-total", "3")
    names = widget.locator("[data-presence-part=name]")
    expect(names).to_have_text(["Anonym", "Anonym", "Ada"])
