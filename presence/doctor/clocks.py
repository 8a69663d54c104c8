"""Check that the clocks of the machines agree. It comes first, as other findings follow from it."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import msgspec
import redis
from django.utils.text import get_text_list

from presence import queues, services
from presence.backends.redis.cluster import Cluster
from presence.backends.redis.store import RedisStore
from presence.backends.redis.urls import make_client
from presence.conf import conf
from presence.doctor.findings import Findings, duration, ok, problem, skipped, warning
from presence.exceptions import StoreError
from presence.sync import statistics
from presence.sync.statistics import Statistics

APART = 5.0
"""Seconds by which two clocks may differ: Centrifugo reports whole seconds, NTP stays below."""

RECENT = 3.0
"""Intervals after which a tick says nothing about the clocks."""


class Clocks(msgspec.Struct, frozen=True):
    """Seconds by which each clock is ahead of this machine's; None where it is not known.

    `tick` is the same for the recorded time of the newest tick. It is above 0 only if the clock of
    Redis was set back since.
    """

    ahead: Mapping[str, float | None]
    tick: float | None = None


def examine() -> Findings:
    by_clock = queues.chosen() == "celery"  # Huey's consumer compares its own times.
    yield from judge(measure(), watch=conf.PRESENCE_WATCH if by_clock else 0.0)


def judge(found: Clocks, *, watch: float = 0.0) -> Findings:
    """Report differences of the clocks, with their consequences.

    `watch` has the seconds after which looks expire by the worker's clock; 0: they do not.
    """
    known = {name: ahead for name, ahead in found.ahead.items() if ahead is not None}
    wrong = {name: ahead for name, ahead in known.items() if abs(ahead) > APART}
    if wrong:
        yield problem(
            "clocks.agree",
            f"The clocks differ: {_differences(known, wrong)}. So Centrifugo may refuse new "
            "tokens as expired, or accept old ones for longer, and ages and leaves are wrong by "
            "as much",
            "Set the clocks of all machines by NTP, then ask the doctor again.",
        )
    if found.tick is not None and found.tick > APART:
        yield problem(
            "clocks.agree",
            f"The newest tick is dated {duration(found.tick)} in the future: the clock of Redis "
            "was ahead then, and was set back since",
            "Let NTP keep the clock of Redis. The record is right again after that time.",
        )
    elif known and not wrong:
        most = max(map(abs, known.values()))
        names = get_text_list(["this machine", *known], "and")
        yield ok("clocks.agree", f"The clocks of {names} agree within {duration(most)}")
    fast = known.get("the worker", 0.0) - known.get("Redis", 0.0)
    if fast >= watch > 0 and not wrong:
        yield warning(
            "clocks.agree",
            f"The worker is {duration(fast)} ahead of Redis, and looks expire after "
            f"{duration(watch)} (PRESENCE_WATCH): unless beat's clock is ahead, too, none is run",
            "Set the clocks of worker and beat by NTP.",
        )
    for name, ahead in found.ahead.items():
        if ahead is None:
            yield skipped("clocks.agree", f"{name} does not report its time")


def _differences(known: Mapping[str, float], wrong: Mapping[str, float]) -> str:
    """Return which clocks are ahead or behind, as a clause."""
    lowest, highest = min(known.values()), max(known.values())
    if len(wrong) == len(known) > 1 and highest - lowest <= APART:  # only this machine differs
        names = get_text_list(list(known), "and")
        return f"this machine is {duration(abs(highest))} {_side(-highest)} {names}"
    return ", ".join(
        f"{name} is {duration(abs(ahead))} {_side(ahead)} this machine"
        for name, ahead in wrong.items()
    )


def _side(ahead: float) -> str:
    return "ahead of" if ahead > 0 else "behind"


def measure(*, clock: Callable[[], float] = time.time) -> Clocks:
    """Ask every machine for its time."""
    ahead: dict[str, float | None] = {}
    store = services.store()
    ticks = _ticks() if store.shared else None
    if isinstance(store, RedisStore):
        ahead["Redis"] = _redis_ahead(clock)
        if ahead["Redis"] is not None and (worker := _worker_ahead(ticks)) is not None:
            ahead["the worker"] = ahead["Redis"] + worker
    ahead["Centrifugo"] = centrifugo_ahead(clock=clock)
    began = ticks.began if ticks else None
    return Clocks(ahead, None if ticks is None or began is None else began - ticks.now)


def centrifugo_ahead(*, clock: Callable[[], float] = time.time) -> float | None:
    """Return the seconds by which the server at CENTRIFUGO_API_URL is ahead, by the Date header of
    its answer: 0.0 within the precision of a second, None if it does not answer."""
    url = urlsplit(conf.CENTRIFUGO_API_URL)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    before = clock()
    try:
        with closing(
            kind(url.netloc.rpartition("@")[2], timeout=conf.CENTRIFUGO_TIMEOUT)
        ) as server:
            server.request("GET", url.path or "/")
            told = parsedate_to_datetime(server.getresponse().headers["Date"]).timestamp()
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return None
    return _beyond(told, told + 1.0, before, clock())


def _redis_ahead(clock: Callable[[], float]) -> float | None:
    """Return the seconds of the primary whose clock differs most."""
    found: list[float] = []
    try:
        client = make_client(conf.PRESENCE_REDIS_URL, timeout=conf.PRESENCE_REDIS_TIMEOUT)
        for primary in client.primaries() if isinstance(client, Cluster) else [client]:
            before = clock()
            seconds, micros = primary.time()
            told = seconds + micros / 1e6
            found.append(_beyond(told, told, before, clock()))
    except (redis.RedisError, OSError):
        return None
    return max(found, key=abs)


def _beyond(earliest: float, latest: float, before: float, after: float) -> float:
    """Return how far the reported time lies outside the time of the request."""
    if earliest > after:
        return earliest - after
    return min(0.0, latest - before)


def _worker_ahead(ticks: Statistics | None) -> float | None:
    """Return the seconds by which the worker's clock is ahead of Redis's, by the last tick.

    None if that is not recent: the clock of Redis may have been set since.
    """
    last = ticks.last if ticks else None
    if ticks is None or last is None or ticks.now - last.finished > RECENT * conf.PRESENCE_INTERVAL:
        return None
    return last.clock_ahead


def _ticks() -> Statistics | None:
    try:
        return statistics.read(services.store())
    except StoreError:
        return None
