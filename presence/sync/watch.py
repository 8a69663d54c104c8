"""First half of a look: Centrifugo's counts of all channels are compared with the last ones."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from presence.backends.base import Counts, LookStart
from presence.centrifugo.gateway import Survey
from presence.exceptions import InvalidChannel
from presence.roster import channel_names
from presence.roster.messages import UNREADABLE
from presence.sync.channels import count_clients
from presence.sync.context import LastCounts, TickContext
from presence.transport.log_lines import line_logger

logger = line_logger("presence.sync")

LIMIT = 0.25
"""Fraction of one worker's time that looks and their polls take at most."""
SLICE = 0.25
"""Seconds for which a look polls: it starts no further batch after them."""
EARLY = 0.25
"""Seconds before the end of the grace at which a look believes a leave. Looks come some
milliseconds early or late; one just before the end would leave the leave to the next look."""
LEASE = 15.0
"""Seconds after which another look may begin if one was killed: three calls of Centrifugo, each of
the default CENTRIFUGO_TIMEOUT."""
MAX_DUE = 5000
"""Due channels that a look takes: more than it can poll."""

_counts = msgspec.msgpack.Decoder(dict[str, int])


@dataclass(frozen=True, slots=True)
class Look:
    """Results of a comparison: the `changed` channels without the `due` ones, and the marks of
    these, the longest waiting first.

    `counts` are to be stored; None if they have not changed.
    """

    changed: list[str]
    due: Mapping[str, float]
    survey: Survey
    counts: Counts | None


def compare(ctx: TickContext, begun: LookStart, last: LastCounts) -> Look:
    """Ask for the counts, and compare them with those of the last look. Raises PresenceError.

    `last` are the counts that this process had when the look began.
    """
    survey, counts = count_clients(ctx), begun.counts
    before = last[1] if counts.token == last[0] else _decoded(counts.data)
    changed = [c for c in _changed(before, survey.clients) if c not in begun.due]
    if changed and ctx.options.discovery == "registry":
        changed = ctx.store.only_registered(changed)
    if new := not counts.token or before != survey.clients:
        counts = Counts(secrets.token_hex(8), msgspec.msgpack.encode(survey.clients))
    ctx.last_look.counts = counts.token, survey.clients
    return Look(changed, begun.due, survey, counts if new else None)


def rest_after(spent: float) -> float:
    """Return for how many seconds no look may begin after one that took `spent` seconds.

    At most three leases: a process that was stopped for an hour did not work for an hour.
    """
    return min(spent, LEASE) * (1 / LIMIT - 1)


def _changed(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """Return the rooms with another number of clients. Feeds and cursor channels are no rooms."""
    if before == now:
        return []
    names = {name for name, _ in before.items() ^ now.items()}
    return sorted(filter(_is_room, names))


def _is_room(name: str) -> bool:
    try:
        channel_names.validate_channel(name)
    except InvalidChannel:  # The tick logs it.
        return False
    return True


def _decoded(raw: bytes) -> Mapping[str, int]:
    """Return the stored counts. Unreadable ones count as none, so every channel is polled."""
    try:
        return _counts.decode(raw) if raw else {}
    except UNREADABLE as error:
        logger.error("counts=unreadable error=%r", str(error))
        return {}
