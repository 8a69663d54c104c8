"""The loop of `presence_sync`, with a clock that passes only while the command sleeps."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from presence import services
from presence.management.commands import presence_sync
from presence.sync.statistics import Report

ROOM = "presence:room"


class Ticks:
    """Stands for the sync: records the time and the channels of each tick."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, leaving: dict[int, list[str]]) -> None:
        self.now = 0.0
        self.seen: list[tuple[float, list[str] | None]] = []
        self._leaving = leaving
        monkeypatch.setattr(services, "sync", lambda: self)
        monkeypatch.setattr(presence_sync.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(presence_sync.time, "sleep", self._sleep)

    def tick(self, only: list[str] | None, **_: Any) -> Report:
        self.seen.append((round(self.now, 3), only))
        self.now += 0.01
        return Report(leaving=self._leaving.get(len(self.seen), []))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > 7:
            raise KeyboardInterrupt


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit, match="130"):
        call_command("presence_sync", *arguments)


@pytest.mark.parametrize("grace", [2.0, 3.0])
def test_presence_sync_polls_leaving_channels_at_the_end_of_the_grace(
    monkeypatch: pytest.MonkeyPatch, settings: Any, grace: float
) -> None:
    """The grace may be a multiple of the interval: the tick then comes a moment early."""
    settings.PRESENCE_LEAVE_GRACE = grace
    ticks = Ticks(monkeypatch, leaving={2: [ROOM]})
    run("--every", "1")
    assert (round(1 + 0.01 + grace, 3), [ROOM]) in ticks.seen
    assert [moment for moment, only in ticks.seen if only is None][:6] == [0, 1, 2, 3, 4, 5]


def test_presence_sync_without_leaves_runs_only_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Ticks(monkeypatch, leaving={})
    run("--every", "2.5")
    assert ticks.seen == [(0, None), (2.5, None), (5, None)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--channel", "two words"], "without spaces"),
        (["--channel", "x" * 300], "at most 248"),
        (["--channel", "presence:a\nb"], "printable ASCII"),
        (["--every", "0"], "from 0.05 to 86400"),
        (["--every", "1e300"], "from 0.05 to 86400"),
        (["--every", "1e-9"], "from 0.05 to 86400"),
        (["--every", "nan"], "from 0.05 to 86400"),
        (["--every", "often"], "number of seconds"),
    ],
)
def test_presence_sync_with_wrong_argument_prints_one_line(arguments: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says) as caught:
        call_command("presence_sync", *arguments)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PRESENCE_BACKEND", "nonsense"),
        ("PRESENCE_REDIS_URL", "nonsense"),
        ("PRESENCE_ANONYMOUS", "zz"),
        ("PRESENCE_BATCH_SIZE", 0),
    ],
)
def test_presence_sync_with_wrong_setting_prints_one_line_that_names_it(
    settings: Any, name: str, value: Any
) -> None:
    setattr(settings, name, value)
    with pytest.raises(CommandError, match=name) as caught:
        call_command("presence_sync")
    assert isinstance(caught.value.__cause__, ImproperlyConfigured)
    assert len(str(caught.value).splitlines()) == 1


def test_presence_sync_restores_the_log_level(monkeypatch: pytest.MonkeyPatch) -> None:
    Ticks(monkeypatch, leaving={})
    before = logging.getLogger("presence").level
    call_command("presence_sync", "--json")
    assert logging.getLogger("presence").level == before
