"""The commit made from a loaded state and a new roster."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from presence.roster import messages
from presence.roster.commit import Commit, State, make_commit, reload_within, restart
from presence.roster.messages import (
    Diff,
    Leaving,
    Member,
    Position,
    Reload,
    Roster,
    Snapshot,
)
from tests.feed_reader import Publication, decode_publication


def people(count: int, *, name: str = "x", anonymous: int = 0) -> Roster:
    members = {f"{n:05}": Member(f"{n:05}", name) for n in range(count)}
    return Roster(members, anonymous, dict.fromkeys(members, 0.0))


def planned(state: State, old: Roster, seen: Roster, **options: Any) -> Commit:
    defaults = {"digest": b"d", "run": "r", "now": 100.0, "grace": 10.0, "list_limit": 20}
    options = defaults | options
    return make_commit(state, old, seen, new_epoch=lambda: "fresh", **options)


def after(roster: Roster, **fields: Any) -> State:
    """Return a committed state with this roster."""
    defaults = {
        **{"rev": 4, "epoch": "e", "version": 7, "run": "r", "digest": b"d"},
        **{"total": roster.total, "anonymous": roster.anonymous},
        "position": Position(3, "S"),
    }
    return State(channel="presence:a", **(defaults | fields))


def published(commit: Commit) -> Publication:
    pending = messages.decode(commit.pending, messages.Pending)
    assert (pending.epoch, pending.version) == (commit.epoch, commit.version)
    message = decode_publication(bytes(pending.publication))
    assert message is not None
    return message


def shown(commit: Commit) -> Snapshot:
    assert commit.snapshot is not None
    snapshot = messages.decode(commit.snapshot, Snapshot)
    assert (snapshot.epoch, snapshot.version) == (commit.epoch, commit.version)
    assert (snapshot.total, snapshot.anonymous) == (commit.total, commit.anonymous)
    return snapshot


def test_make_commit_of_new_room_starts_a_chain() -> None:
    commit = planned(State(channel="presence:a"), Roster(), people(2, anonymous=1))
    assert (commit.rev, commit.epoch, commit.version, commit.run) == (0, "fresh", 1, "r")
    message = published(commit)
    assert isinstance(message, Diff)
    assert (message.base, len(message.joins), message.anonymous) == (0, 2, 1)
    assert len(shown(commit).members) == 2


def test_make_commit_of_new_empty_room_starts_a_chain() -> None:
    commit = planned(State(channel="presence:a"), Roster(), Roster())
    assert isinstance(published(commit), Diff)
    assert shown(commit).total == 0


def test_make_commit_with_change_is_the_next_version() -> None:
    commit = planned(after(people(2)), people(2), people(3))
    assert (commit.rev, commit.epoch, commit.version) == (4, "e", 8)
    message = published(commit)
    assert isinstance(message, Diff)
    assert (message.base, [m.id for m in message.joins]) == (7, ["00002"])
    assert commit.position == Position(3, "S")


def test_make_commit_without_change_keeps_the_version() -> None:
    state = after(people(2))
    commit = planned(state, people(2), people(2), digest=b"other")
    assert (commit.version, commit.pending, commit.snapshot, commit.roster) == (7, b"", None, None)
    assert not commit.repeats(state)
    assert planned(state, people(2), people(2)).repeats(state)


def test_make_commit_with_newer_signature_stores_it_without_version() -> None:
    again = msgspec.structs.replace(people(1), issued={"00000": 9.0})
    commit = planned(after(people(1)), people(1), again)
    assert (commit.version, commit.pending) == (7, b"")
    assert messages.decode(commit.roster or b"", Roster).issued == {"00000": 9.0}
    assert not commit.repeats(after(people(1)))


def test_make_commit_with_held_leave_stores_it_without_version() -> None:
    commit = planned(after(people(2)), people(2), people(1))
    assert (commit.version, commit.pending, commit.total, commit.held) == (7, b"", 2, 1)
    assert messages.decode(commit.leaving, Leaving).members == {"00001": 100.0}
    later = planned(after(people(2), leaving=commit.leaving), people(2), people(1), now=110.0)
    message = published(later)
    assert isinstance(message, Diff)
    assert (message.leaves, later.leaving, later.held) == (["00001"], b"", 0)


def test_make_commit_in_another_life_of_the_store_starts_a_new_epoch() -> None:
    commit = planned(after(people(2)), people(2), people(2), run="other")
    assert (commit.epoch, commit.version, commit.run) == ("fresh", 1, "other")
    assert published(commit) == Reload("fresh", 1, 1.0)
    assert [m.id for m in shown(commit).members] == ["00000", "00001"]


def test_make_commit_in_another_life_of_the_store_holds_leaves() -> None:
    commit = planned(after(people(2)), people(2), people(1), run="other")
    assert shown(commit).total == 2


class TestCountedRooms:
    """The limit is 20; below 18, rooms are listed again."""

    def walk(self, *counts: int) -> list[tuple[bool, str]]:
        state, old, path = State(channel="presence:a"), Roster(), []
        for count in counts:
            commit = planned(state, old, people(count), grace=0.0, list_limit=20)
            old = messages.decode(commit.roster or b"", Roster)
            path.append((commit.listed, type(published(commit)).__name__))
            assert shown(commit).listed is commit.listed
            assert len(shown(commit).members) == (count if commit.listed else 0)
            assert old.total == shown(commit).total == count, "the store keeps everybody"
            fields = {"rev": 4, "version": commit.version, "listed": commit.listed}
            state = after(old, epoch=commit.epoch, **fields)
        return path

    def test_counted_room_near_the_limit_has_hysteresis(self) -> None:
        assert self.walk(19, 20, 21, 20, 18, 17, 18, 20) == [
            *[(True, "Diff")] * 2,
            (False, "Reload"),
            *[(False, "Diff")] * 2,
            (True, "Reload"),
            *[(True, "Diff")] * 2,
        ]

    def test_counted_room_from_its_first_commit_has_no_members(self) -> None:
        assert self.walk(21) == [(False, "Diff")]

    def test_counted_room_with_change_publishes_only_counts(self) -> None:
        commit = planned(after(people(30), listed=False), people(30), people(40, name="y"))
        message = published(commit)
        assert isinstance(message, Diff)
        assert (message.joins, message.updates, message.leaves) == ([], [], [])
        assert message.total == 40
        pending = messages.decode(commit.pending, messages.Pending)
        assert len(pending.change.joins) == 10, "signals are told who"

    def test_counted_room_with_other_limit_applies_it_at_once(self) -> None:
        commit = planned(after(people(10)), people(10), people(10), digest=b"x", list_limit=5)
        assert (commit.listed, commit.version) == (False, 8)
        assert isinstance(published(commit), Reload)
        assert not commit.change


def test_make_commit_with_too_large_diff_publishes_a_reload() -> None:
    small = planned(after(Roster()), Roster(), people(100), list_limit=1000)
    large = planned(after(Roster()), Roster(), people(100, name="é" * 60), list_limit=1000)
    assert isinstance(published(small), Diff)
    assert published(large) == Reload("e", 8, 1.0)
    assert len(shown(large).members) == 100


@pytest.mark.parametrize(
    ("readers", "seconds"), [(0, 1.0), (200, 1.0), (2000, 10.0), (10**6, 30.0)]
)
def test_reload_of_large_room_spreads_fetches_longer(readers: int, seconds: float) -> None:
    assert reload_within(readers) == seconds


def test_reload_in_another_life_of_the_store_spreads_fetches_of_all_rooms() -> None:
    room = people(3)
    reborn = planned(after(room), room, room, run="another", crowd=4000)
    assert isinstance(again := published(reborn), Reload)
    assert again.within == 20.0
    switched = planned(after(room), room, people(300), crowd=4000)
    assert isinstance(again := published(switched), Reload)
    assert again.within == 1.5


def test_restart_of_snapshot_keeps_members() -> None:
    old = Snapshot("e", 9, [Member("a", "A")], total=1, anonymous=2)
    again = messages.decode(restart(messages.encode(old), "f"), Snapshot)
    assert again == msgspec.structs.replace(old, epoch="f", version=1)


@pytest.mark.parametrize(
    ("fields", "occupied"),
    [
        ({}, False),
        ({"total": 1}, True),
        ({"anonymous": 1}, True),
        ({"leaving": b"x"}, True),
        ({"pending": b"x"}, True),
        ({"unsignalled": ((1.0, b"x"),)}, True),
    ],
)
def test_state_with_unfinished_work_is_occupied(fields: dict[str, Any], *, occupied: bool) -> None:
    assert State(channel="presence:a", rev=3, **fields).occupied is occupied


def test_make_commit_is_due_when_the_next_grace_ends() -> None:
    old, seen = people(2), people(1)
    first = planned(after(old), old, seen)
    assert (first.due_in, first.held) == (10.0, 1)
    second = planned(after(old, leaving=first.leaving), old, seen, now=105.0)
    assert (second.due_in, second.held) == (5.0, 1)
    third = planned(after(old, leaving=first.leaving), old, Roster(), now=105.0)
    assert (third.due_in, third.held) == (5.0, 2), "the first one is due first"
    last = planned(after(old, leaving=third.leaving), old, Roster(), now=110.0)
    assert (last.due_in, last.held) == (5.0, 1), "and after that the other"
    assert (
        planned(after(people(1), leaving=last.leaving), people(1), Roster(), now=115.0).due_in
        is None
    )


def test_make_commit_of_a_falling_count_is_due_when_the_grace_ends() -> None:
    fewer = people(1, anonymous=3)
    assert planned(after(fewer), fewer, people(1, anonymous=2)).due_in == 10.0
    assert planned(after(fewer), fewer, people(1, anonymous=4)).due_in is None


def test_make_commit_that_is_not_believed_is_due_after_a_grace() -> None:
    old, seen = people(2), people(1)
    assert planned(after(old), old, seen, believe=False).due_in == 10.0


def test_make_commit_during_the_hold_is_due_at_its_end() -> None:
    old, seen = people(2), people(1)
    first = planned(after(old), old, seen, hold=40.0)
    assert (first.due_in, first.held, bool(first.change)) == (40.0, 1, False)
    late = planned(after(old, leaving=first.leaving), old, seen, now=138.0, hold=2.0)
    assert (late.due_in, late.held) == (2.0, 1), "the grace is over, the hold is not"
    gone = planned(after(old, leaving=first.leaving), old, seen, now=140.0)
    assert (gone.due_in, gone.held, len(gone.change.leaves)) == (None, 0, 1)


def test_make_commit_near_the_end_of_the_hold_is_due_at_the_end_of_the_grace() -> None:
    old, seen = people(2), people(1)
    assert planned(after(old), old, seen, hold=3.0).due_in == 10.0
