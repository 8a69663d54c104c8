"""Ticks and looks. A tick polls all channels until a deadline, in this process or in shards that
others take. A look polls the channels whose count changed, and those that are due."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import dropwhile

import msgspec

from presence.backends.base import LookState, Writes
from presence.backends.revocations import KeptRevocation
from presence.backends.tracker import TrackerState
from presence.roster import channel_names
from presence.roster.grace import SKEW
from presence.roster.merge import Profiles
from presence.roster.messages import UNREADABLE, Pulse, encode
from presence.roster.people import UserClaims
from presence.sync import revocations, statistics, watch
from presence.sync.batch import make_commits
from presence.sync.channels import HandOut, Shard, find_channels, split, survey
from presence.sync.context import TickContext
from presence.sync.poll import PollResult, poll_ahead
from presence.sync.publish import Publisher
from presence.sync.statistics import OpenTick, Report
from presence.sync.watch import Look
from presence.transport.log_lines import line_logger

logger = line_logger("presence.sync")

NODES_SETTLE = 40.0
"""Seconds after a change of Centrifugo's nodes in which no leave is believed: clients reconnect
within the reconnect delay, and an engine's presence is complete again within 27 s."""

Progress = Callable[[int, int], None]
"""Callback with (channels done, channels in all)."""

_claims = msgspec.json.Decoder(UserClaims)


class Sync(TickContext):
    """Runs ticks and looks. Any number of ticks may run at once, in any number of processes: that
    only costs work. Looks take turns.

    A store that is also a Tracker keeps the members without a websocket.
    """

    __slots__ = ()

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
        ctx: TickContext = self.with_new_report()
        options, ends = ctx.options, ctx.clock() + ctx.options.deadline
        with ctx.timed("total"), ctx.report.catching():
            tick = OpenTick()
            if only is None:
                tick = statistics.begin(
                    ctx.store,
                    interval=interval or options.interval,
                    deadline=options.deadline,
                    pulse=partial(_publish_pulse, ctx, interval or options.interval),
                )
            tracker_state, shards = TrackerState(), list[Shard]()
            with ctx.report.catching():
                tracker_state = _tracker_state(ctx)
                if only is None:
                    ctx = _enforce(ctx)
                size = options.shard_size if hand_out else None
                shards = _shards(ctx, tracker_state, only=only, tick=tick, size=size)
            if hand_out and len(shards) > 1:
                _hand_out(ctx, shards, hand_out)
                return ctx.report
            for shard in shards:
                with ctx.report.catching():
                    _count_late(
                        ctx, run_shard(ctx, shard, tracker_state, ends=ends, progress=progress)
                    )
            _add(ctx, tick, 0, of=1)
        if only is not None:
            logger.info("tick=done %s", ctx.report.line())
        return ctx.report

    def shard(self, shard: Shard) -> Report:
        """Poll the channels of a shard that was handed out, and add its part to the tick.

        Does nothing after the deadline of the tick. Never raises, like `tick`.
        """
        ctx = revocations.taken_from(self.with_new_report(), shard)
        _run_handed_out(ctx, shard)
        return ctx.report

    def look(self) -> Report | None:
        """Poll the channels whose number of clients changed since the last look, and those due.

        Returns None while another look runs, or all rest. Never raises for errors, like `tick`.
        """
        ctx = self.with_new_report()
        late: int | None = 0
        with ctx.last_look.log.limited(now=ctx.clock(), every=ctx.options.interval):
            with ctx.timed("total"), ctx.report.catching():
                late = _look(ctx)
            if late is None:
                return None
            ctx.last_look.log.note(ctx.report)
        if late or ctx.report.channels:
            logger.info("look=done late=%d %s", late, ctx.report.line())
        return ctx.report


def run_shard(
    ctx: TickContext,
    shard: Shard,
    tracker_state: TrackerState,
    *,
    ends: float,
    progress: Progress | None = None,
) -> list[str]:
    """Poll the channels in batches, and publish the changes; start no batch after `ends`.

    Returns the channels that were not polled.
    """
    ctx = replace(ctx, profiles=_profiles(tracker_state))
    news = [*ctx.revoked, *([] if shard.look else _news(ctx, shard, tracker_state))]
    left, before = dict.fromkeys(shard.channels), ctx.report.channels
    with Publisher(ctx) as publisher:
        for polled in _poll_twice(ctx, shard, publisher, news, ends):
            if ctx.revoked:
                with ctx.report.catching():
                    revocations.end_unlisted(ctx, polled)
            with ctx.report.catching(*polled.channels):
                publisher.recover(polled)
                commits = make_commits(ctx, shard, polled)
                publisher.commit_and_publish(shard, polled, commits)
            for channel in set(polled.channels).difference(polled.pending):
                left.pop(channel, None)
            done = len(shard.channels) - len(left)
            ctx.report.channels = before + done
            if progress:
                progress(done, len(shard.channels))
    if ctx.report.again and not shard.look:  # a look marks them when it ends
        with ctx.report.catching():
            ctx.store.write(Writes(due=ctx.report.again))
    return list(left)


def _news(ctx: TickContext, shard: Shard, tracker_state: TrackerState) -> list[str]:
    """Return the users whose profile changed since a tick last polled a channel of the shard."""
    # A look may have polled it since the tick before, and looks have no news. And a tick that began
    # before a profile was stored may have polled a channel after that.
    since = min(shard.since, shard.tick.before) - 2 * ctx.options.deadline
    return [user for user, (noted, _) in tracker_state.profiles.items() if noted >= since]


def _count_late(ctx: TickContext, channels: Sequence[str]) -> None:
    if late := len(channels):
        ctx.report.fail(f"the tick's deadline passed: {late} channels not polled", count=late)


def _poll_twice(
    ctx: TickContext, shard: Shard, publisher: Publisher, news: Sequence[str], ends: float
) -> Iterator[PollResult]:
    """Poll all channels; after that, poll those whose change a crash had left pending, as that is
    published by then."""
    pending: list[str] = []
    for polled in poll_ahead(ctx, shard, shard.channels, news=news, ends=ends):
        pending += polled.pending
        yield polled
    if pending:
        publisher.settle()
        for polled in poll_ahead(ctx, shard, pending, news=news, ends=ends):
            ctx.report.refuse(*polled.pending)
            polled.pending = []  # another tick has committed since, and publishes that
            yield polled


def _hand_out(ctx: TickContext, shards: Sequence[Shard], hand_out: HandOut) -> None:
    """Hand the shards out, and do the others here. The survey is part 0 of the tick."""
    shards = [revocations.carried_by(ctx, shard) for shard in shards]
    here, tick = list(dropwhile(hand_out, shards)), shards[0].tick
    logger.info("tick=handed-out id=%s shards=%d here=%d", tick.id, len(shards), len(here))
    with ctx.report.catching():
        _add(ctx, tick, 0, of=1 + len(shards))
    for shard in here:
        part = ctx.with_new_report()
        _run_handed_out(part, shard)
        ctx.report.absorb(part.report)


def _run_handed_out(ctx: TickContext, shard: Shard) -> None:
    with ctx.timed("total"), ctx.report.catching():
        waited = max(0.0, ctx.store.load_ticks(records=False).now - shard.tick.started)
        left = ctx.options.deadline - waited
        if left < 0:
            logger.warning("shard=late tick=%s number=%d", shard.tick.id, shard.number)
            return
        with ctx.report.catching():
            _count_late(ctx, run_shard(ctx, shard, _tracker_state(ctx), ends=ctx.clock() + left))
        _add(ctx, shard.tick, shard.number, of=1 + shard.of)


def _shards(
    ctx: TickContext,
    tracker_state: TrackerState,
    *,
    only: Sequence[str] | None,
    tick: OpenTick,
    size: int | None,
) -> list[Shard]:
    """Survey, and split the channels to poll into shards of `size` (None: into one)."""
    with ctx.timed("read"):
        found = survey(ctx, only)
    with ctx.timed("store"):
        changed = ctx.store.write(Writes(nodes=found.nodes)).nodes_changed
        channels = only
        known: Mapping[str, float] = {}
        if channels is None:
            found, channels, known = find_channels(
                ctx, found, tracker_state.channels, now=tick.started
            )
    return split(
        channels,
        found,
        size=size,
        tick=tick,
        hold=_hold(changed),
        tracked=tracker_state.channels,
        polled=known,
    )


def _hold(changed: float | None) -> float:
    """Return for how long no leave is believed, `changed` seconds after a change of the nodes."""
    if changed is None:
        return 0.0
    return max(0.0, NODES_SETTLE - abs(changed))  # abs: the clock was set back


def _enforce(ctx: TickContext) -> TickContext:
    """Enforce the next revocations, and for a slice of time all new ones, so that a burst does not
    keep others waiting. Returns the context with those whose access has just ended."""
    ends, kept = ctx.clock() + watch.SLICE / 2, list[KeptRevocation]()
    while True:
        with ctx.timed("store"):
            found = ctx.store.load_revocations(limit=revocations.LIMIT)
        kept += found.kept
        more = len(found.kept) == revocations.LIMIT and found.kept[-1].is_new
        if not (found.kept and revocations.enforce(ctx, found.kept) and more):
            break
        if ctx.clock() >= ends:
            break
    return revocations.noted(ctx, [*kept, *found.fresh], now=found.now) if kept else ctx


def _look(ctx: TickContext) -> int | None:
    """Look at the counts, and poll. Returns how many channels are left for the next look.

    Returns None, and does nothing, while another look runs or all rest.
    """
    started, holder = ctx.clock(), secrets.token_hex(8)
    last = ctx.last_look.counts
    begun = ctx.store.begin_look(holder, lease=watch.LEASE, limit=watch.MAX_DUE, known=last[0])
    if begun is None:
        return None
    counts, late = None, list[str]()
    try:
        ctx = _enforce(ctx)
        with ctx.timed("read"):
            look = watch.compare(ctx, begun, last)
        if look.changed or look.due:
            late = _poll(ctx, look, holder)
        else:
            counts = look.counts
    finally:
        end = LookState(holder, counts, watch.rest_after(ctx.clock() - started))
        ctx.store.write(Writes(due=ctx.report.again, look=end))
    return len(late)


def _poll(ctx: TickContext, look: Look, holder: str) -> list[str]:
    """Poll the channels of a look. Returns those that were not polled in time: they stay due.

    The channels that changed are marked due before the new counts are stored, and both before the
    poll, so that nothing is lost with a look that is killed.
    """
    grace = max(ctx.options.grace / 2, ctx.options.grace - watch.EARLY)
    ctx = replace(ctx, options=msgspec.structs.replace(ctx.options, grace=grace))
    with ctx.timed("store"):
        due, found = dict.fromkeys(look.changed, 0.0), LookState(holder, look.counts)
        written = ctx.store.write(Writes(nodes=look.survey.nodes, due=due, look=found))
        tracker_state = _tracker_state(ctx)
    (shard,) = split(
        [*look.due, *look.changed],
        look.survey,
        size=None,
        tick=OpenTick(),
        hold=_hold(written.nodes_changed),
        due={**look.due, **dict.fromkeys(look.changed, written.marked or 0.0)},
        tracked=tracker_state.channels,
    )
    return run_shard(ctx, shard, tracker_state, ends=ctx.clock() + watch.SLICE)


def _add(ctx: TickContext, tick: OpenTick, number: int, *, of: int) -> None:
    """Add the report of this process to the tick; log the tick if this was its last part."""
    if not tick.id:
        return
    pulse = partial(_publish_pulse, ctx, tick.every)
    if record := statistics.add(ctx.store, tick, number, ctx.report, of=of, pulse=pulse):
        logger.info("tick=done id=%s shards=%d %s", record.id, record.shards, record.report.line())


def _publish_pulse(ctx: TickContext, every: float, report: Report) -> None:
    """Tell all open pages that a tick ended. A failure is counted in `report` and in that of the
    context."""
    part = ctx.with_new_report()
    with part.report.catching(), part.timed("publish"):
        pulse = msgspec.Raw(encode(Pulse(every=every)))
        for error in filter(None, part.gateway.send([(channel_names.PULSE, pulse)])):
            raise error
    for each in (report, ctx.report):
        each.absorb(part.report)


def _tracker_state(ctx: TickContext) -> TrackerState:
    """Return the channels with tracked members, and the profiles. Raises StoreError."""
    return (
        ctx.tracker.load_tracker_state(timeout=ctx.options.timeout)
        if ctx.tracker
        else TrackerState()
    )


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
