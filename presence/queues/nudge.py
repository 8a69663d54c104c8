"""Nudges: ask a worker to poll a channel early, between two ticks.

Time is divided into slots of PRESENCE_NUDGE seconds, and a channel is polled at the end of a slot
if any process asked for it. So each nudge is followed by a poll, and a crowd of any size costs one
poll a slot. A lost nudge costs an interval, never the truth.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from presence import queues, services
from presence.conf import conf, masked, traceable
from presence.conf.hooks import like_a_request
from presence.exceptions import StoreError
from presence.queues.celery import CeleryBroker, project_app
from presence.roster.messages import Snapshot

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("presence.nudge")

Queue: TypeAlias = "Celery | Literal['huey']"

ARRIVAL: Final = 1.5
"""Seconds after which a page that was served has subscribed."""
DEPARTURE: Final = 0.5
"""Seconds after which Centrifugo has noticed that a page was closed."""
WORTH: Final = 30.0
"""Seconds that a poll may be late, for a broker or a worker that is busy, before it is dropped."""
NEW_ROOMS: Final = 300
HOUR: Final = 3600.0
WAITING: Final = 1000
"""Nudges of one process that may wait for their time; more are dropped."""
LINGER: Final = 5.0
"""Seconds for which an idle connection is kept: opening one costs as much as ten sends."""
BROKER_TIMEOUT: Final = 2.0
"""Seconds to connect to the broker, and for each of its replies."""


class Nudge(NamedTuple):
    """A poll of the channel `at` the end of a slot, in seconds since 1970."""

    channel: str
    slot: int
    every: float

    @property
    def at(self) -> float:
        return self.slot * self.every


class Broker(Protocol):
    """Sends polls to a queue. May block, may raise anything."""

    def send(self, channel: str, *, worth: float) -> None:
        """Have the channel polled now, or up to `worth` seconds later."""

    def close(self) -> None:
        """Close the connection; the next `send` opens another."""


class Nudger:
    """Takes nudges without ever waiting, and sends each at its time from a thread of its own.

    `claim` returns whether no process sent the nudge before; it may block or raise. `start` runs a
    function in another thread.
    """

    def __init__(
        self,
        claim: Callable[[Nudge], bool],
        broker: Broker,
        *,
        clock: Callable[[], float] = time.time,
        start: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._claim = claim
        self._broker = broker
        self._clock = clock
        self._start = start or _in_thread
        self._lock = threading.Lock()
        self._bell = threading.Event()
        self._waiting: set[Nudge] = set()
        self._working = False
        self._failing = False
        self._rests_at = 0.0

    def ask(self, channel: str, *, every: float, after: float) -> None:
        """Have the channel polled at the first multiple of `every` that is `after` seconds away.

        Never waits, never raises.
        """
        nudge = Nudge(channel, int((self._clock() + after) // every) + 1, every)
        with self._lock:
            if nudge in self._waiting or len(self._waiting) >= WAITING:
                return
            self._waiting.add(nudge)
            idle, self._working = not self._working, True
        self._bell.set()
        if not idle:
            return
        try:
            self._start(self._run)
        except Exception as error:
            with self._lock:
                self._working = False
            self._failed(channel, error)

    def _run(self) -> None:
        while (wait := self.step()) is not None:
            self._bell.wait(wait)
            self._bell.clear()

    def step(self) -> float | None:
        """Send due nudges. Returns the seconds until the next is due, None when none is left."""
        now = self._clock()
        with self._lock:
            due = sorted((n for n in self._waiting if n.at <= now), key=lambda nudge: nudge.at)
            self._waiting.difference_update(due)
        for nudge in due:
            self._ask_for(nudge)
        with self._lock:
            times = [nudge.at for nudge in self._waiting] or [self._rests_at]
        if (wait := min(times) - self._clock()) > 0:
            return wait
        return self._rest()

    def _rest(self) -> float | None:
        if not self._waiting:
            self._close()
        with self._lock:
            self._working = bool(self._waiting)
            return 0.0 if self._working else None

    def _ask_for(self, nudge: Nudge) -> None:
        if self._clock() - nudge.at > WORTH:
            return
        try:
            if self._claim(nudge):
                self._rests_at = self._clock() + LINGER
                self._broker.send(nudge.channel, worth=WORTH)
        except Exception as error:
            self._failed(nudge.channel, error)
            self._close()
        else:
            self._failing = False

    def _close(self) -> None:
        try:
            self._broker.close()
        except Exception as error:
            self._failed("", error)

    def _failed(self, channel: str, error: Exception) -> None:
        # Once for each outage, not for every page.
        if not self._failing:
            logger.error(
                "nudge=not-asked channel=%s error=%r",
                *(channel, masked(error)),
                exc_info=traceable(error),
            )
        self._failing = True


def page_served(channel: str, user_id: str, shown: Snapshot) -> None:
    """Poll soon after a page that shows `shown` was rendered for a user ("": anonymous)."""
    if user_id and shown.listed and not _lists(shown, user_id) and _affords(shown, user_id):
        _ask(channel, ARRIVAL)


def page_left(channel: str, user_id: str, shown: Snapshot) -> None:
    """Poll soon after a page of a user was closed while the roster is `shown`."""
    if user_id and shown.listed and _lists(shown, user_id):
        _ask(channel, DEPARTURE)


def member_changed(channel: str) -> None:
    """Poll soon after a member without a websocket joined or left. Never waits, never raises."""
    _ask(channel, 0.0)


def _affords(shown: Snapshot, user_id: str) -> bool:
    """Return whether a user may have a room polled early. A room that never had a member may be
    made up, so a user may have only NEW_ROOMS of these polled within an hour."""
    if shown.version or not (conf.PRESENCE_NUDGE and _queue()):
        return True
    store = services.store()
    with suppress(StoreError):  # without it nothing is asked for either
        return bool(store.hit_rate_limit(f"nudges:{user_id}", limit=NEW_ROOMS, seconds=HOUR))
    return True


def _lists(shown: Snapshot, user_id: str) -> bool:
    return any(member.id == user_id for member in shown.members)


def _ask(channel: str, after: float) -> None:
    every, queue = conf.PRESENCE_NUDGE, _queue()
    if every and queue:
        _nudger(queue).ask(channel, every=every, after=after)


def _queue() -> Queue | None:
    """Return the queue that takes polls; None where no worker would run them."""
    return "huey" if queues.huey_ready() else project_app()


@cache
def _nudger(queue: Queue) -> Nudger:
    broker: Broker
    if queue == "huey":
        from presence.queues.huey import HueyBroker

        broker = HueyBroker(_huey_poll, timeout=BROKER_TIMEOUT)
    else:
        broker = CeleryBroker(queue, timeout=BROKER_TIMEOUT)
    return Nudger(_claim, broker)


def _huey_poll() -> Any:
    # Imported in the thread of the first nudge: an error of the site's Huey breaks no page.
    from presence.tasks import sync_channels

    return sync_channels


# A forked process has no such thread, and a lock that it held would never be released there.
os.register_at_fork(after_in_child=_nudger.cache_clear)


def _in_thread(run: Callable[[], None]) -> None:
    # A daemon thread: a process that ends does not wait for a broker that does not answer.
    threading.Thread(target=run, name="presence-nudge", daemon=True).start()


def _claim(nudge: Nudge) -> bool:
    with like_a_request():  # the store may be the site's own, on its database
        return services.store().claim_slot(nudge.channel, nudge.slot, seconds=nudge.every + WORTH)
