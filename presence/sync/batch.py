"""The commits of a polled batch: rosters are read, enriched and compared."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import msgspec

from presence.centrifugo.gateway import Reply, Survey
from presence.exceptions import (
    CentrifugoAnswerError,
    CentrifugoError,
    CommandError,
    FetchFailed,
    InvalidMessage,
    StoreDamaged,
)
from presence.roster import messages
from presence.roster.channel_names import feed_of
from presence.roster.commit import Commit, State, make_commit, mark_damaged, new_epoch
from presence.roster.merge import (
    Fetched,
    Profiles,
    ask_site,
    digest,
    enrich,
    find_unfetched,
    read_presence,
)
from presence.roster.messages import Position, Roster
from presence.roster.people import ServerMember, fingerprint
from presence.sync.channels import Shard
from presence.sync.context import TickContext
from presence.sync.poll import PollResult, RawReply

logger = logging.getLogger("presence.sync")


class Reading(msgspec.Struct, frozen=True, gc=False):
    """The roster that a channel shows now, and the roster `old` that was committed last.

    `old` is None if it cannot be read; then the `state` is damaged. Without a `digest`, the next
    tick reads the channel again, whatever the reply.
    """

    channel: str
    seen: RawReply
    state: State
    old: Roster | None
    roster: Roster
    digest: bytes

    @property
    def whole(self) -> bool:
        """Whether the reply was complete, so that missing members are really missing."""
        return bool(self.seen.digest)


def make_commits(
    ctx: TickContext, shard: Shard, profiles: Profiles, polled: PollResult
) -> list[Commit]:
    """Make the commits of the channels that differ. Failures are reported.

    Each roster is compared right after it is read, which takes less time while it is in the
    processor's cache. Only PRESENCE_FETCH needs all rosters at once.
    """
    readings = _read_batch(ctx, shard, profiles, polled)
    if ctx.options.fetch:
        readings = iter(_enriched(ctx, profiles, list(readings)))
    survey, crowd = shard.survey, sum(shard.clients.values())
    commits: list[Commit] = []
    for reading in readings:
        with ctx.report.catching(reading.channel):
            believe = shard.believe and reading.whole and reading.seen.nodes == survey.nodes
            if commit := _commit_of(ctx, polled, reading, believe=believe, crowd=crowd):
                commits.append(commit)
    return _with_positions(ctx, polled, commits)


def _commit_of(
    ctx: TickContext, polled: PollResult, reading: Reading, *, believe: bool, crowd: int
) -> Commit | None:
    state, roster = reading.state, reading.roster
    # A room that was always empty is not stored: anybody can make up names of rooms. Pages that
    # watch it learn the epoch from the first diff.
    if not (state.rev or state.damage or roster.occupied or roster.hidden):
        return None
    if state.damage:
        ctx.report.failed(StoreDamaged(f"damaged: {state.damage.reason}"), state.channel)
        if reading.old is None and not believe:
            return None  # Members that only reconnect would be taken for gone.
    return make_commit(
        state,
        reading.old or Roster(),
        roster,
        digest=reading.digest,
        run=polled.loaded.run,
        now=polled.loaded.now,
        rules=ctx.options.rules,
        believe=believe,
        crowd=crowd,
        new_epoch=new_epoch,
    )


def _with_positions(ctx: TickContext, polled: PollResult, commits: list[Commit]) -> list[Commit]:
    """Add the stream's position to commits whose publication does not return it.

    A room's first commit needs it, too: asking creates the stream.
    """
    asking = [
        commit
        for commit in commits
        if not (commit.pending and commit.rev)
        and commit.digest != polled.loaded.states[commit.channel].digest
    ]
    with ctx.report.timed("read", ctx.clock):
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


def _read_batch(
    ctx: TickContext, shard: Shard, profiles: Profiles, polled: PollResult
) -> Iterator[Reading]:
    """Read the roster of each different channel; channels with a partial reply come last."""
    fewer: list[str] = []
    for channel, seen in polled.different.items():
        reading = None
        with ctx.report.catching(channel):
            roster, connections = _merge(ctx, profiles, polled, seen.raw, seen.tracked)
            if connections < shard.clients.get(channel, 0):
                fewer.append(channel)
            else:
                reading = _with_old(ctx, polled, channel, seen, roster)
        if reading:
            yield reading
    if fewer:
        yield from _read_again(ctx, profiles, polled, fewer)


def _merge(
    ctx: TickContext,
    profiles: Profiles,
    polled: PollResult,
    raw: msgspec.Raw,
    tracked: Sequence[ServerMember],
) -> tuple[Roster, int]:
    """Return the roster of a reply, and the number of connections in it."""
    return read_presence(
        raw,
        anonymous=ctx.options.anonymous,
        tracked=tracked,
        profiles=profiles,
        list_limit=ctx.options.rules.list_limit,
        now=polled.loaded.now,
    )


def _with_old(
    ctx: TickContext, polled: PollResult, channel: str, seen: RawReply, roster: Roster
) -> Reading | None:
    """Return None if another worker has written since the state was loaded."""
    state, old = polled.loaded.states[channel], polled.known.get(channel)
    if old is None:
        rev, stored = polled.rosters.get(channel, (0, b""))
        if rev != state.rev and not state.damage:
            ctx.report.refused += 1
            return None
        try:
            old = messages.decode(stored, Roster)
        except InvalidMessage as error:
            state = mark_damaged(state, str(error))
    return Reading(channel, seen, state, old, roster, seen.digest)


def _read_again(
    ctx: TickContext, profiles: Profiles, polled: PollResult, channels: list[str]
) -> Iterator[Reading]:
    """Read the channels that showed fewer clients than were counted once more, in one request.

    Since the survey, clients may have left, or a partial reply may have become complete. The
    reading of a reply that is still partial has no digest.
    """
    replies: list[Reply] = []
    survey = Survey(frozenset(), {})
    with ctx.report.catching(*channels), ctx.report.timed("read", ctx.clock):
        replies, survey = ctx.gateway.recount(channels)
    for channel, reply in zip(channels, replies, strict=False):
        reading = None
        with ctx.report.catching(channel):
            if isinstance(reply, CentrifugoError):
                raise reply
            tracked = polled.different[channel].tracked
            roster, connections = _merge(ctx, profiles, polled, reply, tracked)
            counted = survey.clients.get(channel, 0)
            found = b""
            if connections >= counted:
                found = digest(
                    reply, ctx.options.fingerprint, fingerprint(tracked) if tracked else b""
                )
            seen = RawReply(reply, found, survey.nodes, tracked)
            reading = _with_old(ctx, polled, channel, seen, roster)
            if not found:
                raise CentrifugoAnswerError(
                    f"a partial answer: {connections} clients shown, {counted} counted; "
                    "nobody is taken for gone"
                )
        if reading:
            yield reading


def _enriched(ctx: TickContext, profiles: Profiles, readings: list[Reading]) -> list[Reading]:
    """Add the results of PRESENCE_FETCH, called once for all new members of the batch.

    If it fails, the rosters go out without them, and the next tick calls it again.
    """
    assert ctx.options.fetch
    unknown = {
        reading.channel: find_unfetched(reading.old or Roster(), reading.roster, profiles)
        for reading in readings
    }
    ids = {key for keys in unknown.values() for key in keys}
    fetched: Fetched = {}
    try:
        fetched = ask_site(ctx.options.fetch, ids) if ids else {}
    except FetchFailed as error:
        logger.exception("fetch=failed members=%d", len(ids))
        ctx.report.fail(error)
    return [
        msgspec.structs.replace(
            reading,
            roster=enrich(reading.old or Roster(), reading.roster, fetched),
            digest=b"" if unknown[reading.channel] and not fetched else reading.digest,
        )
        for reading in readings
    ]
