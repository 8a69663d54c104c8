"""The tasks for a Celery worker; beat sends the tick."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from celery import Celery, Task, shared_task
from celery.signals import task_revoked, worker_process_shutdown, worker_shutdown
from kombu.exceptions import OperationalError

from presence.conf import conf, masked
from presence.queues.celery import POLL, CeleryBroker
from presence.tasks import jobs

logger = logging.getLogger("presence.tasks")

BROKER_TIMEOUT: Final = 2.0
"""Seconds to connect to the broker, and for each of its replies, while a process ends."""


class TickTask(Task):  # type: ignore[type-arg]
    """A task that is useless once the next one is due.

    The expiry is set on the task, as django-celery-beat drops the `options` of entries in the
    settings.
    """

    ignore_result = True

    @property
    def expires(self) -> float:  # type: ignore[override]
        """Seconds for which a message may wait: an interval."""
        return conf.PRESENCE_INTERVAL


class _ExpiryLog:
    """Logs that tasks expire, once an interval: Celery drops them without a warning."""

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def __call__(self, sender: Any, request: Any, expired: bool = False, **_: Any) -> None:
        if not (expired and isinstance(sender, TickTask)) or time.monotonic() < self._quiet_until:
            return
        self._quiet_until = time.monotonic() + conf.PRESENCE_INTERVAL
        logger.warning(
            "task=expired name=%s late_s=%s (it waited longer than PRESENCE_INTERVAL, or the clock "
            "of this worker is ahead of the sender's)",
            *(sender.name, _seconds_after(request.expires)),
        )


def _seconds_after(moment: str | datetime | None) -> str:
    try:
        expires = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        return f"{(datetime.now(UTC) - expires).total_seconds():.0f}" if expires else "?"
    except (TypeError, ValueError):  # without a time zone, or in another form
        return "?"


task_revoked.connect(_ExpiryLog(), weak=False)


class CeleryQueue:
    """The jobs.Queue of a Celery worker: its own broker."""

    def hand_out(self, shard: dict[str, Any], /) -> bool:
        try:
            sync_shard.apply_async((shard,), retry=False)
        except OperationalError as error:
            logger.warning(
                "shard=not-handed-out number=%d error=%r", shard["number"], masked(error)
            )
            return False
        return True

    def poll_after_grace(self, channels: list[str], /) -> None:
        FOLLOW_UPS.add(channels)


class FollowUp(NamedTuple):
    """A poll of the channels `at` the end of a grace, by the monotonic clock."""

    channels: tuple[str, ...]
    at: float
    worth: float


class FollowUps:
    """Polls that this process sends when a grace ends.

    Each waits in a thread: a worker that holds a task with a countdown ends when its Redis broker
    restarts (kombu 5.7). The threads end with the process, which may be soon (a child of
    --max-tasks-per-child, a restart): only then does the broker get a countdown.
    """

    def __init__(self) -> None:
        self._waiting: set[FollowUp] = set()

    def add(self, channels: list[str]) -> None:
        grace = conf.PRESENCE_LEAVE_GRACE
        poll = FollowUp(tuple(channels), time.monotonic() + grace, conf.PRESENCE_INTERVAL)
        # Through the application itself: Celery knows the current one by thread.
        timer = threading.Timer(grace, self._ask, (sync_channels.app, poll))
        timer.daemon = True
        self._waiting.add(poll)
        timer.start()

    def _ask(self, app: Celery, poll: FollowUp) -> None:
        if poll not in self._waiting:
            return
        options: dict[str, Any] = {"retry_policy": {"max_retries": 3}, "ignore_result": True}
        try:
            app.send_task(POLL, (list(poll.channels),), expires=poll.worth, **options)
        except OperationalError as error:
            _not_asked(len(poll.channels), error)
        finally:
            # Not before: a process that ends meanwhile sends it, too. Two polls do no harm.
            self._waiting.discard(poll)

    def hand_over(self, **_: Any) -> None:
        """Leave the waiting polls to the broker as the process ends. Never waits long."""
        waiting, self._waiting = self._waiting, set()
        broker = CeleryBroker(sync_channels.app, timeout=BROKER_TIMEOUT)
        try:
            for poll in waiting:
                after = max(0.0, poll.at - time.monotonic())
                broker.send(*poll.channels, worth=after + poll.worth, after=after)
        except OperationalError as error:
            _not_asked(sum(len(poll.channels) for poll in waiting), error)
        finally:
            broker.close()


def _not_asked(channels: int, error: OperationalError) -> None:
    logger.warning("poll=not-asked channels=%d error=%r", channels, masked(error))


FOLLOW_UPS = FollowUps()
worker_process_shutdown.connect(FOLLOW_UPS.hand_over, weak=False)  # a child of a prefork pool
worker_shutdown.connect(FOLLOW_UPS.hand_over, weak=False)  # a worker that runs tasks itself
QUEUE = CeleryQueue()


@shared_task(base=TickTask, name="presence.tasks.update_presence")
def update_presence() -> dict[str, Any]:
    """Run one tick over every channel, alone or with other workers. Returns the part done here."""
    return jobs.update_presence(QUEUE).as_dict()


@shared_task(base=TickTask, name="presence.tasks.sync_shard")
def sync_shard(shard: dict[str, Any]) -> dict[str, Any]:
    """Run a shard of a tick; `shard` is a presence.sync.channels.Shard as JSON has it."""
    return jobs.sync_shard(shard, QUEUE).as_dict()


@shared_task(base=TickTask, name=POLL)
def sync_channels(channels: list[str]) -> dict[str, Any]:
    """Poll some channels between two ticks."""
    return jobs.sync_channels(channels, QUEUE).as_dict()
