"""What the tasks ask of the broker."""

from __future__ import annotations

from typing import Any

import pytest
from kombu.exceptions import OperationalError

from presence import assembly, tasks
from presence.report import Report


@pytest.fixture
def sync(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A tick that finds somebody leaving; what `sync_channels` was sent with."""
    sent: list[dict[str, Any]] = []

    class Sync:
        def tick(self, *_: Any, **__: Any) -> Report:
            return Report(leaving=["presence:a"])

    monkeypatch.setattr(assembly, "sync", Sync)
    monkeypatch.setattr(
        tasks.sync_channels,
        "apply_async",
        lambda args, **options: sent.append({"args": args, **options}),
    )
    return sent


@pytest.mark.parametrize("interval", [0.5, 5.0, 10.0, 60.0])
def test_the_end_of_the_grace_is_polled_whatever_the_interval(
    sync: list[dict[str, Any]], settings: Any, interval: float
) -> None:
    settings.PRESENCE_LEAVE_GRACE, settings.PRESENCE_INTERVAL = 10.0, interval
    tasks.sync_channels.run(["presence:a"])
    (asked,) = sync
    assert asked["args"] == (["presence:a"],)
    assert asked["countdown"] == 10.0
    assert asked["retry"] is False
    assert asked["expires"] == 10.0 + interval


def test_a_broker_that_is_down_fails_no_tick(
    sync: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.sync_channels, "apply_async", down)
    tasks.sync_channels.run(["presence:a"])
    assert "connection refused" in caplog.text
