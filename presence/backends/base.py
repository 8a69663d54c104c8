"""Contract of a store, by role, for the sync and for pages. Each change is one atomic step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

import msgspec

from presence.backends.revocations import RevocationStore
from presence.roster.commit import Commit, State
from presence.roster.messages import Position

__all__ = [
    "AGAIN",
    "KEPT_DUE",
    "KEPT_TICKS",
    "SCHEMA",
    "Acknowledgement",
    "BatchState",
    "ChannelRegistry",
    "Counts",
    "Hit",
    "KnownChannels",
    "Limits",
    "LookStart",
    "LookState",
    "Restart",
    "RosterStore",
    "StoredRoster",
    "StoredSnapshot",
    "Suspect",
    "TickHistory",
    "TickLog",
    "TickParts",
    "TickStart",
    "WatchStore",
    "WriteResult",
    "Writes",
]

KEPT_DUE = 600.0
"""Seconds after which a channel that no look polled is no longer due: ticks poll it anyway."""

AGAIN = 1e-6
"""Seconds by which the mark of a due channel is set back when it is marked again."""

KEPT_TICKS = 100
"""Ticks that stay on record."""

SCHEMA = 1
"""Version of the stored data: part of every key, so that two releases never mix."""


class StoredRoster(NamedTuple):
    """The `rev` of a channel with its roster and its snapshot; empty where one is missing."""

    rev: int
    roster: bytes
    snapshot: bytes


class BatchState(msgspec.Struct, frozen=True, kw_only=True):
    """The states of a batch, the store's clock (seconds since 1970) and its `run`.

    `run` names one life of the store. It changes with a restart or a failover, when writes that
    were acknowledged may have been lost. `rosters` has `rev` and roster by channel; a `rev` that
    cannot be read is 0. The `damage` of a state says why it cannot be read whole.
    """

    now: float
    run: str
    states: dict[str, State]
    rosters: dict[str, tuple[int, bytes]] = {}
    whole: dict[str, StoredRoster] = {}


class Restart(NamedTuple):
    """A new `epoch` of a channel, which begins with `snapshot` as version 1."""

    epoch: str
    snapshot: bytes


class Acknowledgement(NamedTuple):
    """`pending` of a channel was published at `now`, at `position` (None: unknown).

    With a `restart`, `pending` can never be published. The channel goes on with that.
    """

    channel: str
    pending: bytes
    position: Position | None
    now: float
    restart: Restart | None = None


class Suspect(NamedTuple):
    """A reader could not read a `field` of a channel, "roster" or "snapshot".

    `found` are the bytes that it read; empty where the field is missing.
    """

    channel: str
    field: str
    found: bytes


class Counts(NamedTuple):
    """The numbers of clients that a look found, as opaque bytes, and a `token` that names them."""

    token: str = ""
    data: bytes = b""


class LookStart(NamedTuple):
    """The `counts` of the last look, without their data if the caller knows the token, and the
    channels that are `due` with their marks, the longest waiting first."""

    counts: Counts
    due: Mapping[str, float]


class LookState(NamedTuple):
    """State of a look to store: its `counts` (None: unchanged) and, when it ends, the seconds of
    `rest` in which none may begin (None: it goes on).

    Nothing is written if another holder has the lease.
    """

    holder: str
    counts: Counts | None = None
    rest: float | None = None


class Writes(msgspec.Struct, frozen=True, kw_only=True):
    """Changes that one call writes, in this order.

    last_seen: users, and when they were last in a channel. A store that is no Tracker ignores it.
    signalled: pairs of (channel, pending) whose signals were sent.
    acknowledgements: with `to_signal` False, none of these changes has signals to be sent.
    polled: channels that were polled well at `now`. From here on they are known.
    due: channels to be polled in so many seconds from now. An earlier mark of a channel stands.
        The mark of a channel that is due already is set back by AGAIN, so that a look under way
        does not settle it.
    commits: at most one for each channel.
    suspects: a committed channel whose field is still as it was found is damaged from here on.
    settled: channels that a look polled, with the mark that it found, which is deleted. A mark
        made since stands. The mark that `due` has for such a channel is made after that.
    nodes: the ids of the Centrifugo nodes that are there now.
    look: the state of a look, written after the marks of `due`.
    sweep: channels to forget, with the time of the last good poll that made them candidates.
    """

    last_seen: Mapping[str, float] = {}
    signalled: Sequence[tuple[str, bytes]] = ()
    acknowledgements: Sequence[Acknowledgement] = ()
    to_signal: bool = True
    polled: Sequence[str] = ()
    now: float = 0.0
    due: Mapping[str, float] = {}
    commits: Sequence[Commit] = ()
    suspects: Sequence[Suspect] = ()
    settled: Mapping[str, float] = {}
    nodes: frozenset[str] | None = None
    look: LookState | None = None
    sweep: Mapping[str, float] = {}


class WriteResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether each acknowledgement and each commit was taken, and the channels that were swept.

    `nodes_changed` are the seconds since `nodes` last changed; None if they never did. `marked` is
    the time of the marks of `due`, by the store's clock.
    """

    acknowledged: list[bool] = []
    committed: list[bool] = []
    nodes_changed: float | None = None
    marked: float | None = None
    swept: list[str] = []


class StoredSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as it is stored, and the `epoch` and `version` that it must have.

    `polled` is the time of the last good poll, None if there was none. `damage` says what cannot
    be read.
    """

    snapshot: bytes | None
    position: Position | None
    polled: float | None
    now: float
    epoch: str = ""
    version: int = 0
    damage: str = ""


class TickParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a tick that have come in, of `of` (0: none did, so nobody knows)."""

    now: float
    of: int
    parts: list[bytes]


class TickStart(msgspec.Struct, frozen=True, kw_only=True):
    """A tick that began `now`, `since` seconds after the one before (None: it is the first).

    `open` has the other ticks that began and were not closed, with the time of their beginning.
    """

    now: float
    since: float | None
    open: dict[str, float]


class TickHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The records of the last ticks, newest first, and when the newest tick `began`.

    `open` has the ticks that were not closed, with the time of their beginning. `parts` has what
    came in of each, if that was asked for. `looked` is when the last look began or ended; None if
    there was none, or without the records.
    """

    now: float
    began: float | None
    open: dict[str, float]
    records: list[bytes]
    parts: dict[str, TickParts] = {}
    looked: float | None = None


class KnownChannels(NamedTuple):
    """The time of the last good poll of each known channel, and the registered channels."""

    polled: Mapping[str, float]
    registered: list[str]


class Hit(NamedTuple):
    """`times` hits of a rate limit: `limit` hits in `seconds`.

    A window of `seconds` begins with the first hit after the window before it.
    """

    name: str
    limit: int
    seconds: float
    times: int = 1


class WatchStore(ABC):
    """The last look at the counts of all channels, and the channels that are due.

    `Writes` of a RosterStore end a look and mark channels.
    """

    @abstractmethod
    def begin_look(
        self, holder: str, *, lease: float, limit: int, known: str = ""
    ) -> LookStart | None:
        """Begin a look, with at most `limit` due channels. `Writes.look` ends it.

        `known` is the token of counts that need not be loaded. Returns None while another holder
        has the lease, which lasts for `lease` seconds at most, or while all rest.
        """


class TickLog(ABC):
    """Records of ticks. Parts and records are opaque bytes, times are the store's."""

    @abstractmethod
    def begin_tick(self, tick: str) -> TickStart:
        """Note that a tick begins. Marks of due channels older than KEPT_DUE are forgotten."""

    @abstractmethod
    def add_part(self, tick: str, number: int, part: bytes, *, of: int) -> TickParts | None:
        """Store part `number` of a tick of `of` parts. Returns the parts once all are in.

        A part replaces one of the same number.
        """

    @abstractmethod
    def close_tick(self, tick: str, record: bytes) -> bool:
        """End a tick and keep its record, among the last KEPT_TICKS of them.

        True for one caller only: False for a tick that was closed before, or never began.
        """

    @abstractmethod
    def load_ticks(self, *, records: bool = True, parts: bool = False) -> TickHistory:
        """Return the history, in one round trip; with the `parts` of open ticks in two.

        Without the `records`, which may be long, these are empty.
        """


class ChannelRegistry(ABC):
    """The channels that were polled, and those that pages asked for."""

    @abstractmethod
    def register_channels(self, channels: Sequence[str]) -> None:
        """Note that a token was made for these channels, in one round trip."""

    @abstractmethod
    def known_channels(self, *, registered_within: float | None = None) -> KnownChannels:
        """Return every known channel, in one round trip.

        Also those registered in the last `registered_within` seconds; the other registrations are
        forgotten. None leaves registrations alone, and returns none.
        """

    def unregistered_channels(self, channels: Sequence[str]) -> list[str]:
        """Return those of the channels that are not registered, in one round trip."""
        known = set(self.known_channels(registered_within=inf).registered)
        return [channel for channel in channels if channel not in known]

    def only_registered(self, channels: Sequence[str]) -> list[str]:
        """Return those of the channels that are registered, in one round trip."""
        others = set(self.unregistered_channels(channels))
        return [channel for channel in channels if channel not in others]


class Limits(ABC):
    """Rate limits and flags by name, each with an end of its own."""

    @abstractmethod
    def check_limits(
        self, hits: Sequence[Hit], flags: Sequence[str] = ()
    ) -> tuple[list[int], list[bool]]:
        """Count `hits`, and look at `flags`, in one round trip.

        Returns how many times of each hit are within its limit, and whether each flag is set.
        """

    @abstractmethod
    def set_flag(self, name: str, *, seconds: float) -> None:
        """Set a flag for `seconds` from now."""

    def hit_rate_limit(self, name: str, *, limit: int, seconds: float, times: int = 1) -> int:
        """Count `times` hits. Returns how many of them are within the limit: see Hit."""
        (admitted,), _ = self.check_limits([Hit(name, limit, seconds, times)])
        return admitted

    def has_flag(self, name: str) -> bool:
        """Return whether a flag is set now."""
        _, (flag,) = self.check_limits([], [name])
        return flag

    def claim_slot(self, channel: str, slot: int, *, seconds: float) -> bool:
        """Return True for the first who claims a slot of a channel, and False for all others in
        the `seconds` after that.

        Slots that were claimed before the clock was set back are free again from the next claim of
        the channel on.
        """
        return bool(self.hit_rate_limit(f"slot:{channel}:{slot}", limit=1, seconds=seconds))


class RosterStore(TickLog, ChannelRegistry, WatchStore, RevocationStore, Limits):
    """Rosters, snapshots and what is still to be published, by channel.

    Every method may raise StoreError. Each change is atomic for one channel, never across channels.
    The store moves opaque bytes: it decodes no roster, no snapshot and no diff.
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
        """Load the state of each channel, in one round trip. `rev` is 0 where there is none.

        Also the `rev` and the roster of each of `rosters` that was committed, and the same with
        the snapshot for `whole`.
        """

    @abstractmethod
    def load_snapshots(self, channels: Sequence[str]) -> dict[str, StoredSnapshot]:
        """Load what a page shows of each channel, in one round trip."""

    @abstractmethod
    def write(self, writes: Writes) -> WriteResult:
        """Write all of it, in one round trip; in one more if channels are swept.

        A commit is taken if its `rev` still stands and its channel has nothing pending. It is also
        taken if the very same pending is in place already: a retry after a lost reply. Otherwise
        somebody was faster, and nothing was written. A commit that `replaces` a damage is taken if
        the channel still has it, with that `rev` and that pending.

        An acknowledgement is taken only if that very `pending` is in place. It becomes unsignalled.
        The position is taken unless it lies before the known one in the same stream.

        A channel is swept if it is empty, has nothing pending, and was not polled since.
        """
