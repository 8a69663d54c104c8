"""Signals, sent by the worker that published the change, once per cluster.

At least once when a worker crashes between publishing and sending: what it left unsent is sent half
a minute later, perhaps after newer changes. `version` tells a repeat, and the order. Every
signal has `channel` (text) and `version` (int); the first three have `members`, a list of
`presence.roster.Member`. The sender is the channel.
"""

from __future__ import annotations

import logging

from django.dispatch import Signal

from presence.roster import Change

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
presence_left = Signal()
presence_updated = Signal()
channel_occupied = Signal()
"""Nobody was here, now somebody is: an anonymous visitor counts."""
channel_vacated = Signal()
"""The last one left, anonymous visitors included."""


_ALL = (presence_joined, presence_left, presence_updated, channel_occupied, channel_vacated)


def wanted() -> bool:
    """Whether anybody listens."""
    return any(signal.receivers for signal in _ALL)


def send(channel: str, version: int, change: Change) -> None:
    """Send what `change` calls for. A receiver that fails is logged; the others still hear it."""
    occupied = bool(change.total or change.anonymous)
    if occupied and not change.was_occupied:
        _send(channel_occupied, channel, version)
    for signal, members in (
        (presence_joined, change.joins),
        (presence_left, change.leaves),
        (presence_updated, change.updates),
    ):
        if members:
            _send(signal, channel, version, members=members)
    if change.was_occupied and not occupied:
        _send(channel_vacated, channel, version)


def _send(signal: Signal, channel: str, version: int, **values: object) -> None:
    sent = signal.send_robust(sender=channel, channel=channel, version=version, **values)
    for receiver, response in sent:
        if isinstance(response, Exception):
            # Where it was raised, Django has logged (django.dispatch).
            name = getattr(receiver, "__qualname__", repr(receiver))
            logger.error(
                "receiver=%s channel=%s version=%d error=%r", name, channel, version, response
            )
