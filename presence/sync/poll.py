"""Polls batches of channels ahead of the steps that work on them."""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Collection, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import takewhile

import msgspec

from presence.backends.base import BatchState
from presence.exceptions import CentrifugoError, PresenceError, StoreError
from presence.roster.commit import State, find_flaw, mark_damaged, verify
from presence.roster.merge import digest
from presence.roster.messages import Roster
from presence.roster.people import ServerMember
from presence.sync.channels import Shard, batches
from presence.sync.context import TickContext
from presence.sync.statistics import Report

IN_FLIGHT = 2
"""Batches that are read while another batch is processed."""

CHECKED_CHANNELS = 20
"""Channels of a shard whose roster and snapshot are loaded and checked, changed or not: all
channels of a small site. For 1,000 rooms of 100 members, 100 took 20 ms of a tick of 130 ms."""
CHECKED_CLIENTS = 1000
"""Clients above which a channel is checked less often."""

_USER = re.compile(rb'"user":\s*"([^"]*)"')
_PLAIN = re.compile(r"[A-Za-z0-9_.@+-]+")
"""A user id that JSON writes in only one way."""
_EMPTY = Roster()
_NOTHING = BatchState(now=0.0, run="", states={})


@dataclass(slots=True)
class Reading:
    """A channel whose presence differs from the last poll, on its way to a commit.

    The poll sets the undecoded `raw` reply, Centrifugo's `nodes` at that moment, and the `tracked`
    members without a websocket. The roster committed last is `old` or, if the cache did not have
    it, in `stored`: a `rev` and the bytes. `old` stays None for a damaged `state` without a
    readable roster. The comparison sets the `roster` that is shown now. Without a `digest`, the
    next tick reads the channel again, whatever the reply. A `partial` reply makes nobody leave.
    """

    channel: str
    state: State
    raw: msgspec.Raw
    digest: bytes
    nodes: frozenset[str]
    tracked: Sequence[ServerMember] = ()
    old: Roster | None = None
    stored: tuple[int, bytes] = (0, b"")
    roster: Roster = _EMPTY
    partial: bool = False


@dataclass(slots=True)
class PollResult:
    """A batch of channels and the results of its poll. If it failed, it has no states.

    `loaded` holds the states, and the time at which the read began. A channel with a change that a
    crash left unpublished is `pending`, and was not read. Each other channel is `unchanged`,
    `different`, or failed, which the `report` says.
    """

    channels: Sequence[str]
    loaded: BatchState = _NOTHING
    loaded_at: float = 0.0
    """Time at which the states were loaded, by the clock of this process."""
    tracked: dict[str, list[ServerMember]] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    different: dict[str, Reading] = field(default_factory=dict)
    report: Report = field(default_factory=Report)

    def fail(self, error: PresenceError) -> None:
        """Report an error of the whole batch, and empty it."""
        self.report.failed(error, *self.channels)
        self.loaded = _NOTHING
        self.pending, self.unchanged, self.different = [], [], {}


def poll_ahead(
    ctx: TickContext,
    shard: Shard,
    channels: Sequence[str],
    *,
    news: Collection[str] = (),
    ends: float,
) -> Generator[PollResult, None, None]:
    """Poll `channels` of a shard in batches, in order; start no batch after `ends`.

    IN_FLIGHT batches are read at a time, and the states of one more are loaded, so that its read
    starts as soon as another one is done. State is loaded before presence is read, so that an older
    reply is never compared with a newer state. A channel is different, whatever its digest, if one
    of the `news` is in it (ids of users whose profile changed) or its state is damaged.

    Threads ask Centrifugo, and write nothing. The caller's thread asks the store: for the differing
    rosters of one batch and the states of the next in one round trip. Closing the generator drops
    reads under way.
    """
    poller = _Poller(ctx, shard, news)
    parts = batches(channels, shard.clients, ctx.options.batch_size)
    source = takewhile(lambda _: ctx.clock() <= ends, parts)
    pool = ctx.executor(IN_FLIGHT)
    reading: deque[Future[PollResult]] = deque()
    try:
        for _ in range(IN_FLIGHT):
            if (batch := poller.load(next(source, ()))).channels:
                reading.append(pool.submit(poller.read, batch))
        ahead = poller.load(next(source, ()))
        while reading:
            done = reading.popleft().result()
            if ahead.channels:
                reading.append(pool.submit(poller.read, ahead))
            ahead = poller.load(next(source, ()), done)
            ctx.report.absorb(done.report)
            yield done
    finally:
        # Nothing is under way unless the tick was interrupted: see Publisher.__exit__.
        pool.shutdown(wait=False, cancel_futures=True)


class _Poller:
    """Loads and reads batches of one shard."""

    def __init__(self, ctx: TickContext, shard: Shard, news: Collection[str]) -> None:
        self._ctx = ctx
        self._clients = shard.clients
        self._tracked = frozenset(shard.tracked)
        self._news = frozenset(news)
        self._news_raw = frozenset(user.encode() for user in news)
        # JSON may spell such an id in several ways: then every channel is read.
        self._all_news = not all(_PLAIN.fullmatch(user) for user in news)
        self._rarely = len(shard.channels) / CHECKED_CHANNELS
        self._fingerprint = ctx.options.fingerprint

    def load(self, channels: Sequence[str], done: PollResult | None = None) -> PollResult:
        """Load the states of `channels`, and the rosters of the channels that differ in `done`.

        A few channels are loaded with roster and snapshot, to be checked.
        """
        batch = PollResult(channels)
        unknown = self._find_unknown(done) if done else []
        if not channels and not unknown:
            return batch
        ctx = self._ctx
        try:
            with ctx.timed("store"):
                loaded = ctx.store.load_states(
                    channels, rosters=unknown, whole=self._choose(channels)
                )
                loaded_at = ctx.clock()
                tracked = [channel for channel in channels if channel in self._tracked]
                if tracked and ctx.tracker:
                    found = ctx.tracker.load_members(tracked, timeout=ctx.options.timeout)
                    batch.tracked = {channel: here.members for channel, here in found.items()}
        except StoreError as error:
            if channels:
                batch.fail(error)
            if done and unknown:
                done.fail(error)
            return batch
        batch.loaded, batch.loaded_at = _verified(loaded), loaded_at
        states = batch.loaded.states.values()
        batch.pending = [state.channel for state in states if state.pending and not state.damage]
        if done:
            for channel in unknown:
                done.different[channel].stored = loaded.rosters.get(channel, (0, b""))
        return batch

    def read(self, batch: PollResult) -> PollResult:
        """Ask for the presence of the channels, and find those that are unchanged."""
        pending = set(batch.pending)
        free = [channel for channel in batch.loaded.states if channel not in pending]
        # Loaded states wait for their turn, but an absence begins with the read at the earliest.
        now = batch.loaded.now + self._ctx.clock() - batch.loaded_at
        batch.loaded = msgspec.structs.replace(batch.loaded, now=now)
        try:
            with batch.report.timed("read", self._ctx.clock):
                replies, nodes = self._ctx.gateway.poll(free)
        except PresenceError as error:
            batch.fail(error)
            return batch
        for channel, reply in zip(free, replies, strict=True):
            if isinstance(reply, CentrifugoError):
                batch.report.failed(reply, channel)
            else:
                self._compare(batch, channel, reply, nodes)
        return batch

    def _compare(
        self, batch: PollResult, channel: str, raw: msgspec.Raw, nodes: frozenset[str]
    ) -> None:
        tracked = batch.tracked.get(channel, ())
        found = digest(raw, self._fingerprint, tracked)
        state = batch.loaded.states[channel]
        settled = state.run == batch.loaded.run and not (state.leaving or state.damage)
        if settled and state.digest == found and not self._is_news(raw, tracked):
            batch.unchanged.append(channel)
        else:
            batch.different[channel] = Reading(channel, state, raw, found, nodes, tracked)

    def _is_news(self, raw: msgspec.Raw, tracked: Sequence[ServerMember]) -> bool:
        if not self._news:
            return False
        if self._all_news or any(member.user in self._news for member in tracked):
            return True
        return not self._news_raw.isdisjoint(_USER.findall(raw))

    def _choose(self, channels: Sequence[str]) -> list[str]:
        """Choose the channels to check: all of them on a small site."""

        def once_in(channel: str) -> float:
            return max(self._rarely, self._clients.get(channel, 0) / CHECKED_CLIENTS)

        # Not a secret, so any random number will do.
        return [c for c in channels if random.random() * once_in(c) < 1]  # noqa: S311

    def _find_unknown(self, done: PollResult) -> list[str]:
        """Set the cached rosters in `done`; return the different channels without a cached roster.

        The cache is not used for a state of another life of the store: writes may have been lost,
        and another worker may have written others in their place. Nor is it for a damaged state.
        """
        for reading in done.different.values():
            state = reading.state
            if not state.damage and (not state.rev or state.run == done.loaded.run):
                reading.old = self._ctx.cache.roster(state)
        return [channel for channel, reading in done.different.items() if reading.old is None]


def _verified(loaded: BatchState) -> BatchState:
    """Return `loaded` with the damage of each unusable state."""
    states = {channel: verify(state) for channel, state in loaded.states.items()}
    for channel, (rev, roster, snapshot) in loaded.whole.items():
        state = states[channel]
        if state.rev and rev == state.rev and (flaw := find_flaw(state, roster, snapshot)):
            states[channel] = mark_damaged(state, flaw)
    return msgspec.structs.replace(loaded, states=states)
