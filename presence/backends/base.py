"""What a backend gives the sync: a place to keep rosters, with one atomic step per change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import msgspec

from presence.plan import Commit, State
from presence.roster import Position

__all__ = ["Loaded", "RosterStore", "Stored"]


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The states of a batch, the store's clock (seconds since 1970) and its `run`.

    `run` names one life of the store: it is another one after a restart or a failover, when
    writes that were acknowledged may have been lost.
    """

    now: float
    run: str
    states: dict[str, State]


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as it is kept. `polled` is the time of the last good poll, None if never."""

    snapshot: bytes | None
    position: Position | None
    polled: float | None
    now: float


class RosterStore(ABC):
    """Rosters, snapshots and what is still to be published, by channel.

    Every method may raise StoreError. What is atomic is so per channel, never across channels.
    The store moves opaque bytes: it knows nothing of what a roster or a diff is.
    """

    shared = True
    """Whether other processes see what is written here."""

    @abstractmethod
    def load(self, channels: Sequence[str]) -> Loaded:
        """The state of each channel (`rev` 0 where there is none), in one round trip."""

    @abstractmethod
    def rosters(self, channels: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        """The `rev` and the roster of each channel that has one, in one round trip."""

    @abstractmethod
    def snapshots(self, channels: Sequence[str]) -> dict[str, Stored]:
        """What a page shows of each channel, in one round trip."""

    @abstractmethod
    def commit(
        self, commits: Sequence[Commit], *, polled: Sequence[str] = (), now: float = 0.0
    ) -> list[bool]:
        """Write each commit whose `rev` still stands and whose channel has nothing pending.

        True, too, where the very same pending is in place already: a retry after a lost reply.
        False: somebody was faster, nothing was written. Before that, in the same round trip, a
        good poll at `now` is noted of the `polled` channels: they are known from here on.
        """

    @abstractmethod
    def acknowledge(
        self, acknowledgements: Sequence[tuple[str, bytes, Position | None]], now: float
    ) -> list[bool]:
        """For each (channel, pending, position): it was published, and stands at `position`.

        Only where that very `pending` is in place (else False): it becomes unsignalled, and the
        position is taken unless it lies before the one known in the same stream.
        """

    @abstractmethod
    def drop(self, channel: str, pending: bytes, *, epoch: str, now: float) -> bool:
        """Give `pending` up: it can never be published. The channel goes on as version 1 of
        `epoch`; the change becomes unsignalled. False where another one is pending."""

    @abstractmethod
    def signalled(self, done: Sequence[tuple[str, bytes]]) -> None:
        """Forget each (channel, pending): its signals were sent."""

    @abstractmethod
    def known(self) -> Mapping[str, float]:
        """Every known channel, with the time of its last good poll."""

    @abstractmethod
    def sweep(self, channels: Mapping[str, float]) -> list[str]:
        """Forget those of the channels (with the time last polled that made them candidates) that
        are empty with nothing pending, and were not polled since. Returns the forgotten ones."""

    @abstractmethod
    def nodes(self, uids: frozenset[str]) -> float | None:
        """Note the Centrifugo nodes of this tick. Returns the seconds since they last changed,
        None where they have not changed since the first tick."""

    @abstractmethod
    def claim(self, channel: str, slot: int, *, seconds: float) -> bool:
        """True for the first who claims the slot of the channel, and for nobody else in the
        `seconds` after that."""
