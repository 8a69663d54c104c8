"""Batches of channels, polled ahead of the steps that work on them."""

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

__all__ = ["IN_FLIGHT", "PollResult", "RawReply", "poll_ahead"]

IN_FLIGHT = 2
"""Batches that are read while another one is worked on."""

CHECKED_CHANNELS = 20
"""Channels of a shard whose roster and snapshot are loaded and checked, whatever changed: all of
a small site. Of 1,000 rooms with 100 members each, 100 took 20 ms of a tick of 130 ms."""
CHECKED_CLIENTS = 1000
"""Clients of a channel above which it is checked less often."""

_USER = re.compile(rb'"user":\s*"([^"]*)"')
_PLAIN = re.compile(r"[A-Za-z0-9_.@+-]+")
"""An id of a user that JSON writes in one way only."""


class RawReply(NamedTuple):
    """A presence reply, its digest (empty: the reply is partial), the nodes of Centrifugo at that
    moment, and the members without a websocket."""

    raw: msgspec.Raw
    digest: bytes
    nodes: frozenset[str]
    tracked: Sequence[ServerMember] = ()


@dataclass(slots=True)
class PollResult:
    """A batch of channels, and what was read of them.

    `loaded` has their states, and the time at which the reading began. A channel that a crash left
    with something to publish is `pending`, and was not read. Each other one is `unchanged` (its
    state says all there is to know), `different`, or was reported as failed. The roster of a
    different one is in `known`, or in `rosters` with its `rev`, as it is stored.
    """

    channels: Sequence[str]
    loaded: BatchState = field(default_factory=lambda: BatchState(now=0.0, run="", states={}))
    loaded_at: float = 0.0
    """When the states were there, by the clock of this process."""
    tracked: dict[str, list[ServerMember]] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    different: dict[str, RawReply] = field(default_factory=dict)
    failed: dict[str, CentrifugoError] = field(default_factory=dict)
    known: dict[str, Roster] = field(default_factory=dict)
    rosters: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    error: PresenceError | None = None
    """What kept the batch from being polled."""
    read_s: float = 0.0


def poll_ahead(
    ctx: TickContext,
    shard: Shard,
    channels: Sequence[str],
    *,
    news: Collection[str] = (),
    ends: float,
) -> Generator[PollResult, None, None]:
    """Poll `channels` of a shard in batches, in order; begin none after `ends`.

    IN_FLIGHT batches are read at a time, and the states of one more are loaded: its reading begins
    as soon as another one has been read. State comes first, presence second, so that an older
    reading is never compared with a newer state. A channel with one of the `news` in it (ids of
    users whose profile changed) is different whatever its digest, and so is one whose state is
    damaged.

    Threads ask Centrifugo, and write nothing. The caller's thread asks the store: for the rosters
    that differ in one batch and the states of the next in one round trip. A batch that fails is
    reported, and comes back without states. Closing the generator waits for what is under way, and
    drops it.
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
    """The two halves of a poll, and what they have to know of the shard."""

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
        """Load the states of `channels`, and the rosters of what is different in `done`.

        A few of the channels are loaded whole, to be checked.
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
        """Ask who is on the channels, and tell the unchanged ones from the others."""
        if batch.error:
            return batch
        pending = set(batch.pending)
        free = [channel for channel in batch.channels if channel not in pending]
        started = self._ctx.clock()
        # Loaded states wait for their turn. Nobody is missing from before they were looked for.
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
        """Report what failed; a batch that failed whole has nothing else in it."""
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
        """The channels to check: all of them, where there are few people in few rooms."""

        def once_in(channel: str) -> float:
            return max(self._rarely, self._clients.get(channel, 0) / CHECKED_CLIENTS)

        # Chance has no secret to keep.
        return [c for c in channels if random.random() * once_in(c) < 1]  # noqa: S311

    def _find_unknown(self, done: PollResult) -> list[str]:
        """Note the rosters that are known; return the different channels whose roster is not.

        Of a state that another life of the store left nothing is known: writes may have been
        lost, and a worker that knew nothing of it may have written others in their place. Nor is
        anything known of a damaged one.
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
    """Return `loaded` with the damage of each state that cannot be used."""
    states = {channel: verify(state) for channel, state in loaded.states.items()}
    for channel, (rev, roster, snapshot) in loaded.whole.items():
        state = states[channel]
        if state.rev and rev == state.rev and (flaw := find_flaw(state, roster, snapshot)):
            states[channel] = mark_damaged(state, flaw)
    return msgspec.structs.replace(loaded, states=states)
