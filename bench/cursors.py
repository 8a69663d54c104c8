"""Cursors moved from Python, against one dictionary of all of them in Django's cache."""

from __future__ import annotations

import math
import select
import sys
import time
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

import django
from django.core.cache.backends.redis import RedisCache

from bench.bounds import Sizes
from bench.child import Child, serve

if TYPE_CHECKING:
    from tests.browser.one_page_site import Stage

PATIENCE = 30.0
"""Seconds for the outbox to publish its queue."""

CACHED = 10
"""Seconds for which the cache keeps a dictionary."""


class Writer(Child):
    """Process that moves cursors. Commands are the methods of `Tracked`, with their arguments."""

    def __init__(self, stage: Stage) -> None:
        environment = {
            **stage.centrifugo.environment,
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "PRESENCE_REDIS_URL": stage.redis_url,
        }
        super().__init__("bench.cursors", environment=environment)


class Tracked:
    """Commands of the child process."""

    def __init__(self) -> None:
        from presence import services
        from presence.conf import conf
        from presence.cursors import CursorTracker

        self._outbox = services.outbox
        self._tracker = CursorTracker
        self._cache = RedisCache(conf.PRESENCE_REDIS_URL, {})

    def bulk(self, key: str, first: int, number: int) -> float:
        """Move so many users in one call. Returns seconds."""
        started = time.perf_counter()
        self._tracker.update_cursors(key, _places(range(first, first + number), 0))
        return time.perf_counter() - started

    def single(self, key: str, first: int, number: int) -> float:
        """Move so many users one by one, until all is published. Returns seconds."""
        started = time.perf_counter()
        for user, (x, y, meta) in _places(range(first, first + number), 0).items():
            self._tracker.update_cursor(key, user, x, y, meta)
        if not self._outbox.flush(PATIENCE):
            raise RuntimeError("not all moves were published")
        return time.perf_counter() - started

    def dictionary(self, key: str, first: int, number: int) -> float:
        """Move them in one dictionary in the cache, which is read, changed and written for each
        of them, without publishing. Returns seconds."""
        started = time.perf_counter()
        for user, (x, y, meta) in _places(range(first, first + number), 0).items():
            cursors = self._cache.get(key) or {}
            cursors[user] = {"x": x, "y": y, "timestamp": time.time(), "meta": meta}
            self._cache.set(key, cursors, timeout=CACHED)
        return time.perf_counter() - started

    def at(self, moment: float, name: str, *arguments: Any) -> Any:
        """Call the method `name` at a moment (seconds since 1970)."""
        time.sleep(max(0.0, moment - time.time()))
        return getattr(self, name)(*arguments)

    def kept(self, key: str) -> tuple[int, int]:
        """Return the number of cursors in our store, and in the dictionary."""
        return len(self._tracker.get_cursors(key)), len(self._cache.get(key) or {})

    def turns(self, key: str, users: list[int], number: int) -> None:
        """Move all users so many times, without a pause."""
        for turn in range(number):
            self._tracker.update_cursors(key, _places(users, turn))

    def crowd(self, key: str, number: int, group: int, rate: float) -> float:
        """Move so many users in circles, a group in each call, `rate` calls a second, until the
        next command arrives. Returns moves a second."""
        groups = [list(range(at, at + group)) for at in range(0, number, group)]
        started, calls = time.monotonic(), 0
        while not select.select([sys.stdin], [], [], 0)[0]:
            self._tracker.update_cursors(key, _places(groups[calls % len(groups)], calls))
            calls += 1
            time.sleep(max(0.0, started + calls / rate - time.monotonic()))
        return calls * group / (time.monotonic() - started)

    def stop(self) -> None:
        """Do nothing: any command ends `crowd`."""

    def remove(self, key: str, user: int) -> None:
        """Remove a cursor, and wait until that is published."""
        self._tracker.remove_cursor(key, f"u{user}")
        self._outbox.flush(PATIENCE)


def _places(users: range | list[int], turn: int) -> dict[str, tuple[float, float, dict[str, str]]]:
    """Return the positions of users on their circles, with names and colours."""
    places = {}
    for user in users:
        angle = 0.05 * turn + user
        x, y = 0.5 + 0.4 * math.cos(angle), 0.5 + 0.4 * math.sin(angle)
        meta = {"name": f"User u{user}", "color": "#4363d8"}
        places[f"u{user}"] = (round(x, 4), round(y, 4), meta)
    return places


USERS = 100
"""Users that each process moves."""
PROCESSES = 8
SOON = 0.2
"""Seconds until all processes know when to begin."""
KINDS = ("bulk", "single", "dictionary")
KEY = "bench:rates"
CHANNEL = f"cursors:{KEY}"
KEPT = "bench:kept-{}"


def written(stage: Stage, sizes: Sizes) -> dict[str, object]:
    """Return the updates per second of each approach, their ratios to the dictionary, and how many
    cursors were kept of those that several processes wrote at once (the fewest)."""
    with ExitStack() as stack:
        writers = [stack.enter_context(Writer(stage)) for _ in range(PROCESSES)]
        rates = _rates(writers[0], sizes)
        kept = [_keep(writers, KEPT.format(n)) for n in range(sizes.kept_rounds)]
    ratios = {
        kind: [ours / theirs for ours, theirs in zip(rates[kind], rates["dictionary"], strict=True)]
        for kind in KINDS[:2]
    }
    return {
        "users": USERS,
        "updates_a_second": {kind: median(found) for kind, found in rates.items()},
        "ratios": {kind: median(found) for kind, found in ratios.items()},
        "spread": {kind: [min(found), max(found)] for kind, found in ratios.items()},
        "written": PROCESSES * USERS,
        "kept": min(ours for ours, _ in kept),
        "dictionary_kept": median(theirs for _, theirs in kept),
    }


def _rates(writer: Writer, sizes: Sizes) -> dict[str, list[float]]:
    """Return the updates per second of each round. The order changes; the first round warms up."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for round_ in range(sizes.write_rounds + 1):
        turn = round_ % len(KINDS)
        for kind in KINDS[turn:] + KINDS[:turn]:
            rate = USERS / writer.ask(kind, KEY, 0, USERS)
            if round_:
                found[kind].append(rate)
    return found


def _keep(writers: list[Writer], key: str) -> tuple[int, int]:
    """Let every process move users of its own once. Returns how many cursors there are then, in our
    store and in the dictionary."""
    for kind in ("single", "dictionary"):
        moment = time.time() + SOON
        for number, writer in enumerate(writers):
            writer.begin("at", moment, kind, key, number * USERS, USERS)
        for writer in writers:
            writer.end()
    ours, theirs = writers[0].ask("kept", key)
    return ours, theirs


if __name__ == "__main__":
    django.setup()
    tracked = Tracked()
    serve(lambda name, *arguments: getattr(tracked, name)(*arguments))
