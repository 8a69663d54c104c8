"""What the steps of a tick work with: one object, from the first step to the last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import msgspec

from presence.backends.base import SCHEMA, RosterStore
from presence.backends.tracker import Tracker
from presence.centrifugo.gateway import Gateway
from presence.roster.commit import Commit, Rules, State
from presence.roster.merge import AnonymousMode, Fetch
from presence.roster.messages import Change, Roster
from presence.sync.statistics import Report

__all__ = [
    "KEPT_MEMBERS",
    "Announce",
    "Clock",
    "MakeExecutor",
    "Options",
    "RosterCache",
    "TickContext",
    "threads",
]

Clock = Callable[[], float]
"""Returns seconds; only differences between them count."""

MakeExecutor = Callable[[int], Executor]
"""Makes an executor of that many workers. Tests give one that works at once, without threads."""


class Announce(Protocol):
    """Receiver of each change after it was published, at least once."""

    def __call__(self, channel: str, version: int, change: Change, epoch: str, /) -> None: ...


@dataclass(frozen=True, slots=True)
class TickContext:
    """The collaborators of one tick, its options, and the report that it fills in.

    `tracker` is the store where that keeps members without a websocket, else None. `announce` is
    None where nobody listens to signals.
    """

    store: RosterStore
    tracker: Tracker | None
    gateway: Gateway
    options: Options
    announce: Announce | None
    cache: RosterCache
    clock: Clock
    executor: MakeExecutor
    report: Report


def threads(workers: int) -> Executor:
    """Make threads that start when there is something to do."""
    return ThreadPoolExecutor(workers, thread_name_prefix="presence")


DiscoveryMode = Literal["channels", "registry"]
"""Source of the channels: Centrifugo (the active ones), or the tokens that pages asked for."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a tick. Times in seconds; `timeout` is for members without a websocket."""

    patterns: tuple[str, ...] = ("presence:*",)
    interval: float = 60.0
    discovery: DiscoveryMode = "channels"
    token_lifetime: float = 3600.0
    shard_size: int = 1000
    batch_size: int = 100
    anonymous: AnonymousMode = "count"
    rules: Rules = Rules()
    timeout: float = 60.0
    fetch: Fetch | None = None

    @property
    def deadline(self) -> float:
        """Seconds after which a tick stops beginning new batches."""
        return max(self.interval, 30.0)

    @property
    def sweep_after(self) -> float:
        """Seconds without a poll after which an empty channel is forgotten."""
        return max(10 * self.interval, 600.0)

    @property
    def registered_within(self) -> float:
        """Seconds for which a page or a token keeps its channel polled: until the token is
        renewed, however late."""
        return self.token_lifetime + max(self.interval, 60.0)

    @property
    def fingerprint(self) -> str:
        """What else decides a roster, beside Centrifugo's reply."""
        fetching = ":fetch" if self.fetch else ""
        return f"{SCHEMA}:{self.anonymous}:{self.rules.list_limit}{fetching}"


KEPT_MEMBERS = 200_000
"""Members that are kept in all: 60 MB, at 309 bytes for one with a short name and no more."""


class _Entry(NamedTuple):
    epoch: str
    rev: int
    digest: bytes
    roster: Roster


class RosterCache:
    """Rosters by channel, those used last; `limit` counts members, and one for each channel.

    A roster is given out for the very state that it belongs to: an epoch is the name of one life
    of a channel, chosen at random, and its `rev` rises with every write. Two who commit the same
    pending are both told that theirs was taken: the `digest` tells whose it was.

    Safe in threads, without a lock, which an exception out of a signal handler could leave taken:
    each step is one operation of the dict. The size may be off after such an exception, so it is
    counted anew before anything is dropped.
    """

    def __init__(self, limit: int = KEPT_MEMBERS) -> None:
        self._limit = limit
        self._size = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def roster(self, state: State) -> Roster | None:
        """The roster of that state, None where it is not known."""
        if not state.rev:
            return Roster()
        entry = self._entries.get(state.channel)
        found = (state.epoch, state.rev, state.digest)
        if entry is None or (entry.epoch, entry.rev, entry.digest) != found:
            return None
        with suppress(KeyError):  # another thread dropped it
            self._entries.move_to_end(state.channel)
        return entry.roster

    def keep(self, commit: Commit) -> None:
        """Keep the roster that a commit leaves, once it was taken.

        The commit raised `rev` by one. Where something is pending nobody else can commit until
        that is acknowledged, which raises it by one more. That of a partial answer is not kept: it
        has no digest that would tell it from another.
        """
        rev = commit.rev + (2 if commit.pending else 1)
        self._drop(commit.channel)
        if not commit.digest:
            return
        self._entries[commit.channel] = _Entry(commit.epoch, rev, commit.digest, commit.after)
        self._size += _size(commit.after)
        if self._size > self._limit:
            self._shrink()

    def _shrink(self) -> None:
        self._size = sum(_size(entry.roster) for entry in list(self._entries.values()))
        for channel in list(self._entries):
            if self._size <= self._limit:
                break
            self._drop(channel)

    def _drop(self, channel: str) -> None:
        if entry := self._entries.pop(channel, None):
            self._size -= _size(entry.roster)


def _size(roster: Roster) -> int:
    return 1 + roster.total
