"""The tick: every channel, here or handed out in shards, until a deadline."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import dropwhile

import msgspec

from presence.backends.base import RosterStore
from presence.backends.tracker import Tracker, TrackerState
from presence.centrifugo.gateway import Gateway
from presence.roster.grace import SKEW
from presence.roster.merge import Profiles
from presence.roster.messages import UNREADABLE
from presence.roster.people import UserClaims
from presence.sync import statistics
from presence.sync.batch import make_commits
from presence.sync.channels import HandOut, Shard, find_channels, split, survey
from presence.sync.context import (
    Announce,
    Clock,
    MakeExecutor,
    Options,
    RosterCache,
    TickContext,
    threads,
)
from presence.sync.poll import poll_ahead
from presence.sync.publish import Publisher
from presence.sync.statistics import OpenTick, Report

__all__ = ["Options", "Progress", "Sync"]

logger = logging.getLogger("presence.sync")

NODES_SETTLE = 40.0
"""Seconds after a change of Centrifugo's nodes in which no leave is believed: clients come back
within the reconnect delay, an engine's presence is whole again within 27 s."""

Progress = Callable[[int, int], None]
"""Told of (channels done, channels in all)."""

_signed = msgspec.json.Decoder(UserClaims)


class Sync:
    """Runs ticks. Any number may run at once, in any number of processes: it costs work only.

    `announce` is called with (channel, version, change, epoch) for each change, once it is
    published; with None nobody listens. Syncs on one store may share a `cache`. A store that is a
    Tracker, too, brings the members without a websocket.
    """

    def __init__(
        self,
        store: RosterStore,
        gateway: Gateway,
        options: Options,
        *,
        announce: Announce | None,
        cache: RosterCache | None = None,
        clock: Clock = time.monotonic,
        executor: MakeExecutor = threads,
    ) -> None:
        self._context = TickContext(
            store=store,
            tracker=store if isinstance(store, Tracker) else None,
            gateway=gateway,
            options=options,
            announce=announce,
            cache=cache or RosterCache(),
            clock=clock,
            executor=executor,
            report=Report(),
        )

    def tick(
        self,
        only: Sequence[str] | None = None,
        *,
        every: float | None = None,
        progress: Progress | None = None,
        hand_out: HandOut | None = None,
    ) -> Report:
        """Poll every channel, or `only` those given, and publish what changed.

        Never raises for what goes wrong with Centrifugo, the store or a channel: the report counts
        that. A tick over every channel is recorded in the statistics, as one of those that come
        `every` so many seconds (the interval, if None). With `hand_out`, more than a shard of
        channels are handed out, and the report tells of what was done here alone.
        """
        ctx = self._begin()
        report = ctx.report
        with report.timed("total", ctx.clock), report.catching():
            if only is None:
                _tick(ctx, every or ctx.options.interval, progress, hand_out)
            else:
                ends = ctx.clock() + ctx.options.deadline
                standing = _standing(ctx)
                (shard,) = _shards(ctx, standing, only=only)
                run_shard(ctx, shard, standing, ends=ends, progress=progress)
        if only is not None:
            logger.info("tick=done %s", report.line())
        return report

    def shard(self, shard: Shard) -> Report:
        """Poll the channels of a shard that was handed out, and add its part to the tick.

        Nothing is done after the deadline of the tick. Never raises, as `tick`.
        """
        ctx = self._begin()
        _run_handed_out(ctx, shard)
        return ctx.report

    def _begin(self) -> TickContext:
        return replace(self._context, report=Report())


def run_shard(
    ctx: TickContext,
    shard: Shard,
    standing: TrackerState,
    *,
    ends: float,
    progress: Progress | None = None,
) -> None:
    """Poll the channels in batches, and publish what changed; begin no batch after `ends`.

    What a crash left to be published goes out first. Those channels are polled when that is done.
    """
    profiles = _profiles(standing)
    news = _news(standing, shard.since - 2 * ctx.options.deadline)
    pending: list[str] = []
    done = 0
    with Publisher(ctx) as publisher:
        for polled in poll_ahead(ctx, shard, shard.channels, news=news, ends=ends):
            with ctx.report.catching(*polled.channels):
                publisher.recover(polled)
                commits = make_commits(ctx, shard, profiles, polled)
                publisher.commit_and_publish(polled, commits)
            pending += polled.pending
            done += len(polled.channels)
            ctx.report.channels += len(polled.channels)
            if progress:
                progress(done, len(shard.channels))
        if pending:
            publisher.settle()
            for polled in poll_ahead(ctx, shard, pending, news=news, ends=ends):
                ctx.report.refused += len(polled.pending)
                with ctx.report.catching(*polled.channels):
                    commits = make_commits(ctx, shard, profiles, polled)
                    publisher.commit_and_publish(polled, commits)
    if left := len(shard.channels) - done:
        ctx.report.fail(f"the tick's deadline passed: {left} channels not polled", count=left)


def _tick(
    ctx: TickContext, every: float, progress: Progress | None, hand_out: HandOut | None
) -> None:
    ends = ctx.clock() + ctx.options.deadline
    tick = statistics.begin(ctx.store, every=every, deadline=ctx.options.deadline)
    shards: list[Shard] = []
    standing = TrackerState()
    with ctx.report.catching():
        standing = _standing(ctx)
        size = ctx.options.shard_size if hand_out else None
        shards = _shards(ctx, standing, tick=tick, size=size)
    if hand_out and len(shards) > 1:
        _hand_out(ctx, shards, tick, hand_out)
        return
    for shard in shards:
        with ctx.report.catching():
            run_shard(ctx, shard, standing, ends=ends, progress=progress)
    _add(ctx, tick, 0, of=1)


def _hand_out(ctx: TickContext, shards: Sequence[Shard], tick: OpenTick, hand_out: HandOut) -> None:
    """Hand the shards out; what cannot be is done here. The survey is part 0 of the tick."""
    here = list(dropwhile(hand_out, shards))
    logger.info("tick=handed-out id=%s shards=%d here=%d", tick.id, len(shards), len(here))
    with ctx.report.catching():
        _add(ctx, tick, 0, of=1 + len(shards))
    for shard in here:
        part = replace(ctx, report=Report())
        _run_handed_out(part, shard)
        ctx.report.absorb(part.report)


def _run_handed_out(ctx: TickContext, shard: Shard) -> None:
    with ctx.report.timed("total", ctx.clock), ctx.report.catching():
        waited = max(0.0, ctx.store.load_ticks().now - shard.tick.started)
        left = ctx.options.deadline - waited
        if left < 0:
            logger.warning("shard=late tick=%s number=%d", shard.tick.id, shard.number)
            return
        with ctx.report.catching():
            run_shard(ctx, shard, _standing(ctx), ends=ctx.clock() + left)
        _add(ctx, shard.tick, shard.number, of=1 + shard.of)


def _shards(
    ctx: TickContext,
    standing: TrackerState,
    *,
    only: Sequence[str] | None = None,
    tick: OpenTick | None = None,
    size: int | None = None,
) -> list[Shard]:
    """Survey, and split what there is to poll in shards of `size`, or in one."""
    with ctx.report.timed("read", ctx.clock):
        found = survey(ctx, only)
    with ctx.report.timed("store", ctx.clock):
        changed = ctx.store.note_nodes(found.nodes)
        channels, polled = only, dict[str, float]()
        if channels is None:
            found, channels, polled = find_channels(ctx, found, standing.channels)
    return split(
        channels,
        found,
        size=size,
        tick=tick or OpenTick(),
        believe=changed is None or abs(changed) >= NODES_SETTLE,  # abs: a clock set back
        tracked=standing.channels,
        polled=polled,
    )


def _add(ctx: TickContext, tick: OpenTick, number: int, *, of: int) -> None:
    """Add what was done here to the tick; log the tick, if that was the last of it."""
    if record := statistics.add(ctx.store, tick, number, ctx.report, of=of):
        logger.info("tick=done id=%s shards=%d %s", record.id, record.shards, record.report.line())


def _standing(ctx: TickContext) -> TrackerState:
    """Read what a tick has to know at its beginning. Raises StoreError."""
    return (
        ctx.tracker.load_tracker_state(timeout=ctx.options.timeout)
        if ctx.tracker
        else TrackerState()
    )


def _news(standing: TrackerState, since: float) -> list[str]:
    """Return the users of whom something was made known after `since`.

    A tick that began before it may have polled a channel after it: so a while longer ago counts.
    """
    return [user for user, (noted, _) in standing.profiles.items() if noted >= since]


def _profiles(standing: TrackerState) -> Profiles:
    profiles = {}
    for user, (noted, shown) in standing.profiles.items():
        try:
            signed = _signed.decode(shown)
        except UNREADABLE as error:
            logger.error("profile=unreadable user=%s noted=%s error=%s", user, noted, error)
            continue
        # By the clock of the store, where that of the process that signed it was far ahead.
        wrong = signed.iat > noted + SKEW
        profiles[user] = msgspec.structs.replace(signed, iat=noted) if wrong else signed
    return profiles
