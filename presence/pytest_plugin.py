"""The `presence` fixture, which pytest finds by itself where this package is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from presence.testing import FakePresence


@pytest.fixture
def presence() -> Iterator[FakePresence]:
    """An empty presence.testing.FakePresence: everything of this app without servers."""
    # Not above: every run of pytest would pay for it, with or without Django.
    from presence.testing import FakePresence

    with FakePresence() as presence:
        yield presence
