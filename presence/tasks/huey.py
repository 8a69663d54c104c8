"""The tasks as Huey's consumer runs them, and how it comes to a tick every interval.

Huey's own periodic tasks run by the minute. Time is cut into slots of an interval instead, and
each minute the ticks at the beginnings of the next slots are put on Huey's schedule. A slot is
claimed by the first tick that runs in it: two consumers, or one that was restarted, plan the same
ticks twice and run them once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil, floor
from typing import Any, Final

from huey import crontab
from huey.api import Huey, Task

from presence import services
from presence.conf import conf, masked, traceable
from presence.exceptions import StoreError
from presence.tasks import jobs

__all__ = ["Tasks", "slots"]

logger = logging.getLogger("presence.tasks")

AHEAD: Final = 90.0
"""Seconds for which ticks are planned, each minute: the next planning may come late."""
BEHIND: Final = 0.3
"""Part of an interval by which a tick may be late when it is planned. One that is later waits for
the next slot: the two would come too close together."""
SHORTEST: Final = 1.0
"""Seconds between two looks of Huey's scheduler, and so between two ticks, at least."""
TICKS: Final = "#ticks"
"""What slots are claimed of: the name of no channel."""


def slots(now: float, every: float) -> range:
    """The slots to plan at `now`, in seconds since 1970; slot n begins at n * `every`."""
    return range(ceil(now / every - BEHIND), floor((now + AHEAD) / every) + 1)


class Tasks:
    """The tasks, registered with `huey`; also the work.Queue of what they run.

    `clock` tells seconds since 1970. None of them returns anything: Huey would keep it for ever.
    """

    def __init__(self, huey: Huey, *, clock: Callable[[], float] = time.time) -> None:
        self._huey = huey
        self._clock = clock
        task = huey.task
        self.plan_ticks = huey.periodic_task(crontab(), name="plan_ticks", expires=60)(self._plan)
        self.update_presence = task(name="update_presence")(self._update_presence)
        self.sync_shard = task(name="sync_shard")(self._sync_shard)
        self.sync_channels = task(name="sync_channels")(self._sync_channels)
        self.answer = task(name="answer")(self._answer)

    def hand_out(self, shard: dict[str, Any], /) -> bool:
        task = self.sync_shard.s(shard, expires=conf.PRESENCE_INTERVAL)
        return self._enqueue(task, "shard=not-handed-out number=%d", shard["number"])

    def poll_after_grace(self, channels: list[str], /) -> None:
        """Huey's schedule outlives the consumer."""
        grace = conf.PRESENCE_LEAVE_GRACE
        ends = _moment(self._clock() + grace + conf.PRESENCE_INTERVAL)
        task = self.sync_channels.s(channels, delay=grace, expires=ends)
        self._enqueue(task, "poll=not-asked channels=%d", len(channels))

    def _enqueue(self, task: Task, failed: str, *about: object) -> bool:
        try:
            self._huey.enqueue(task)
        except Exception as error:  # of Huey's storage, which the site chooses
            arguments = (*about, masked(error))
            logger.error(f"{failed} error=%r", *arguments, exc_info=traceable(error))
            return False
        return True

    def _plan(self) -> None:
        """Put the ticks of the next minute, and a little more, on Huey's schedule."""
        every = _every()
        for slot in slots(self._clock(), every):
            # As moments, not as delays: neither may begin anew when Huey was away.
            when = {"eta": _moment(slot * every), "expires": _moment((slot + 1) * every)}
            self._huey.enqueue(self.update_presence.s(slot, every, **when))

    def _update_presence(self, slot: int, every: float) -> None:
        """Run the tick of the slot, unless somebody has, or the interval is another by now."""
        if every != _every():
            return
        try:
            first = services.store().claim_slot(TICKS, slot, seconds=2 * every)
        except StoreError as error:
            logger.error("tick=failed error=%r", str(error))
            return
        if first:
            jobs.update_presence(self)

    def _sync_shard(self, shard: dict[str, Any]) -> None:
        """Run a shard of a tick; `shard` is a presence.sync.channels.Shard as JSON has it."""
        jobs.sync_shard(shard, self)

    def _sync_channels(self, channels: list[str]) -> None:
        """Poll some channels, between two ticks."""
        jobs.sync_channels(channels, self)

    def _answer(self, key: str) -> None:
        """Show whoever looks under `key` in Huey's storage that a consumer is there."""
        self._huey.put(key, True)


def _every() -> float:
    return max(conf.PRESENCE_INTERVAL, SHORTEST)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
