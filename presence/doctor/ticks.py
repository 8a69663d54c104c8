"""Checks of the ticks: they run, complete and one at a time, and their age is right; and of the
age of the last look."""

from __future__ import annotations

from presence import queues, services
from presence.conf import conf
from presence.doctor.celery import late_without_looks
from presence.doctor.clocks import APART
from presence.doctor.findings import Findings, duration, ok, problem, skipped, warning
from presence.exceptions import StoreError
from presence.sync import statistics
from presence.sync.statistics import Statistics, Tick
from presence.sync.watch import LEASE, rest_after
from presence.transport.redaction import shown

START = {
    "celery": "Start `celery beat` (if worker.answers is ok, only beat is missing) and `celery "
    "worker`; if both run, the worker's log says why the ticks fail. `task=expired` in it, while "
    "the worker is idle, means that its clock is ahead of beat's: set both by NTP",
    "huey": "Start `manage.py run_huey`, one of them without --no-periodic; if it runs, its log "
    "says why the ticks fail",
}
LOOK = {
    "celery": "See looks.entry. If beat sends looks: the worker's log says why they fail, or "
    "`task=expired` in it means that the worker's clock is ahead of beat's (set both by NTP), or "
    "that all processes are busy (run another one)",
    "huey": "Start `manage.py run_huey`; if it runs, its log says why the looks fail",
}
STOPPED = {"celery": "beat or worker", "huey": "Huey's consumer"}
LOG = "The worker's log says why, as does `manage.py presence_sync --once`."

RECENT = 10
"""Number of ticks to examine."""

LOOKS_REST = rest_after(LEASE)
"""Seconds of the longest rest."""

OFTEN = 3
"""Ticks that began too early, of the recent ones, from which two beats are likely: one by hand
is no sign of it."""


def examine() -> Findings:
    store = services.store()
    if not store.shared:
        yield skipped(
            "ticks.fresh", f"{shown(conf.PRESENCE_BACKEND)} shows nothing to other processes"
        )
        return
    try:
        found = statistics.read(store)
    except StoreError:
        yield skipped("ticks.fresh", "Redis does not answer")
        return
    queue = queues.chosen() or "celery"
    yield from judge(found, interval=conf.PRESENCE_INTERVAL, queue=queue)
    yield from looks(found, every=conf.PRESENCE_WATCH, queue=queue)


def judge(found: Statistics, *, interval: float, queue: str = "celery") -> Findings:
    """Judge the statistics. `interval` is in seconds, `queue` is "celery" or "huey"."""
    limit = 1.5 * interval + 5  # some time for the tick itself
    every = f"PRESENCE_INTERVAL is {duration(interval)}"
    if found.began is None:
        yield problem(
            "ticks.fresh",
            f"There has been no tick yet: {every}",
            f"{START[queue]}. The first tick comes {duration(interval)} after the start: wait, "
            "and run the doctor again.",
        )
        return
    age = found.now - found.began
    if age < -APART:
        reason = f"the last tick is dated {duration(-age)} in the future (see clocks.agree)"
        yield skipped("ticks.fresh", reason)
        return
    age = max(0.0, age)
    if age > limit:
        yield problem(
            "ticks.fresh",
            f"The last tick was {duration(age)} ago, and {every}: {STOPPED[queue]} stopped?",
            f"{START[queue]}.",
        )
        return
    yield ok("ticks.fresh", f"The last tick was {duration(age)} ago")
    late = [channel for channel, polled in found.behind.items() if found.now - polled > limit]
    yield from _left_behind(late)
    yield from _last(found.last)
    yield from _recent(found.history[:RECENT])


def looks(found: Statistics, *, every: float, queue: str = "celery") -> Findings:
    """Judge the age of the last look. `every` has the seconds between two; 0: no looks."""
    if not every:
        return
    age = None if found.looked is None else found.now - found.looked
    if age is not None and age <= 2 * every + LOOKS_REST:
        yield ok("looks.fresh", f"The last look was {duration(age)} ago")
        return
    last = "There has been no look yet" if age is None else f"The last look was {duration(age)} ago"
    yield warning(
        "looks.fresh",
        f"{last}, and PRESENCE_WATCH is {duration(every)}. {late_without_looks()}",
        f"{LOOK[queue]}.",
    )


def _left_behind(channels: list[str]) -> Findings:
    if channels:
        names = ", ".join(sorted(channels)[:3])
        yield warning(
            "ticks.complete",
            f"{len(channels)} channels were not polled by the last ticks ({names})",
            LOG,
        )


def _last(tick: Tick | None) -> Findings:
    if tick and tick.report.errors:
        first = tick.report.failures[0] if tick.report.failures else "see the log"
        yield warning(
            "ticks.errors", f"The last tick had {tick.report.errors} errors: {first}", LOG
        )


def _recent(ticks: list[Tick]) -> Findings:
    broken = [tick for tick in ticks if tick.missing]
    if broken:
        missing = sum(tick.missing for tick in broken)
        yield warning(
            "ticks.shards",
            f"{len(broken)} of the last {len(ticks)} ticks were incomplete: {missing} shards "
            "were not run",
            "Check whether a worker ended or was killed, or start more workers: a shard that has "
            "waited for an interval is not run.",
        )
    if sum(tick.overlapping for tick in ticks) >= OFTEN:
        yield warning(
            "ticks.twice",
            f"{sum(tick.overlapping for tick in ticks)} of the last {len(ticks)} ticks came closer "
            "together than PRESENCE_INTERVAL",
            "If beat's entry and PRESENCE_INTERVAL are equal (beat.interval) and no ticks are run "
            "by hand, look for a second beat or `presence_sync --every`: its ticks waste "
            "work.",
        )
