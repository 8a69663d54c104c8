"""What the variants of the widget show."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.stage import Crowd, Guest, expect_ids, include, live

Tick = Callable[..., None]
Visit = Callable[..., Guest]


def test_whoever_comes_and_goes_is_listed(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.join("u1", channel, name="Ada Lovelace")
    tick()
    widget = live(visit().open(include(channel)), channel)
    expect_ids(widget, ["u1"])
    crowd.join("u2", channel, name="Grace Hopper")
    tick()
    expect_ids(widget, ["u1", "u2"])
    crowd.leave("u1")
    tick()
    expect_ids(widget, ["u2"])
    expect(widget).to_have_attribute("data-presence-total", "1")
