"""Revocations: the connections of sessions that are signed out, or lost a permission, end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from presence.backends.revocations import FRESH, KeptRevocation
from presence.centrifugo.gateway import Connected, result_of
from presence.exceptions import CentrifugoAnswerError, CommandError
from presence.roster.channel_names import (
    FEW,
    access_channels,
    channel_of_feed,
    is_session_channel,
    session_channel,
    session_pattern,
    session_patterns,
)
from presence.roster.merge import Connection, connections_of
from presence.sync.channels import Shard
from presence.sync.context import TickContext
from presence.sync.poll import PollResult
from presence.transport.log_lines import line_logger

logger = line_logger("presence.sync")

LIMIT: Final = 250
"""Revocations that are enforced at a time. A look or a tick goes on with new ones for a slice of
time; all others take turns."""
LATE: Final = 2.0
"""Seconds after a revocation in which tokens are still old: the clocks of web processes differ from
the store's, and what a log-out changes is committed a little later."""


def enforce(ctx: TickContext, kept: Sequence[KeptRevocation]) -> bool:
    """End the connections of revoked sessions, and the subscriptions of those who lost a channel.

    Returns whether that worked. A connection whose token was signed after the revocation stays.
    Errors are reported: what is not enforced is so by the next look.
    """
    with ctx.report.catching():
        with ctx.timed("read"):
            ending = _ending(ctx, kept)
            ctx.gateway.end(ending)
        with ctx.timed("store"):
            ctx.store.note_enforced(kept)
        if ending:
            logger.info("revocations=enforced kept=%d ended=%d", len(kept), len(ending))
        return True
    return False


def noted(ctx: TickContext, kept: Sequence[KeptRevocation], *, now: float) -> TickContext:
    """Return the context with those whose access has just ended, and all who are revoked."""
    revoked: dict[str, float] = {}
    for (user, _, channel), at, *_ in kept:
        if user and not channel:
            revoked[user] = max(at, revoked.get(user, 0.0))
    return replace(ctx, out=_out(kept, now=now), revoked=revoked)


def carried_by(ctx: TickContext, shard: Shard) -> Shard:
    """Return the shard with those whose access has just ended, and all who are revoked."""
    concerned = {"", *shard.channels}
    out = {channel: sorted(users) for channel, users in ctx.out.items() if channel in concerned}
    return msgspec.structs.replace(shard, out=out, revoked=dict(ctx.revoked))


def taken_from(ctx: TickContext, shard: Shard) -> TickContext:
    """Return the context with what `carried_by` gave a shard."""
    out = {channel: frozenset(users) for channel, users in shard.out.items()}
    return replace(ctx, out=out, revoked=shard.revoked)


def end_unlisted(ctx: TickContext, polled: PollResult) -> None:
    """End connections of revoked users that are in a polled room, but in no channel of a session.

    Centrifugo lets a client leave any channel, also one that is in its token, and then `enforce`
    does not find it. Connections of the site's own, whose info is not ours, are left alone.
    """
    suspects: dict[str, tuple[str, str]] = {}
    for channel, reading in polled.different.items():
        try:
            connections = connections_of(reading.raw)
        except CentrifugoAnswerError:
            continue  # Its commit reports it. It hides nobody in the other rooms.
        for client, found in connections.items():
            claims, at = found.conn_info, ctx.revoked.get(found.user, 0.0)
            if claims and 0 < claims.iat < at + LATE:
                suspects[client] = found.user, channel
    if not suspects:
        return
    with ctx.timed("read"):
        sessions = _survey(ctx, {session_pattern(user, "") for user, _ in suspects.values()})
        listed = {client for _, found in _presence(ctx, sessions) for client in found}
        unlisted = {client: each for client, each in suspects.items() if client not in listed}
        ctx.gateway.end([Connected(user, client) for client, (user, _) in unlisted.items()])
    if unlisted:
        # One that is back before the next look leaves the count as it was.
        ctx.report.again |= {channel: 0.0 for _, channel in unlisted.values()}
        logger.warning("revocations=evaded ended=%d", len(unlisted))


def _ending(ctx: TickContext, kept: Sequence[KeptRevocation]) -> list[Connected]:
    """Return the connections that are to end."""
    by_channel: dict[str, list[KeptRevocation]] = defaultdict(list)
    for channel, each in _sessions(ctx, kept):
        by_channel[channel].append(each)
    ending = []
    newer: dict[str, dict[str, float]] = defaultdict(dict)
    for channel, connections in _presence(ctx, list(by_channel)):
        for client, found in connections.items():
            revocations = by_channel[channel]
            apply = [r for r, at, *_ in revocations if _issued(found) < at + LATE]
            if any(not r.channel for r in apply):
                ending.append(Connected(found.user, client))
                continue
            lost = {r.channel for r in apply}
            if lost:
                channels = [name for room in lost for name in access_channels(room)]
                ending.append(Connected(found.user, client, channels))
            for r, at, *_ in revocations:
                if r.channel and r.channel not in lost:
                    newer[r.channel][client] = max(at, newer[r.channel].get(client, 0.0))
    return ending + _subscribed_with_old_tokens(ctx, newer)


def _subscribed_with_old_tokens(
    ctx: TickContext, newer: Mapping[str, Mapping[str, float]]
) -> list[Connected]:
    """Return the connections that were made after a channel was revoked, and subscribed to it with
    a token of before. `newer` has the time of the revocation, by channel and client."""
    asked = {
        name: room
        for room in newer
        for name in access_channels(room)
        if channel_of_feed(name) == name
    }
    return [
        Connected(found.user, client, access_channels(room))
        for (_, connections), room in zip(_presence(ctx, list(asked)), asked.values(), strict=True)
        for client, at in newer[room].items()
        if (found := connections.get(client)) and _issued(found) < at + LATE
    ]


def _presence(
    ctx: TickContext, channels: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, Connection]]]:
    """Yield the connections in each channel, by client. A namespace that is not configured is
    reported where it is that of sessions, and has none."""
    for channel, reply in zip(channels, ctx.gateway.presence(channels), strict=True):
        if isinstance(reply, CommandError) and reply.permanent:
            if is_session_channel(channel):
                ctx.report.failed(reply, channel)
            yield channel, {}
        else:
            yield channel, connections_of(result_of(reply))


def _issued(connection: Connection) -> float:
    """Return when the token was signed with which a connection is in a channel; 0 if unknown."""
    claims = connection.chan_info or connection.conn_info
    return claims.iat if claims else 0.0


def _sessions(
    ctx: TickContext, kept: Sequence[KeptRevocation]
) -> Iterator[tuple[str, KeptRevocation]]:
    """Yield the channel of each session that a revocation is about, with that revocation.

    Only where user and session are known is the name; the others are looked for among the active
    channels.
    """
    searched: dict[str, list[KeptRevocation]] = defaultdict(list)
    for each in kept:
        user, session, _ = each.revocation
        if user and session:
            yield session_channel(user, session), each
        else:
            searched[session_pattern(user, session)].append(each)
    if not searched:
        return
    for name in _survey(ctx, searched):
        for pattern in session_patterns(name):
            for each in searched.get(pattern, ()):
                yield name, each


def _survey(ctx: TickContext, patterns: Collection[str]) -> list[str]:
    """Return the active channels of sessions that match the patterns; with many, all of them."""
    asked = [*patterns] if len(patterns) <= FEW else [session_pattern("", "")]
    return [*ctx.gateway.survey(asked).clients]


def _out(kept: Sequence[KeptRevocation], *, now: float) -> Mapping[str, frozenset[str]]:
    out: dict[str, set[str]] = defaultdict(set)
    for (user, _, channel), at, _, is_new in kept:
        if user and (is_new or now - at < FRESH):
            out[channel].add(user)
    return {channel: frozenset(users) for channel, users in out.items()}
