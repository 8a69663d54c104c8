"""What every suite has: a clock, and a backend that its subclass gives."""

from __future__ import annotations

from typing import Any

import pytest

from presence.testing.clock import Clock

__all__ = ["Contract"]


class Contract:
    """Fixtures. `backend` is the one that a subclass has to give: a new one, in which nothing is
    kept, and whose time is that of `clock`."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def backend(self, clock: Clock) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__} has to give a fixture `backend`: an empty one, on `clock`"
        )

    @pytest.fixture
    def peer(self, backend: Any) -> Any:
        """What another process has of the backend: by default the very same object."""
        return backend
