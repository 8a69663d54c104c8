"""Who is in a channel, and how one version becomes the next. Pure: no Django, no I/O, no clock.

`roster.js` is the twin of `Snapshot` and `apply`: both are tested on the same fixtures.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from presence.exceptions import Gap

__all__ = [
    "Change",
    "Diff",
    "Event",
    "Leaving",
    "Member",
    "Position",
    "Publication",
    "Reload",
    "Roster",
    "Snapshot",
    "apply",
    "diff",
    "hold_leaves",
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


class Roster(msgspec.Struct, frozen=True):
    """Everyone in a channel, in order of arrival.

    `issued` holds for each member the time (seconds since 1970) at which their info was signed,
    so that an older tab never takes a newer name back. `anonymous` counts the unidentified.
    """

    members: dict[str, Member] = {}
    anonymous: int = 0
    issued: dict[str, float] = {}

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


def hold_leaves(
    old: Roster, seen: Roster, leaving: Leaving, *, now: float, grace: float, believe: bool
) -> tuple[Roster, Leaving]:
    """The roster to commit when `seen` was read at `now` and `old` is the one committed.

    A member of `old` that is missing stays until it has been missing for `grace` seconds, counted
    from the first believed poll that missed it; with `believe` False it stays in any case, and a
    count begun starts anew. The anonymous count is, in the same way, the highest of the last
    `grace` seconds. The order is that of arrival: known members first, then those who joined, by
    id. A clock that was set back makes nobody stay longer than `grace` from then on.
    """
    members, issued = dict(old.members), dict(old.issued)
    missing: dict[str, float] = {}
    for key in sorted(old.members.keys() - seen.members.keys()):
        since = _since(leaving.members.get(key, 0.0), now=now, believe=believe)
        if believe and now - since >= grace:
            del members[key]
            issued.pop(key, None)
        else:
            missing[key] = since
    # Only what differs is looked at closely: in a large room that is little.
    known, known_at = old.members.get, old.issued.get
    differs = [key for key, member in seen.members.items() if known(key) != member]
    for key in sorted(differs):
        if seen.issued.get(key, 0.0) >= known_at(key, 0.0):
            members[key] = seen.members[key]
    issued |= {key: at for key, at in seen.issued.items() if known_at(key, -1.0) < at}
    anonymous, held = _hold_count(old, seen, leaving, now=now, grace=grace, believe=believe)
    return Roster(members, anonymous, issued), Leaving(missing, held, seen.anonymous)


def _hold_count(
    old: Roster, seen: Roster, leaving: Leaving, *, now: float, grace: float, believe: bool
) -> tuple[int, list[tuple[float, int]]]:
    """The anonymous count to show, and the higher counts that are still held."""
    count = seen.anonymous
    last = leaving.count if leaving.anonymous else old.anonymous
    held = [*leaving.anonymous, (0.0, last)]
    held = [(_since(t, now=now, believe=believe), n) for t, n in held]
    held = [(t, n) for t, n in held if n > count and not (believe and now - t >= grace)]
    return (held[0][1] if held else count), held


def _since(known: float, *, now: float, believe: bool) -> float:
    """When an absence that was known since `known` begins to count, if seen again at `now`."""
    return min(known or now, now) if believe else 0.0


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
