"""The jobs of a worker, for any queue: a tick, a shard of one, a poll of some channels."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from presence import services
from presence.conf.hooks import like_a_request
from presence.sync.channels import Shard
from presence.sync.statistics import Report

MAX_POLLS: Final = 3
"""Polls of one `sync_channels`."""


class Queue(Protocol):
    """The queue of a worker, as a place for more tasks. Its methods never raise."""

    def hand_out(self, shard: dict[str, Any], /) -> bool:
        """Have any worker run `sync_shard` soon. Returns False where it could not be handed out."""

    def poll_after_grace(self, channels: list[str], /) -> None:
        """Have any worker run `sync_channels` in PRESENCE_LEAVE_GRACE seconds."""


@like_a_request()
def update_presence(queue: Queue) -> Report:
    """Run one tick over every channel, alone or with other workers. Returns the part done here."""
    report = services.sync().tick(hand_out=lambda shard: queue.hand_out(msgspec.to_builtins(shard)))
    _poll_leaving(report, queue)
    return report


@like_a_request()
def sync_shard(shard: dict[str, Any], queue: Queue) -> Report:
    """Run a shard of a tick; `shard` is a presence.sync.channels.Shard as JSON has it."""
    report = services.sync().shard(msgspec.convert(shard, Shard))
    _poll_leaving(report, queue)
    return report


@like_a_request()
def sync_channels(channels: list[str], queue: Queue) -> Report:
    """Poll some channels between two ticks; again where another worker committed first.

    That worker may have read an older state than this poll was asked for.
    """
    for _ in range(MAX_POLLS):
        report = services.sync().tick(channels)
        _poll_leaving(report, queue)
        if not report.refused:
            break
    return report


def _poll_leaving(report: Report, queue: Queue) -> None:
    """Have the channels that miss a member polled again when the grace has passed.

    Needed even where ticks come more often: the tick at the end of the grace comes a moment too
    early, and the next an interval late.
    """
    if report.leaving:
        queue.poll_after_grace(report.leaving)
