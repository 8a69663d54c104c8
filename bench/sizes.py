"""How large a bench is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Each connection is in `per_connection` channels, so that few make many entries."""

    channels: int = 1000
    members: int = 100
    per_connection: int = 100
    rounds: int = 5
    steady_turns: int = 4
    """Times in a round that what takes little is measured."""
    original_rounds: int = 3
    million: int = 10_000
    """Connections of the large case; with `per_connection` each, a million entries."""
    few: int = 10
    """Members of each channel where time is held against the number of channels."""
    growth: tuple[int, ...] = (10, 100, 1000, 2000, 4000, 8000, 10_000)
    replayed: tuple[int, ...] = (25_000, 50_000, 100_000)
    growth_rounds: int = 5
    linear_from: int = 1000
    listed: tuple[int, ...] = (100, 1000, 5000)
    workers: tuple[int, ...] = (1, 2, 4)
    worker_rounds: int = 3
    write_rounds: int = 15
    kept_rounds: int = 3
    latency_rounds: int = 4
    latency_samples: int = 10
    """Moves of each page in a round."""
    frame_windows: int = 5
    frame_seconds: float = 2.0
    heap_moves: int = 100_000


FULL = Sizes()
SMALL = Sizes(
    channels=100,
    members=20,
    per_connection=50,
    rounds=3,
    million=200,
    growth=(10, 100, 200),
    growth_rounds=3,
    linear_from=100,
)
"""For the devserver."""

QUICK = Sizes(
    channels=20,
    members=20,
    per_connection=10,
    rounds=2,
    original_rounds=1,
    million=40,
    growth=(10, 20, 40),
    replayed=(100, 200),
    growth_rounds=2,
    linear_from=20,
    listed=(100,),
    workers=(1, 2),
    worker_rounds=1,
    write_rounds=1,
    kept_rounds=1,
    latency_rounds=1,
    latency_samples=2,
    frame_windows=1,
    frame_seconds=1.0,
    heap_moves=2000,
)

HOUR = 50 * 20 * 3600
"""Moves that 50 cursors make in an hour, at 20 a second."""
