"""What a backend gives the sync: a place to keep rosters, with one atomic step per change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

import msgspec

from presence.roster.commit import Commit, State
from presence.roster.messages import Position

__all__ = [
    "SCHEMA",
    "Acknowledgement",
    "BatchState",
    "Ledger",
    "RosterStore",
    "StoredRoster",
    "StoredSnapshot",
    "TickHistory",
    "TickParts",
    "TickStart",
    "WriteResult",
    "Writes",
]

KEPT_TICKS = 100
"""Ticks that stay on record."""

SCHEMA = 1
"""Version of the stored data: part of every key, so that two releases never mix."""


class StoredRoster(NamedTuple):
    """The `rev` of a channel, and the roster and the snapshot that it has; empty where missing."""

    rev: int
    roster: bytes
    snapshot: bytes


class BatchState(msgspec.Struct, frozen=True, kw_only=True):
    """The states of a batch, the store's clock (seconds since 1970) and its `run`.

    `run` names one life of the store: it is another one after a restart or a failover, when
    writes that were acknowledged may have been lost. `rosters` has `rev` and roster by channel, a
    `rev` that cannot be read being 0. Of a state that cannot be read whole, `damage` says why.
    """

    now: float
    run: str
    states: dict[str, State]
    rosters: dict[str, tuple[int, bytes]] = {}
    whole: dict[str, StoredRoster] = {}


class Acknowledgement(NamedTuple):
    """That `pending` was published at `now`, and stands at `position` (None: unknown)."""

    channel: str
    pending: bytes
    position: Position | None
    now: float


class Writes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written in one round trip, in this order.

    `signalled` are pairs of (channel, pending): the signals of that change were sent. With
    `to_signal` False, an acknowledged change has none to be sent. A good poll `now` is noted of
    the `polled` channels: they are known from here on.
    """

    signalled: Sequence[tuple[str, bytes]] = ()
    acknowledgements: Sequence[Acknowledgement] = ()
    to_signal: bool = True
    commits: Sequence[Commit] = ()
    polled: Sequence[str] = ()
    now: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.signalled or self.acknowledgements or self.commits or self.polled)


class WriteResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether each of the acknowledgements and each of the commits was taken."""

    acknowledged: list[bool] = []
    committed: list[bool] = []


class StoredSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as it is kept, and the `epoch` and `version` that it has to be of. `polled` is
    the time of the last good poll, None if never. `damage` says what of it cannot be read."""

    snapshot: bytes | None
    position: Position | None
    polled: float | None
    now: float
    epoch: str = ""
    version: int = 0
    damage: str = ""


class TickStart(msgspec.Struct, frozen=True, kw_only=True):
    """A tick that began `now`, `since` seconds after the one before (None: it is the first).

    `open` are the other ticks that have begun and not been closed, with the time they began.
    """

    now: float
    since: float | None
    open: dict[str, float]


class TickParts(msgspec.Struct, frozen=True, kw_only=True):
    """What has come in of a tick's `of` parts (0: nothing has, so nobody knows how many)."""

    now: float
    of: int
    parts: list[bytes]


class TickHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The records of the last ticks, newest first; when the newest `began`; those still open."""

    now: float
    began: float | None
    open: dict[str, float]
    records: list[bytes]


class Ledger(ABC):
    """The books beside the rosters: what ticks did, and which channels pages asked for.

    Every method may raise StoreError. Parts and records are opaque bytes; times are the store's.
    """

    @abstractmethod
    def begin_tick(self, tick: str) -> TickStart:
        """Note that a tick begins."""

    @abstractmethod
    def add_part(self, tick: str, number: int, part: bytes, *, of: int) -> bool:
        """Note part `number` of a tick of `of` parts; whether all of them are in now.

        The same number again takes the place of the first.
        """

    @abstractmethod
    def load_parts(self, tick: str) -> TickParts:
        """What has come in of a tick that is not closed."""

    @abstractmethod
    def close_tick(self, tick: str, record: bytes) -> bool:
        """End a tick and keep its record, among the last KEPT_TICKS of them.

        True for one caller only: False where it was closed before, or never began.
        """

    @abstractmethod
    def load_ticks(self) -> TickHistory:
        """What is on record, in one round trip."""

    @abstractmethod
    def register_channels(self, channels: Sequence[str]) -> None:
        """Note that a token was made for these channels, in one round trip."""

    def unregistered_channels(self, channels: Sequence[str]) -> list[str]:
        """Return those of the channels that are not registered, in one round trip."""
        known = set(self.registered_channels(within=inf))
        return [channel for channel in channels if channel not in known]

    @abstractmethod
    def registered_channels(self, *, within: float) -> list[str]:
        """The channels registered in the last `within` seconds; forgets the others."""


class RosterStore(Ledger):
    """Rosters, snapshots and what is still to be published, by channel.

    Every method may raise StoreError. What is atomic is so per channel, never across channels.
    The store moves opaque bytes: it knows nothing of what a roster or a diff is.
    """

    shared = True
    """Whether other processes see what is written here."""

    @abstractmethod
    def load_states(
        self,
        channels: Sequence[str],
        *,
        rosters: Sequence[str] = (),
        whole: Sequence[str] = (),
    ) -> BatchState:
        """The state of each channel (`rev` 0 where there is none), the `rev` and the roster of
        each of the `rosters` that was committed, and the snapshot, too, of those to be had
        `whole`, in one round trip."""

    @abstractmethod
    def load_snapshots(self, channels: Sequence[str]) -> dict[str, StoredSnapshot]:
        """What a page shows of each channel, in one round trip."""

    @abstractmethod
    def write(self, writes: Writes) -> WriteResult:
        """Write all of it, in one round trip.

        A commit is taken if its `rev` still stands and its channel has nothing pending, and,
        too, where the very same pending is in place already: a retry after a lost reply. Else
        somebody was faster, and nothing was written. A commit that `replaces` a damage is taken if
        the channel still has it, with that `rev` and that pending. An acknowledgement is taken
        only where that
        very `pending` is in place: it becomes unsignalled, and the position is taken unless it
        lies before the one known in the same stream.
        """

    @abstractmethod
    def drop(self, channel: str, pending: bytes, *, epoch: str, now: float) -> bool:
        """Give `pending` up: it can never be published. The channel goes on as version 1 of
        `epoch`; the change becomes unsignalled. False where another one is pending."""

    @abstractmethod
    def suspect(self, channel: str, field: str, found: bytes) -> None:
        """Note that the "roster" or the "snapshot" of a committed channel cannot be read, if it
        is still what was `found` (empty: it is missing): its state is damaged from then on."""

    @abstractmethod
    def known_channels(self) -> Mapping[str, float]:
        """Every known channel, with the time of its last good poll."""

    @abstractmethod
    def sweep_channels(self, channels: Mapping[str, float]) -> list[str]:
        """Forget those of the channels (with the time last polled that made them candidates) that
        are empty with nothing pending, and were not polled since. Returns the forgotten ones."""

    @abstractmethod
    def note_nodes(self, uids: frozenset[str]) -> float | None:
        """Note the Centrifugo nodes of this tick. Returns the seconds since they last changed,
        None where they have not changed since the first tick."""

    @abstractmethod
    def claim_slot(self, channel: str, slot: int, *, seconds: float) -> bool:
        """True for the first who claims the slot of the channel, and for nobody else in the
        `seconds` after that. Slots that were claimed before the clock was set back are free again
        from the next claim of the channel on."""
