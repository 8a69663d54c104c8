"""Each tick tells the open pages once that it ran, unless it could not poll anything."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from presence.backends.memory import MemoryStore
from presence.exceptions import CentrifugoUnreachable, CommandError, StoreError
from presence.roster.channel_names import PULSE
from presence.sync import statistics
from presence.sync.channels import Shard
from tests.unit.fakes import ROOM, Site

INTERVAL = 60.0


def pulses(site: Site) -> list[Any]:
    """Return the pulses since the last call."""
    found = list(site.centrifugo.delivered[PULSE])
    site.centrifugo.delivered[PULSE].clear()
    return found


def fill(site: Site, channels: int) -> None:
    for n in range(channels):
        site.centrifugo.enter(f"presence:{n}", "c", str(n), "Ada")


def down() -> None:
    raise CentrifugoUnreachable("no answer")


def test_tick_publishes_one_pulse_that_is_in_no_history() -> None:
    site = Site(interval=INTERVAL)
    fill(site, 3)
    site.tick()
    assert pulses(site) == [{"type": "presence.tick", "every": INTERVAL}]
    assert PULSE not in site.centrifugo.streams


def test_tick_of_a_site_where_nobody_is_publishes_a_pulse() -> None:
    site = Site()
    site.tick()
    assert len(pulses(site)) == 1


def test_pulse_of_a_tick_with_another_interval_tells_that_one() -> None:
    site = Site(interval=INTERVAL)
    site.sync.tick(interval=5.0)
    assert pulses(site) == [{"type": "presence.tick", "every": 5.0}]


def test_look_publishes_no_pulse() -> None:
    site = Site()
    site.centrifugo.enter(ROOM, "c", "ada", "Ada")
    report = site.sync.look()
    assert report
    assert report.joins == 1
    assert pulses(site) == []


def test_tick_of_chosen_channels_publishes_no_pulse() -> None:
    site = Site()
    site.centrifugo.enter(ROOM, "c", "ada", "Ada")
    assert site.tick(only=[ROOM]).joins == 1
    assert pulses(site) == []


def test_pulse_is_not_counted_as_a_publication() -> None:
    site = Site()
    fill(site, 3)
    assert site.tick().published == 3
    assert statistics.read(site.store).history[0].report.published == 3


# Failures ---------------------------------------------------------------------------------------


def test_tick_without_centrifugo_publishes_no_pulse() -> None:
    site = Site()
    site.centrifugo.before["survey"] = down
    assert site.tick().errors == 1
    assert pulses(site) == []


def test_tick_whose_polls_all_fail_publishes_no_pulse() -> None:
    site = Site(batch_size=2)
    fill(site, 5)
    site.centrifugo.before["poll"] = down
    assert site.tick().errors == 5
    assert pulses(site) == []


def test_tick_with_one_failing_channel_publishes_a_pulse() -> None:
    site = Site()
    fill(site, 3)
    site.centrifugo.errors["presence", "presence:1"] = CommandError(100, "internal")
    assert site.tick().errors == 1
    assert len(pulses(site)) == 1


@pytest.mark.parametrize("method", ["begin_tick", "load_states", "write"])
def test_tick_without_store_publishes_no_pulse(method: str) -> None:
    class Broken(MemoryStore):
        pass

    def fail(*_: Any, **__: Any) -> Any:
        raise StoreError("down")

    site = Site()
    fill(site, 3)
    setattr(Broken, method, fail)
    assert site.make(site.options, store=Broken(clock=site.clock)).tick().errors
    assert pulses(site) == []


def test_tick_whose_deadline_passes_before_the_first_poll_publishes_no_pulse() -> None:
    site = Site(interval=INTERVAL)
    fill(site, 3)
    site.centrifugo.before["survey"] = lambda: site.clock.advance(2 * INTERVAL)
    assert site.tick().errors == 3
    assert pulses(site) == []


def test_tick_that_missed_its_deadline_after_some_polls_publishes_a_pulse() -> None:
    site = Site(interval=INTERVAL, batch_size=1)
    fill(site, 10)
    site.centrifugo.before["poll"] = lambda: site.clock.advance(INTERVAL / 2)
    assert site.tick().errors > 5
    assert len(pulses(site)) == 1


@pytest.mark.parametrize("whole", [True, False], ids=["request", "reply"])
def test_pulse_that_fails_is_counted_and_logged_and_costs_no_tick(
    caplog: pytest.LogCaptureFixture, *, whole: bool
) -> None:
    site = Site()
    fill(site, 2)
    if whole:
        site.centrifugo.before["pulse"] = down
    else:
        site.centrifugo.errors["publish", PULSE] = CommandError(100, "no answer")
    report = site.tick()
    assert (report.joins, report.errors) == (2, 1)
    (record,) = statistics.read(site.store).history
    assert (record.missing, record.report.joins, record.report.errors) == (0, 2, 1)
    assert "no answer" in record.report.failures[0]
    assert caplog.text.count("no answer") == 1
    assert len(site.diffs("presence:0")) == 1


# Shards -----------------------------------------------------------------------------------------


def sharded() -> tuple[Site, list[Shard], Callable[[Shard], bool]]:
    """Return a site with five shards, those that wait, and what hands them out."""
    site, waiting = Site(shard_size=10, interval=INTERVAL), list[Shard]()

    def hand_out(shard: Shard) -> bool:
        waiting.append(msgspec.json.decode(msgspec.json.encode(shard), type=Shard))
        return True

    fill(site, 50)
    return site, waiting, hand_out


def test_tick_in_shards_publishes_one_pulse_when_its_last_shard_ends() -> None:
    site, waiting, hand_out = sharded()
    site.sync.tick(interval=5.0, hand_out=hand_out)
    for shard in waiting:
        assert pulses(site) == []
        site.sync.shard(shard)
    assert pulses(site) == [{"type": "presence.tick", "every": 5.0}]
    site.sync.shard(waiting[0])
    assert pulses(site) == [], "a shard that ran twice"


def test_tick_with_one_failing_shard_publishes_a_pulse() -> None:
    site, waiting, hand_out = sharded()
    site.sync.tick(hand_out=hand_out)
    for shard in waiting[:4]:
        site.sync.shard(shard)
    site.centrifugo.before["poll"] = down
    assert site.sync.shard(waiting[4]).errors == 10
    assert len(pulses(site)) == 1


def test_tick_with_only_failing_shards_publishes_no_pulse() -> None:
    site, waiting, hand_out = sharded()
    site.sync.tick(hand_out=hand_out)
    site.centrifugo.before["poll"] = down
    for shard in waiting:
        site.sync.shard(shard)
    assert statistics.read(site.store).history[0].report.errors == 50
    assert pulses(site) == []


def test_tick_with_a_lost_shard_has_its_pulse_from_the_next_tick() -> None:
    site, waiting, hand_out = sharded()
    site.sync.tick(hand_out=hand_out)
    for shard in waiting[:4]:
        site.sync.shard(shard)
    site.clock.advance(INTERVAL)
    site.sync.tick(hand_out=hand_out)
    assert len(pulses(site)) == 1


def test_tick_with_a_lost_shard_before_an_outage_has_no_pulse_after_it() -> None:
    """Else the pages would show for the time of a tick that the old members are the present."""
    site, waiting, hand_out = sharded()
    site.sync.tick(hand_out=hand_out)
    for shard in waiting[:4]:
        site.sync.shard(shard)
    site.clock.advance(3600)
    site.sync.tick(hand_out=hand_out)
    assert pulses(site) == []
    assert statistics.read(site.store).history[0].missing == 1


def test_tick_that_was_killed_has_no_pulse() -> None:
    site = Site(interval=INTERVAL)

    def kill() -> None:
        raise KeyboardInterrupt

    fill(site, 3)
    site.centrifugo.before["survey"] = kill
    with pytest.raises(KeyboardInterrupt):
        site.tick()
    site.centrifugo.before["survey"] = down
    site.tick(INTERVAL)
    assert [tick.missing for tick in statistics.read(site.store).history] == [0, 1]
    assert pulses(site) == []


# The channel ------------------------------------------------------------------------------------


@pytest.mark.parametrize("patterns", [("*",), ("presence*",), ("presence.tick", "presence:*")])
def test_channel_of_the_pulse_is_no_room(
    patterns: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(patterns=patterns)
    site.centrifugo.watchers[PULSE] = 9
    site.centrifugo.enter(ROOM, "c", "ada", "Ada")
    with caplog.at_level(logging.WARNING):
        report = site.sync.look()
        assert report
        assert (report.channels, report.joins) == (1, 1)
        assert PULSE not in site.sync.last_look.counts[1]
        site.centrifugo.watchers[PULSE] = 10_000
        again = site.sync.look()
        assert again is None or again.channels == 0
        assert (site.tick().channels, site.tick(INTERVAL).channels) == (1, 1)
    assert [r.getMessage() for r in caplog.records if "overlapping" not in r.getMessage()] == []
    assert list(site.store.known_channels().polled) == [ROOM]
