"""The tick: polls all channels, in this process or in shards that others take, until a deadline."""

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

logger = logging.getLogger("presence.sync")

NODES_SETTLE = 40.0
"""Seconds after a change of Centrifugo's nodes in which no leave is believed: clients reconnect
within the reconnect delay, and an engine's presence is complete again within 27 s."""

Progress = Callable[[int, int], None]
"""Callback with (channels done, channels in all)."""

_claims = msgspec.json.Decoder(UserClaims)


class Sync:
    """Runs ticks. Any number may run at once, in any number of processes: that only costs work.

    `announce` is called with (channel, version, change, epoch) after each change was published;
    None: no signals. Syncs on one store may share a `cache`. A store that is also a Tracker keeps
    the members without a websocket.
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
        interval: float | None = None,
        progress: Progress | None = None,
        hand_out: HandOut | None = None,
    ) -> Report:
        """Poll all channels, or the channels of `only`, and publish the changes.

        Never raises for errors of Centrifugo, the store or a channel: the report counts them. A
        tick over all channels is recorded in the statistics, as one that comes every `interval`
        seconds (None: as in the options). With `hand_out`, more channels than one shard has are
        handed out; then the report has only the work of this process.
        """
        ctx = self._begin()
        report = ctx.report
        with report.timed("total", ctx.clock), report.catching():
            if only is None:
                _tick(ctx, interval or ctx.options.interval, progress, hand_out)
            else:
                ends = ctx.clock() + ctx.options.deadline
                tracker_state = _tracker_state(ctx)
                (shard,) = _shards(ctx, tracker_state, only=only)
                run_shard(ctx, shard, tracker_state, ends=ends, progress=progress)
        if only is not None:
            logger.info("tick=done %s", report.line())
        return report

    def shard(self, shard: Shard) -> Report:
        """Poll the channels of a shard that was handed out, and add its part to the tick.

        Does nothing after the deadline of the tick. Never raises, like `tick`.
        """
        ctx = self._begin()
        _run_handed_out(ctx, shard)
        return ctx.report

    def _begin(self) -> TickContext:
        return replace(self._context, report=Report())


def run_shard(
    ctx: TickContext,
    shard: Shard,
    tracker_state: TrackerState,
    *,
    ends: float,
    progress: Progress | None = None,
) -> None:
    """Poll the channels in batches, and publish the changes; start no batch after `ends`.

    Changes that a crash left pending are published first. Their channels are polled after that.
    """
    profiles = _profiles(tracker_state)
    # A tick that began before a profile was stored may have polled a channel after that.
    news = _news(tracker_state, shard.since - 2 * ctx.options.deadline)
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
    ctx: TickContext, interval: float, progress: Progress | None, hand_out: HandOut | None
) -> None:
    ends = ctx.clock() + ctx.options.deadline
    tick = statistics.begin(ctx.store, interval=interval, deadline=ctx.options.deadline)
    shards: list[Shard] = []
    tracker_state = TrackerState()
    with ctx.report.catching():
        tracker_state = _tracker_state(ctx)
        size = ctx.options.shard_size if hand_out else None
        shards = _shards(ctx, tracker_state, tick=tick, size=size)
    if hand_out and len(shards) > 1:
        _hand_out(ctx, shards, tick, hand_out)
        return
    for shard in shards:
        with ctx.report.catching():
            run_shard(ctx, shard, tracker_state, ends=ends, progress=progress)
    _add(ctx, tick, 0, of=1)


def _hand_out(ctx: TickContext, shards: Sequence[Shard], tick: OpenTick, hand_out: HandOut) -> None:
    """Hand the shards out, and do the others here. The survey is part 0 of the tick."""
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
        waited = max(0.0, ctx.store.load_ticks(records=False).now - shard.tick.started)
        left = ctx.options.deadline - waited
        if left < 0:
            logger.warning("shard=late tick=%s number=%d", shard.tick.id, shard.number)
            return
        with ctx.report.catching():
            run_shard(ctx, shard, _tracker_state(ctx), ends=ctx.clock() + left)
        _add(ctx, shard.tick, shard.number, of=1 + shard.of)


def _shards(
    ctx: TickContext,
    tracker_state: TrackerState,
    *,
    only: Sequence[str] | None = None,
    tick: OpenTick | None = None,
    size: int | None = None,
) -> list[Shard]:
    """Survey, and split the channels to poll into shards of `size` (None: into one)."""
    with ctx.report.timed("read", ctx.clock):
        found = survey(ctx, only)
    with ctx.report.timed("store", ctx.clock):
        changed = ctx.store.note_nodes(found.nodes)
        channels, polled = only, dict[str, float]()
        if channels is None:
            found, channels, polled = find_channels(ctx, found, tracker_state.channels)
    return split(
        channels,
        found,
        size=size,
        tick=tick or OpenTick(),
        believe=changed is None or abs(changed) >= NODES_SETTLE,  # abs: a clock set back
        tracked=tracker_state.channels,
        polled=polled,
    )


def _add(ctx: TickContext, tick: OpenTick, number: int, *, of: int) -> None:
    """Add the report of this process to the tick; log the tick if this was its last part."""
    if record := statistics.add(ctx.store, tick, number, ctx.report, of=of):
        logger.info("tick=done id=%s shards=%d %s", record.id, record.shards, record.report.line())


def _tracker_state(ctx: TickContext) -> TrackerState:
    """Return the channels with tracked members, and the profiles. Raises StoreError."""
    return (
        ctx.tracker.load_tracker_state(timeout=ctx.options.timeout)
        if ctx.tracker
        else TrackerState()
    )


def _news(tracker_state: TrackerState, since: float) -> list[str]:
    """Return the users with a profile that was stored after `since`."""
    return [user for user, (noted, _) in tracker_state.profiles.items() if noted >= since]


def _profiles(tracker_state: TrackerState) -> Profiles:
    profiles = {}
    for user, (noted, shown) in tracker_state.profiles.items():
        try:
            claims = _claims.decode(shown)
        except UNREADABLE as error:
            logger.error("profile=unreadable user=%s noted=%s error=%s", user, noted, error)
            continue
        # Take the store's time if the clock of the process that signed was far ahead.
        wrong = claims.iat > noted + SKEW
        profiles[user] = msgspec.structs.replace(claims, iat=noted) if wrong else claims
    return profiles
