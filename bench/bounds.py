"""Sizes of a bench, and the bounds of its figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Traffic:
    """Rooms with so many members each, of which `replaced` (a fraction) change in each 10 s."""

    rooms: int
    members: int
    replaced: float
    joined: int
    """Rooms of one connection: few connections make much traffic."""
    tries: int = 50
    seconds: float = 60.0
    """Seconds for which the traffic is measured at least."""
    rest: float = 0.0
    """Seconds for which looks are measured before it, while nobody moves."""


@dataclass(frozen=True)
class Tries:
    """Numbers of tries of freshness; `joins` are of each kind of page and room."""

    joins: int = 50
    cuts: int = 50
    swaps: int = 200
    tabs: int = 50
    busy: Traffic = Traffic(2000, 10, 0.05, joined=10)
    flood: Traffic = Traffic(10_000, 10, 0.2, joined=100, rest=20.0)


LONG = Tries()
"""Tries of `python -m bench.freshness`."""
SHORT = Tries(
    joins=10,
    cuts=10,
    swaps=20,
    tabs=5,
    busy=replace(LONG.busy, tries=20, seconds=20.0),
    flood=replace(LONG.flood, tries=10, seconds=20.0, rest=10.0),
)
FEW = Tries(
    joins=5,
    cuts=5,
    swaps=10,
    tabs=1,
    busy=Traffic(20, 3, 0.05, joined=1, tries=10, seconds=3.0),
    flood=Traffic(40, 3, 0.2, joined=2, tries=10, seconds=3.0, rest=3.0),
)


@dataclass(frozen=True)
class Sizes:
    """Sizes of a run. Each connection is in `per_connection` channels: few make many entries."""

    channels: int = 1000
    members: int = 100
    per_connection: int = 100
    rounds: int = 5
    steady_turns: int = 4
    """Repetitions in a round of measurements that take little time."""
    original_rounds: int = 3
    million: int = 10_000
    """Connections of the large case; with `per_connection` each, a million entries."""
    few: int = 10
    """Members of each channel in the case of many channels."""
    growth: tuple[int, ...] = (10, 100, 1000, 2000, 4000, 8000, 10_000)
    replayed: tuple[int, ...] = (25_000, 50_000, 100_000)
    growth_rounds: int = 5
    linear_from: int = 1000
    listed: tuple[int, ...] = (100, 1000, 5000)
    workers: tuple[int, ...] = (1, 2, 4)
    worker_rounds: int = 3
    look_rounds: int = 15
    write_rounds: int = 15
    kept_rounds: int = 3
    latency_rounds: int = 4
    latency_samples: int = 10
    """Moves of each page in a round."""
    frame_windows: int = 5
    frame_seconds: float = 2.0
    heap_moves: int = 100_000
    fresh: Tries = SHORT


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
    fresh=FEW,
)
"""Sizes for the development server, which is slower than Centrifugo."""

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
    look_rounds=2,
    write_rounds=1,
    kept_rounds=1,
    latency_rounds=1,
    latency_samples=2,
    frame_windows=1,
    frame_seconds=1.0,
    heap_moves=2000,
    fresh=FEW,
)

HOUR = 50 * 20 * 3600
"""Moves that 50 cursors make in an hour, at 20 a second."""


class Bound(NamedTuple):
    """Limits of a figure: `must` is promised; a value beyond `fails` is more than noise.

    Both are upper limits, or lower ones with `at_least`.
    """

    must: float
    fails: float
    at_least: bool = False

    def judge(self, value: float) -> str:
        """Return the verdict for the table: "ok", "MISSED" or "FAILED"."""
        if self._within(value, self.must):
            return "ok"
        return "MISSED" if self._within(value, self.fails) else "FAILED"

    def _within(self, value: float, limit: float) -> bool:
        return value >= limit if self.at_least else value <= limit


PROCESSOR = "tick_steady, worker's processor time (s)"
LOOK = "idle look at 10,000 channels / bare channels call"
LOOK_PROCESSOR = "idle look, worker's processor time (ms)"
APPLIED = "diff of 100 changes / copying a roster of 5,000"
UPDATE_MANY = "update_cursors / one dictionary, updates a second"
UPDATE_ONE = "update_cursor, published / one dictionary, the same"
KEPT = "cursors kept, of 800 that 8 processes wrote"
LATENCY = "pointer to drawn / (1.2 bare publishes + a frame)"
SCRIPT = "script in a frame of 100 moving cursors (ms)"
HEAP = "heap after / before the moves of 50 cursors"
OF_BROWSER = (LATENCY, SCRIPT, HEAP)

JOIN_MEDIAN = "join seen, p50 of the slowest kind (s)"
JOIN = "join seen, p99 (s)"
LEAVE = "leave seen after the grace, p99 (s)"
TAB = "tab closed, left or killed: seen after the grace, p99 (s)"
CUT = "network cut: seen after the grace, p99 (s)"
SWAP = "swap: the one who joins seen, p99 (s)"
BUSY_JOIN = "busy site: join seen, p99 (s)"
BUSY_CORE = "busy site: worker's part of a core"
IDLE_LOOK = "look at the flooded site at rest, worker (ms)"
FLOOD_LOOKS = "flooded site: part of the time that looks take"
FLOOD_SLOWEST = "flooded site: slowest join or leave seen (s)"
FLOOD_LOST = "flooded site: rooms that stay wrong"

BOUNDS = {
    "tick_steady / raw_read": Bound(1.1, 3.0),
    "tick_steady / raw_read_2": Bound(1.4, 3.5),
    PROCESSOR: Bound(0.10, 0.30),
    "tick_churn5 / (raw_read + raw_publish)": Bound(2.0, 5.0),
    "original_loop / tick_steady": Bound(20.0, 8.0, at_least=True),
    "tick_million / raw_read": Bound(2.0, 5.0),
    "tick_million, worker's memory (MB)": Bound(400.0, 500.0),
    "time for twice the channels": Bound(2.2, 3.5),
    "time for twice the members": Bound(2.2, 3.5),
    LOOK: Bound(2.0, 5.0),
    LOOK_PROCESSOR: Bound(15.0, 45.0),
    APPLIED: Bound(0.5, 2.0),
    UPDATE_MANY: Bound(5.0, 2.5, at_least=True),
    UPDATE_ONE: Bound(1.0, 0.5, at_least=True),
    KEPT: Bound(800.0, 800.0, at_least=True),
    LATENCY: Bound(1.0, 3.0),
    SCRIPT: Bound(4.0, 12.0),
    HEAP: Bound(1.1, 1.5),
    JOIN_MEDIAN: Bound(0.8, 2.4),
    JOIN: Bound(1.5, 4.5),
    LEAVE: Bound(1.5, 4.5),
    TAB: Bound(1.5, 4.5),
    CUT: Bound(15.0, 20.0),
    SWAP: Bound(3.5, 10.0),
    BUSY_JOIN: Bound(3.5, 10.0),
    BUSY_CORE: Bound(0.10, 0.30),
    IDLE_LOOK: Bound(15.0, 45.0),
    FLOOD_LOOKS: Bound(0.25, 0.40),
    FLOOD_SLOWEST: Bound(60.0, 120.0),
    FLOOD_LOST: Bound(0.0, 0.0),
}


def figures(results: dict[str, Any], *, linear_from: int) -> dict[str, float]:
    """Return the figures of a run that have a bound, by its name; growth is the worst step.

    Results that are absent or None have no figure.
    """
    found = _of_ticks(results, linear_from) if "thousand" in results else {}
    found |= _of_cursors(results["cursors"]) if "cursors" in results else {}
    return found | (of_freshness(results["freshness"]) if "freshness" in results else {})


def of_freshness(results: dict[str, Any]) -> dict[str, float]:
    """Return the figures of those cases of freshness that were run."""
    found = {}
    kinds = {JOIN: "join", LEAVE: "leave", TAB: "tab", CUT: "network", SWAP: "swap: who joins"}
    for figure, kind in kinds.items():
        rows = [row for name, row in results["rows"].items() if name.startswith(kind)]
        if rows:
            found[figure] = max(row["p99"] for row in rows)
        if rows and figure == JOIN:
            found[JOIN_MEDIAN] = max(row["p50"] for row in rows)
    if busy := results.get("busy"):
        found |= {BUSY_JOIN: busy["joins"]["p99"], BUSY_CORE: busy["core"]}
    if flood := results.get("flood"):
        found |= {
            IDLE_LOOK: flood["rest_worker_ms"],
            FLOOD_LOOKS: flood["looks"],
            FLOOD_SLOWEST: max(flood["joins"]["max"], flood["leaves"]["max"]),
            FLOOD_LOST: float(flood["lost"]),
        }
    return found


def _of_cursors(cursors: dict[str, Any]) -> dict[str, float]:
    writes, browser = cursors["writes"], cursors["browser"]
    found = {
        UPDATE_MANY: writes["ratios"]["bulk"],
        UPDATE_ONE: writes["ratios"]["single"],
        KEPT: float(writes["kept"]),
    }
    if browser is None:
        return found
    return found | {
        LATENCY: browser["latency"]["ratio"],
        SCRIPT: browser["frames"]["script_ms"],
        HEAP: browser["memory"]["ratio"],
    }


def _of_ticks(results: dict[str, Any], linear_from: int) -> dict[str, float]:
    thousand, million, doubled = results["thousand"], results["million"], results["doubled"]
    found = dict(thousand["ratios"])
    found[PROCESSOR] = thousand["seconds"]["tick_steady_processor"]
    found[LOOK] = results["looks"]["ratio"]
    found[LOOK_PROCESSOR] = 1000 * results["looks"]["look_processor"]
    members = [*doubled["members"].values(), *doubled["replayed"].values()]
    if applied := results["applied"]:
        found[APPLIED] = applied["ratio"]
    return found | {
        "tick_million / raw_read": million["ratio"],
        "tick_million, worker's memory (MB)": max(million["first_mb"], million["steady_mb"]),
        "time for twice the channels": _worst(doubled["channels"].values(), linear_from),
        "time for twice the members": _worst(members, linear_from),
    }


def _worst(lines: Iterable[dict[int, float]], start: int) -> float:
    return max(ratio for line in lines for size, ratio in line.items() if size >= start)
