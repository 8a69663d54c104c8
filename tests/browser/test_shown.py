"""Pages of visitors without a session, and of rooms that nobody was ever in."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from presence import services
from presence.snapshots import read_snapshot
from presence_devtools.servers import wait_until
from tests.browser.one_page_site import (
    Crowd,
    Stage,
    Tick,
    Visit,
    expect_ids,
    include,
    live,
    open_stage,
    write_config,
)

HEARTBEAT = "{% presence_heartbeat %}"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage whose Centrifugo has rooms of the site's own, which pages watch from outside."""
    directory = tmp_path_factory.mktemp("shown")
    chat = {"name": "chat", "presence": True}
    config = write_config(directory, lambda namespaces: namespaces.append(chat))
    with open_stage(directory, config) as stage:
        yield stage


def here(channel: str) -> list[str]:
    return [
        member.user
        for member in services.tracker().load_members([channel], timeout=60)[channel].members
    ]


def test_visitor_without_a_session_joins_with_the_first_heartbeat(
    visit: Visit, tick: Tick, stage: Stage, channel: str
) -> None:
    stranger = visit()
    page = stranger.new_page()
    page.goto(f"{stage.url}/tracked/{channel.removeprefix('presence:')}/?body={quote(HEARTBEAT)}")
    wait_until(lambda: len(here(channel)) == 1, "the heartbeat has joined")
    page.close(run_before_unload=True)
    wait_until(lambda: here(channel) == [], "the page has left")


def test_widget_of_a_room_that_was_never_stored_is_right_when_somebody_comes(
    visit: Visit, tick: Tick, crowd: Crowd, stage: Stage
) -> None:
    channel = "chat:never-stored"
    widget = live(visit("ada").open(include(channel)), channel)
    for _ in range(2):
        tick(channel)
    assert read_snapshot(channel).version == 0
    expect(widget).to_have_attribute("data-presence-version", "0")
    expect(widget).to_have_attribute("data-presence-total", "0")
    crowd.join("1001", channel)
    tick(channel)
    expect_ids(widget, ["1001"])
    expect(widget).to_have_attribute("data-presence-state", "live")
    crowd.join("1002", channel)
    tick(channel)
    expect_ids(widget, ["1001", "1002"])
    assert not stage.clients(channel) - 2
