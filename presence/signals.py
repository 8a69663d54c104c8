"""Signals, sent by the worker that published the change, once per cluster.

At least once when a worker crashes between publishing and sending: what it left unsent is sent half
a minute later, perhaps after newer changes. `version` tells a repeat, and the order, within one
`epoch`: the versions of a new one begin at 1.

Every signal has `channel` (text), `members` (a list of `presence.roster.Member`: `id`, `name`,
`info`), `version` (int) and `epoch` (text). The sender is the channel. Receivers run in the worker,
one after the other; one that raises is logged, and the others still hear it.
"""

from __future__ import annotations

import logging

from django.dispatch import Signal

from presence.roster.types import Change

__all__ = [
    "channel_occupied",
    "channel_vacated",
    "presence_joined",
    "presence_left",
    "presence_updated",
    "send",
    "wanted",
]

logger = logging.getLogger("presence.signals")

presence_joined = Signal()
"""`members` have come."""
presence_left = Signal()
"""`members` have gone: they have been missing for PRESENCE_LEAVE_GRACE, or said so themselves."""
presence_updated = Signal()
"""What others see of `members` has changed: they are as they are now."""
channel_occupied = Signal()
"""Nobody was here, now somebody is. `members` are those who came; none where only visitors did who
are not signed in, and are counted."""
channel_vacated = Signal()
"""Nobody is here any more. `members` are those who went last; none where only visitors did who are
not signed in."""


_ALL = (presence_joined, presence_left, presence_updated, channel_occupied, channel_vacated)


def wanted() -> bool:
    """Whether anybody listens."""
    return any(signal.receivers for signal in _ALL)


def send(channel: str, version: int, change: Change, epoch: str) -> None:
    """Send what `change` calls for. A receiver that fails is logged; the others still hear it."""
    occupied = bool(change.total or change.anonymous)
    for signal, members, called_for in (
        (channel_occupied, change.joins, occupied and not change.was_occupied),
        (presence_joined, change.joins, change.joins),
        (presence_left, change.leaves, change.leaves),
        (presence_updated, change.updates, change.updates),
        (channel_vacated, change.leaves, change.was_occupied and not occupied),
    ):
        if called_for:
            _send(signal, channel=channel, members=members, version=version, epoch=epoch)


def _send(signal: Signal, *, channel: str, version: int, **values: object) -> None:
    sent = signal.send_robust(sender=channel, channel=channel, version=version, **values)
    for receiver, response in sent:
        if isinstance(response, Exception):
            # Where it was raised, Django has logged (django.dispatch).
            name = getattr(receiver, "__qualname__", repr(receiver))
            logger.error(
                "receiver=%s channel=%s version=%d error=%r", name, channel, version, response
            )
