"""Invisible users in browsers, also where Centrifugo pushes joins and leaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Response, WebSocket, expect

from presence_devtools.servers import wait_until
from tests.browser.cursor_surface import board
from tests.browser.one_page_site import (
    Guest,
    Stage,
    Tick,
    Visit,
    expect_ids,
    include,
    live,
    open_stage,
    tell_of_joins,
    write_config,
)
from tests.browser.test_swaps import FETCH, MORPH


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage that the doctor warns of."""
    directory = tmp_path_factory.mktemp("telling")
    with open_stage(directory, write_config(directory, tell_of_joins)) as stage:
        yield stage


class Wire:
    """Everything that a guest receives over HTTP and over websockets."""

    def __init__(self, guest: Guest) -> None:
        self.frames: list[str] = []
        self._answers: list[Response] = []
        guest.context.on("page", self._watch)

    def _watch(self, page: Page) -> None:
        page.on("websocket", self._listen)
        page.on("response", lambda answer: self._answers.append(answer))

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: self.frames.append(str(frame)))

    def all(self) -> str:
        told = [
            answer
            for answer in self._answers
            if "/static/" not in answer.url and answer.status == 200
        ]
        return "".join([*self.frames, *(answer.text() for answer in told)])


def test_hidden_user_is_never_shown_to_others(
    visit: Visit, tick: Tick, channel: str, stage: Stage
) -> None:
    grace, hidden = visit("grace"), visit("hidden-zoe", "Zenobia")
    wire = Wire(grace)
    body = include(channel) + board(channel.replace("presence:", "cursors:"))
    page = grace.open(body)
    seen = live(page, channel)
    hers = hidden.open(body)
    own = live(hers, channel)
    expect(hers.locator("presence-cursors")).to_have_count(0)
    expect(page.locator("presence-cursors")).to_have_count(1)
    tick()
    expect_ids(own, [grace.id])
    expect(own.locator("[data-presence-self]")).to_have_count(0)
    for widget in (own, seen):
        expect(widget).to_have_attribute("data-presence-total", "1")
        expect(widget).to_have_attribute("data-presence-anonymous", "0")
    hers.close()
    wait_until(lambda: stage.clients(channel) == 1, "she has gone")
    tick()
    stage.publish(channel, {"type": "mark"})
    wait_until(lambda: page.wait_for_timeout(20) is None and '"mark"' in wire.frames[-1], "mark")
    expect_ids(seen, [grace.id])
    everything = wire.all()
    assert f'"id":"{grace.id}"' in everything
    ids = [part + f'"{hidden.id}"' for part in ('"id":', '"user":', "member=")]
    assert [part for part in ("Zenobia", "hidden-zoe", *ids) if part in everything] == []


def test_visitor_who_signs_in_by_a_fragment_is_no_stranger(
    visit: Visit, tick: Tick, channel: str
) -> None:
    """The connection has no member that would reveal its user."""
    guest = visit()
    page = guest.open(include(channel))
    widget = live(page, channel)
    tick()
    expect(widget).to_have_attribute("data-presence-anonymous", "1")
    guest.enter("hidden-zoe")
    page.evaluate(FETCH)
    page.evaluate(MORPH)
    live(page, channel)
    tick()
    expect(widget).to_have_attribute("data-presence-anonymous", "0")
    expect(widget).to_have_attribute("data-presence-total", "0")
    expect_ids(widget, [])
