"""Whether ticks run: how old is what the pages show."""

from __future__ import annotations

from collections.abc import Mapping

from presence import assembly, naming
from presence.backends.base import RosterStore
from presence.conf import conf
from presence.doctor.findings import Findings, duration, ok, problem, skipped, warning
from presence.exceptions import CentrifugoError, StoreError

__all__ = ["examine", "judge"]

CHUNK = 1000
START = (
    "Start `celery beat` and `celery worker`; if they run, the worker's log says why the ticks fail"
)


def examine() -> Findings:
    store = assembly.store()
    if not store.shared:
        yield skipped("ticks.fresh", f"{conf.PRESENCE_BACKEND!r} shows nothing to other processes")
        return
    try:
        known, now = store.known(), store.load([]).now
        occupied = _occupied(store, known)
    except StoreError:
        yield skipped("ticks.fresh", "Redis does not answer")
        return
    yield from judge(known, occupied, _active(), now=now, interval=conf.PRESENCE_INTERVAL)


def judge(
    known: Mapping[str, float],
    occupied: Mapping[str, float],
    active: int,
    *,
    now: float,
    interval: float,
) -> Findings:
    """What the times of the last good polls tell.

    Every tick polls the `occupied` ones of the `known` channels and the `active` ones (a number),
    so where there is neither, no tick leaves a trace.
    """
    limit = 1.5 * interval + 5  # a tick takes its time, too
    newest = max(known.values(), default=None)
    every = f"PRESENCE_INTERVAL is {duration(interval)}"
    if newest is not None and now - newest <= limit:
        yield ok("ticks.fresh", f"The last tick was {duration(now - newest)} ago")
        yield from _left_behind([c for c, polled in occupied.items() if now - polled > limit])
    elif newest is not None and occupied:
        yield problem(
            "ticks.fresh",
            f"The last tick was {duration(now - newest)} ago, and {every}",
            f"{START}.",
        )
    elif not active:
        yield skipped(
            "ticks.fresh",
            "nobody is on any channel, and then a tick leaves no trace",
            "Open a page with the widget and ask again.",
        )
    elif newest is None:
        yield problem(
            "ticks.fresh",
            f"There has been no tick yet, and somebody is there: {every}",
            f"Wait for so long and ask again. {START}.",
        )
    else:
        yield warning(
            "ticks.fresh",
            f"No tick has seen yet who is there, the last one that did was "
            f"{duration(now - newest)} ago: {every}",
            f"Wait for so long and ask again. {START}.",
        )


def _left_behind(channels: list[str]) -> Findings:
    if channels:
        names = ", ".join(sorted(channels)[:3])
        yield warning(
            "ticks.complete",
            f"{len(channels)} channels were not polled by the last ticks ({names})",
            "The worker's log says why, as does `manage.py presence_sync --once`.",
        )


def _occupied(store: RosterStore, known: Mapping[str, float]) -> dict[str, float]:
    """Those of the known channels that every tick polls, with the time of the last good one."""
    names = sorted(known)
    occupied: dict[str, float] = {}
    for start in range(0, len(names), CHUNK):
        states = store.load(names[start : start + CHUNK]).states
        occupied |= {channel: known[channel] for channel in states if states[channel].occupied}
    return occupied


def _active() -> int:
    """How many channels somebody is on; 0 where Centrifugo does not tell."""
    patterns = conf.PRESENCE_CHANNELS
    feeds = [feed for feed in map(naming.feed_pattern, patterns) if feed]
    try:
        return len(assembly.gateway().survey([*patterns, *feeds]).clients)
    except CentrifugoError:
        return 0
