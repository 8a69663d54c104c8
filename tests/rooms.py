"""Rooms with people in them, as a sync leaves them in a store."""

from __future__ import annotations

from collections.abc import Sequence

from presence.backends.base import Acknowledgement, RosterStore, Writes
from presence.plan import Commit, Rules, plan
from presence.roster import Member, Position, Roster

STREAM = Position(7, "StBPPVJn")


def fill(
    store: RosterStore,
    channel: str,
    *members: Member,
    anonymous: int = 0,
    list_limit: int = 200,
    position: Position | None = STREAM,
) -> None:
    """Make `members` the first roster of `channel`: version 1 of the epoch "e1"."""
    loaded = store.load([channel])
    commit = plan(
        loaded.states[channel],
        Roster(),
        Roster({member.id: member for member in members}, anonymous),
        digest=b"seen",
        run=loaded.run,
        now=loaded.now,
        rules=Rules(list_limit=list_limit),
        new_epoch=lambda: "e1",
    )
    assert write(store, [commit], polled=[channel], now=loaded.now) == [True]
    assert acknowledge(store, [(channel, commit.pending, position)], loaded.now) == [True]


def write(
    store: RosterStore,
    commits: Sequence[Commit] = (),
    *,
    polled: Sequence[str] = (),
    now: float = 0.0,
) -> list[bool]:
    """Write commits; whether each was taken."""
    return store.write(Writes(commits=commits, polled=polled, now=now)).committed


def acknowledge(
    store: RosterStore, done: Sequence[tuple[str, bytes, Position | None]], now: float
) -> list[bool]:
    """Acknowledge each (channel, pending, position) at `now`; whether each was taken."""
    acknowledgements = [Acknowledgement(*one, now) for one in done]
    return store.write(Writes(acknowledgements=acknowledgements)).acknowledged


def signalled(store: RosterStore, done: Sequence[tuple[str, bytes]]) -> None:
    """Note that the signals of each (channel, pending) were sent."""
    store.write(Writes(signalled=done))


def rosters(store: RosterStore, channels: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    """The `rev` and the roster of each channel that has one."""
    return store.load([], rosters=channels).rosters
