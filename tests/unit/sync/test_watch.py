"""Looks: what they poll, and how much."""

from __future__ import annotations

from presence.sync.statistics import Report
from tests.unit.fakes import ROOM, Site

OTHER = "presence:other"


def look(site: Site, after: float = 1.0) -> Report | None:
    """Look after some seconds, when every rest is over."""
    site.clock.advance(after)
    return site.sync.look()


def polled(site: Site, after: float = 1.0) -> int:
    report = look(site, after)
    assert report is not None
    assert not report.failures
    return report.channels


def test_look_finds_a_join_without_a_tick() -> None:
    site = Site()
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    assert polled(site) == 1
    assert site.ids() == ["7"]
    assert polled(site) == 0


def test_look_polls_only_the_channels_whose_count_changed() -> None:
    site = Site()
    for n in range(5):
        site.centrifugo.enter(f"presence:{n}", f"c{n}", str(n), "Ada")
    assert polled(site) == 5
    site.centrifugo.enter("presence:3", "c9", "9", "Bea")
    assert polled(site) == 1
    assert site.ids("presence:3") == ["3", "9"]


def test_look_confirms_a_leave_when_the_grace_ends() -> None:
    site = Site(grace=10.0)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    polled(site)
    site.centrifugo.quit(ROOM, "c1")
    assert polled(site) == 1
    assert site.ids() == ["7"]
    assert [polled(site) for _ in range(9)] == [0] * 9
    assert polled(site) == 1
    assert site.ids() == []
    assert polled(site) == 0
