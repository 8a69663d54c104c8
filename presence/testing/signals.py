"""A recorder of the signals that are sent during a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from django.dispatch import Signal

from presence import signals
from presence.roster.messages import Member

__all__ = ["SentSignal", "SignalRecorder", "name_of"]

NAMES: Final = (
    *("presence_joined", "presence_left", "presence_updated"),
    *("channel_occupied", "channel_vacated"),
)


class SentSignal(msgspec.Struct, frozen=True):
    """A signal that was sent: its name in presence.signals, and its arguments."""

    name: str
    channel: str
    members: list[Member]
    version: int
    epoch: str

    @property
    def ids(self) -> list[str]:
        """The ids of the members."""
        return [member.id for member in self.members]


class SignalRecorder:
    """Records every signal of the app during a `with` block."""

    def __init__(self) -> None:
        self.sent: list[SentSignal] = []

    def __enter__(self) -> SignalRecorder:
        for name in NAMES:
            getattr(signals, name).connect(self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for name in NAMES:
            getattr(signals, name).disconnect(self._hear)

    def _hear(
        self,
        signal: Signal,
        channel: str,
        members: Sequence[Member],
        version: int,
        epoch: str,
        **_: object,
    ) -> None:
        self.sent.append(SentSignal(name_of(signal), channel, list(members), version, epoch))


def name_of(signal: Signal) -> str:
    """Return the name of a signal in presence.signals. Raises ValueError for any other signal."""
    for name in NAMES:
        if getattr(signals, name) is signal:
            return name
    raise ValueError(f"{signal!r} is not a signal of presence.signals: {', '.join(NAMES)}")
