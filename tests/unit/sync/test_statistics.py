"""Records of ticks, and the statistics read from them."""

from __future__ import annotations

import logging

import pytest

from presence.exceptions import CentrifugoUnreachable, StoreError
from presence.sync import statistics
from presence.sync.statistics import Statistics, Tick
from tests.unit.fakes import ROOM, Site

INTERVAL = 60.0


@pytest.fixture
def site() -> Site:
    site = Site(interval=INTERVAL)
    site.centrifugo.enter(ROOM, "c1", "ada", "Ada")
    return site


def read(site: Site) -> Statistics:
    return statistics.read(site.store)


def last(site: Site) -> Tick:
    tick = read(site).last
    assert tick
    return tick


def oldest(site: Site) -> float:
    """Return the age of the oldest roster that is shown, as the statistics tell it."""
    found = read(site)
    return found.now - min([*found.behind.values(), *(t.started for t in found.history[:1])])


def overlapping(site: Site) -> int:
    return sum(tick.overlapping for tick in read(site).history)


def test_statistics_before_the_first_tick_are_empty(site: Site) -> None:
    found = read(site)
    assert (found.last, found.began, found.behind) == (None, None, {})


def test_tick_when_done_is_recorded_with_report_and_duration(site: Site) -> None:
    site.centrifugo.before["poll"] = lambda: site.clock.advance(2)
    started = site.clock()
    site.tick()
    tick = last(site)
    assert (tick.started, tick.finished, tick.shards, tick.missing) == (started, started + 2, 1, 0)
    assert (tick.report.joins, tick.report.channels, tick.report.errors) == (1, 1, 0)
    assert (tick.report.seconds.total, tick.report.seconds.read) == (2.0, 2.0)
    assert (read(site).began, site.store.load_ticks().open) == (started, {})


def test_tick_of_worker_with_fast_clock_records_the_difference(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics.time, "time", lambda: site.clock() + 3600.0)
    site.tick()
    assert last(site).clock_ahead == 3600.0


def test_tick_of_empty_site_is_recorded(site: Site) -> None:
    site.centrifugo.quit(ROOM, "c1")
    site.tick()
    assert (last(site).report.channels, oldest(site)) == (0, 0.0)


def test_tick_of_named_channels_is_not_recorded(site: Site) -> None:
    site.tick(only=[ROOM])
    assert (read(site).history, read(site).began) == ([], None)


def test_tick_that_fails_is_recorded(site: Site) -> None:
    def down() -> None:
        raise CentrifugoUnreachable("no answer")

    site.centrifugo.before["survey"] = down
    assert site.tick().errors == 1
    assert (last(site).report.errors, last(site).report.failures) == (1, ["no answer"])


def test_tick_with_failing_store_counts_an_error(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise StoreError("no answer")

    monkeypatch.setattr(site.store, "add_part", down)
    report = site.tick()
    assert (report.joins, report.errors, report.failures) == (1, 1, ["no answer"])
    assert len(site.store.load_ticks().open) == 1


def test_statistics_history_is_newest_first_and_bounded(site: Site) -> None:
    for _ in range(103):
        site.tick(INTERVAL)
    history = read(site).history
    assert len(history) == 100
    assert history[0].started - history[1].started == INTERVAL


class TestStaleness:
    def test_staleness_without_ticks_grows(self, site: Site) -> None:
        site.tick()
        site.clock.advance(300)
        assert oldest(site) == 300.0

    def test_staleness_of_several_rooms_is_that_of_the_oldest(self, site: Site) -> None:
        site.centrifugo.enter("presence:b", "c2", "alan", "Alan")
        site.tick()
        site.centrifugo.errors["presence", ROOM] = CentrifugoUnreachable("x")
        for _ in range(3):
            site.tick(INTERVAL)
        assert (oldest(site), list(read(site).behind)) == (3 * INTERVAL, [ROOM])

    def test_staleness_of_empty_room_does_not_count(self, site: Site) -> None:
        site.tick()
        site.centrifugo.quit(ROOM, "c1")
        for _ in range(4):
            site.tick(INTERVAL)
        assert ROOM in site.store.known_channels().polled
        assert (read(site).behind, oldest(site)) == ({}, 0.0)

    def test_staleness_of_site_with_polls_but_no_tick_is_counted(self, site: Site) -> None:
        site.tick(only=[ROOM])
        site.clock.advance(9)
        assert oldest(site) == 9.0


class TestOverlapping:
    def test_overlapping_of_two_beats_is_counted_and_logged(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        site.tick()
        with caplog.at_level(logging.WARNING, "presence.sync"):
            site.tick(0.3 * INTERVAL)
        assert "tick=overlapping" in caplog.text
        assert (last(site).overlapping, overlapping(site)) == (True, 1)

    @pytest.mark.parametrize("out_of_phase", [0.0, 0.1, 0.5, 0.9])
    def test_overlapping_of_two_beats_at_any_distance_is_counted(
        self, site: Site, out_of_phase: float
    ) -> None:
        for _ in range(5):
            site.tick(out_of_phase * INTERVAL)
            site.tick((1 - out_of_phase) * INTERVAL)
        assert 4 <= overlapping(site) <= 9

    def test_overlapping_of_slightly_early_tick_is_not_counted(self, site: Site) -> None:
        for gap in (INTERVAL, 0.8 * INTERVAL, 1.2 * INTERVAL, 5 * INTERVAL):
            site.tick(gap)
        assert overlapping(site) == 0

    def test_overlapping_of_loop_with_short_interval_is_not_counted(self, site: Site) -> None:
        for _ in range(3):
            site.clock.advance(5)
            site.sync.tick(interval=5.0)
        assert overlapping(site) == 0


def test_statistics_with_unreadable_record_show_the_others(site: Site) -> None:
    site.tick()
    site.store.begin_tick("x")
    site.store.close_tick("x", b"{}")
    assert len(read(site).history) == 1
