"""What a tick writes for one channel: a state as loaded plus a reading -> a commit. Pure."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from presence import wire
from presence.leaving import Leaving, hold_leaves
from presence.roster import Change, Diff, Position, Reload, Roster, Snapshot
from presence.roster import diff as compare

__all__ = ["Commit", "Rules", "State", "plan", "restart"]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """One channel as the store has it, without its roster. `rev` 0: never committed."""

    channel: str
    rev: int = 0
    epoch: str = ""
    version: int = 0
    run: str = ""
    digest: bytes = b""
    leaving: bytes = b""
    pending: bytes = b""
    unsignalled: tuple[tuple[float, bytes], ...] = ()
    """(time of the acknowledgement, pending) of each change not yet signalled."""
    position: Position | None = None
    listed: bool = True
    total: int = 0
    anonymous: int = 0

    @property
    def occupied(self) -> bool:
        """Whether somebody is here, or is leaving, or something is unfinished."""
        unfinished = self.leaving or self.pending or self.unsignalled
        return bool(self.total or self.anonymous or unfinished)


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """What one atomic step writes, if `rev` still stands and nothing is pending.

    `roster` and `snapshot` are None, and `pending` is empty, where nothing that is shown changed.
    """

    channel: str
    rev: int
    epoch: str
    version: int
    run: str
    digest: bytes
    leaving: bytes
    roster: bytes | None = None
    snapshot: bytes | None = None
    pending: bytes = b""
    position: Position | None = None
    listed: bool = True
    total: int = 0
    anonymous: int = 0
    change: Change = Change()
    held: int = 0
    after: Roster = Roster()
    """The roster that it leaves, decoded."""
    begins_to_leave: bool = False
    """Whether somebody is missing whom the last poll still showed."""

    def repeats(self, state: State) -> bool:
        """Whether writing this would leave the channel as it is."""
        return (
            not self.pending
            and self.roster is None
            and (self.digest, self.leaving) == (state.digest, state.leaving)
        )


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that decide a commit. Times in seconds."""

    grace: float = 10.0
    list_limit: int = 200


def plan(
    state: State,
    old: Roster,
    seen: Roster,
    *,
    digest: bytes,
    run: str,
    now: float,
    rules: Rules,
    believe: bool = True,
    crowd: int = 0,
    new_epoch: Callable[[], str],
) -> Commit:
    """The commit that takes `state` with the roster `old` to what was `seen` at `now`.

    `believe` False keeps everybody who is missing. `run` names the life of the store: where it
    is not the one that wrote `state`, acknowledged writes may be lost, so a new epoch starts: in
    every room at once, so the readers spread their fetches as if the `crowd` were in this one.
    """
    leaving = wire.decode(state.leaving, Leaving) if state.leaving else Leaving()
    roster, still_leaving = hold_leaves(
        old, seen, leaving, now=now, grace=rules.grace, believe=believe
    )
    change = compare(old, roster)
    first, reborn = state.rev == 0, state.rev > 0 and state.run != run
    common = {
        "channel": state.channel,
        "rev": state.rev,
        "run": run,
        "digest": digest,
        "leaving": wire.encode(still_leaving) if still_leaving else b"",
        "total": roster.total,
        "anonymous": roster.anonymous,
        "change": change,
        "after": roster,
        "held": len(still_leaving.members),
        "begins_to_leave": still_leaving.began_at(now),
    }
    listed = _listed(roster.total, was_listed=state.listed, limit=rules.list_limit)
    switched = listed != state.listed and not first
    if not (change or first or reborn or switched):
        return Commit(
            epoch=state.epoch,
            version=state.version,
            listed=state.listed,
            position=state.position,
            roster=wire.encode(roster) if roster != old else None,
            **common,  # type: ignore[arg-type]
        )
    fresh = first or reborn
    epoch = new_epoch() if fresh else state.epoch
    version = 1 if fresh else state.version + 1
    publication = _publication(change, epoch, version, listed)
    if reborn or switched:
        publication = b""
    if not publication or len(publication) > wire.MAX_PUBLICATION:
        readers = max(roster.total + roster.anonymous, crowd if reborn else 0)
        publication = wire.encode(Reload(epoch, version, reload_within(readers)))
    return Commit(
        epoch=epoch,
        version=version,
        listed=listed,
        position=state.position,
        roster=wire.encode(roster),
        snapshot=wire.encode(_snapshot(roster, epoch, version, listed)),
        pending=wire.encode(wire.Pending(epoch, version, msgspec.Raw(publication), change)),
        **common,  # type: ignore[arg-type]
    )


def _listed(total: int, *, was_listed: bool, limit: int) -> bool:
    return total <= limit if was_listed else total < 0.9 * limit


def _publication(change: Change, epoch: str, version: int, listed: bool) -> bytes:
    return wire.encode(
        Diff(
            epoch=epoch,
            base=version - 1,
            version=version,
            joins=change.joins if listed else [],
            leaves=[member.id for member in change.leaves] if listed else [],
            updates=change.updates if listed else [],
            total=change.total,
            anonymous=change.anonymous,
        )
    )


def _snapshot(roster: Roster, epoch: str, version: int, listed: bool) -> Snapshot:
    return Snapshot(
        epoch=epoch,
        version=version,
        members=list(roster.members.values()) if listed else [],
        listed=listed,
        total=roster.total,
        anonymous=roster.anonymous,
    )


def restart(snapshot: bytes, epoch: str) -> bytes:
    """The stored `snapshot` as version 1 of a new epoch."""
    return wire.encode(
        msgspec.structs.replace(wire.decode(snapshot, Snapshot), epoch=epoch, version=1)
    )


def reload_within(readers: int) -> float:
    """Seconds over which so many readers spread their fetches: 200 a second, 1 to 30 s."""
    return min(30.0, max(1.0, readers / 200))
