"""The commit of a channel: made from its stored state and the roster that a poll found. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from math import ceil
from typing import Any, NamedTuple

import msgspec

from presence.exceptions import InvalidMessage
from presence.roster import messages
from presence.roster.grace import hold_leaves
from presence.roster.messages import Change, Diff, Leaving, Position, Reload, Roster, Snapshot
from presence.roster.messages import diff as compare

RELISTED = 0.9
"""Fraction of the limit below which a counted room is listed again."""
SEATS = 50
"""Largest number of visitors without a session that a room lists; others are only counted."""


class Damage(NamedTuple):
    """Damage of a channel's state: the reason in words, and the stored `rev` and `pending`, which
    tell a writer whether another one has written since."""

    reason: str
    rev: bytes
    pending: bytes


class State(msgspec.Struct, frozen=True, kw_only=True):
    """State of one channel in the store, without its roster. `rev` 0: never committed. `version` 0:
    only hidden users were in it, so there is neither an epoch nor a snapshot.

    With a `damage`, the fields hold the parts that could be read.
    """

    channel: str
    rev: int = 0
    epoch: str = ""
    version: int = 0
    run: str = ""
    digest: bytes = b""
    leaving: bytes = b""
    pending: bytes = b""
    unsignalled: tuple[tuple[float, bytes], ...] = ()
    """(time of the acknowledgement, pending) of each change that is not signalled yet."""
    position: Position | None = None
    listed: bool = True
    total: int = 0
    anonymous: int = 0
    damage: Damage | None = None

    @property
    def occupied(self) -> bool:
        """Whether the channel has members or visitors, or unfinished work."""
        unfinished = self.leaving or self.pending or self.unsignalled or self.damage
        return bool(self.total or self.anonymous or unfinished)


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """One atomic write to a channel, valid if `rev` is still current and nothing is pending.

    `roster` and `snapshot` are None, and `pending` is empty, if nothing visible changed. With
    `replaces`, the commit replaces everything that is stored of the channel except the changes of
    `unsignalled`, if that damage is still as it was found.
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
    """The roster after the commit, decoded."""
    due_in: float | None = None
    """Seconds after which the next missing member can be believed gone; None if none is missing."""
    replaces: Damage | None = None
    unsignalled: tuple[tuple[float, bytes], ...] = ()

    def repeats(self, state: State) -> bool:
        """Return whether the write would change nothing in the store."""
        return (
            not self.pending
            and self.roster is None
            and (self.digest, self.leaving, self.run) == (state.digest, state.leaving, state.run)
        )


def make_commit(
    state: State,
    old: Roster,
    seen: Roster,
    *,
    digest: bytes,
    run: str,
    now: float,
    grace: float,
    list_limit: int,
    believe: bool = True,
    hold: float = 0.0,
    out: Collection[str] = (),
    crowd: int = 0,
    new_epoch: Callable[[], str],
) -> Commit:
    """Return the commit that takes `state` from the roster `old` to the roster `seen` at `now`.

    A member leaves after `grace` seconds. With `believe` False, all missing members stay, and are
    missing from the next poll on. For the seconds of `hold` they stay, too, but are missing from
    now on. Those of `out` leave at once. A room of more than `list_limit` members is counted. `run`
    names the life of the store. If another life wrote `state`, acknowledged writes may be lost, so
    a new epoch starts. That happens in every room at once, so readers spread their fetches as if
    all `crowd` clients of the site were in this room. A damaged state is replaced by a new epoch,
    too.
    """
    leaving = messages.decode(state.leaving, Leaving) if state.leaving else Leaving()
    roster, still_leaving = hold_leaves(
        old, seen, leaving, now=now, grace=grace, believe=believe, hold=hold > 0, out=out
    )
    change = compare(old, roster)
    first = state.version == 0 and not state.damage
    # A room that only hidden users were ever in stays without a chain: pages get what they get of a
    # room that nobody was in.
    unseen = first and not roster.occupied and bool(state.rev or roster.hidden)
    reborn = state.version > 0 and state.run != run
    fresh = (first and not unseen) or reborn or bool(state.damage)
    listed = roster.total <= list_limit
    if not state.listed:
        listed = roster.total < relist_limit(list_limit)
    switched = listed != state.listed and not first
    visible = bool(change) or fresh or switched
    # The pending change of a damaged state may have been published or not: readers reload anyway.
    lost = ((now, state.pending),) if state.pending else ()
    commit = Commit(
        channel=state.channel,
        # If the rev cannot be read, use one that no commit under way can build on.
        rev=state.rev or (int(now) if state.damage else 0),
        epoch=new_epoch() if fresh else state.epoch,
        version=1 if fresh else state.version + visible,
        run=run,
        digest=_unsettled(digest) if still_leaving else digest,
        leaving=messages.encode(still_leaving) if still_leaving else b"",
        roster=messages.encode(roster) if visible or roster != old else None,
        position=state.position,
        listed=listed,
        total=roster.total,
        anonymous=roster.anonymous,
        change=change,
        held=len(still_leaving.members),
        after=roster,
        due_in=_due_in(still_leaving, now=now, grace=grace, hold=hold),
        replaces=state.damage,
        unsignalled=(*state.unsignalled, *lost) if state.damage else (),
    )
    if not visible:
        return commit
    publication = b""
    if not (reborn or switched or state.damage):
        publication = messages.encode(_diff(commit))
    if not publication or len(publication) > messages.MAX_PUBLICATION:
        readers = max(roster.total + roster.anonymous, crowd if reborn else 0)
        within = reload_within(readers)
        publication = messages.encode(Reload(commit.epoch, commit.version, within))
    pending = messages.Pending(commit.epoch, commit.version, msgspec.Raw(publication), change)
    return msgspec.structs.replace(
        commit,
        snapshot=messages.encode(_snapshot(roster, commit)),
        pending=messages.encode(pending),
    )


def _due_in(leaving: Leaving, *, now: float, grace: float, hold: float) -> float | None:
    if not leaving:
        return None
    return max(hold, (leaving.since or now) + grace - now, 0.0)


def _unsettled(digest: bytes) -> bytes:
    """Return a digest that no reply has. If `leaving` gets lost, an unchanged reply is still
    compared, so that missing members do not stay for ever."""
    return digest and b"~" + digest


def visitor_seats(members: int, *, limit: int) -> int:
    """Return the number of visitors without a session that a room lists in addition to its
    `members`. It is too low to turn a listed room into a counted one, or to keep it counted."""
    return max(0, min(SEATS, relist_limit(limit) - 1 - members))


def relist_limit(limit: int) -> int:
    """Return the number of members below which a counted room is listed again."""
    return ceil(RELISTED * limit)


def _diff(commit: Commit) -> Diff:
    change, listed = commit.change, commit.listed
    return Diff(
        epoch=commit.epoch,
        base=commit.version - 1,
        version=commit.version,
        joins=change.joins if listed else [],
        leaves=[member.id for member in change.leaves] if listed else [],
        updates=change.updates if listed else [],
        total=change.total,
        anonymous=change.anonymous,
    )


def _snapshot(roster: Roster, at: State | Commit) -> Snapshot:
    return Snapshot(
        epoch=at.epoch,
        version=at.version,
        members=list(roster.members.values()) if at.listed else [],
        listed=at.listed,
        total=roster.total,
        anonymous=roster.anonymous,
    )


def restart(snapshot: bytes, epoch: str) -> bytes:
    """Return the stored `snapshot` as version 1 of a new epoch; b"" if it cannot be read, which the
    next tick repairs."""
    try:
        known = messages.decode(snapshot, Snapshot)
    except InvalidMessage:
        return b""
    return messages.encode(msgspec.structs.replace(known, epoch=epoch, version=1))


def mark_damaged(state: State, reason: str) -> State:
    """Return the state with a damage that was found in another part of the channel."""
    rev = b"%d" % state.rev if state.rev else b""
    damage = Damage(reason, rev, state.pending)
    return msgspec.structs.replace(state, damage=state.damage or damage)


def verify(state: State) -> State:
    """Return the state; marked as damaged, and without them, if it has unreadable messages."""
    if not (state.leaving or state.pending or state.unsignalled):
        return state
    reasons: list[str] = []
    kept: dict[str, Any] = {}
    for name, raw, kind in (
        ("leaving", state.leaving, Leaving),
        ("pending", state.pending, messages.Pending),
    ):
        if raw and (reason := _why_not(raw, kind)):
            kept[name] = b""
            reasons.append(f"{name}: {reason}")
    lines = [line for line in state.unsignalled if not _why_not(line[1], messages.Pending)]
    if len(lines) < len(state.unsignalled):
        kept["unsignalled"] = tuple(lines)
        reasons.append("unsignalled: not the changes that were published")
    if not reasons:
        return state
    return msgspec.structs.replace(mark_damaged(state, "; ".join(reasons)), **kept)


def _why_not(raw: bytes, kind: type[messages.Pending] | type[Leaving]) -> str:
    try:
        messages.decode(raw, kind)
    except InvalidMessage as error:
        return str(error)
    return ""


def find_flaw(state: State, roster: bytes, snapshot: bytes) -> str:
    """Return what is wrong with the stored roster or snapshot of `state`; "" if nothing is.

    Never raises: undecodable bytes are a flaw.
    """
    try:
        everybody = messages.decode(roster, Roster)
        shown = messages.decode(snapshot, Snapshot) if state.version or snapshot else Snapshot()
    except InvalidMessage as error:
        return str(error)
    if (everybody.total, everybody.anonymous) != (state.total, state.anonymous):
        return f"the roster has {everybody.total} members, {state.total} were committed"
    if shown != _snapshot(everybody, state):
        return "the snapshot does not show the roster"
    return ""


def new_epoch() -> str:
    """Return a random name for one life of a version chain."""
    return secrets.token_hex(4)


def reload_within(readers: int) -> float:
    """Return the seconds over which readers spread their fetches: 200 a second, 1 to 30 s."""
    return min(30.0, max(1.0, readers / 200))
