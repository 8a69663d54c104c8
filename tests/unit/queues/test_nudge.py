"""Nudges: who is worth one, in which slot, and what a broker that fails may do (nothing)."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from presence import tasks
from presence.queues import celery, nudge
from presence.queues.nudge import LINGER, WAITING, WORTH, Nudge, Nudger, page_left, page_served
from presence.roster.messages import Member, Snapshot
from tests.unit.fakes import ROOM, Clock

TWO = {"every": 2.0, "after": 1.5}


class FakeBroker:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sent: list[tuple[str, float]] = []
        """Channel and moment."""
        self.fails: Exception | None = None
        self.closed = 0

    def send(self, channel: str, *, worth: float) -> None:
        assert worth == WORTH
        if self.fails:
            raise self.fails
        self.sent.append((channel, self.clock.now))

    def close(self) -> None:
        self.closed += 1


class Cluster:
    """Any number of web processes before one store and one broker; nothing runs by itself."""

    def __init__(self) -> None:
        self.clock = Clock(1000.0)
        self.broker = FakeBroker(self.clock)
        self.claims: list[Nudge] = []
        self.processes: list[Nudger] = []

    def claim(self, nudge: Nudge) -> bool:
        self.claims.append(nudge)
        return self.claims.count(nudge) == 1

    def process(self) -> Nudger:
        nudger = Nudger(self.claim, self.broker, clock=self.clock, start=lambda run: None)
        self.processes.append(nudger)
        return nudger

    def step(self) -> None:
        """Have every thread that there would be do what is due."""
        for nudger in self.processes:
            while nudger._working and nudger.step() == 0:
                pass

    def until(self, moment: float) -> None:
        """Let the time pass as every thread would, but for its sleep."""
        while self.clock.now < moment:
            waits = [nudger.step() for nudger in self.processes if nudger._working]
            ahead = min((wait for wait in waits if wait is not None), default=moment)
            self.clock.now = min(moment, self.clock.now + ahead)
        self.step()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


# Slots


@pytest.mark.parametrize(
    ("now", "every", "after", "at"),
    [
        (1000.0, 2.0, 1.5, 1002.0),
        (1000.4, 2.0, 1.5, 1002.0),
        (1000.5, 2.0, 1.5, 1004.0),
        (1001.9, 2.0, 1.5, 1004.0),
        (1000.0, 2.0, 0.5, 1002.0),
        (1001.6, 2.0, 0.5, 1004.0),
        (1000.0, 0.5, 1.5, 1002.0),
        (1000.0, 30.0, 1.5, 1020.0),
    ],
)
def test_nudge_is_sent_at_the_end_of_its_slot(
    cluster: Cluster, now: float, every: float, after: float, at: float
):
    cluster.clock.now = now
    cluster.process().ask(ROOM, every=every, after=after)
    cluster.until(now + 60)
    assert cluster.broker.sent == [(ROOM, pytest.approx(at))]
    assert after <= at - now <= after + every


def test_nudges_of_a_crowd_cost_one_poll_a_slot(cluster: Cluster):
    processes = [cluster.process() for _ in range(4)]
    moments = [1000.0 + n / 10_000 for n in range(10_000)]
    for n, moment in enumerate(moments):
        cluster.clock.now = moment
        processes[n % 4].ask(ROOM, **TWO)
    cluster.until(1010)
    polls = [moment for _, moment in cluster.broker.sent]
    assert polls == [pytest.approx(1002.0), pytest.approx(1004.0)]
    assert len(cluster.claims) == 2 * len(processes)
    for served in moments:
        assert any(1.5 <= poll - served <= 3.5 + 1e-6 for poll in polls)


def test_nudges_of_two_channels_are_sent_both(cluster: Cluster):
    process = cluster.process()
    for channel in ("presence:a", "presence:b", "presence:a"):
        process.ask(channel, **TWO)
    cluster.until(1004)
    assert sorted(cluster.broker.sent) == [("presence:a", 1002.0), ("presence:b", 1002.0)]


def test_nudges_of_arrival_and_departure_share_a_slot(cluster: Cluster):
    process = cluster.process()
    process.ask(ROOM, every=2.0, after=1.5)
    process.ask(ROOM, every=2.0, after=0.5)
    cluster.until(1004)
    assert len(cluster.broker.sent) == 1


# What a broker can do


def test_nudger_sends_all_from_one_thread_that_ends(cluster: Cluster):
    process, started = cluster.process(), []
    process._start = started.append
    for n in range(10):
        process.ask(f"presence:{n}", **TWO)
    assert len(started) == 1
    cluster.until(1002)
    assert (len(cluster.broker.sent), cluster.broker.closed) == (10, 0)
    process.ask("presence:more", **TWO)
    assert len(started) == 1
    cluster.until(1004 + LINGER)
    assert (len(cluster.broker.sent), cluster.broker.closed) == (11, 1)
    process.ask("presence:again", **TWO)
    assert len(started) == 2


def test_nudger_logs_each_outage_once(cluster: Cluster, caplog: pytest.LogCaptureFixture):
    process = cluster.process()

    def pages(count: int) -> int:
        for _ in range(count):
            process.ask(ROOM, **TWO)
            cluster.until(cluster.clock.now + 4)
        found = len(caplog.records)
        caplog.clear()
        return found

    assert pages(1) == 0
    cluster.broker.fails = OSError("no broker")
    assert pages(5) == 1
    cluster.broker.fails = None
    assert pages(2) == 0
    assert len(cluster.broker.sent) == 3
    cluster.broker.fails = RuntimeError("something else")
    assert pages(5) == 1


def test_nudger_logs_a_store_that_is_down(cluster: Cluster, caplog: pytest.LogCaptureFixture):
    def claim(_: Nudge) -> bool:
        raise OSError("no store")

    cluster.claim = claim  # type: ignore[method-assign]
    cluster.process().ask(ROOM, **TWO)
    cluster.until(1004)
    assert cluster.broker.sent == []
    (record,) = caplog.records
    assert (record.levelno, record.exc_info is not None) == (logging.ERROR, True)


def test_nudger_without_a_thread_logs_and_tries_again(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
):
    def start(_: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    process = cluster.process()
    process._start = start
    process.ask(ROOM, **TWO)
    process.ask("presence:b", **TWO)
    assert len(caplog.records) == 1
    process._start = lambda run: None
    process.ask("presence:c", **TWO)
    cluster.until(1004)
    assert {channel for channel, _ in cluster.broker.sent} == {ROOM, "presence:b", "presence:c"}


def test_nudge_that_waited_too_long_is_dropped(cluster: Cluster):
    process = cluster.process()
    process.ask(ROOM, **TWO)
    cluster.clock.advance(2 + WORTH + 0.1)
    process.ask("presence:b", **TWO)
    cluster.until(cluster.clock.now + 4)
    assert [channel for channel, _ in cluster.broker.sent] == ["presence:b"]


def test_nudge_that_is_late_is_sent_at_once(cluster: Cluster):
    cluster.process().ask(ROOM, **TWO)
    cluster.clock.advance(10)
    cluster.step()
    assert cluster.broker.sent == [(ROOM, cluster.clock.now)]


def test_nudges_beyond_the_limit_are_dropped(cluster: Cluster):
    process = cluster.process()
    for n in range(WAITING + 50):
        process.ask(f"presence:{n}", **TWO)
    cluster.until(1004)
    assert len(cluster.broker.sent) == WAITING
    process.ask("presence:more", **TWO)
    cluster.until(1008)
    assert len(cluster.broker.sent) == WAITING + 1


def test_nudge_never_waits_for_a_broker_that_hangs(cluster: Cluster):
    hanging, released = threading.Event(), threading.Event()

    class Hanging(FakeBroker):
        def send(self, channel: str, *, worth: float) -> None:
            hanging.set()
            assert released.wait(30)
            super().send(channel, worth=worth)

    cluster.broker = Hanging(cluster.clock)
    process = Nudger(cluster.claim, cluster.broker)
    process.ask(ROOM, every=0.01, after=0.0)
    assert hanging.wait(30)
    for n in range(2 * WAITING):
        process.ask(f"presence:{n}", **TWO)
    assert cluster.broker.sent == []
    released.set()


# Whom it is asked for


@pytest.fixture
def asked(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, float]]:
    """(channel, every, after) of each nudge."""
    found: list[tuple[str, float, float]] = []

    class Noting:
        def ask(self, channel: str, *, every: float, after: float) -> None:
            found.append((channel, every, after))

    monkeypatch.setattr(nudge, "_nudger", lambda app: Noting())
    settings.PRESENCE_NUDGE = 2.0
    return found


HERE = Snapshot("e", 1, [Member("1", "Ada")], total=1)
COUNTED = Snapshot("e", 1, [], listed=False, total=500)


def test_page_served_to_a_user_outside_the_roster_asks_for_a_poll(asked: list[Any]):
    page_served(ROOM, "2", HERE)
    page_served(ROOM, "2", Snapshot())
    assert asked == [(ROOM, 2.0, 1.5)] * 2


def test_page_left_by_a_member_asks_for_a_poll(asked: list[Any]):
    page_left(ROOM, "1", HERE)
    assert asked == [(ROOM, 2.0, 0.5)]


@pytest.mark.parametrize(
    ("asks", "user", "shown"),
    [
        (page_served, "1", HERE),
        (page_served, "", HERE),
        (page_served, "2", COUNTED),
        (page_left, "2", HERE),
        (page_left, "", HERE),
        (page_left, "1", COUNTED),
    ],
)
def test_nudge_that_would_show_nothing_new_is_not_asked_for(
    asks: Callable[..., None], user: str, shown: Snapshot, asked: list[Any]
):
    asks(ROOM, user, shown)
    assert asked == []


def test_nudges_set_to_zero_are_off(asked: list[Any], settings: Any):
    settings.PRESENCE_NUDGE = 0
    page_served(ROOM, "2", HERE)
    page_left(ROOM, "1", HERE)
    assert asked == []


def test_page_served_on_a_site_without_celery_asks_nobody(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(celery, "_app", None)
    monkeypatch.delitem(sys.modules, "celery")
    page_served(ROOM, "2", HERE)
    assert asked == []


def test_project_app_is_found_in_every_thread():
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(celery.project_app()))
    thread.start()
    thread.join()
    assert [app.main for app in found] == ["project"]


def test_poll_task_has_the_name_that_is_sent():
    assert tasks.sync_channels.name == celery.POLL
