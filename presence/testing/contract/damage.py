"""Contract of a RosterStore for fields that cannot be read: report and replace them."""

from __future__ import annotations

from typing import Any

import pytest

from presence.backends.base import RosterStore, StoredRoster
from presence.roster.commit import Commit, State
from presence.testing.contract.base import (
    ROOM,
    Contract,
    acknowledge,
    commit,
    rosters,
    settled,
    state,
    suspect,
    write,
)


def suspected(backend: RosterStore, field: str = "snapshot") -> State:
    """Report a field as unreadable, and return the state of the channel."""
    found = backend.load_states([], whole=[ROOM]).whole[ROOM]
    suspect(backend, field, getattr(found, field))
    return state(backend)


def replacing(damaged: State, version: int = 1, **fields: Any) -> Commit:
    return commit(version, rev=damaged.rev, epoch="f", replaces=damaged.damage, **fields)


class ReplacementContract(Contract):
    def test_load_whole_returns_roster_and_snapshot_of_one_rev(self, backend: RosterStore) -> None:
        stored = settled(backend)
        loaded = backend.load_states([], whole=[ROOM, "presence:never"])
        assert loaded.whole == {
            ROOM: StoredRoster(2, stored.roster or b"", stored.snapshot or b""),
            "presence:never": StoredRoster(0, b"", b""),
        }

    @pytest.mark.parametrize("field", ["roster", "snapshot"])
    def test_suspect_field_unchanged_since_marks_the_state_damaged(
        self, backend: RosterStore, field: str
    ) -> None:
        stored = settled(backend)
        found = suspected(backend, field)
        assert found.damage
        assert field in found.damage.reason
        assert (found.rev, found.epoch, found.occupied) == (2, stored.epoch, True)

    def test_suspect_field_written_since_changes_nothing(self, backend: RosterStore) -> None:
        settled(backend)
        before = state(backend)
        suspect(backend, "snapshot", b"another value")
        assert state(backend) == before

    def test_suspect_field_of_new_channel_creates_no_channel(self, backend: RosterStore) -> None:
        suspect(backend, "roster", b"")
        assert state(backend) == State(channel=ROOM)

    def test_replacement_overwrites_every_field(self, backend: RosterStore) -> None:
        settled(backend, position=None, leaving=b"x")
        damaged = suspected(backend)
        kept = ((3.5, commit(9).pending),)
        replacement = replacing(damaged, members=0, unsignalled=kept)
        assert write(backend, [replacement]) == [True]
        found = state(backend)
        assert (found.rev, found.epoch, found.version) == (damaged.rev + 1, "f", 1)
        assert (found.damage, found.leaving, found.pending) == (None, b"", replacement.pending)
        assert (found.unsignalled, found.total) == (kept, 0)
        assert rosters(backend, [ROOM])[ROOM] == (found.rev, replacement.roster)

    def test_replacement_after_another_write_is_refused(self, backend: RosterStore) -> None:
        settled(backend)
        damaged = suspected(backend)
        first, second = replacing(damaged), replacing(damaged, 2)
        assert write(backend, [first, second]) == [True, False]
        acknowledge(backend, [(ROOM, first.pending, None)], 1.0)
        before = state(backend)
        assert write(backend, [second]) == [False]
        assert state(backend) == before

    def test_replacement_repeated_after_lost_reply_succeeds_and_writes_nothing(
        self, backend: RosterStore
    ) -> None:
        settled(backend)
        replacement = replacing(suspected(backend))
        assert write(backend, [replacement]) == [True]
        before = state(backend)
        assert write(backend, [replacement]) == [True]
        assert state(backend) == before

    def test_replacement_overwrites_pending_diff(self, backend: RosterStore) -> None:
        left = commit()
        write(backend, [left])
        replacement = replacing(suspected(backend))
        assert write(backend, [replacement]) == [True]
        assert state(backend).pending == replacement.pending
        assert acknowledge(backend, [(ROOM, left.pending, None)], 1.0) == [False]
