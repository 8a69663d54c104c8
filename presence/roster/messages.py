"""Who is in a channel, what is said of it, and how one version becomes the next.

Rosters and snapshots, the messages on the wire, and their JSON. `roster.js` is the twin of
`Snapshot` and `apply`: both are tested on the same fixtures.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, TypeVar

import msgspec

from presence.exceptions import Gap, InvalidMessage

__all__ = [
    "MAX_PUBLICATION",
    "UNREADABLE",
    "Change",
    "Diff",
    "Event",
    "Leaving",
    "Member",
    "Pending",
    "Position",
    "Publication",
    "Reload",
    "Roster",
    "Snapshot",
    "apply",
    "decode",
    "decode_publication",
    "diff",
    "encode",
    "serve",
]

Count = Annotated[int, msgspec.Meta(ge=0)]


class Member(msgspec.Struct, frozen=True, gc=False):
    """One person in a channel, however many tabs they have open."""

    id: str
    name: str
    info: dict[str, Any] = {}


class Position(msgspec.Struct, frozen=True):
    """A place in the stream of a feed, as Centrifugo names it."""

    offset: int
    epoch: str


class Roster(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everyone in a channel, in order of arrival.

    `issued` holds for each member the time (seconds since 1970) at which their info was signed,
    so that an older tab never takes a newer name back. `anonymous` counts the unidentified. The
    `tracked` are members without a websocket, the `hidden` are in the channel and no members.
    `fetched` is what PRESENCE_FETCH gave: it is in the members already.
    """

    members: dict[str, Member] = {}
    anonymous: int = 0
    issued: dict[str, float] = {}
    tracked: list[str] = []
    hidden: list[str] = []
    fetched: dict[str, dict[str, Any]] = {}

    @property
    def total(self) -> int:
        """The number of identified members."""
        return len(self.members)

    @property
    def occupied(self) -> bool:
        """Whether anybody at all is here."""
        return bool(self.members) or self.anonymous > 0


class Snapshot(msgspec.Struct, frozen=True):
    """A roster at a version, as pages get it. Counted rooms have `listed` False, no members.

    `age` is the time in seconds since the last good poll (None: never polled), `every` the
    interval of polls in seconds; whoever serves a snapshot sets these and `position`.
    """

    epoch: str = ""
    version: int = 0
    members: list[Member] = []
    listed: bool = True
    total: int = 0
    anonymous: int = 0
    age: float | None = None
    every: float = 0.0
    position: Position | None = None


class Diff(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="presence.diff"):
    """What takes version `base` to the next. Of a counted room it carries the counts alone."""

    epoch: str
    base: Count
    version: Count
    joins: list[Member] = []
    leaves: list[str] = []
    updates: list[Member] = []
    total: Count
    anonymous: Count


class Reload(msgspec.Struct, frozen=True, tag_field="type", tag="presence.reload"):
    """Fetch the snapshot, at a random moment in the next `within` seconds."""

    epoch: str
    version: Count
    within: float


class Event(msgspec.Struct, frozen=True, tag_field="type", tag="presence.event"):
    """Something the site told everybody in the room."""

    event: str
    payload: dict[str, Any] = {}


Publication = Diff | Reload | Event


class Change(msgspec.Struct, frozen=True):
    """The difference between two rosters, with the whole members on every side."""

    joins: list[Member] = []
    leaves: list[Member] = []
    updates: list[Member] = []
    total: int = 0
    anonymous: int = 0
    was_occupied: bool = False
    was_anonymous: int = 0

    def __bool__(self) -> bool:
        return bool(
            self.joins or self.leaves or self.updates or self.anonymous != self.was_anonymous
        )


class Leaving(msgspec.Struct, frozen=True):
    """Who is not seen any more but not yet believed gone.

    `members` maps an id to the time of the first believed poll that missed it. `anonymous` holds
    the higher counts of before, falling, each with the time of the first such poll that found
    fewer; `count` is what the last poll found. The time is 0 while no poll was believed.
    """

    members: dict[str, float] = {}
    anonymous: list[tuple[float, int]] = []
    count: int = 0

    def __bool__(self) -> bool:
        return bool(self.members or self.anonymous)

    def began_at(self, now: float) -> bool:
        """Whether the absence of anybody counts from `now`."""
        return now in self.members.values() or any(t == now for t, _ in self.anonymous)


def diff(old: Roster, new: Roster) -> Change:
    """The change from `old` to `new`; falsy when nothing that is shown differs."""
    known = old.members.get
    return Change(
        joins=[new.members[key] for key in sorted(new.members.keys() - old.members.keys())],
        leaves=[old.members[key] for key in sorted(old.members.keys() - new.members.keys())],
        updates=[m for key, m in new.members.items() if known(key, m) is not m and known(key) != m],
        total=new.total,
        anonymous=new.anonymous,
        was_occupied=old.occupied,
        was_anonymous=old.anonymous,
    )


def apply(snapshot: Snapshot, publication: Publication) -> Snapshot:
    """The snapshot after `publication`, or the same one where it changes nothing.

    Raises Gap when the publication cannot be applied and a new snapshot has to be fetched.
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


MAX_PUBLICATION = 8 * 1024
"""Bytes of the largest diff or event that is published; a larger diff becomes a reload.

100 of these (a feed's history_size) stay under Centrifugo's 1 MiB queue of one connection, so
that a client which recovers is not cut off as slow.
"""


class Pending(msgspec.Struct, frozen=True):
    """What a commit leaves to be published, and to be signalled after that."""

    epoch: str
    version: int
    publication: msgspec.Raw
    change: Change


class _Kind(msgspec.Struct):
    type: str


UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""Errors of decoders for bytes that they cannot read, too deep nesting included."""

Message = Change | Diff | Event | Leaving | Member | Pending | Position | Reload | Roster
T = TypeVar("T", bound=Message | Snapshot)

_encoder = msgspec.json.Encoder()
_decoders: dict[type, msgspec.json.Decoder[object]] = {}
_kind = msgspec.json.Decoder(_Kind)
_publication: msgspec.json.Decoder[Publication] = msgspec.json.Decoder(Diff | Reload | Event)
_TYPES = frozenset({"presence.diff", "presence.reload", "presence.event"})


def encode(message: Message | Snapshot) -> bytes:
    """JSON of one message, UTF-8, without a line break in it.

    Of a Snapshot: the part that is the same for every reader. `age`, `every` and `position` are
    left to `serve`.
    """
    if isinstance(message, Snapshot):
        return _encoder.encode(
            {
                name: getattr(message, name)
                for name in ("epoch", "version", "members", "listed", "total", "anonymous")
            }
        )
    return _encoder.encode(message)


def decode(data: bytes, kind: type[T]) -> T:
    """The message of that kind in `data`; unknown fields are ignored.

    Raises InvalidMessage for anything else.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(data)  # type: ignore[return-value]
    except UNREADABLE as error:
        raise InvalidMessage(f"Not a {kind.__name__}: {error}") from error


def decode_publication(data: bytes) -> Publication | None:
    """The publication in `data`, or None where its type is not known to this version.

    Raises InvalidMessage for what is no publication at all.
    """
    try:
        kind = _kind.decode(data)
        if kind.type not in _TYPES:
            return None
        return _publication.decode(data)
    except UNREADABLE as error:
        raise InvalidMessage(f"Not a publication: {error}") from error


def serve(
    snapshot: bytes | None, *, age: float | None, every: float, position: Position | None
) -> Snapshot:
    """The stored `snapshot` (None: the channel was never committed) as a reader gets it.

    `age` and `every` are in seconds. Raises InvalidMessage when the stored bytes are not one.
    """
    base = Snapshot() if snapshot is None else decode(snapshot, Snapshot)
    return msgspec.structs.replace(base, age=age, every=every, position=position)
