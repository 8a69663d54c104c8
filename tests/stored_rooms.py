"""Rooms with people in them, as a sync leaves them in a store."""

from __future__ import annotations

from presence.backends.base import RosterStore
from presence.roster.commit import make_commit
from presence.roster.messages import Member, Position, Roster
from presence.testing.contract.base import acknowledge, rosters, signalled, write

__all__ = ["acknowledge", "fill", "rosters", "signalled", "write"]

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
    loaded = store.load_states([channel])
    commit = make_commit(
        loaded.states[channel],
        Roster(),
        Roster({member.id: member for member in members}, anonymous),
        digest=b"seen",
        run=loaded.run,
        now=loaded.now,
        grace=10.0,
        list_limit=list_limit,
        new_epoch=lambda: "e1",
    )
    assert write(store, [commit], polled=[channel], now=loaded.now) == [True]
    assert acknowledge(store, [(channel, commit.pending, position)], loaded.now) == [True]
