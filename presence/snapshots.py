"""Presence as it is stored: snapshots for pages that show a channel, records for Python code.

Connected members are as of the last tick, members without a websocket as of now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from presence import services
from presence.backends.base import StoredSnapshot, Suspect, Writes
from presence.backends.tracker import AHEAD, StoredPresence
from presence.conf import conf
from presence.exceptions import InvalidMessage, StoreDamaged, StoreError
from presence.roster import messages
from presence.roster.commit import visitor_seats
from presence.roster.merge import RosterBuilder, enrich, fallback_name
from presence.roster.messages import Member, Roster, Snapshot
from presence.roster.people import ServerMember, UserClaims, claims_of, decode_meta, is_sessionless
from presence.transport.log_lines import line_logger

__all__ = [
    "Record",
    "is_hidden",
    "read_channel",
    "read_records",
    "read_snapshot",
    "read_snapshots",
    "record_of",
]

logger = line_logger("presence.store")

Stored = TypeVar("Stored", StoredSnapshot, StoredPresence)
T = TypeVar("T")

Record = dict[str, Any]
"""One person in a channel:

    {"id": "42", "user_id": "42", "name": "Ada", "joined_at": 1700000000.5, "meta": {…}, …}

and every entry of `meta` in addition; the keys above win. `joined_at` is in seconds since 1970 by
the store's clock, None for a member with only a websocket. `name` falls back to the id, and to
"Anonymous" for visitors who are not signed in."""


# Snapshots


def read_snapshot(channel: str) -> Snapshot:
    """Return the snapshot of `channel` with its age, in one round trip; version 0 if never polled.

    Raises StoreError when the store cannot be read, StoreDamaged when what it holds is not a
    snapshot: the next tick mends that.
    """
    return _snapshot(channel, services.store().load_snapshots([channel])[channel])


def read_snapshots(channels: Sequence[str]) -> dict[str, Snapshot]:
    """Return the snapshot of each channel, in one round trip. A damaged one is logged and left out.

    Raises StoreError when the store cannot be read.
    """
    return _undamaged(services.store().load_snapshots(channels), _snapshot)


def _snapshot(channel: str, stored: StoredSnapshot) -> Snapshot:
    if stored.damage:
        raise StoreDamaged(
            f"{channel} in the store cannot be read ({stored.damage}): the next tick mends it."
        )
    try:
        return _serve(stored)
    except InvalidMessage as error:
        raise _suspect(channel, "snapshot", stored.snapshot or b"", error) from error


def _serve(stored: StoredSnapshot) -> Snapshot:
    age = None
    # A clock that was set back leaves a time in the future until the next tick: that tells no age.
    if stored.polled is not None and stored.polled <= stored.now + AHEAD:
        age = round(max(0.0, stored.now - stored.polled), 1)
    # Centrifugo would call anything recovered since an empty epoch.
    position = stored.position if stored.position and stored.position.epoch else None
    snapshot = messages.serve(
        stored.snapshot, age=age, every=conf.PRESENCE_INTERVAL, position=position
    )
    if not (snapshot.total or snapshot.anonymous):
        # Empty rooms are not polled, so an age would tell that a hidden user is in one.
        snapshot = msgspec.structs.replace(snapshot, age=None)
    if (snapshot.epoch, snapshot.version) != (stored.epoch, stored.version):
        raise InvalidMessage(f"it is of version {snapshot.version}, {stored.version} was committed")
    return snapshot


def _suspect(channel: str, field: str, found: bytes, reason: object) -> StoreDamaged:
    """Mark an unreadable `field` of a channel, "roster" or "snapshot", for the next tick to mend.

    `found` are the bytes that were read. Returns the error to raise.
    """
    try:
        services.store().write(Writes(suspects=[Suspect(channel, field, found)]))
    except StoreError as error:
        logger.error("channel=not-marked name=%s error=%r", channel, str(error))
    return StoreDamaged(
        f"The {field} of {channel} in the store cannot be read ({reason}): the next tick mends it."
    )


# Records


def read_records(channels: Sequence[str]) -> dict[str, list[Record]]:
    """Return the records of each channel, one per person, in one round trip.

    The rule is that of the tick: the newest claim about a person counts, and hidden users are in no
    list. Nor are visitors who are only counted. A damaged channel is logged and left out. Raises
    StoreError when the store cannot be read.
    """
    return _undamaged(_load(channels), _records) if channels else {}


def read_channel(channel: str) -> list[Record]:
    """Return the records of one channel, as `read_records` does. Raises StoreDamaged when what the
    store holds is not a roster, StoreError when it cannot be read."""
    return _records(channel, _load([channel])[channel])


def record_of(tracked: ServerMember) -> Record:
    """Return the record of a member that has no other source than `tracked`."""
    return _merged([tracked], Roster())[0]


def is_hidden(channel: str, user: str) -> bool:
    """Return whether a user is in `channel`, and hidden, as of the last tick. Raises as
    `read_channel` does."""
    return user in _roster(channel, _load([channel])[channel]).hidden


def _load(channels: Sequence[str]) -> dict[str, StoredPresence]:
    return services.tracker().load_members(channels, timeout=conf.PRESENCE_TIMEOUT, rosters=True)


def _roster(channel: str, found: StoredPresence) -> Roster:
    """Return the stored roster. Raises StoreDamaged: without it nobody knows who is hidden."""
    try:
        if found.damage:
            raise InvalidMessage(found.damage)
        return messages.decode(found.roster, Roster) if found.roster else Roster()
    except InvalidMessage as error:
        raise _suspect(channel, "roster", found.roster, error) from error


def _records(channel: str, found: StoredPresence) -> list[Record]:
    """Return the records, less those of visitors without a session beyond the seats of the room:
    these are counted."""
    roster, members = _roster(channel, found), found.members
    users = dict.fromkeys(member.user for member in members)
    passing = [user for user in users if is_sessionless(user)]
    if passing:
        others = sum(not is_sessionless(user) for user in {*roster.members, *users})
        counted = set(passing[visitor_seats(others, limit=conf.PRESENCE_LIST_LIMIT) :])
        members = [member for member in members if member.user not in counted]
    return _merged(members, roster)


def _merged(found: Sequence[ServerMember], roster: Roster) -> list[Record]:
    tracked: dict[str, list[ServerMember]] = {}
    for said in found:
        if said.user not in roster.hidden:
            tracked.setdefault(said.user, []).append(said)
    # Members of the roster whom only tracking put there are here as long as they are tracked.
    gone = {user for user in roster.tracked if user not in tracked}
    builder = RosterBuilder()
    for key, member in roster.members.items():
        if key not in gone:
            builder.add(key, UserClaims(member.name, member.info, roster.issued.get(key, 0.0)))
    for user, sources in tracked.items():
        for said in sources:
            builder.add(user, claims_of(said))
    merged = builder.roster(0, ())
    records = []
    for key, member in enrich(roster, merged, {}).members.items():
        sources = tracked.get(key, [])
        meta = _meta_of(merged.members[key], sources) | roster.fetched.get(key, {})
        records.append(
            {
                **meta,
                "id": key,
                "user_id": key,
                "name": member.name,
                "joined_at": min((said.joined for said in sources), default=None),
                "meta": meta,
            }
        )
    return records


def _meta_of(member: Member, tracked: Sequence[ServerMember]) -> dict[str, Any]:
    """Return the meta that `member` was made of; where a token made them, one that looks alike."""
    for said in tracked:
        signed = claims_of(said)
        name = signed.name or fallback_name(member.id)
        if (signed.info, name) == (member.info, member.name):
            return decode_meta(said)
    return {**member.info, "name": member.name}


def _undamaged(stored: Mapping[str, Stored], read: Callable[[str, Stored], T]) -> dict[str, T]:
    """Return what `read` makes of each channel. A damaged one is logged and left out."""
    found = {}
    for channel, value in stored.items():
        try:
            found[channel] = read(channel, value)
        except StoreDamaged as error:
            logger.error("channel=damaged name=%s error=%r", channel, str(error))
    return found
