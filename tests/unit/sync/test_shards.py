"""A large tick is split into shards: each channel is polled once, and there is one record."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from presence.backends.revocations import Revocation
from presence.centrifugo.gateway import Survey
from presence.exceptions import CentrifugoUnreachable, StoreError
from presence.roster.channel_names import session_channel
from presence.sync import statistics
from presence.sync.channels import Shard, batches, split
from presence.sync.statistics import OpenTick, Tick
from tests.unit.fakes import Site

INTERVAL = 60.0
CHAT = "chat:lobby"


class Workers:
    """Takes shards as messages, up to `limit` of them, and runs them when told."""

    def __init__(self, site: Site, limit: int = 1000) -> None:
        self._site = site
        self._limit = limit
        self.asked = 0
        self.waiting: list[bytes] = []

    def hand_out(self, shard: Shard) -> bool:
        self.asked += 1
        if len(self.waiting) >= self._limit:
            return False
        self.waiting.append(msgspec.json.encode(shard))
        return True

    def run(self, count: int | None = None) -> list[Any]:
        """Run the next `count` shards (None: all), and return their reports."""
        taken, self.waiting = self.waiting[:count], self.waiting[count:] if count else []
        return [self._site.sync.shard(msgspec.json.decode(raw, type=Shard)) for raw in taken]


def full(channels: int = 50, **options: Any) -> tuple[Site, Workers]:
    site = Site(**({"shard_size": 10, "interval": INTERVAL, "batch_size": 4} | options))
    for n in range(channels):
        site.centrifugo.enter(f"presence:{n:03}", "c", f"u{n}", f"User {n}")
    return site, Workers(site)


def history(site: Site) -> list[Tick]:
    return statistics.read(site.store).history


def test_sharded_tick_polls_each_channel_once_and_records_one_tick() -> None:
    site, workers = full(47)
    here = site.sync.tick(hand_out=workers.hand_out)
    assert (here.channels, len(workers.waiting), history(site)) == (0, 5, [])
    site.clock.advance(3)
    reports = workers.run()
    assert [report.channels for report in reports] == [10, 10, 10, 10, 7]
    assert all(len(site.diffs(f"presence:{n:03}")) == 1 for n in range(47))
    (tick,) = history(site)
    assert (tick.shards, tick.missing, tick.report.channels) == (5, 0, 47)
    assert (tick.report.joins, tick.report.members, tick.report.published) == (47, 47, 47)
    assert tick.report.seconds.total == tick.finished - tick.started == 3.0
    assert site.centrifugo.requests.count("survey") == 1, "no shard surveys again"


def test_sharded_tick_when_complete_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    site, workers = full()
    with caplog.at_level(logging.INFO, "presence.sync"):
        site.sync.tick(hand_out=workers.hand_out)
        assert "tick=done" not in caplog.text
        workers.run()
    (line,) = [r.getMessage() for r in caplog.records if "tick=done" in r.getMessage()]
    assert "shards=5 channels=50" in line


def test_tick_of_a_single_shard_hands_nothing_out() -> None:
    site, workers = full(10)
    assert site.sync.tick(hand_out=workers.hand_out).channels == 10
    assert (workers.asked, history(site)[0].shards) == (0, 1)


def test_tick_without_hand_out_polls_everything_itself() -> None:
    site, _ = full(50)
    assert site.sync.tick().channels == 50
    assert history(site)[0].shards == 1


def test_shard_that_runs_twice_counts_once() -> None:
    site, workers = full()
    site.sync.tick(hand_out=workers.hand_out)
    workers.waiting += workers.waiting[:2]
    workers.run()
    (tick,) = history(site)
    assert (tick.report.channels, tick.missing, tick.report.joins) == (50, 0, 50)


def test_tick_with_failing_hand_out_polls_the_rest_itself() -> None:
    site, _ = full()
    workers = Workers(site, limit=2)
    here = site.sync.tick(hand_out=workers.hand_out)
    assert (here.channels, workers.asked) == (30, 3), "a broker that failed is not asked again"
    workers.run()
    (tick,) = history(site)
    assert (tick.shards, tick.missing, tick.report.channels) == (5, 0, 50)
    assert len(site.announced) == 50


def test_tick_whose_part_cannot_be_stored_polls_the_remaining_shards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site, _ = full()
    add_part = site.store.add_part

    def fail_once(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(site.store, "add_part", add_part)
        raise StoreError("down")

    monkeypatch.setattr(site.store, "add_part", fail_once)
    here = site.sync.tick(hand_out=Workers(site, limit=2).hand_out)
    assert (here.channels, here.errors, here.failures) == (30, 1, ["down"])


def test_shard_that_asks_for_the_time_loads_no_empty_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cluster, to load nothing costs a request to every primary."""
    site, workers = full()
    site.sync.tick(hand_out=workers.hand_out)
    loaded: list[tuple[Any, Any]] = []
    load_states = site.store.load_states

    def noting(channels: Any, *, rosters: Any = (), whole: Any = ()) -> Any:
        loaded.append((channels, rosters))
        return load_states(channels, rosters=rosters, whole=whole)

    monkeypatch.setattr(site.store, "load_states", noting)
    assert sum(report.channels for report in workers.run()) == 50
    assert all(channels or rosters for channels, rosters in loaded)


def test_tick_without_broker_polls_everything_itself() -> None:
    site, _ = full()
    here = site.sync.tick(hand_out=Workers(site, limit=0).hand_out)
    assert (here.channels, history(site)[0].report.channels) == (50, 50)


def test_tick_after_missing_shard_reports_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site, workers = full()
    site.sync.tick(hand_out=workers.hand_out)
    workers.run(3)
    workers.waiting.clear()  # their worker was killed
    site.clock.advance(INTERVAL)
    with caplog.at_level(logging.WARNING, "presence.sync"):
        site.sync.tick(hand_out=workers.hand_out)
    assert "tick=incomplete" in caplog.text
    assert "shards=5 missing=2" in caplog.text
    workers.run()
    whole, broken = history(site)
    assert (broken.missing, broken.report.channels, whole.missing) == (2, 30, 0)
    assert (whole.report.channels, whole.report.joins) == (50, 20)


def test_tick_after_killed_tick_reports_all_its_shards_missing() -> None:
    site, workers = full()

    def killed(shard: Shard) -> bool:
        if shard.number == 3:
            raise KeyboardInterrupt
        return workers.hand_out(shard)

    with pytest.raises(KeyboardInterrupt):
        site.sync.tick(hand_out=killed)
    workers.run()
    assert history(site) == []
    site.tick(INTERVAL)
    whole, broken = history(site)
    assert (broken.shards, broken.missing, whole.missing) == (5, 4, 0)


def test_tick_beside_running_tick_leaves_that_open() -> None:
    site, workers = full()
    site.sync.tick(hand_out=workers.hand_out)
    site.tick(0.5 * INTERVAL)
    assert len(history(site)) == 1
    workers.run()
    assert [(t.missing, t.overlapping) for t in history(site)] == [(0, False), (0, True)]


def test_shard_after_the_deadline_polls_nothing(caplog: pytest.LogCaptureFixture) -> None:
    site, workers = full()
    site.sync.tick(hand_out=workers.hand_out)
    site.clock.advance(INTERVAL + 1)
    reports = workers.run()
    assert {report.channels for report in reports} == {0}
    assert ("poll" in site.centrifugo.requests, "shard=late" in caplog.text) == (False, True)


def test_shard_at_the_deadline_starts_no_further_batch() -> None:
    site, workers = full(shard_size=40, batch_size=1)
    site.sync.tick(hand_out=workers.hand_out)
    site.clock.advance(INTERVAL - 5)
    site.centrifugo.before["poll"] = lambda: site.clock.advance(1)
    report, _ = workers.run()
    assert report.channels + report.errors == 40
    assert 5 <= report.channels <= 9
    assert "deadline" in report.failures[0]


def test_shard_that_fails_is_counted_in_its_tick() -> None:
    site, workers = full()
    site.sync.tick(hand_out=workers.hand_out)
    workers.run(4)

    def down() -> None:
        raise CentrifugoUnreachable("no answer")

    site.centrifugo.before["poll"] = down
    workers.run()
    (tick,) = history(site)
    assert (tick.missing, tick.report.channels, tick.report.errors) == (0, 50, 10)


def test_shard_with_missing_member_holds_the_leave() -> None:
    site, workers = full(grace=10.0)
    site.sync.tick(hand_out=workers.hand_out)
    workers.run()
    for n in range(50):
        site.centrifugo.quit(f"presence:{n:03}", "c")
    site.clock.advance(INTERVAL)
    site.sync.tick(hand_out=workers.hand_out)
    assert sum(report.held for report in workers.run()) == 50
    assert (history(site)[0].report.held, history(site)[0].report.again) == (50, {})


def test_shard_while_nodes_change_believes_no_leave() -> None:
    site, workers = full(grace=0.0)
    site.sync.tick(hand_out=workers.hand_out)
    workers.run()
    site.centrifugo.restart()
    site.centrifugo.enter("presence:000", "c", "u0", "User 0")
    site.clock.advance(INTERVAL)
    site.sync.tick(hand_out=workers.hand_out)
    assert sum(report.leaves for report in workers.run()) == 0


def test_shard_of_watched_feed_has_its_count() -> None:
    site, workers = full(20, patterns=("presence:*", "chat:*"))
    site.centrifugo.watchers[f"roster:{CHAT}"] = 1
    site.sync.tick(hand_out=workers.hand_out)
    assert sum(report.channels for report in workers.run()) == 21
    assert site.snapshot(CHAT) == {}


def test_shard_as_json_round_trips() -> None:
    clients = {"presence:a": 2, CHAT: 1, f"roster:{CHAT}": 3, "presence:x": 9}
    first, second = split(
        ["presence:a", CHAT, "presence:b"],
        Survey(frozenset({"n2", "n1"}), clients),
        size=2,
        tick=OpenTick(id="t", started=1.0),
        hold=0.0,
    )
    assert first.clients == {"presence:a": 2, CHAT: 1, f"roster:{CHAT}": 3}
    assert (second.channels, second.clients, second.nodes) == (["presence:b"], {}, {"n1", "n2"})
    assert (first.number, second.number, second.of) == (1, 2, 2)


def test_shard_of_thousand_channels_is_a_small_message() -> None:
    names = [f"presence:document:{n}" for n in range(1000)]
    survey = Survey(frozenset({"n"}), dict.fromkeys(names, 100))
    (shard,) = split(names, survey, size=1000, tick=OpenTick(), hold=0.0)
    assert len(msgspec.json.encode(shard)) < 70_000


def test_batches_are_bounded_in_channels_and_clients() -> None:
    clients = {"a": 15_000, "b": 15_000, "c": 1, "d": 50_000, "e": 1}
    assert list(batches("abcdef", clients, 2)) == [["a"], ["b", "c"], ["d"], ["e", "f"]]


def test_shard_of_another_process_shows_leaves_of_revoked_users_without_the_grace() -> None:
    site, workers = full(20, grace=600.0)
    site.sync.tick(hand_out=workers.hand_out)
    workers.run()
    session = session_channel("u3", "laptop")
    site.centrifugo.enter(session, "c", "u3", "User 3", iat=site.clock())
    site.clock.advance(INTERVAL)
    site.store.revoke([Revocation("u3")], seconds=600)
    site.sync.tick(hand_out=workers.hand_out)
    workers.run()
    assert site.ids("presence:003") == []
    assert site.ids("presence:004") == ["u4"]


def test_shard_of_another_process_ends_connections_that_left_the_channel_of_their_session() -> None:
    site, workers = full(20)
    site.centrifugo.enter("presence:003", "copy", "u3", "User 3", iat=site.clock())
    site.clock.advance(INTERVAL)
    site.store.revoke([Revocation("u3")], seconds=600)
    site.sync.tick(hand_out=workers.hand_out)
    workers.run()
    assert "copy" not in site.centrifugo.rooms["presence:003"]
