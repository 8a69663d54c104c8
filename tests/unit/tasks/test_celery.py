"""The tasks for Celery: what they run, when they expire, and shards that are handed out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from presence import services, tasks
from presence.queues.celery import TICK, WATCH
from presence.sync.channels import Shard
from presence.sync.statistics import OpenTick, Report
from presence.tasks import celery

SHARD = Shard(
    tick=OpenTick(), number=2, of=3, channels=["presence:a"], clients={}, nodes=frozenset()
)


class Syncs:
    """Stands for the sync: each tick hands SHARD out, and looks return `seen`."""

    def __init__(self) -> None:
        self.handed_out: list[bool] = []
        self.shards: list[Shard] = []
        self.seen: Report | None = None

    def tick(self, *, hand_out: Any) -> Report:
        self.handed_out.append(hand_out(SHARD))
        return Report(channels=7)

    def shard(self, shard: Shard) -> Report:
        self.shards.append(shard)
        return Report(channels=1)

    def look(self) -> Report | None:
        return self.seen


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    made = Syncs()
    monkeypatch.setattr(services, "sync", lambda: made)
    return made


def test_tick_hands_its_shards_to_other_workers(
    syncs: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(tasks.sync_shard, "apply_async", lambda given, **_: sent.append(*given))
    assert tasks.update_presence.run()["channels"] == 7
    assert syncs.handed_out == [True]
    assert tasks.sync_shard.run(*sent)["channels"] == 1
    assert syncs.shards == [SHARD]


def test_hand_out_while_the_broker_is_down_is_logged(
    syncs: Syncs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.sync_shard, "apply_async", down)
    tasks.update_presence.run()
    assert syncs.handed_out == [False]
    assert "shard=not-handed-out number=2" in caplog.text
    assert "connection refused" in caplog.text


def test_look_returns_its_report(syncs: Syncs) -> None:
    syncs.seen = Report(channels=3)
    assert tasks.watch_presence.run()["channels"] == 3


def test_look_that_has_no_turn_returns_none(syncs: Syncs) -> None:
    assert tasks.watch_presence.run() is None


def test_tasks_have_the_names_that_beat_sends() -> None:
    assert (tasks.update_presence.name, tasks.watch_presence.name) == (TICK, WATCH)


def test_tasks_expire_when_the_next_one_is_due(settings: Any) -> None:
    settings.PRESENCE_INTERVAL, settings.PRESENCE_WATCH = 45.0, 2.5
    assert (tasks.update_presence.expires, tasks.sync_shard.expires) == (45.0, 45.0)
    assert tasks.watch_presence.expires == 2.5


def test_look_that_beat_sends_without_watch_expires_too(settings: Any) -> None:
    settings.PRESENCE_WATCH = 0
    assert tasks.watch_presence.expires == celery.LOOK_EXPIRES


class Expiries:
    """Tasks that expire or come in time, and the lines that are logged, by a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        self.now = 0.0
        self._caplog = caplog
        self._log = celery._ExpiryLog()
        monkeypatch.setattr(celery.time, "monotonic", lambda: self.now)

    def expire(self, task: Any) -> None:
        request = SimpleNamespace(name=task.name, expires="2026-11-29T12:00:00+00:00")
        self._log.expired(sender=task, request=request, expired=True)

    def receive(self, task: Any) -> None:
        self._log.received(request=SimpleNamespace(name=task.name))

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records]


@pytest.fixture
def expiries(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Expiries:
    return Expiries(monkeypatch, caplog)


def test_expired_looks_are_logged_once_an_interval(expiries: Expiries, settings: Any) -> None:
    settings.PRESENCE_INTERVAL, settings.PRESENCE_WATCH = 60.0, 2.5
    for _ in range(180):
        expiries.expire(tasks.watch_presence)
        expiries.now += 1.0
    assert len(expiries.lines) == 3
    assert f"task=expired name={WATCH} late_s=" in expiries.lines[0]
    assert "PRESENCE_WATCH, 2.5 s" in expiries.lines[0]
    assert "PRESENCE_INTERVAL" in expiries.lines[0]
    assert "the clock of this worker is ahead" in expiries.lines[0]


def test_expired_looks_between_others_are_not_logged(expiries: Expiries, settings: Any) -> None:
    settings.PRESENCE_INTERVAL = 60.0
    expiries.receive(tasks.watch_presence)
    for second in range(180):
        expiries.now += 1.0
        (expiries.receive if second % 50 == 0 else expiries.expire)(tasks.watch_presence)
    assert expiries.lines == []


def test_expired_looks_are_logged_when_none_came_for_an_interval(
    expiries: Expiries, settings: Any
) -> None:
    settings.PRESENCE_INTERVAL = 60.0
    expiries.receive(tasks.watch_presence)
    for _ in range(61):
        expiries.now += 1.0
        expiries.receive(tasks.update_presence)
        expiries.expire(tasks.watch_presence)
    assert len(expiries.lines) == 1


def test_expired_ticks_are_logged_apart_from_looks(expiries: Expiries, settings: Any) -> None:
    settings.PRESENCE_INTERVAL = 45.0
    expiries.expire(tasks.watch_presence)
    expiries.expire(tasks.update_presence)
    expiries.expire(tasks.sync_shard)
    assert len(expiries.lines) == 2
    assert f"name={TICK}" in expiries.lines[1]
    assert "PRESENCE_INTERVAL, 45 s" in expiries.lines[1]


def test_revoked_tasks_that_did_not_expire_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    celery._ExpiryLog().expired(sender=tasks.watch_presence, request=SimpleNamespace())
    assert caplog.records == []


def test_tasks_of_celery_have_no_answer_for_the_doctor() -> None:
    assert tasks.answer is None
