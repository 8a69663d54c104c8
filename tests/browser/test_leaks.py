"""Cursors that came and went leave nothing behind in the page."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from presence_devtools.servers import wait_until
from tests.browser.cursor_surface import board, held, shared, stir
from tests.browser.one_page_site import Guest, Stage

MOVES = 5000
CURSORS = 50


@pytest.fixture
def channel(channel: str) -> str:
    """A cursor channel of the test's own."""
    return channel.replace("presence:", "cursors:")


def test_fifty_cursors_that_came_and_went_leave_nothing(
    visit: Callable[..., Guest], stage: Stage, channel: str
) -> None:
    his = shared(visit("bob").open(board(channel)), channel)
    stir(stage, his, channel, MOVES, cursors=CURSORS)
    before = held(his.page)
    for _ in range(2):
        stir(stage, his, channel, MOVES, cursors=CURSORS)
    after = held(his.page)
    assert after["heap"] <= 1.1 * before["heap"], (before, after)
    assert after["nodes"] <= before["nodes"], (before, after)
    assert after["listeners"] <= before["listeners"], (before, after)


def test_surfaces_that_came_and_went_leave_nothing(
    visit: Callable[..., Guest], stage: Stage, channel: str
) -> None:
    his = shared(visit("bob").open(board(channel)), channel)
    page = his.page

    def come_and_go(times: int) -> None:
        for _ in range(times):
            stir(stage, shared(page, channel), channel, 10, cursors=10)
            page.evaluate("globalThis.kept = document.querySelector('.board'); kept.remove()")
            wait_until(lambda: stage.clients(channel) == 0, "the removed surface unsubscribed")
            page.evaluate("document.querySelector('main').append(globalThis.kept)")
        shared(page, channel)

    come_and_go(15)  # The engine is at rest by then: what it compiles is on the heap, too.
    before = held(page)
    come_and_go(10)
    after = held(page)
    assert after["heap"] <= 1.1 * before["heap"], (before, after)
    assert after["nodes"] <= before["nodes"], (before, after)
    assert after["listeners"] <= before["listeners"], (before, after)
