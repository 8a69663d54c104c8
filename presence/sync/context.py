"""The context of a tick or a look: collaborators, options and report, passed to each step."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Literal, Self, TypeVar

import msgspec

from presence.backends.base import SCHEMA, RosterStore
from presence.backends.tracker import Tracker
from presence.centrifugo.gateway import Gateway
from presence.roster.commit import Commit, State
from presence.roster.merge import AnonymousMode, Fetch, Profiles
from presence.roster.messages import Change, Roster
from presence.sync.statistics import Part, Report
from presence.transport.log_limit import LogLimit
from presence.transport.log_lines import line_logger

logger = line_logger("presence.sync")
LOGGERS = (logger, line_logger("presence.redis"))

T = TypeVar("T")

Clock = Callable[[], float]
"""Function that returns seconds; only differences count."""

MakeExecutor = Callable[[int], Executor]
"""Function that makes an executor with so many workers. Tests use one without threads."""


Announce = Callable[[str, int, Change, str], None]
"""Callback with (channel, version, change, epoch) after a change was published; called at least
once per change."""


class _Threads(ThreadPoolExecutor):
    """A pool whose work has the context variables of the thread that submits it."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return super().submit(copy_context().run, fn, *args, **kwargs)


def threads(workers: int) -> Executor:
    """Return a pool of threads that start with the first work."""
    return _Threads(workers, thread_name_prefix="presence")


DiscoveryMode = Literal["channels", "registry"]
"""Source of the channels: the active channels of Centrifugo, or the registry that pages fill."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a tick. Times are in seconds; `timeout` is for members without a websocket."""

    patterns: tuple[str, ...] = ("presence:*",)
    interval: float = 60.0
    discovery: DiscoveryMode = "channels"
    token_lifetime: float = 3600.0
    shard_size: int = 1000
    batch_size: int = 100
    anonymous: AnonymousMode = "count"
    grace: float = 10.0
    list_limit: int = 200
    timeout: float = 60.0
    fetch: Fetch | None = None

    @property
    def deadline(self) -> float:
        """Seconds after which a tick starts no further batch."""
        return max(self.interval, 30.0)

    @property
    def sweep_after(self) -> float:
        """Seconds without a poll after which an empty channel is forgotten."""
        return max(10 * self.interval, 600.0)

    @property
    def registered_within(self) -> float:
        """Seconds for which a page or a token keeps its channel polled: until the token is
        renewed at the latest."""
        return self.token_lifetime + max(self.interval, 60.0)

    @property
    def fingerprint(self) -> str:
        """The settings that decide a roster, as part of its digest."""
        fetching = ":fetch" if self.fetch else ""
        return f"{SCHEMA}:{self.anonymous}:{self.list_limit}{fetching}"


KEPT_MEMBERS = 200_000
"""Members in the cache of a process: 60 MB, at 309 bytes for a member with only a short name."""

_StateKey = tuple[str, int, bytes]
"""Epoch, rev and digest of a state."""


class RosterCache:
    """Cache of the most recently used rosters; `limit` counts members, plus one per channel.

    A roster is returned only for exactly the state that it belongs to. An epoch is the random name
    of one life of a channel, and `rev` rises with every write. If two workers commit the same
    pending, both are told that it was taken: the `digest` tells which roster was written.

    Thread-safe without a lock, which an exception from a signal handler could leave locked: each
    step is one operation of the dict. Such an exception can leave a wrong size, so the size is
    counted again before entries are dropped.
    """

    def __init__(self, limit: int = KEPT_MEMBERS) -> None:
        self._limit = limit
        self._size = 0
        self._entries: OrderedDict[str, tuple[_StateKey, Roster]] = OrderedDict()

    def roster(self, state: State) -> Roster | None:
        """Return the roster of that state; None if it is not in the cache."""
        if not state.rev:
            return Roster()
        key, roster = self._entries.get(state.channel, (None, None))
        if key != (state.epoch, state.rev, state.digest):
            return None
        with suppress(KeyError):  # another thread dropped it
            self._entries.move_to_end(state.channel)
        return roster

    def keep(self, commit: Commit) -> None:
        """Keep the roster of a commit that was taken.

        The commit raised `rev` by one. With something pending, nobody else can commit until it is
        acknowledged, which raises `rev` by one more. The roster of a partial answer is not kept: it
        has no digest to identify it.
        """
        rev = commit.rev + (2 if commit.pending else 1)
        self._drop(commit.channel)
        if not commit.digest:
            return
        self._entries[commit.channel] = (commit.epoch, rev, commit.digest), commit.after
        self._size += _size(commit.after)
        if self._size > self._limit:
            self._shrink()

    def _shrink(self) -> None:
        self._size = sum(_size(roster) for _, roster in list(self._entries.values()))
        for channel in list(self._entries):
            if self._size <= self._limit:
                break
            self._drop(channel)

    def _drop(self, channel: str) -> None:
        if entry := self._entries.pop(channel, None):
            self._size -= _size(entry[1])


_limit: ContextVar[LookLog | None] = ContextVar("presence.look", default=None)
"""The log of the look that this thread is in."""


class LookLog:
    """Log of looks: one warning of each kind in an interval.

    The kind is the message without its arguments. Nothing is lost: the next tick polls the same
    channels, and logs each of them.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._every = 0.0
        self._limits: dict[str, LogLimit] = {}
        self._outage = False

    def admits(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        if record.levelno < logging.WARNING:
            return True
        limit = self._limits.setdefault(record.msg, LogLimit())
        return limit.admits(self._now, every=self._every)

    @contextmanager
    def limited(self, *, now: float, every: float) -> Iterator[None]:
        """Admit one warning of each kind in `every` seconds from this thread in the block."""
        self._now, self._every = now, every
        before = _limit.set(self)
        try:
            yield
        finally:
            _limit.reset(before)

    def note(self, report: Report) -> None:
        """Log the first look that works after those that failed as a whole."""
        if self._outage and not report.outage:
            logger.warning("look=works-again")
        self._outage = report.outage


def _admits(record: logging.LogRecord) -> bool:
    log = _limit.get()
    return log is None or log.admits(record)


for _logger in LOGGERS:
    _logger.addFilter(_admits)


LastCounts = tuple[str, Mapping[str, int]]
"""The token of counts in the store, and the counts: clients by channel."""


@dataclass(slots=True)
class LastLook:
    """The counts that the looks of this process compare with, and their log.

    While the token in the store is the same, no look has to load the counts. Token and counts are
    set in one step, as an exception from a signal handler may come between two.
    """

    counts: LastCounts = ("", {})
    log: LookLog = field(default_factory=LookLog)


def _size(roster: Roster) -> int:
    return 1 + roster.total


@dataclass(frozen=True, slots=True)
class TickContext:
    """Collaborators, options and report of one tick or look.

    `announce` is called after each change was published; None: no signals. Contexts of one store
    may share a `cache` and a `last_look`. `profiles` are read when a shard begins. `out` are the
    users whose access has just ended, by channel ("": everywhere). `revoked` has the time of the
    newest revocation of each user, or of a session of theirs.
    """

    store: RosterStore
    gateway: Gateway
    options: Options
    _: KW_ONLY
    announce: Announce | None
    cache: RosterCache = field(default_factory=RosterCache)
    last_look: LastLook = field(default_factory=LastLook)
    clock: Clock = time.monotonic
    executor: MakeExecutor = threads
    report: Report = field(default_factory=Report)
    profiles: Profiles = field(default_factory=dict)
    out: Mapping[str, frozenset[str]] = field(default_factory=dict)
    revoked: Mapping[str, float] = field(default_factory=dict)

    @property
    def tracker(self) -> Tracker | None:
        """The store if it keeps members without a websocket, else None."""
        return self.store if isinstance(self.store, Tracker) else None

    def timed(self, part: Part) -> AbstractContextManager[None]:
        """Add the duration of a block to one of the report's `seconds`."""
        return self.report.timed(part, self.clock)

    def with_new_report(self) -> Self:
        """Return a context for another tick, thread or shard."""
        return replace(self, report=Report())
