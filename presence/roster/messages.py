"""Rosters, snapshots, the messages on the wire, and their JSON. Pure.

`roster.js` reads snapshots and publications. Both languages are tested on the same fixtures.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec

from presence.exceptions import InvalidMessage

Count = Annotated[int, msgspec.Meta(ge=0)]


class Member(msgspec.Struct, frozen=True, gc=False):
    """One person in a channel, with any number of tabs."""

    id: str
    name: str
    info: dict[str, Any] = {}


class Position(msgspec.Struct, frozen=True):
    """Position in the stream of a feed, as Centrifugo defines it."""

    offset: int = 0
    epoch: str = ""


class Roster(msgspec.Struct, frozen=True, omit_defaults=True):
    """Members of a channel by id, in order of arrival.

    `issued` maps ids to the time (seconds since 1970) at which the member's info was signed, so
    that an older tab never restores an older name. `anonymous` counts unidentified visitors.
    `tracked` lists the ids of members without a websocket, `hidden` those of hidden users in the
    channel, who are not members. `fetched` holds the additions of PRESENCE_FETCH, which the members
    already include.
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
        """Whether there is any member or visitor."""
        return bool(self.members) or self.anonymous > 0


class Snapshot(msgspec.Struct, frozen=True):
    """A roster at a version, as pages get it. A counted room has `listed` False and no members.

    `age` is the time in seconds since the last good poll (None: never polled), `every` the
    interval of polls in seconds. `serve` sets these and `position`.
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
    """The step from version `base` to the next. For a counted room it has only the counts."""

    epoch: str
    base: Count
    version: Count
    joins: list[Member] = []
    leaves: list[str] = []
    updates: list[Member] = []
    total: Count
    anonymous: Count


class Reload(msgspec.Struct, frozen=True, tag_field="type", tag="presence.reload"):
    """Request to fetch the snapshot, at a random moment in the next `within` seconds."""

    epoch: str
    version: Count
    within: float


class Event(msgspec.Struct, frozen=True, tag_field="type", tag="presence.event"):
    """An event that the site broadcasts to a room."""

    event: str
    payload: dict[str, Any] = {}


class Pulse(msgspec.Struct, frozen=True, tag_field="type", tag="presence.tick"):
    """Message to all pages that a tick ended; the next one comes after `every` seconds."""

    every: float


class Change(msgspec.Struct, frozen=True):
    """The difference between two rosters, with complete members."""

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
    """Missing members and visitors that still stay in the roster.

    `members` maps an id to the time of the first believed poll that missed it. `anonymous` holds
    the higher counts of earlier polls in falling order, each with the time of the first believed
    poll that found fewer; `count` is the count of the last poll. A time is 0 until a poll is
    believed.
    """

    members: dict[str, float] = {}
    anonymous: list[tuple[float, int]] = []
    count: int = 0

    def __bool__(self) -> bool:
        return bool(self.members or self.anonymous)

    @property
    def since(self) -> float:
        """The time from which the oldest absence counts; 0 if none is believed yet."""
        times = [*self.members.values(), *(at for at, _ in self.anonymous)]
        return min(filter(None, times), default=0.0)


def diff(old: Roster, new: Roster) -> Change:
    """Return the change from `old` to `new`; falsy if nothing visible differs."""
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


MAX_PUBLICATION = 8 * 1024
"""Bytes of the largest diff or event that is published; a larger diff becomes a reload.

100 of these (a feed's history_size) fit Centrifugo's queue of 1 MiB per connection, so that
Centrifugo does not cut off a client that recovers as too slow.
"""


class Pending(msgspec.Struct, frozen=True):
    """A change to publish and to signal, stored by its commit until both are done."""

    epoch: str
    version: int
    publication: msgspec.Raw
    change: Change


UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""Errors of decoders for unreadable bytes, too deep nesting included."""

Message = Change | Diff | Event | Leaving | Member | Pending | Position | Pulse | Reload | Roster
T = TypeVar("T", bound=Message | Snapshot)

_encoder = msgspec.json.Encoder()
_decoders: dict[type, msgspec.json.Decoder[object]] = {}


def encode(message: Message | Snapshot) -> bytes:
    """Return a message as JSON in UTF-8 without line breaks.

    For a Snapshot, only the part that is the same for every reader: `serve` adds the rest.
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
    """Return the message of that type in `data`; unknown fields are ignored.

    Raises InvalidMessage for any other data.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(data)  # type: ignore[return-value]
    except UNREADABLE as error:
        raise InvalidMessage(f"Not a {kind.__name__}: {error}") from error


def serve(
    snapshot: bytes | None, *, age: float | None, every: float, position: Position | None
) -> Snapshot:
    """Return the stored `snapshot` (None: the channel was never committed) for a reader.

    `age` and `every` are in seconds. Raises InvalidMessage if the stored bytes are not a snapshot.
    """
    base = Snapshot() if snapshot is None else decode(snapshot, Snapshot)
    return msgspec.structs.replace(base, age=age, every=every, position=position)
