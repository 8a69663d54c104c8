"""Contract of a Tracker for members whose time is over, or ahead of the clock."""

from __future__ import annotations

import pytest

from presence.backends.tracker import Tracker, TrackerState
from presence.roster.people import ServerMember
from presence.testing.contract.base import ROOM, Clock, Contract
from presence.testing.contract.members import (
    OTHER,
    TIMEOUT,
    beat,
    join,
    leave,
    listed,
    pairs,
    standing,
)

FOR_EVER = 1e6
"""Seconds of a timeout that no record reaches: everything that was not deleted is listed."""


class StaleMembersContract(Contract):
    def test_member_is_listed_until_the_timeout(self, backend: Tracker, clock: Clock) -> None:
        join(backend, "ada")
        clock.advance(TIMEOUT)
        join(backend, "bob")
        assert pairs(backend) == [("ada", ""), ("bob", "")], "just in time"
        clock.advance(0.01)
        assert pairs(backend) == [("bob", "")]

    def test_beat_keeps_only_the_member_of_its_source(self, backend: Tracker, clock: Clock) -> None:
        first = join(backend, "ada", source="a")
        join(backend, "ada", source="b")
        for _ in range(5):
            clock.advance(TIMEOUT - 1)
            assert beat(backend, "ada", source="a")
        assert [(member.source, member.joined, member.beat) for member in listed(backend)] == [
            ("a", first.joined, clock.now)
        ], "and not the other source"

    def test_beat_of_missing_or_stale_member_adds_nobody(
        self, backend: Tracker, clock: Clock
    ) -> None:
        join(backend, "ada", source="a")
        assert not beat(backend, "ada"), "another source"
        assert not beat(backend, "bob")
        leave(backend, "ada", source="a")
        assert not beat(backend, "ada", source="a"), "a member who left"
        join(backend, "ada")
        clock.advance(TIMEOUT + 0.01)
        assert not beat(backend, "ada"), "a stale member"
        assert listed(backend) == listed(backend, timeout=FOR_EVER) == []

    def test_leave_of_stale_member_returns_none(self, backend: Tracker, clock: Clock) -> None:
        join(backend, "ada")
        clock.advance(TIMEOUT + 0.01)
        assert leave(backend, "ada") is None

    @pytest.mark.parametrize("meta", [b"1", b"2"])
    def test_join_of_stale_member_sets_joined_to_now(
        self, backend: Tracker, clock: Clock, meta: bytes
    ) -> None:
        join(backend, "ada", meta=b"1")
        clock.advance(TIMEOUT + 0.01)
        again = join(backend, "ada", meta=meta)
        assert again == ServerMember("ada", "", clock.now, clock.now, meta, clock.now)
        assert listed(backend) == [again]

    @pytest.mark.parametrize("rosters", [False, True])
    def test_load_members_deletes_stale_members(
        self, backend: Tracker, clock: Clock, rosters: bool
    ) -> None:
        for user in ("ada", "bob"):
            join(backend, user)
            join(backend, user, channel=OTHER)
        clock.advance(TIMEOUT)
        join(backend, "eve")
        clock.advance(1)
        backend.load_members([OTHER, ROOM], timeout=TIMEOUT, rosters=rosters)
        assert [member.user for member in listed(backend, timeout=FOR_EVER)] == ["eve"]
        assert listed(backend, OTHER, timeout=FOR_EVER) == []

    def test_join_deletes_stale_members_in_channels_that_are_not_read(
        self, backend: Tracker, clock: Clock
    ) -> None:
        for n in range(1200):
            join(backend, str(n))
            clock.advance(1.0)
        assert len(listed(backend, timeout=FOR_EVER)) <= 4 * TIMEOUT


class MembersAheadContract(Contract):
    """Members who joined or beat before the clock was set back."""

    def test_member_slightly_ahead_of_the_clock_stays_until_its_timeout(
        self, backend: Tracker, clock: Clock
    ) -> None:
        join(backend, "ada")
        clock.advance(-TIMEOUT / 2)
        assert pairs(backend) == [("ada", "")]
        clock.advance(1.5 * TIMEOUT + 0.01)
        assert pairs(backend) == []

    def test_member_far_ahead_of_the_clock_is_stale(self, backend: Tracker, clock: Clock) -> None:
        join(backend, "ada")
        join(backend, "bob")
        clock.advance(-3600)
        assert not beat(backend, "ada")
        assert leave(backend, "bob") is None
        assert listed(backend) == []
        assert join(backend, "ada").joined == clock.now
        assert pairs(backend) == [("ada", "")]

    def test_beat_of_member_ahead_of_the_clock_sets_its_time_to_now(
        self, backend: Tracker, clock: Clock
    ) -> None:
        join(backend, "ada")
        clock.advance(-TIMEOUT / 2)
        assert beat(backend, "ada")
        assert [member.beat for member in listed(backend)] == [clock.now]
        clock.advance(TIMEOUT + 0.01)
        assert listed(backend) == []

    def test_member_joined_ahead_of_the_clock_joined_now(
        self, backend: Tracker, clock: Clock
    ) -> None:
        join(backend, "ada")
        clock.advance(-TIMEOUT / 2)
        (record,) = listed(backend)
        assert (record.joined, record.said) == (clock.now, clock.now)
        right = clock.now
        assert beat(backend, "ada")
        clock.advance(10)
        (record,) = listed(backend)
        assert (record.joined, record.said) == (right, right), "and that stays"


class TrackerStateContract(Contract):
    def test_tracker_state_of_empty_store_is_empty(self, backend: Tracker) -> None:
        assert backend.load_tracker_state(timeout=TIMEOUT) == TrackerState()

    def test_tracker_state_lists_channel_until_the_timeout_of_its_last_join(
        self, backend: Tracker, clock: Clock
    ) -> None:
        join(backend, "ada")
        join(backend, "ada", source="tab")
        clock.advance(TIMEOUT)
        join(backend, "bob", channel=OTHER)
        assert standing(backend) == {ROOM, OTHER}, "just in time"
        clock.advance(0.01)
        assert standing(backend) == {OTHER}
        clock.advance(TIMEOUT)
        assert standing(backend) == set()

    def test_tracker_state_lists_channel_longer_after_a_beat(
        self, backend: Tracker, clock: Clock
    ) -> None:
        join(backend, "ada")
        for _ in range(3):
            clock.advance(TIMEOUT - 1)
            assert beat(backend, "ada")
        assert standing(backend) == {ROOM}

    def test_tracker_state_lists_channel_while_a_member_is_left(self, backend: Tracker) -> None:
        join(backend, "ada")
        join(backend, "bob")
        leave(backend, "ada")
        assert standing(backend) == {ROOM}

    def test_tracker_state_drops_channel_ahead_of_the_clock(
        self, backend: Tracker, clock: Clock
    ) -> None:
        join(backend, "ada")
        join(backend, "ada", channel=OTHER)
        clock.advance(-3600)
        assert standing(backend) == set()
        join(backend, "ada")
        assert standing(backend) == {ROOM}
        clock.advance(TIMEOUT + 0.01)
        assert standing(backend) == set()

    def test_thousands_of_channels_stand(self, backend: Tracker) -> None:
        channels = {f"presence:{n}" for n in range(2000)}
        for channel in channels:
            join(backend, "ada", channel=channel)
        assert standing(backend) == channels
