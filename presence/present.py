"""Who is in channels: the connected as of the last tick, those without a websocket as of now."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from presence import services
from presence.backends.tracker import Found
from presence.conf import conf
from presence.exceptions import InvalidMessage, StoreDamaged, StoreError
from presence.roster import messages
from presence.roster.commit import seats
from presence.roster.enriching import enrich
from presence.roster.merge import Roll, fallback_name
from presence.roster.people import Signed, is_passing
from presence.roster.tracked import Tracked, meta_of, signed_of
from presence.roster.types import Member, Roster

__all__ = ["Record", "is_hidden", "read_channel", "read_present", "record_of", "suspect"]

logger = logging.getLogger("presence.store")

Record = dict[str, Any]
"""One person in a channel:

    {"id": "42", "user_id": "42", "name": "Ada", "joined_at": 1700000000.5, "meta": {…}, …}

and everything of `meta` flat beside these, which win. `joined_at` is in seconds since 1970 by the
store's clock, None for who is there by websocket alone. `name` falls back to the id, and to
"Anonymous" for visitors who are not signed in."""


def read_present(channels: Sequence[str]) -> dict[str, list[Record]]:
    """Everybody in each of the channels, one record a person, in one round trip.

    The rule is that of the tick: of all that is said of somebody the newest counts, and who is
    hidden is in no list. Visitors who are only counted are in none. Raises StoreError when the
    store cannot be read. A channel that is damaged there is left out, and logged.
    """
    if not channels:
        return {}
    found = services.tracker().present(channels, timeout=conf.PRESENCE_TIMEOUT)
    present = {}
    for channel in channels:
        try:
            present[channel] = _listed(found[channel], _roster_of(found[channel], channel))
        except StoreDamaged as error:
            logger.error("channel=damaged name=%s error=%r", channel, str(error))
    return present


def read_channel(channel: str) -> list[Record]:
    """Everybody in one channel, as `read_present` gives them. Raises StoreDamaged when what the
    store holds is no roster, StoreError when it cannot be read."""
    found = services.tracker().present([channel], timeout=conf.PRESENCE_TIMEOUT)[channel]
    return _listed(found, _roster_of(found, channel))


def record_of(tracked: Tracked) -> Record:
    """The record of somebody by what was tracked of them, and nothing else."""
    return _records(Found(members=[tracked]), Roster())[0]


def is_hidden(channel: str, user: str) -> bool:
    """Whether a user is in `channel`, and hidden, as of the last tick. Raises as `read_channel`."""
    found = services.tracker().present([channel], timeout=conf.PRESENCE_TIMEOUT)[channel]
    return user in _roster_of(found, channel).hidden


def suspect(channel: str, field: str, found: bytes, reason: object) -> StoreDamaged:
    """Have a tick mend the `field` of a channel, "roster" or "snapshot", which was `found` to be
    unreadable for that reason. Returns the error to raise."""
    try:
        services.store().suspect(channel, field, found)
    except StoreError as error:
        logger.error("channel=not-marked name=%s error=%r", channel, str(error))
    return StoreDamaged(
        f"The {field} of {channel} in the store cannot be read ({reason}): the next tick mends it."
    )


def _roster_of(found: Found, channel: str) -> Roster:
    """Raises StoreDamaged, and has it mended: nobody could tell who of the others is hidden."""
    try:
        if found.damage:
            raise InvalidMessage(found.damage)
        return messages.decode(found.roster, Roster) if found.roster else Roster()
    except InvalidMessage as error:
        raise suspect(channel, "roster", found.roster, error) from error


def _listed(found: Found, roster: Roster) -> list[Record]:
    """The records, less those of visitors without a session who have no seat: they are counted."""
    passing = list(dict.fromkeys(one.user for one in found.members if is_passing(one.user)))
    if passing:
        members = {*roster.members, *(one.user for one in found.members)}
        others = sum(not is_passing(key) for key in members)
        counted = set(passing[seats(others, limit=conf.PRESENCE_LIST_LIMIT) :])
        kept = [one for one in found.members if one.user not in counted]
        found = msgspec.structs.replace(found, members=kept)
    return _records(found, roster)


def _records(found: Found, roster: Roster) -> list[Record]:
    tracked: dict[str, list[Tracked]] = {}
    for one in found.members:
        if one.user not in roster.hidden:
            tracked.setdefault(one.user, []).append(one)
    alone = set(roster.tracked)
    members = [m for key, m in roster.members.items() if key in tracked or key not in alone]
    roll = Roll()
    for member in members:
        roll.say(member.id, Signed(member.name, member.info, roster.issued.get(member.id, 0.0)))
    for one in found.members:
        if one.user in tracked:
            roll.say(one.user, signed_of(one))
    merged = roll.roster(0, ())
    shown = enrich(roster, merged, {})
    return [
        _record(
            shown.members[key],
            tracked.get(key, ()),
            _told(merged.members[key], tracked.get(key, ())) | roster.fetched.get(key, {}),
        )
        for key in dict.fromkeys([*(member.id for member in members), *tracked])
    ]


def _told(member: Member, tracked: Sequence[Tracked]) -> dict[str, Any]:
    """The meta that was given where `member` was made of it, else one like that."""
    for one in tracked:
        signed = signed_of(one)
        name = signed.name or fallback_name(member.id)
        if (signed.info, name) == (member.info, member.name):
            return meta_of(one)
    return {**member.info, "name": member.name}


def _record(member: Member, tracked: Sequence[Tracked], meta: dict[str, Any]) -> Record:
    return {
        **meta,
        "id": member.id,
        "user_id": member.id,
        "name": member.name,
        "joined_at": min((one.joined for one in tracked), default=None),
        "meta": meta,
    }
