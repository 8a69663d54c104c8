"""What a Celery worker runs: the tick, its shards, and the poll at the end of a grace."""

from __future__ import annotations

import logging
import threading
from typing import Any

import msgspec
from celery import Celery, Task, shared_task
from kombu.exceptions import OperationalError

from presence import assembly
from presence.broker import POLL
from presence.conf import conf
from presence.report import Report
from presence.shards import Shard

__all__ = ["sync_channels", "sync_shard", "update_presence"]

logger = logging.getLogger("presence.tasks")

TRIES = 3
"""Polls of `sync_channels`, at most."""


class TickTask(Task):  # type: ignore[type-arg]
    """A task that is worth nothing once the next one is due.

    Set on the task, as django-celery-beat drops the `options` of entries in the settings.
    """

    ignore_result = True

    @property
    def expires(self) -> float:  # type: ignore[override]
        """Seconds a message may wait: an interval."""
        return conf.PRESENCE_INTERVAL


@shared_task(base=TickTask, name="presence.tasks.update_presence")
def update_presence() -> dict[str, Any]:
    """Run one tick over every channel, alone or with other workers; what was done here."""
    report = assembly.sync().tick(hand_out=_hand_out)
    _poll_leaving(report)
    return report.as_dict()


@shared_task(base=TickTask, name="presence.tasks.sync_shard")
def sync_shard(shard: dict[str, Any]) -> dict[str, Any]:
    """Run a shard of a tick; `shard` is a presence.shards.Shard as JSON has it."""
    report = assembly.sync().shard(msgspec.convert(shard, Shard))
    _poll_leaving(report)
    return report.as_dict()


def _hand_out(shard: Shard) -> bool:
    try:
        sync_shard.apply_async((msgspec.to_builtins(shard),), retry=False)
    except OperationalError as error:
        logger.warning("shard=not-handed-out number=%d error=%r", shard.number, str(error))
        return False
    return True


@shared_task(base=TickTask, name=POLL)
def sync_channels(channels: list[str]) -> dict[str, Any]:
    """Poll some channels, between two ticks; again where somebody else was faster.

    What they read may be older than what this was asked about.
    """
    for _ in range(TRIES):
        report = assembly.sync().tick(channels)
        _poll_leaving(report)
        if not report.refused:
            break
    return report.as_dict()


def _poll_leaving(report: Report) -> None:
    """Have the channels where somebody began to be missing polled when the grace has passed.

    Also where ticks come more often than that: the one at the end of the grace comes a moment
    too early, and the next a whole interval late. A worker or a broker that is gone by then
    costs an interval. The wait is in a thread here: a worker that holds a task with a countdown
    does not outlive a restart of its Redis (kombu 5.7).
    """
    if report.leaving:
        arguments = (sync_channels.app, report.leaving, conf.PRESENCE_INTERVAL)
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
        logger.warning("poll=not-asked channels=%d error=%r", len(channels), str(error))
