"""The tasks as a Celery worker runs them; beat sends the first."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Any

from celery import Celery, Task, shared_task
from celery.signals import task_revoked
from kombu.exceptions import OperationalError

from presence import work
from presence.broker import POLL
from presence.conf import conf, masked

__all__ = ["sync_channels", "sync_shard", "update_presence"]

logger = logging.getLogger("presence.tasks")


class TickTask(Task):  # type: ignore[type-arg]
    """A task that is worth nothing once the next one is due.

    Set on the task, as django-celery-beat drops the `options` of entries in the settings.
    """

    ignore_result = True

    @property
    def expires(self) -> float:  # type: ignore[override]
        """Seconds a message may wait: an interval."""
        return conf.PRESENCE_INTERVAL


class _Expired:
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


task_revoked.connect(_Expired(), weak=False)


class CeleryQueue:
    """The broker of the worker that runs a task."""

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
        """A worker or a broker that is gone by then costs an interval.

        The wait is in a thread here: a worker that holds a task with a countdown does not outlive
        a restart of its Redis (kombu 5.7).
        """
        arguments = (sync_channels.app, channels, conf.PRESENCE_INTERVAL)
        timer = threading.Timer(conf.PRESENCE_LEAVE_GRACE, _ask_for_poll, arguments)
        timer.daemon = True
        timer.start()


def _ask_for_poll(app: Celery, channels: list[str], worth: float) -> None:
    # Through the application itself: which one is current, Celery knows by thread.
    try:
        app.send_task(
            POLL, (channels,), expires=worth, ignore_result=True, retry_policy={"max_retries": 3}
        )
    except OperationalError as error:
        logger.warning("poll=not-asked channels=%d error=%r", len(channels), masked(error))


QUEUE = CeleryQueue()


@shared_task(base=TickTask, name="presence.tasks.update_presence")
def update_presence() -> dict[str, Any]:
    """Run one tick over every channel, alone or with other workers; what was done here."""
    return work.update_presence(QUEUE).as_dict()


@shared_task(base=TickTask, name="presence.tasks.sync_shard")
def sync_shard(shard: dict[str, Any]) -> dict[str, Any]:
    """Run a shard of a tick; `shard` is a presence.shards.Shard as JSON has it."""
    return work.sync_shard(shard, QUEUE).as_dict()


@shared_task(base=TickTask, name=POLL)
def sync_channels(channels: list[str]) -> dict[str, Any]:
    """Poll some channels, between two ticks."""
    return work.sync_channels(channels, QUEUE).as_dict()
