"""Members without a websocket: who stays, who goes stale, who comes back."""

from __future__ import annotations

from functools import partial

import pytest

from presence.backends.tracker import Tracker
from presence.roster.people import ServerMember
from presence.testing.clock import Clock
from presence.testing.contract.base import Contract
from presence.testing.contract.side_by_side import run_all
from presence.testing.contract.tracking import (
    OTHER,
    ROOM,
    TIMEOUT,
    beat,
    join,
    leave,
    listed,
    pairs,
)

__all__ = ["AtOnceContract", "MembersAheadContract", "StaleMembersContract"]

FOR_EVER = 1e6
"""Seconds of a time-out by which nobody is stale: what is listed with it was not cleared away."""


class StaleMembersContract(Contract):
    def test_a_member_stays_for_the_time_out_and_no_longer(
        self, backend: Tracker, clock: Clock
    ) -> None:
        join(backend, "ada")
        clock.advance(TIMEOUT)
        join(backend, "bob")
        assert pairs(backend) == [("ada", ""), ("bob", "")], "just in time"
        clock.advance(0.01)
        assert pairs(backend) == [("bob", "")]

    def test_beats_keep_them(self, backend: Tracker, clock: Clock) -> None:
        first = join(backend, "ada", source="a")
        join(backend, "ada", source="b")
        for _ in range(5):
            clock.advance(TIMEOUT - 1)
            assert beat(backend, "ada", source="a")
        assert [(one.source, one.joined, one.beat) for one in listed(backend)] == [
            ("a", first.joined, clock.now)
        ], "and nobody else"

    def test_a_beat_revives_nobody(self, backend: Tracker, clock: Clock) -> None:
        join(backend, "ada", source="a")
        assert not beat(backend, "ada"), "another source"
        assert not beat(backend, "bob")
        leave(backend, "ada", source="a")
        assert not beat(backend, "ada", source="a"), "who left"
        join(backend, "ada")
        clock.advance(TIMEOUT + 0.01)
        assert not beat(backend, "ada"), "who went stale"
        assert listed(backend) == listed(backend, timeout=FOR_EVER) == []

    def test_who_went_stale_is_not_there_to_leave(self, backend: Tracker, clock: Clock) -> None:
        join(backend, "ada")
        clock.advance(TIMEOUT + 0.01)
        assert leave(backend, "ada") is None

    @pytest.mark.parametrize("meta", [b"1", b"2"])
    def test_who_went_stale_and_joins_has_joined_anew(
        self, backend: Tracker, clock: Clock, meta: bytes
    ) -> None:
        join(backend, "ada", meta=b"1")
        clock.advance(TIMEOUT + 0.01)
        again = join(backend, "ada", meta=meta)
        assert again == ServerMember("ada", "", clock.now, clock.now, meta, clock.now)
        assert listed(backend) == [again]

    @pytest.mark.parametrize("read", ["load_members", "load_present"])
    def test_stale_members_are_cleared_away_by_reading(
        self, backend: Tracker, clock: Clock, read: str
    ) -> None:
        for user in ("ada", "bob"):
            join(backend, user)
            join(backend, user, channel=OTHER)
        clock.advance(TIMEOUT)
        join(backend, "eve")
        clock.advance(1)
        getattr(backend, read)([OTHER, ROOM], timeout=TIMEOUT)
        assert [one.user for one in listed(backend, timeout=FOR_EVER)] == ["eve"]
        assert listed(backend, OTHER, timeout=FOR_EVER) == []

    def test_stale_members_do_not_pile_up_where_nobody_reads(
        self, backend: Tracker, clock: Clock
    ) -> None:
        for n in range(1200):
            join(backend, str(n))
            clock.advance(1.0)
        assert len(listed(backend, timeout=FOR_EVER)) <= 4 * TIMEOUT


class MembersAheadContract(Contract):
    """Members who joined or beat before the clock was set back."""

    def test_a_little_lets_them_stay_but_not_for_ever(self, backend: Tracker, clock: Clock) -> None:
        join(backend, "ada")
        clock.advance(-TIMEOUT / 2)
        assert pairs(backend) == [("ada", "")]
        clock.advance(1.5 * TIMEOUT + 0.01)
        assert pairs(backend) == []

    def test_by_much_they_are_stale(self, backend: Tracker, clock: Clock) -> None:
        join(backend, "ada")
        join(backend, "bob")
        clock.advance(-3600)
        assert not beat(backend, "ada")
        assert leave(backend, "bob") is None
        assert listed(backend) == []
        assert join(backend, "ada").joined == clock.now
        assert pairs(backend) == [("ada", "")]

    def test_a_beat_puts_them_right(self, backend: Tracker, clock: Clock) -> None:
        join(backend, "ada")
        clock.advance(-TIMEOUT / 2)
        assert beat(backend, "ada")
        assert [one.beat for one in listed(backend)] == [clock.now]
        clock.advance(TIMEOUT + 0.01)
        assert listed(backend) == []


class AtOnceContract(Contract):
    """Several writers at the same time."""

    def test_writers_of_different_sources_lose_nothing(
        self, backend: Tracker, peer: Tracker
    ) -> None:
        def write(who: int) -> None:
            for n in range(25):
                by = (backend, peer)[n % 2]
                join(by, "ada", source=f"{who}-{n}")
                join(by, f"{who}-{n}")
                assert beat(by, "ada", source=f"{who}-{n}")
                assert leave(by, f"{who}-{n}") is not None

        run_all([lambda who=who: write(who) for who in range(8)])  # type: ignore[misc]
        assert pairs(backend) == sorted(
            ("ada", f"{who}-{n}") for who in range(8) for n in range(25)
        )

    def test_of_many_who_take_a_member_out_one_does(self, backend: Tracker, peer: Tracker) -> None:
        for _ in range(20):
            record = join(backend, "ada")
            left: list[ServerMember | None] = []

            def take_out(by: Tracker, left: list[ServerMember | None] = left) -> None:
                left.append(leave(by, "ada"))

            run_all([partial(take_out, by) for by in (backend, peer) * 2])
            assert sorted(left, key=str) == [None, None, None, record]

    def test_who_comes_back_while_stale_ones_are_cleared_away_stays(
        self, backend: Tracker, peer: Tracker, clock: Clock
    ) -> None:
        for n in range(20):
            users = [f"{n}-{m}" for m in range(10)]

            def come(users: list[str] = users) -> None:
                for user in users:
                    join(peer, user)

            for user in users:
                join(backend, user)
            clock.advance(TIMEOUT + 1)
            read = partial(backend.load_members, [ROOM], timeout=TIMEOUT)
            run_all([come, read, read, read])
            assert pairs(backend) == [(user, "") for user in users]
