"""What signals were sent while a test ran."""

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
    """A signal that was sent: the name it has in presence.signals, and what it told."""

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
    """Listens to every signal of the app, for the length of a `with` block."""

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
    """The name that a signal of presence.signals has there. Raises ValueError for another one."""
    for name in NAMES:
        if getattr(signals, name) is signal:
            return name
    raise ValueError(f"{signal!r} is none of presence.signals: {', '.join(NAMES)}")
