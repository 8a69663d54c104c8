"""A reader of snapshots and publications by the rules of `roster.js`, its twin.

Both are tested on the same fixtures. The app itself only writes publications.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from presence.exceptions import InvalidMessage
from presence.roster.messages import UNREADABLE, Diff, Event, Member, Reload, Snapshot

Publication = Diff | Reload | Event


class Gap(Exception):
    """Raised if the publication does not follow the snapshot: a newer snapshot is needed."""


class _Kind(msgspec.Struct):
    type: str


_kind = msgspec.json.Decoder(_Kind)
_publication: msgspec.json.Decoder[Publication] = msgspec.json.Decoder(Diff | Reload | Event)
_TYPES = frozenset({"presence.diff", "presence.reload", "presence.event"})


def decode_publication(data: bytes) -> Publication | None:
    """Return the publication in `data`, or None if this version does not know its type.

    Raises InvalidMessage for any other data.
    """
    try:
        kind = _kind.decode(data)
        if kind.type not in _TYPES:
            return None
        return _publication.decode(data)
    except UNREADABLE as error:
        raise InvalidMessage(f"Not a publication: {error}") from error


def apply(snapshot: Snapshot, publication: Publication) -> Snapshot:
    """Return the snapshot after `publication`, or the same one if it changes nothing.

    Raises Gap if the publication does not follow the snapshot: a new snapshot must be fetched.
    """
    if isinstance(publication, Event):
        return snapshot
    if publication.epoch != snapshot.epoch:
        raise Gap(f"epoch {publication.epoch!r} follows {snapshot.epoch!r}: fetch the snapshot")
    if publication.version <= snapshot.version:
        return snapshot
    versions = (snapshot.version, snapshot.version + 1)
    if isinstance(publication, Reload) or (publication.base, publication.version) != versions:
        raise Gap(f"version {publication.version} does not follow {snapshot.version}")
    return msgspec.structs.replace(
        snapshot,
        version=publication.version,
        members=_apply_members(snapshot.members, publication) if snapshot.listed else [],
        total=publication.total,
        anonymous=publication.anonymous,
    )


def _apply_members(members: Iterable[Member], change: Diff) -> list[Member]:
    updates = {member.id: member for member in change.updates}
    gone = set(change.leaves)
    after = {m.id: updates.get(m.id, m) for m in members if m.id not in gone}
    for member in change.joins:
        after.setdefault(member.id, member)
    return list(after.values())
