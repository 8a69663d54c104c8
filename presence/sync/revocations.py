"""Revocations: the connections of sessions that are signed out, or lost a permission, end."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from presence.backends.revocations import KeptRevocation, KeptRevocations
from presence.centrifugo.gateway import Connected, decode_reply, result_of
from presence.exceptions import CommandError
from presence.roster.channel_names import (
    FEW,
    access_channels,
    session_channel,
    session_pattern,
    session_patterns,
)
from presence.sync.context import TickContext

logger = logging.getLogger("presence.sync")

LIMIT: Final = 500
"""Revocations that one look or tick enforces. With more, they take turns."""
LATE: Final = 2.0
"""Seconds after a revocation in which tokens are still old: the clocks of web processes differ from
the store's, and what a log-out changes is committed a little later."""
FRESH: Final = 5.0
"""Seconds for which the leave of a revoked user needs no grace: Centrifugo may take a moment to end
connections. For longer, another device of theirs that reloads a page would be seen leaving."""


class _Claims(msgspec.Struct, frozen=True):
    iat: float = 0.0


class _Connection(msgspec.Struct, frozen=True):
    user: str = ""
    conn_info: _Claims | None = None
    chan_info: _Claims | None = None

    @property
    def issued(self) -> float:
        """When its token was signed; 0 if unknown."""
        claims = self.chan_info or self.conn_info
        return claims.iat if claims else 0.0


class _Reply(msgspec.Struct, frozen=True):
    presence: dict[str, _Connection]


def enforce(ctx: TickContext, revocations: KeptRevocations) -> TickContext:
    """End the connections of revoked sessions, and the subscriptions of those who lost a channel.

    Returns the context with those whose access has just ended. A connection whose token was signed
    after the revocation stays. Errors are reported: what is not enforced is so by the next look.
    """
    now, kept = revocations
    with ctx.report.catching():
        with ctx.timed("read"):
            ending = _ending(ctx, kept)
            ctx.gateway.end(ending)
        with ctx.timed("store"):
            ctx.store.note_enforced(kept)
        if ending:
            logger.info("revocations=enforced kept=%d ended=%d", len(kept), len(ending))
    return replace(ctx, out=_out(kept, now=now))


def _ending(ctx: TickContext, kept: Sequence[KeptRevocation]) -> list[Connected]:
    """Return the connections that are to end."""
    by_channel: dict[str, list[KeptRevocation]] = defaultdict(list)
    for channel, each in _sessions(ctx, kept):
        by_channel[channel].append(each)
    ending = []
    replies = ctx.gateway.presence(list(by_channel))
    for (channel, revocations), reply in zip(by_channel.items(), replies, strict=True):
        if isinstance(reply, CommandError) and reply.permanent:
            ctx.report.failed(reply, channel)  # the namespace of sessions is not configured
            continue
        for client, found in decode_reply(result_of(reply), _Reply).presence.items():
            apply = [r for r, at, *_ in revocations if found.issued < at + LATE]
            if any(not r.channel for r in apply):
                ending.append(Connected(found.user, client))
            elif apply:
                channels = [name for r in apply for name in access_channels(r.channel)]
                ending.append(Connected(found.user, client, channels))
    return ending


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
    patterns = [*searched] if len(searched) <= FEW else [session_pattern("", "")]
    for name in ctx.gateway.survey(patterns).clients:
        for pattern in session_patterns(name):
            for each in searched.get(pattern, ()):
                yield name, each


def _out(kept: Sequence[KeptRevocation], *, now: float) -> Mapping[str, frozenset[str]]:
    out: dict[str, set[str]] = defaultdict(set)
    for (user, _, channel), at, _, is_new in kept:
        if user and (is_new or now - at < FRESH):
            out[channel].add(user)
    return {channel: frozenset(users) for channel, users in out.items()}
