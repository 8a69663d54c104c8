"""Contract: damage in the store, and its replacement."""

from __future__ import annotations

from typing import Any

import pytest

from presence.backends.base import RosterStore, StoredRoster
from presence.roster.commit import Commit, State
from presence.testing.contract.base import Contract
from presence.testing.contract.writing import (
    ROOM,
    acknowledge,
    commit,
    rosters,
    settled,
    state,
    write,
)

__all__ = ["MendingContract"]


def suspected(backend: RosterStore, field: str = "snapshot") -> State:
    """The state of a channel of which a reader says that it cannot read a field."""
    found = backend.load_states([], whole=[ROOM]).whole[ROOM]
    backend.suspect(ROOM, field, getattr(found, field))
    return state(backend)


def mending(damaged: State, version: int = 1, **fields: Any) -> Commit:
    return commit(version, rev=damaged.rev, epoch="f", replaces=damaged.damage, **fields)


class MendingContract(Contract):
    def test_load_whole_gives_roster_and_snapshot_of_one_rev(self, backend: RosterStore) -> None:
        one = settled(backend)
        loaded = backend.load_states([], whole=[ROOM, "presence:never"])
        assert loaded.whole == {
            ROOM: StoredRoster(2, one.roster or b"", one.snapshot or b""),
            "presence:never": StoredRoster(0, b"", b""),
        }

    @pytest.mark.parametrize("field", ["roster", "snapshot"])
    def test_suspect_field_as_it_was_read_damages_the_state(
        self, backend: RosterStore, field: str
    ) -> None:
        one = settled(backend)
        found = suspected(backend, field)
        assert found.damage
        assert field in found.damage.reason
        assert (found.rev, found.epoch, found.occupied) == (2, one.epoch, True)

    def test_suspect_field_that_was_written_since_changes_nothing(
        self, backend: RosterStore
    ) -> None:
        settled(backend)
        before = state(backend)
        backend.suspect(ROOM, "snapshot", b"what another one read")
        assert state(backend) == before

    def test_suspect_channel_that_was_never_committed_makes_none(
        self, backend: RosterStore
    ) -> None:
        backend.suspect(ROOM, "roster", b"")
        assert state(backend) == State(channel=ROOM)

    def test_commit_that_replaces_leaves_nothing_of_what_was_there(
        self, backend: RosterStore
    ) -> None:
        settled(backend, position=None, leaving=b"x")
        damaged = suspected(backend)
        kept = ((3.5, commit(9).pending),)
        one = mending(damaged, who=0, unsignalled=kept)
        assert write(backend, [one]) == [True]
        found = state(backend)
        assert (found.rev, found.epoch, found.version) == (damaged.rev + 1, "f", 1)
        assert (found.damage, found.leaving, found.pending) == (None, b"", one.pending)
        assert (found.unsignalled, found.total) == (kept, 0)
        assert rosters(backend, [ROOM])[ROOM] == (found.rev, one.roster)

    def test_commit_that_replaces_is_refused_once_somebody_has_written(
        self, backend: RosterStore
    ) -> None:
        settled(backend)
        damaged = suspected(backend)
        first, second = mending(damaged), mending(damaged, 2)
        assert write(backend, [first, second]) == [True, False]
        acknowledge(backend, [(ROOM, first.pending, None)], 1.0)
        before = state(backend)
        assert write(backend, [second]) == [False]
        assert state(backend) == before

    def test_commit_that_replaces_is_done_when_its_reply_was_lost(
        self, backend: RosterStore
    ) -> None:
        settled(backend)
        one = mending(suspected(backend))
        assert write(backend, [one]) == [True]
        before = state(backend)
        assert write(backend, [one]) == [True]
        assert state(backend) == before

    def test_commit_that_replaces_takes_the_place_of_what_is_pending(
        self, backend: RosterStore
    ) -> None:
        left = commit()
        write(backend, [left])
        one = mending(suspected(backend))
        assert write(backend, [one]) == [True]
        assert state(backend).pending == one.pending
        assert acknowledge(backend, [(ROOM, left.pending, None)], 1.0) == [False]
