"""The tasks for Huey's consumer, and the schedule of ticks and looks.

Huey's periodic tasks run by the minute. So time is divided into slots of an interval, and each
minute the ticks at the start of the next slots are put on Huey's schedule. The first tick that
runs in a slot claims it: two consumers, or one that was restarted, plan the same ticks twice and
run them once. Looks have slots of PRESENCE_WATCH seconds, in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil, floor
from typing import Any, Final

from huey import crontab
from huey.api import Huey

from presence import services
from presence.conf import conf, masked, traceable
from presence.exceptions import StoreError
from presence.tasks import jobs
from presence.transport.log_limit import LogLimit
from presence.transport.log_lines import line_logger

logger = line_logger("presence.tasks")

AHEAD: Final = 90.0
"""Seconds for which ticks are planned each minute: the next planning may come late."""
BEHIND: Final = 0.3
"""Part of an interval by which a tick may be late when it is planned. A later one is left out, as
it would come too close to that of the next slot."""
SHORTEST: Final = 1.0
"""Seconds between two runs of Huey's scheduler: ticks cannot come more often."""
TICKS: Final = "#ticks"
LOOKS: Final = "#looks"
"""Names that slots are claimed for; no channel can have them."""


def slots(now: float, every: float) -> range:
    """Return the slots to plan at `now`, seconds since 1970; slot n begins at n * `every`."""
    return range(ceil(now / every - BEHIND), floor((now + AHEAD) / every) + 1)


class Tasks:
    """The tasks, registered with `huey`. `clock` gives seconds since 1970.

    No task returns anything: Huey would keep it for ever.
    """

    def __init__(self, huey: Huey, *, clock: Callable[[], float] = time.time) -> None:
        self._huey = huey
        self._clock = clock
        self._log_limit = LogLimit()
        task = huey.task
        self.plan_ticks = huey.periodic_task(crontab(), name="plan_ticks", expires=60)(self._plan)
        self.update_presence = task(name="update_presence")(self._update_presence)
        self.sync_shard = task(name="sync_shard")(self._sync_shard)
        self.watch_presence = task(name="watch_presence")(self._watch_presence)
        self.answer = task(name="answer")(self._answer)

    def hand_out(self, shard: dict[str, Any], /) -> bool:
        """Have any consumer run `sync_shard`: a jobs.HandOut."""
        try:
            self._huey.enqueue(self.sync_shard.s(shard, expires=conf.PRESENCE_INTERVAL))
        except Exception as error:  # of Huey's storage, which the site chooses
            logger.error(
                "shard=not-handed-out number=%d error=%r",
                *(shard["number"], masked(error)),
                exc_info=traceable(error),
            )
            return False
        return True

    def _plan(self) -> None:
        """Put the ticks and looks of the next minute, and a little more, on Huey's schedule."""
        every = _every()
        for slot in slots(self._clock(), every):
            # Absolute times: a delay would start again after Huey was down.
            when = {"eta": _moment(slot * every), "expires": _moment((slot + 1) * every)}
            self._huey.enqueue(self.update_presence.s(slot, every, **when))
        if watch := _watch():
            for slot in slots(self._clock(), watch):
                # Huey's scheduler wakes once a second: up to one after `eta`.
                when = {"eta": _moment(slot * watch), "expires": _moment((slot + 2) * watch)}
                self._huey.enqueue(self.watch_presence.s(slot, watch, **when))

    def _update_presence(self, slot: int, every: float) -> None:
        """Run the tick of the slot, unless it was run, or the interval has changed since."""
        if every == _every() and self._claim(TICKS, slot, every):
            jobs.update_presence(self.hand_out)

    def _sync_shard(self, shard: dict[str, Any]) -> None:
        """Run a shard of a tick; `shard` is a presence.sync.channels.Shard as JSON has it."""
        jobs.sync_shard(shard)

    def _watch_presence(self, slot: int, every: float) -> None:
        """Run the look of the slot, unless it was run, or PRESENCE_WATCH has changed since."""
        if every == _watch() and self._claim(LOOKS, slot, every):
            jobs.watch_presence()

    def _claim(self, name: str, slot: int, every: float) -> bool:
        """Return whether the slot of ticks or looks is free. False without a store, which is logged
        once an interval."""
        try:
            return services.store().claim_slot(name, slot, seconds=2 * every)
        except StoreError as error:
            if name == TICKS or self._log_limit.admits(self._clock(), every=_every()):
                logger.error("%s=failed error=%r", name[1:-1], str(error))
            return False

    def _answer(self, key: str) -> None:
        """Put `key` into Huey's storage, which shows the doctor that a consumer runs."""
        self._huey.put(key, True)


def _every() -> float:
    return max(conf.PRESENCE_INTERVAL, SHORTEST)


def _watch() -> float:
    return conf.PRESENCE_WATCH and max(conf.PRESENCE_WATCH, SHORTEST)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
