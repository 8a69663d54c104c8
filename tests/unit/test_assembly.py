"""The parts of a process: which of them are shared, and when they are made anew."""

from __future__ import annotations

from typing import Any

import pytest

from presence import assembly, signals


def receiver(**_: Any) -> None:
    """Hears nothing."""


def test_the_syncs_of_a_process_share_what_they_know() -> None:
    assert assembly.sync()._known is assembly.sync()._known


@pytest.mark.parametrize("setting", ["PRESENCE_PREFIX", "PRESENCE_REDIS_URL"])
def test_another_store_is_known_nothing_of(settings: Any, setting: str) -> None:
    before = assembly.sync()
    setattr(settings, setting, "redis://127.0.0.1:1/7" if "URL" in setting else "another")
    after = assembly.sync()
    assert after._store is not before._store
    assert after._known is not before._known


def test_changes_are_announced_where_somebody_listens() -> None:
    assert assembly.sync()._announce is None
    signals.presence_left.connect(receiver)
    try:
        assert assembly.sync()._announce is signals.send
    finally:
        signals.presence_left.disconnect(receiver)
