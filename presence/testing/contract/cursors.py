"""Live cursors."""

from __future__ import annotations

from functools import partial

import pytest

from presence.backends.tracker import StoredPresence, Tracker, TrackerState
from presence.testing.clock import Clock
from presence.testing.contract.base import Contract
from presence.testing.contract.side_by_side import run_all

__all__ = ["CursorsContract"]

CHANNEL = "cursors:doc:42"
TIMEOUT = 10.0


def move(tracker: Tracker, *users: str, where: bytes = b"{}", channel: str = CHANNEL) -> float:
    return tracker.save_cursors(channel, dict.fromkeys(users, where), timeout=TIMEOUT)


def shown(tracker: Tracker, channel: str = CHANNEL) -> dict[str, tuple[float, bytes]]:
    return tracker.load_cursors(channel, timeout=TIMEOUT)


def kept(tracker: Tracker) -> int:
    """How many cursors there are, stale or not; nothing is cleared away."""
    return len(tracker.load_cursors(CHANNEL, timeout=1e6))


class MovingContract(Contract):
    def test_a_channel_where_nobody_moved(self, backend: Tracker) -> None:
        assert shown(backend) == {}
        assert backend.delete_cursor(CHANNEL, "ada") is False

    @pytest.mark.parametrize("user", ["7", "ada lovelace", "héloïse \U0001f600", "a" * 200, "1 2"])
    @pytest.mark.parametrize("where", [b'{"x":1,"y":2}', b"", b" \x00\xff\r\n", b"x" * 5000])
    def test_where_a_cursor_is_comes_back_as_it_was_noted(
        self, backend: Tracker, clock: Clock, user: str, where: bytes
    ) -> None:
        assert move(backend, user, where=where) == clock.now
        assert shown(backend) == {user: (clock.now, where)}

    def test_the_last_position_of_each_counts_with_a_time_of_its_own(
        self, backend: Tracker, clock: Clock
    ) -> None:
        first = move(backend, "ada", "bob", where=b"1")
        clock.advance(3.25)
        second = move(backend, "bob", where=b"2")
        assert second - first == pytest.approx(3.25)
        assert shown(backend) == {"ada": (first, b"1"), "bob": (second, b"2")}

    def test_cursors_of_channels_are_apart(self, backend: Tracker) -> None:
        move(backend, "ada")
        move(backend, "bob", channel="cursors:other")
        assert (list(shown(backend)), list(shown(backend, "cursors:other"))) == (["ada"], ["bob"])

    def test_thousands_of_cursors_at_once(self, backend: Tracker) -> None:
        many = {f"u{n}": b'{"x":%d}' % n for n in range(5000)}
        backend.save_cursors(CHANNEL, many, timeout=TIMEOUT)
        assert {user: where for user, (_, where) in shown(backend).items()} == many

    def test_removed_cursors_are_gone(self, backend: Tracker) -> None:
        move(backend, "ada", "bob")
        assert [backend.delete_cursor(CHANNEL, "ada") for _ in range(2)] == [True, False]
        assert list(shown(backend)) == ["bob"]

    def test_a_cursor_is_no_member_and_no_roster(self, backend: Tracker) -> None:
        move(backend, "ada")
        assert backend.load_present([CHANNEL], timeout=TIMEOUT) == {CHANNEL: StoredPresence()}
        assert backend.load_tracker_state(timeout=TIMEOUT) == TrackerState()

    def test_threads_that_write_lose_nothing(self, backend: Tracker, peer: Tracker) -> None:
        def write(who: int) -> None:
            for n in range(25):
                move((backend, peer)[n % 2], f"{who}-{n}")

        run_all([partial(write, who) for who in range(8)])
        assert len(shown(backend)) == 200


class StaleCursorsContract(Contract):
    def test_stale_cursors_are_not_shown(self, backend: Tracker, clock: Clock) -> None:
        move(backend, "ada")
        clock.advance(TIMEOUT / 2)
        move(backend, "bob")
        clock.advance(TIMEOUT / 2)
        assert sorted(shown(backend)) == ["ada", "bob"], "just in time"
        clock.advance(0.01)
        assert list(shown(backend)) == ["bob"]
        clock.advance(TIMEOUT)
        assert shown(backend) == {}

    def test_stale_cursors_are_cleared_away_by_reading(
        self, backend: Tracker, clock: Clock
    ) -> None:
        move(backend, "ada", "bob")
        clock.advance(TIMEOUT + 1)
        move(backend, "eve", channel="cursors:other")
        assert shown(backend) == {}
        assert backend.load_cursors(CHANNEL, timeout=1e6) == {}, "nothing is left of them"

    def test_stale_cursors_come_back_with_a_move(self, backend: Tracker, clock: Clock) -> None:
        move(backend, "ada", where=b"1")
        clock.advance(TIMEOUT + 1)
        move(backend, "ada", where=b"2")
        assert shown(backend) == {"ada": (clock.now, b"2")}

    def test_stale_cursors_do_not_pile_up_where_nobody_reads(
        self, backend: Tracker, clock: Clock
    ) -> None:
        """A thousand users a second that move once each: those of ten seconds are fresh."""
        held = []
        for second in range(40):
            for part in range(10):
                move(backend, *(f"{second}-{part}-{n}" for n in range(100)))
            clock.advance(1.0)
            held.append(kept(backend))
        assert max(held) < 25_000, "twice as many as are fresh, and room for chance"


class CursorsAheadContract(Contract):
    """What was noted before has a time that is yet to come."""

    def test_cursors_ahead_of_the_clock_are_stale(self, backend: Tracker, clock: Clock) -> None:
        move(backend, "ada", "bob", where=b"1")
        clock.advance(-3600)
        move(backend, "bob", where=b"2")
        assert shown(backend) == {"bob": (clock.now, b"2")}
        clock.advance(3600)
        assert list(backend.load_cursors(CHANNEL, timeout=1e6)) == ["bob"], (
            "the other is cleared away"
        )
        assert shown(backend) == {}

    def test_a_second_ahead_is_not_held_against_them(self, backend: Tracker, clock: Clock) -> None:
        move(backend, "ada")
        clock.advance(-1.0)
        assert list(shown(backend)) == ["ada"]
        clock.advance(-0.01)
        assert shown(backend) == {}

    def test_cursors_ahead_of_the_clock_are_cleared_away_in_passing(
        self, backend: Tracker, clock: Clock
    ) -> None:
        move(backend, *(f"before-{n}" for n in range(100)))
        clock.advance(-3600)
        for n in range(200):
            move(backend, f"{n % 10}")
        clock.advance(3600)
        assert 10 <= kept(backend) <= 30


class RemovingContract(Contract):
    def test_removing_what_ends_so_leaves_anything_else(self, backend: Tracker) -> None:
        move(backend, "ada", where=b"1 tab-a")
        for ending in (b"tab-b", b"tab-", b"11 tab-a", b"0 1 tab-a", b"x" * 100):
            assert not backend.delete_cursor(CHANNEL, "ada", ending=ending)
        assert list(shown(backend)) == ["ada"]
        assert backend.delete_cursor(CHANNEL, "ada", ending=b" tab-a")
        assert not backend.delete_cursor(CHANNEL, "ada", ending=b" tab-a")
        assert shown(backend) == {}


class CursorsContract(MovingContract, StaleCursorsContract, CursorsAheadContract, RemovingContract):
    """All about cursors."""
