"""Signals, sent by the worker that published the change, once per cluster.

They are sent at least once when a worker crashes between publishing and sending: the others are
sent half a minute later, perhaps after newer changes. `version` shows repeats and the order within
one `epoch`: the versions of a new epoch begin at 1.

Every signal has `channel` (string), `members` (a list of `presence.roster.Member`: `id`, `name`,
`info`), `version` (int) and `epoch` (string). The sender is the channel. Receivers run in the
worker, one after the other; one that raises is logged, and the others are still called.
"""

from __future__ import annotations

from django.dispatch import Signal

from presence.conf import masked
from presence.roster.messages import Change
from presence.transport.log_lines import line_logger
from presence.transport.redaction import message_of

__all__ = [
    "channel_occupied",
    "channel_vacated",
    "presence_joined",
    "presence_left",
    "presence_updated",
    "send",
    "wanted",
]

logger = line_logger("presence.signals")

presence_joined = Signal()
"""`members` have joined."""
presence_left = Signal()
"""`members` have left: they were missing for PRESENCE_LEAVE_GRACE, or were taken back."""
presence_updated = Signal()
"""Others see `members` in another way now; they carry the new values."""
channel_occupied = Signal()
"""The channel was empty, and is not. `members` are those who joined; the list is empty where only
visitors came who are not signed in, and are counted."""
channel_vacated = Signal()
"""The channel is empty now. `members` are those who left last; the list is empty where these were
visitors who are not signed in."""


_ALL = (presence_joined, presence_left, presence_updated, channel_occupied, channel_vacated)


def wanted() -> bool:
    """Return whether any signal has a receiver."""
    return any(signal.receivers for signal in _ALL)


def send(channel: str, version: int, change: Change, epoch: str) -> None:
    """Send the signals of a `change`. A receiver that fails is logged; the others are called."""
    occupied = bool(change.total or change.anonymous)
    for signal, members, called_for in (
        (channel_occupied, change.joins, occupied and not change.was_occupied),
        (presence_joined, change.joins, change.joins),
        (presence_left, change.leaves, change.leaves),
        (presence_updated, change.updates, change.updates),
        (channel_vacated, change.leaves, change.was_occupied and not occupied),
    ):
        if not called_for:
            continue
        sent = signal.send_robust(
            channel, channel=channel, members=members, version=version, epoch=epoch
        )
        for receiver, error in sent:
            if isinstance(error, Exception):
                # Django has logged the traceback (django.dispatch).
                name = getattr(receiver, "__qualname__", repr(receiver))
                said = masked(f"{type(error).__name__}({message_of(error)!r})")
                logger.error(
                    "receiver=%s channel=%s version=%d error=%s", name, channel, version, said
                )
