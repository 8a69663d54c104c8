"""Messages of the tasks to the broker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery.signals import worker_process_shutdown, worker_shutdown
from celery.utils.dispatch import Signal
from kombu.exceptions import OperationalError

from presence import services, tasks
from presence.queues.celery import CeleryBroker
from presence.sync.statistics import Report

ROOM = "presence:a"


class Timers:
    """Stands for threading.Timer: what was started, to be run when the test says so."""

    def __init__(self) -> None:
        self.started: list[float] = []
        self._due: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def __call__(self, after: float, run: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
        timers = self

        class Timer:
            daemon = False

            def start(self) -> None:
                assert self.daemon, "a worker that ends does not wait for it"
                timers.started.append(after)
                timers._due.append((run, arguments))

        return Timer()

    def elapse(self) -> None:
        due, self._due = self._due, []
        for run, arguments in due:
            run(*arguments)


class Reports:
    """Stands for the sync."""

    def __init__(self, *reports: Report) -> None:
        self.reports = list(reports)
        self.polled: list[Any] = []

    def tick(self, only: Any = None, **_: Any) -> Report:
        self.polled.append(only)
        return self.reports.pop(0)


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    timers = Timers()
    monkeypatch.setattr(threading, "Timer", timers)
    return timers


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the messages to the broker."""
    sent: list[dict[str, Any]] = []

    def send(name: str, arguments: Any, **options: Any) -> None:
        sent.append({"name": name, "arguments": arguments, **options})

    monkeypatch.setattr(tasks.sync_channels.app, "send_task", send)
    return sent


def syncs(monkeypatch: pytest.MonkeyPatch, *reports: Report) -> Reports:
    made = Reports(*reports)
    monkeypatch.setattr(services, "sync", lambda: made)
    return made


def handed_over(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None = None
) -> list[tuple[tuple[str, ...], float, float]]:
    """Channels, delay and worth of what a process that ends leaves with the broker."""
    asked: list[tuple[tuple[str, ...], float, float]] = []

    def send(self: CeleryBroker, *channels: str, worth: float, after: float = 0.0) -> None:
        asked.append((channels, after, worth))
        if error:
            raise error

    monkeypatch.setattr(CeleryBroker, "send", send)
    return asked


@pytest.mark.parametrize("interval", [0.5, 5.0, 10.0, 60.0])
def test_follow_up_is_sent_at_the_end_of_the_grace(
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    timers: Timers,
    sent: list[dict[str, Any]],
    interval: float,
) -> None:
    settings.PRESENCE_LEAVE_GRACE, settings.PRESENCE_INTERVAL = 10.0, interval
    syncs(monkeypatch, Report(leaving=[ROOM]))
    tasks.update_presence.run()
    assert (timers.started, sent) == ([10.0], [])
    timers.elapse()
    (asked,) = sent
    assert (asked["name"], asked["arguments"]) == ("presence.tasks.sync_channels", ([ROOM],))
    assert asked["expires"] == interval
    assert "countdown" not in asked


def test_follow_up_is_not_sent_without_leavers(
    monkeypatch: pytest.MonkeyPatch, timers: Timers
) -> None:
    syncs(monkeypatch, Report(held=3))
    tasks.update_presence.run()
    assert timers.started == []


def test_follow_up_while_the_broker_is_down_is_logged(
    monkeypatch: pytest.MonkeyPatch, timers: Timers, caplog: pytest.LogCaptureFixture
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.sync_channels.app, "send_task", down)
    syncs(monkeypatch, Report(leaving=[ROOM]))
    tasks.update_presence.run()
    timers.elapse()
    assert "connection refused" in caplog.text


@pytest.mark.parametrize("signal", [worker_process_shutdown, worker_shutdown])
def test_follow_up_when_process_ends_is_left_with_the_broker(
    monkeypatch: pytest.MonkeyPatch, settings: Any, timers: Timers, signal: Signal
) -> None:
    """A child of --max-tasks-per-child, --autoscale, or a restart, ends before the grace does."""
    settings.PRESENCE_LEAVE_GRACE, settings.PRESENCE_INTERVAL = 10.0, 60.0
    asked = handed_over(monkeypatch)
    syncs(monkeypatch, Report(leaving=[ROOM, "presence:b"]))
    tasks.update_presence.run()
    assert asked == []
    signal.send(sender=None)
    ((channels, after, worth),) = asked
    assert channels == (ROOM, "presence:b")
    assert after == pytest.approx(10.0, abs=1.0)
    assert worth == pytest.approx(70.0, abs=1.0)
    timers.elapse()
    signal.send(sender=None)
    assert len(asked) == 1, "once"


def test_follow_up_that_was_asked_for_is_not_handed_over(
    monkeypatch: pytest.MonkeyPatch, timers: Timers, sent: list[dict[str, Any]]
) -> None:
    asked = handed_over(monkeypatch)
    syncs(monkeypatch, Report(leaving=[ROOM]))
    tasks.update_presence.run()
    timers.elapse()
    worker_process_shutdown.send(sender=None)
    assert (len(sent), asked) == (1, [])


def test_follow_up_when_process_and_broker_end_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, timers: Timers, caplog: pytest.LogCaptureFixture
) -> None:
    tried = handed_over(monkeypatch, OperationalError("connection refused"))
    syncs(monkeypatch, Report(leaving=[ROOM]), Report(leaving=["presence:b"]))
    tasks.update_presence.run()
    tasks.update_presence.run()
    worker_process_shutdown.send(sender=None)
    assert len(tried) == 1, "the process does not wait for each"
    (record,) = caplog.records
    assert record.getMessage().startswith("poll=not-asked channels=2 ")


@pytest.mark.parametrize(("refusals", "polls"), [(0, 1), (1, 2), (2, 3), (5, 3)])
def test_sync_channels_polls_three_times_at_most(
    monkeypatch: pytest.MonkeyPatch, refusals: int, polls: int
) -> None:
    made = syncs(monkeypatch, *(Report(refused=int(n < refusals)) for n in range(6)))
    tasks.sync_channels.run([ROOM])
    assert made.polled == [[ROOM]] * polls


def test_tasks_of_celery_have_no_answer_for_the_doctor() -> None:
    assert tasks.answer is None
