"""The tasks for a Celery worker; beat sends the tick and the watch."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final

from celery import Task, shared_task
from celery.signals import task_received, task_revoked
from kombu.exceptions import OperationalError

from presence.conf import conf, masked
from presence.queues.celery import TICK, WATCH
from presence.tasks import jobs
from presence.transport.log_limit import LogLimit
from presence.transport.log_lines import line_logger

logger = line_logger("presence.tasks")

LOOK_EXPIRES: Final = 1.0
"""Seconds for which a look may wait where PRESENCE_WATCH is 0, but beat sends looks."""


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


class LookTask(Task):  # type: ignore[type-arg]
    """A task that is useless once the next look is due. A worker that is busy skips looks."""

    ignore_result = True

    @property
    def expires(self) -> float:  # type: ignore[override]
        """Seconds for which a message may wait."""
        return conf.PRESENCE_WATCH or LOOK_EXPIRES


class _ExpiryLog:
    """Logs that tasks expire, once in PRESENCE_INTERVAL: Celery drops them without a warning.

    Looks also expire while a worker is busy, which is normal. They are logged only if none was
    received in time for PRESENCE_INTERVAL.
    """

    def __init__(self) -> None:
        self._ticks = LogLimit()
        self._looks = LogLimit()

    def received(self, request: Any, **_: Any) -> None:
        if request.name == WATCH:
            self._looks.hold(time.monotonic(), seconds=conf.PRESENCE_INTERVAL)

    def expired(self, sender: Any, request: Any, expired: bool = False, **_: Any) -> None:
        look = isinstance(sender, LookTask)
        if not (expired and (look or isinstance(sender, TickTask))):
            return
        limit = self._looks if look else self._ticks
        if limit.admits(time.monotonic(), every=conf.PRESENCE_INTERVAL):
            logger.warning(
                "task=expired name=%s late_s=%s (%s waited longer than %s, %g s, or the clock of "
                "this worker is ahead of the sender's: set both by NTP)",
                *(sender.name, _seconds_after(request.expires)),
                "each look of the last PRESENCE_INTERVAL" if look else "it",
                "PRESENCE_WATCH" if look else "PRESENCE_INTERVAL",
                sender.expires,
            )


def _seconds_after(moment: str | datetime | None) -> str:
    try:
        expires = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        return f"{(datetime.now(UTC) - expires).total_seconds():.0f}" if expires else "?"
    except (TypeError, ValueError):  # without a time zone, or in another form
        return "?"


_expiry_log = _ExpiryLog()
task_revoked.connect(_expiry_log.expired)
task_received.connect(_expiry_log.received)


def hand_out(shard: dict[str, Any], /) -> bool:
    """Have any worker run `sync_shard`: the jobs.HandOut of a Celery worker, on its own broker."""
    try:
        sync_shard.apply_async((shard,), retry=False)
    except OperationalError as error:
        logger.warning("shard=not-handed-out number=%d error=%r", shard["number"], masked(error))
        return False
    return True


@shared_task(base=TickTask, name=TICK)
def update_presence() -> dict[str, Any]:
    """Run one tick over every channel, alone or with other workers. Returns the part done here."""
    return jobs.update_presence(hand_out).as_dict()


@shared_task(base=TickTask, name="presence.tasks.sync_shard")
def sync_shard(shard: dict[str, Any]) -> dict[str, Any]:
    """Run a shard of a tick; `shard` is a presence.sync.channels.Shard as JSON has it."""
    return jobs.sync_shard(shard).as_dict()


@shared_task(base=LookTask, name=WATCH)
def watch_presence() -> dict[str, Any] | None:
    """Run a look. Returns None while another look runs, or all rest."""
    report = jobs.watch_presence()
    return report.as_dict() if report else None
