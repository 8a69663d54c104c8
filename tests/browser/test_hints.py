"""Join pushes show who comes before the tick; a tick, or time, decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.one_page_site import (
    EVERY,
    Crowd,
    Stage,
    Tick,
    Visit,
    expect_ids,
    include,
    live,
    open_stage,
    pass_time,
    tell_of_joins,
    write_config,
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage whose Centrifugo tells subscribers of joins and leaves."""
    directory = tmp_path_factory.mktemp("hints")
    with open_stage(directory, write_config(directory, tell_of_joins)) as stage:
        yield stage


def provisional(widget: Locator) -> list[str]:
    found: list[str] = widget.evaluate(
        """(root) => [...root.querySelectorAll("[data-presence-provisional]")]
            .map((member) => member.dataset.presenceMember).filter(Boolean)"""
    )
    return found


def record(page: Page) -> None:
    page.evaluate(
        """() => {
            globalThis.told = [];
            for (const name of ["join", "leave", "update"]) {
                document.addEventListener(`presence:${name}`, ({ detail }) => {
                    globalThis.told.push([name, detail.member.id]);
                });
            }
        }"""
    )


def test_hint_shows_a_join_at_once_and_the_tick_confirms_it(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    page = visit().open(include(channel))
    widget = live(page, channel)
    record(page)
    crowd.join("u2", channel, name="Early Bird", color="#ffe000")
    expect_ids(widget, ["u1", "u2"])
    expect(widget.get_by_text("Early Bird")).to_be_visible()
    assert provisional(widget) == ["u2"]
    expect(widget).to_have_attribute("data-presence-total", "2")
    crowd.join("u2", channel, name="Early Bird", color="#ffe000")
    tick()
    expect(widget.locator("[data-presence-provisional]")).to_have_count(0)
    expect_ids(widget, ["u1", "u2"])
    expect(widget).to_have_attribute("data-presence-total", "2")
    assert page.evaluate("globalThis.told") == [["join", "u2"]]


def test_hint_that_no_tick_confirms_goes_in_time(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    page = visit().open(include(channel), clock=True)
    widget = live(page, channel)
    record(page)
    crowd.join("u2", channel)
    expect_ids(widget, ["u1", "u2"])
    pass_time(page, EVERY)
    assert provisional(widget) == ["u2"]
    pass_time(page, 5)
    expect_ids(widget, ["u1"])
    expect(widget).to_have_attribute("data-presence-total", "1")
    assert page.evaluate("globalThis.told") == [["join", "u2"], ["leave", "u2"]]
    tick()
    expect_ids(widget, ["u1", "u2"])
    expect(widget).to_have_attribute("data-presence-total", "2")


def test_hint_ends_with_its_connection(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    page = visit().open(include(channel))
    widget = live(page, channel)
    crowd.join("u2", channel)
    expect_ids(widget, ["u1", "u2"])
    crowd.leave("u2")
    expect_ids(widget, ["u1"])
    # Only a tick takes out a member that a tick has seen.
    crowd.leave("u1")
    crowd.join("u3", channel)
    expect_ids(widget, ["u1", "u3"])
    tick()
    expect_ids(widget, ["u3"])


def test_member_with_hint_and_diff_is_there_once(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    ada, bob = visit("ada"), visit("bob")
    page = ada.open(include(channel) + include(channel, "stack"))
    hers = live(page, channel, "list")
    record(page)
    expect_ids(hers, [ada.id])
    ada.open(include(channel))
    his = live(bob.open(include(channel)), channel)
    expect(hers.locator(f'[data-presence-member="{bob.id}"]')).to_be_visible()
    expect(hers).to_have_attribute("data-presence-total", "2")
    expect_ids(hers, [ada.id, bob.id])
    tick()
    for widget in (hers, his):
        expect(widget.locator("[data-presence-provisional]")).to_have_count(0)
        expect(widget).to_have_attribute("data-presence-total", "2")
    expect_ids(his, [bob.id, ada.id])  # Oneself comes first.
    # Each event once a widget, of which this page has two.
    assert page.evaluate("globalThis.told").count(["join", bob.id]) == 2
    assert not any(name == "leave" for name, _ in page.evaluate("globalThis.told"))


def test_anonymous_visitors_are_not_hinted(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    page = visit("ada").open(include(channel))
    widget = live(page, channel)
    live(visit().open(include(channel)), channel)
    crowd.join("u1", channel)
    expect(widget.locator("[data-presence-member=u1]")).to_be_visible()
    expect(widget).to_have_attribute("data-presence-anonymous", "0")
    expect(widget).to_have_attribute("data-presence-total", "2")
    tick()
    expect(widget).to_have_attribute("data-presence-anonymous", "1")


def test_counted_room_takes_no_hints(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, settings: Any
) -> None:
    settings.PRESENCE_LIST_LIMIT = 2
    crowd.fill(channel, ["u1", "u2", "u3"])
    tick()
    other = f"{channel}-other"
    page = visit().open(include(channel) + include(other))
    widget, listed = live(page, channel), live(page, other)
    crowd.join("u4", channel, other)
    expect_ids(listed, ["u4"])  # Both joins came over one connection, this one last.
    expect(widget).to_have_attribute("data-presence-total", "3")
    expect_ids(widget, [])
