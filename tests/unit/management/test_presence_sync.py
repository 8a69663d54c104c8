"""The loop of `presence_sync`, with a clock that passes only while the command sleeps."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from presence import services
from presence.management.commands import presence_sync
from presence.sync.statistics import Report

ROOM = "presence:room"


class Ticks:
    """Stands for the sync: records the time and the channels of each tick, and of each look.

    Look n returns `looks[n]`, by default a report of nothing, and tick n `ticks[n]`, by default one
    of seven channels.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *,
        looks: Mapping[int, Report | None] | None = None,
        ticks: Mapping[int, Report] | None = None,
    ) -> None:
        self.now = 0.0
        self.seen: list[tuple[float, list[str] | None]] = []
        self.looked: list[float] = []
        self.took = 0.01
        self._looks = looks or {}
        self._ticks = ticks or {}
        monkeypatch.setattr(services, "sync", lambda: self)
        monkeypatch.setattr(presence_sync.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(presence_sync.time, "sleep", self._sleep)

    def tick(self, only: list[str] | None, **_: Any) -> Report:
        self.seen.append((round(self.now, 3), only))
        self.now += 0.01
        return self._ticks.get(len(self.seen), Report(channels=7))

    def look(self) -> Report | None:
        self.looked.append(round(self.now, 3))
        self.now += self.took
        return self._looks.get(len(self.looked), Report())

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > 7:
            raise KeyboardInterrupt


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit, match="130"):
        call_command("presence_sync", *arguments)


def test_presence_sync_looks_between_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Ticks(monkeypatch)
    run("--every", "3", "--watch", "2")
    assert ticks.seen == [(0, None), (3, None), (6, None)]
    assert ticks.looked == [2, 4, 6.01]


def test_presence_sync_looks_every_presence_watch_seconds_by_default(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.PRESENCE_WATCH = 2.5
    ticks = Ticks(monkeypatch)
    run("--every", "60")
    assert ticks.looked == [2.5, 5]


@pytest.mark.parametrize("arguments", [["--watch", "0"], ["--channel", ROOM]])
def test_presence_sync_without_watch_runs_only_ticks(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    ticks = Ticks(monkeypatch)
    run("--every", "2.5", *arguments)
    assert [moment for moment, _ in ticks.seen] == [0, 2.5, 5]
    assert ticks.looked == []


def test_presence_sync_skips_looks_that_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Ticks(monkeypatch)
    ticks.took = 2.5
    run("--every", "60", "--watch", "1")
    assert ticks.looked == [1, 3.5, 6]


def test_presence_sync_ticks_between_looks_that_take_longer_than_their_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = Ticks(monkeypatch)
    ticks.took = 1.5
    run("--every", "2", "--watch", "0.5")
    assert [moment for moment, _ in ticks.seen] == [0, 2, 5.01, 6.52]


def test_presence_sync_prints_a_look_that_polled_something(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Ticks(monkeypatch, looks={1: None, 2: Report(channels=3)})
    run("--every", "60", "--watch", "1", "--json")
    printed = [json.loads(line)["channels"] for line in capsys.readouterr().out.splitlines()]
    assert printed == [7, 3]


def test_presence_sync_prints_the_error_of_a_look(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Ticks(monkeypatch, looks={2: Report(errors=1, failures=["Centrifugo\nis down"])})
    run("--every", "60", "--watch", "2")
    assert capsys.readouterr().err.splitlines() == [
        "presence_sync: Centrifugo is down",
        "presence_sync: works again",
    ]


DOWN = Report(errors=1, failures=["Centrifugo is down"])


def broken(channel: str) -> Report:
    return Report(channels=3, errors=1, failures=[f"{channel}: is damaged"])


def test_presence_sync_prints_the_beginning_and_the_end_of_an_outage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Ticks(monkeypatch, looks={1: DOWN, 2: DOWN, 3: None, 4: DOWN}, ticks={2: DOWN})
    run("--every", "3", "--watch", "1")
    assert capsys.readouterr().err.splitlines() == [
        "presence_sync: Centrifugo is down",
        "presence_sync: works again",
    ]


def test_presence_sync_without_looks_prints_an_outage_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Ticks(monkeypatch, ticks={2: DOWN, 3: DOWN, 5: DOWN})
    run("--every", "1", "--watch", "0")
    assert capsys.readouterr().err.splitlines() == [
        "presence_sync: Centrifugo is down",
        "presence_sync: works again",
        "presence_sync: Centrifugo is down",
        "presence_sync: works again",
    ]


def test_presence_sync_prints_failures_of_channels_once_a_tick(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = {1: broken("a"), 2: broken("b"), 4: broken("c"), 5: broken("d")}
    Ticks(monkeypatch, looks=looks, ticks={3: broken("e")})
    run("--every", "3", "--watch", "1")
    assert capsys.readouterr().err.splitlines() == [
        "presence_sync: a: is damaged",
        "presence_sync: c: is damaged",
        "presence_sync: e: is damaged",
    ]


@pytest.mark.parametrize("arguments", [[], ["--once"], ["--every", "60", "--channel", ROOM]])
def test_presence_sync_with_watch_where_nothing_looks_is_an_error(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="--watch needs --every"):
        call_command("presence_sync", "--watch", "1", *arguments)


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
        (["--every", "60", "--watch", "0.01"], "0, or from 0.1 to 60"),
        (["--every", "60", "--watch", "often"], "number of seconds"),
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
    Ticks(monkeypatch)
    before = logging.getLogger("presence").level
    call_command("presence_sync", "--json")
    assert logging.getLogger("presence").level == before
