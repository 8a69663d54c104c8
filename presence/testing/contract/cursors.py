"""Contract of a Tracker for cursors."""

from __future__ import annotations

from functools import partial

import pytest

from presence.backends.tracker import StoredPresence, Tracker, TrackerState
from presence.testing.contract.base import Clock, Contract, run_all

CHANNEL = "cursors:doc:42"
CURSOR_TIMEOUT = 10.0


def move(tracker: Tracker, *users: str, where: bytes = b"{}", channel: str = CHANNEL) -> float:
    return tracker.save_cursors(channel, dict.fromkeys(users, where), timeout=CURSOR_TIMEOUT)


def shown(tracker: Tracker, channel: str = CHANNEL) -> dict[str, tuple[float, bytes]]:
    return tracker.load_cursors(channel, timeout=CURSOR_TIMEOUT)


def kept(tracker: Tracker) -> int:
    """Return the number of stored cursors, including stale ones, and delete none."""
    return len(tracker.load_cursors(CHANNEL, timeout=1e6))


class MovingContract(Contract):
    def test_cursors_of_new_channel_are_empty(self, backend: Tracker) -> None:
        assert shown(backend) == {}
        assert backend.delete_cursor(CHANNEL, "ada") is False

    @pytest.mark.parametrize("user", ["7", "ada lovelace", "héloïse \U0001f600", "a" * 200, "1 2"])
    @pytest.mark.parametrize("where", [b'{"x":1,"y":2}', b"", b" \x00\xff\r\n", b"x" * 5000])
    def test_cursor_position_is_returned_unchanged(
        self, backend: Tracker, clock: Clock, user: str, where: bytes
    ) -> None:
        assert move(backend, user, where=where) == clock.now
        assert shown(backend) == {user: (clock.now, where)}

    def test_move_keeps_the_last_position_and_time_of_each_user(
        self, backend: Tracker, clock: Clock
    ) -> None:
        first = move(backend, "ada", "bob", where=b"1")
        clock.advance(3.25)
        second = move(backend, "bob", where=b"2")
        assert second - first == pytest.approx(3.25)
        assert shown(backend) == {"ada": (first, b"1"), "bob": (second, b"2")}

    def test_cursors_of_one_channel_are_not_in_another(self, backend: Tracker) -> None:
        move(backend, "ada")
        move(backend, "bob", channel="cursors:other")
        assert (list(shown(backend)), list(shown(backend, "cursors:other"))) == (["ada"], ["bob"])

    def test_move_of_thousands_of_cursors_keeps_each(self, backend: Tracker) -> None:
        many = {f"u{n}": b'{"x":%d}' % n for n in range(5000)}
        backend.save_cursors(CHANNEL, many, timeout=CURSOR_TIMEOUT)
        assert {user: where for user, (_, where) in shown(backend).items()} == many

    def test_delete_cursor_removes_it_once(self, backend: Tracker) -> None:
        move(backend, "ada", "bob")
        assert [backend.delete_cursor(CHANNEL, "ada") for _ in range(2)] == [True, False]
        assert list(shown(backend)) == ["bob"]

    def test_move_creates_no_member_and_no_roster(self, backend: Tracker) -> None:
        move(backend, "ada")
        assert backend.load_members([CHANNEL], timeout=CURSOR_TIMEOUT, rosters=True) == {
            CHANNEL: StoredPresence()
        }
        assert backend.load_tracker_state(timeout=CURSOR_TIMEOUT) == TrackerState()

    def test_concurrent_moves_lose_no_cursor(self, backend: Tracker, peer: Tracker) -> None:
        def write(writer: int) -> None:
            for n in range(25):
                move((backend, peer)[n % 2], f"{writer}-{n}")

        run_all([partial(write, writer) for writer in range(8)])
        assert len(shown(backend)) == 200


class StaleCursorsContract(Contract):
    def test_load_cursors_leaves_out_stale_cursors(self, backend: Tracker, clock: Clock) -> None:
        move(backend, "ada")
        clock.advance(CURSOR_TIMEOUT / 2)
        move(backend, "bob")
        clock.advance(CURSOR_TIMEOUT / 2)
        assert sorted(shown(backend)) == ["ada", "bob"], "just in time"
        clock.advance(0.01)
        assert list(shown(backend)) == ["bob"]
        clock.advance(CURSOR_TIMEOUT)
        assert shown(backend) == {}

    def test_load_cursors_deletes_stale_cursors(self, backend: Tracker, clock: Clock) -> None:
        move(backend, "ada", "bob")
        clock.advance(CURSOR_TIMEOUT + 1)
        move(backend, "eve", channel="cursors:other")
        assert shown(backend) == {}
        assert backend.load_cursors(CHANNEL, timeout=1e6) == {}, "stale cursors are deleted"

    def test_move_of_stale_cursor_shows_it_again(self, backend: Tracker, clock: Clock) -> None:
        move(backend, "ada", where=b"1")
        clock.advance(CURSOR_TIMEOUT + 1)
        move(backend, "ada", where=b"2")
        assert shown(backend) == {"ada": (clock.now, b"2")}

    def test_move_deletes_stale_cursors_in_channels_that_are_not_read(
        self, backend: Tracker, clock: Clock
    ) -> None:
        """A thousand users move once in each second; the cursors of ten seconds are fresh."""
        held = []
        for second in range(40):
            for part in range(10):
                move(backend, *(f"{second}-{part}-{n}" for n in range(100)))
            clock.advance(1.0)
            held.append(kept(backend))
        assert max(held) < 25_000, "twice the fresh cursors, and some tolerance"


class CursorsAheadContract(Contract):
    """Cursors stored before the clock was set back."""

    def test_cursor_far_ahead_of_the_clock_is_stale(self, backend: Tracker, clock: Clock) -> None:
        move(backend, "ada", "bob", where=b"1")
        clock.advance(-3600)
        move(backend, "bob", where=b"2")
        assert shown(backend) == {"bob": (clock.now, b"2")}
        clock.advance(3600)
        assert list(backend.load_cursors(CHANNEL, timeout=1e6)) == ["bob"], (
            "the other cursor is deleted"
        )
        assert shown(backend) == {}

    def test_cursor_one_second_ahead_of_the_clock_is_shown(
        self, backend: Tracker, clock: Clock
    ) -> None:
        move(backend, "ada")
        clock.advance(-1.0)
        assert list(shown(backend)) == ["ada"]
        clock.advance(-0.01)
        assert shown(backend) == {}

    def test_move_deletes_cursors_ahead_of_the_clock(self, backend: Tracker, clock: Clock) -> None:
        move(backend, *(f"before-{n}" for n in range(100)))
        clock.advance(-3600)
        for n in range(200):
            move(backend, f"{n % 10}")
        clock.advance(3600)
        assert 10 <= kept(backend) <= 30


class RemovingContract(Contract):
    def test_delete_cursor_with_ending_keeps_other_cursors(self, backend: Tracker) -> None:
        move(backend, "ada", where=b"1 tab-a")
        for ending in (b"tab-b", b"tab-", b"11 tab-a", b"0 1 tab-a", b"x" * 100):
            assert not backend.delete_cursor(CHANNEL, "ada", ending=ending)
        assert list(shown(backend)) == ["ada"]
        assert backend.delete_cursor(CHANNEL, "ada", ending=b" tab-a")
        assert not backend.delete_cursor(CHANNEL, "ada", ending=b" tab-a")
        assert shown(backend) == {}
