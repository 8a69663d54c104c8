"""How large a bench is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Each connection is in `per_connection` channels, so that few make many entries."""

    channels: int = 1000
    members: int = 100
    per_connection: int = 100
    rounds: int = 9
    original_rounds: int = 3


FULL = Sizes()
QUICK = Sizes(channels=20, members=20, per_connection=10, rounds=2, original_rounds=1)
