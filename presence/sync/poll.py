"""Polls batches of channels ahead of the steps that work on them."""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Collection, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

import msgspec

from presence.backends.base import BatchState
from presence.exceptions import CentrifugoError, PresenceError, StoreError
from presence.roster.commit import find_flaw, mark_damaged, verify
from presence.roster.merge import digest
from presence.roster.messages import Roster
from presence.roster.people import ServerMember, fingerprint
from presence.sync.channels import Shard, batches
from presence.sync.context import TickContext

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


class RawReply(NamedTuple):
    """An undecoded presence reply, its digest (empty: the reply is partial), Centrifugo's nodes at
    that moment, and the members without a websocket."""

    raw: msgspec.Raw
    digest: bytes
    nodes: frozenset[str]
    tracked: Sequence[ServerMember] = ()


@dataclass(slots=True)
class PollResult:
    """A batch of channels and the results of its poll.

    `loaded` holds their states, and the time at which the read began. A channel with a change that
    a crash left unpublished is `pending`, and was not read. Each other channel is `unchanged`,
    `different` or `failed`. The roster of a different channel is in `known` or, as stored bytes
    with their `rev`, in `rosters`.
    """

    channels: Sequence[str]
    loaded: BatchState = field(default_factory=lambda: BatchState(now=0.0, run="", states={}))
    loaded_at: float = 0.0
    """Time at which the states were loaded, by the clock of this process."""
    tracked: dict[str, list[ServerMember]] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    different: dict[str, RawReply] = field(default_factory=dict)
    failed: dict[str, CentrifugoError] = field(default_factory=dict)
    known: dict[str, Roster] = field(default_factory=dict)
    rosters: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    error: PresenceError | None = None
    """Error of the whole batch."""
    read_s: float = 0.0


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
    rosters of one batch and the states of the next in one round trip. A failed batch is reported,
    and is yielded without states. Closing the generator waits for reads under way, and drops their
    results.
    """
    poller = _Poller(ctx, shard, news)
    parts = batches(channels, shard.clients, ctx.options.batch_size)
    source = takewhile(lambda _: ctx.clock() <= ends, parts)
    pool = ctx.executor(IN_FLIGHT)
    reading: deque[Future[PollResult]] = deque()

    def read(batch: PollResult) -> None:
        if batch.channels:
            reading.append(pool.submit(poller.read, batch))

    try:
        for _ in range(IN_FLIGHT):
            read(poller.load(next(source, ())))
        loaded = poller.load(next(source, ()))
        while reading:
            done = reading.popleft().result()
            read(loaded)
            loaded = poller.load(next(source, ()), done)
            poller.report(done)
            yield done
    finally:
        pool.shutdown(cancel_futures=True)


class _Poller:
    """Loads and reads batches of one shard."""

    def __init__(self, ctx: TickContext, shard: Shard, news: Collection[str]) -> None:
        self._ctx = ctx
        self._clients = shard.clients
        self._tracked = frozenset(shard.tracked) if ctx.tracker else frozenset[str]()
        self._news = frozenset(news)
        self._news_raw = {user.encode() for user in news}
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
            with ctx.report.timed("store", ctx.clock):
                loaded = ctx.store.load_states(
                    channels, rosters=unknown, whole=self._choose(channels)
                )
                tracked = [channel for channel in channels if channel in self._tracked]
                if ctx.tracker and tracked:
                    found = ctx.tracker.load_members(tracked, timeout=ctx.options.timeout)
                    batch.tracked = {channel: here.members for channel, here in found.items()}
        except StoreError as error:
            batch.error = error
            if done and unknown:
                done.error = error
            return batch
        batch.loaded, batch.loaded_at = _verified(loaded), ctx.clock()
        states = batch.loaded.states.values()
        batch.pending = [state.channel for state in states if state.pending and not state.damage]
        if done:
            done.rosters = loaded.rosters
        return batch

    def read(self, batch: PollResult) -> PollResult:
        """Ask for the presence of the channels, and find those that are unchanged."""
        if batch.error:
            return batch
        pending = set(batch.pending)
        free = [channel for channel in batch.channels if channel not in pending]
        started = self._ctx.clock()
        # Loaded states wait for their turn, but an absence begins with the read at the earliest.
        now = batch.loaded.now + started - batch.loaded_at
        batch.loaded = msgspec.structs.replace(batch.loaded, now=now)
        try:
            replies, nodes = self._ctx.gateway.poll(free)
        except PresenceError as error:
            batch.error = error
            return batch
        finally:
            batch.read_s = self._ctx.clock() - started
        for channel, reply in zip(free, replies, strict=True):
            if isinstance(reply, CentrifugoError):
                batch.failed[channel] = reply
            else:
                self._compare(batch, channel, reply, nodes)
        return batch

    def report(self, done: PollResult) -> None:
        """Report failures, and empty a batch that failed as a whole."""
        report = self._ctx.report
        report.seconds.read += done.read_s
        if done.error:
            report.failed(done.error, *done.channels)
            done.loaded = msgspec.structs.replace(done.loaded, states={})
            done.pending, done.unchanged, done.different = [], [], {}
            return
        for channel, error in done.failed.items():
            report.failed(error, channel)

    def _compare(
        self, batch: PollResult, channel: str, raw: msgspec.Raw, nodes: frozenset[str]
    ) -> None:
        tracked = batch.tracked.get(channel, ())
        seen = digest(raw, self._fingerprint, fingerprint(tracked) if tracked else b"")
        state = batch.loaded.states[channel]
        settled = state.run == batch.loaded.run and not (state.leaving or state.damage)
        if settled and state.digest == seen and not self._is_news(raw, tracked):
            batch.unchanged.append(channel)
        else:
            batch.different[channel] = RawReply(raw, seen, nodes, tracked)

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
        """Take cached rosters into `done`; return the different channels without a cached roster.

        The cache is not used for a state of another life of the store: writes may have been lost,
        and another worker may have written others in their place. Nor is it for a damaged state.
        """
        for channel in done.different:
            state = done.loaded.states[channel]
            if state.damage or (state.rev and state.run != done.loaded.run):
                continue
            roster = self._ctx.cache.roster(state)
            if roster is not None:
                done.known[channel] = roster
        return [channel for channel in done.different if channel not in done.known]


def _verified(loaded: BatchState) -> BatchState:
    """Return `loaded` with the damage of each unusable state."""
    states = {channel: verify(state) for channel, state in loaded.states.items()}
    for channel, (rev, roster, snapshot) in loaded.whole.items():
        state = states[channel]
        if state.rev and rev == state.rev and (flaw := find_flaw(state, roster, snapshot)):
            states[channel] = mark_damaged(state, flaw)
    return msgspec.structs.replace(loaded, states=states)
