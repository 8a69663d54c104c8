"""The commits of a polled batch: rosters are read, enriched and compared."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from presence.centrifugo.gateway import Reply, Survey, result_of
from presence.exceptions import (
    CentrifugoAnswerError,
    CommandError,
    FetchFailed,
    InvalidMessage,
    StoreDamaged,
)
from presence.roster import channel_names, messages
from presence.roster.channel_names import feed_of
from presence.roster.commit import Commit, State, make_commit, mark_damaged, new_epoch
from presence.roster.merge import (
    Fetched,
    ask_site,
    digest,
    enrich,
    find_unfetched,
    read_presence,
)
from presence.roster.messages import Position, Roster
from presence.sync.channels import Shard
from presence.sync.context import TickContext
from presence.sync.poll import PollResult, Reading
from presence.transport.log_lines import line_logger

logger = line_logger("presence.sync")


def make_commits(ctx: TickContext, shard: Shard, polled: PollResult) -> list[Commit]:
    """Make the commits of the channels that differ. Failures are reported.

    Each roster is compared right after it is read, which takes less time while it is in the
    processor's cache. Only PRESENCE_FETCH needs all rosters at once.
    """
    readings = _read_batch(ctx, shard, polled)
    if ctx.options.fetch:
        readings = iter(_enriched(ctx, list(readings)))
    crowd = sum(shard.clients.values())
    commits: list[Commit] = []
    for reading in readings:
        believe = not reading.partial and reading.nodes == shard.nodes
        with ctx.report.catching(reading.channel):
            commit = _commit_of(ctx, polled, reading, believe=believe, hold=shard.hold, crowd=crowd)
            if commit:
                commits.append(commit)
    return _with_positions(ctx, polled, commits)


def _commit_of(
    ctx: TickContext,
    polled: PollResult,
    reading: Reading,
    *,
    believe: bool,
    hold: float,
    crowd: int,
) -> Commit | None:
    state, roster = reading.state, reading.roster
    # A room that was always empty is not stored: anybody can make up names of rooms. Pages that
    # watch it learn the epoch from the first diff.
    if not (state.rev or state.damage or roster.occupied or roster.hidden):
        return None
    if state.damage:
        ctx.report.failed(StoreDamaged(f"damaged: {state.damage.reason}"), state.channel)
        if reading.old is None and (hold or not believe):
            return None  # Members that only reconnect would be taken for gone.
    return make_commit(
        state,
        reading.old or Roster(),
        roster,
        digest=reading.digest,
        run=polled.loaded.run,
        now=polled.loaded.now,
        grace=ctx.options.grace,
        list_limit=ctx.options.list_limit,
        believe=believe,
        hold=hold,
        out=ctx.out.get("", frozenset()) | ctx.out.get(state.channel, frozenset()),
        crowd=crowd,
        new_epoch=new_epoch,
    )


def _with_positions(ctx: TickContext, polled: PollResult, commits: list[Commit]) -> list[Commit]:
    """Add the stream's position to commits whose publication does not return it.

    A room's first commit needs it, too: asking creates the stream. Where nobody was or is to be
    seen, nothing is asked: it would tell that a hidden user is there.
    """
    asking = [
        commit
        for commit in commits
        if _needs_position(commit, polled.loaded.states[commit.channel])
    ]
    with ctx.timed("read"):
        found = ctx.gateway.positions([feed_of(commit.channel) for commit in asking])
    positions: dict[str, Position] = {}
    for commit, position in zip(asking, found, strict=True):
        if isinstance(position, Position):
            positions[commit.channel] = position
        elif not (isinstance(position, CommandError) and position.permanent):
            ctx.report.failed(position, commit.channel)
    return [
        msgspec.structs.replace(commit, position=positions.get(commit.channel, commit.position))
        for commit in commits
    ]


def _needs_position(commit: Commit, state: State) -> bool:
    if not (commit.pending or commit.total or commit.anonymous):
        return False
    is_first = not (state.version or state.damage)
    return (is_first or not commit.pending) and commit.digest != state.digest


def _read_batch(ctx: TickContext, shard: Shard, polled: PollResult) -> Iterator[Reading]:
    """Yield each different channel with its rosters; channels with a partial reply come last."""
    fewer: list[Reading] = []
    for reading in polled.different.values():
        with ctx.report.catching(reading.channel):
            connections = _merge(ctx, polled, reading)
            counted = shard.clients.get(reading.channel, 0)
            if shard.look and connections != counted and _is_counted(ctx, reading.channel):
                # The roster will not show the count that the next look compares with.
                ctx.report.again[reading.channel] = 0.0
            if connections < counted:
                fewer.append(reading)
            elif _read_old(ctx, reading):
                yield reading
    if fewer:
        yield from _read_again(ctx, polled, fewer)


def _is_counted(ctx: TickContext, channel: str) -> bool:
    return any(channel_names.matches(pattern, channel) for pattern in ctx.options.patterns)


def _merge(ctx: TickContext, polled: PollResult, reading: Reading) -> int:
    """Set the roster that the reply shows. Returns the number of connections in it."""
    reading.roster, connections = read_presence(
        reading.raw,
        anonymous=ctx.options.anonymous,
        tracked=reading.tracked,
        profiles=ctx.profiles,
        list_limit=ctx.options.list_limit,
        now=polled.loaded.now,
    )
    return connections


def _read_old(ctx: TickContext, reading: Reading) -> bool:
    """Set the roster that was committed last, or mark the state as damaged if it is unreadable.

    Returns False if another worker has written since the state was loaded.
    """
    if reading.old is None:
        rev, stored = reading.stored
        if rev != reading.state.rev and not reading.state.damage:
            ctx.report.refuse(reading.channel)
            return False
        try:
            reading.old = messages.decode(stored, Roster)
        except InvalidMessage as error:
            reading.state = mark_damaged(reading.state, str(error))
    return True


def _read_again(ctx: TickContext, polled: PollResult, readings: list[Reading]) -> Iterator[Reading]:
    """Read the channels that showed fewer clients than were counted once more, in one request.

    Since the survey, clients may have left, or a partial reply may have become complete. A reply
    that is still partial gets no digest.
    """
    channels = [reading.channel for reading in readings]
    replies: list[Reply] = []
    survey = Survey(frozenset(), {})
    with ctx.report.catching(*channels), ctx.timed("read"):
        replies, survey = ctx.gateway.recount(channels)
    for reading, reply in zip(readings, replies, strict=False):
        with ctx.report.catching(reading.channel):
            reading.raw, reading.nodes = result_of(reply), survey.nodes
            connections = _merge(ctx, polled, reading)
            counted = survey.clients.get(reading.channel, 0)
            reading.partial = connections < counted
            found = digest(reading.raw, ctx.options.fingerprint, reading.tracked)
            reading.digest = b"" if reading.partial else found
            if _read_old(ctx, reading):
                yield reading
            if reading.partial:
                raise CentrifugoAnswerError(
                    f"a partial answer: {connections} clients shown, {counted} counted; "
                    "nobody is taken for gone"
                )


def _enriched(ctx: TickContext, readings: list[Reading]) -> list[Reading]:
    """Add the results of PRESENCE_FETCH, called once for all new members of the batch.

    If it fails, the rosters go out without them, and the next tick calls it again.
    """
    assert ctx.options.fetch
    unknown = [find_unfetched(r.old or Roster(), r.roster, ctx.profiles) for r in readings]
    ids = {key for keys in unknown for key in keys}
    fetched: Fetched = {}
    try:
        fetched = ask_site(ctx.options.fetch, ids) if ids else {}
    except FetchFailed as error:
        logger.exception("fetch=failed members=%d", len(ids))
        ctx.report.fail(error)
    for reading, keys in zip(readings, unknown, strict=True):
        reading.roster = enrich(reading.old or Roster(), reading.roster, fetched)
        if keys and not fetched:
            reading.digest = b""
    return readings
