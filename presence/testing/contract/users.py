"""Contract of a Tracker for users: profiles and last seen."""

from __future__ import annotations

from presence.backends.tracker import Tracker
from presence.testing.contract.base import Clock, Contract, note_last_seen
from presence.testing.contract.members import ODD_NAMES, TIMEOUT, join, leave

HOUR = 3600.0


class ProfilesContract(Contract):
    def test_save_profile_keeps_the_last_of_each_user_with_its_time(
        self, backend: Tracker, clock: Clock
    ) -> None:
        first = backend.save_profile("ada", b"1", seconds=60)
        assert first == clock.now
        backend.save_profile("bob", b"2", seconds=60)
        clock.advance(5)
        backend.save_profile("ada", b"3", seconds=60)
        assert backend.load_tracker_state(timeout=TIMEOUT).profiles == {
            "ada": (clock.now, b"3"),
            "bob": (first, b"2"),
        }

    def test_profile_expires_after_its_seconds(self, backend: Tracker, clock: Clock) -> None:
        backend.save_profile("ada", b"1", seconds=60)
        backend.save_profile("bob", b"2", seconds=90.5)
        clock.advance(59.9)
        assert set(backend.load_tracker_state(timeout=TIMEOUT).profiles) == {"ada", "bob"}
        clock.advance(0.1)
        assert set(backend.load_tracker_state(timeout=TIMEOUT).profiles) == {"bob"}
        clock.advance(30.5)
        assert backend.load_tracker_state(timeout=TIMEOUT).profiles == {}

    def test_profile_with_shorter_lifetime_ends_no_other(
        self, backend: Tracker, clock: Clock
    ) -> None:
        backend.save_profile("ada", b"1", seconds=600)
        backend.save_profile("bob", b"2", seconds=1)
        clock.advance(2)
        assert set(backend.load_tracker_state(timeout=TIMEOUT).profiles) == {"ada"}

    def test_profile_info_is_returned_unchanged(self, backend: Tracker) -> None:
        shown = {name: b" 1 \x00\xff\r\n " + name.encode() for name in ODD_NAMES}
        for name, info in shown.items():
            backend.save_profile(name, info, seconds=60)
        found = backend.load_tracker_state(timeout=TIMEOUT).profiles
        assert {user: info for user, (_, info) in found.items()} == shown

    def test_profile_ahead_of_the_clock_becomes_now(self, backend: Tracker, clock: Clock) -> None:
        backend.save_profile("ada", b"1", seconds=60)
        clock.advance(-HOUR)
        right = clock.now
        assert backend.load_tracker_state(timeout=TIMEOUT).profiles == {"ada": (right, b"1")}
        clock.advance(50)
        assert backend.load_tracker_state(timeout=TIMEOUT).profiles == {"ada": (right, b"1")}, (
            "that stays"
        )
        clock.advance(20)
        assert backend.load_tracker_state(timeout=TIMEOUT).profiles == {}, "and ends in its time"


class LastSeenContract(Contract):
    def test_last_seen_of_unknown_users_returns_empty_dict(self, backend: Tracker) -> None:
        note_last_seen(backend, {})
        assert (backend.last_seen([]), backend.last_seen(["ada"])) == ({}, {})

    def test_last_seen_keeps_the_latest_time_of_each_user(self, backend: Tracker) -> None:
        note_last_seen(backend, {"ada": 1699999999.123457, "bob": 5.25})
        note_last_seen(backend, {"ada": 1699999999.123456, "bob": 6.5, "eve": 0.0})
        assert backend.last_seen(["eve", "bob", "zoe", "ada", "bob"]) == {
            "ada": 1699999999.123457,
            "bob": 6.5,
            "eve": 0.0,
        }

    def test_join_and_leave_do_not_change_last_seen(self, backend: Tracker) -> None:
        """The caller that records leaves writes last seen."""
        join(backend, "ada")
        leave(backend, "ada")
        assert backend.last_seen(["ada"]) == {}

    def test_last_seen_keeps_any_name_and_thousands_of_users(self, backend: Tracker) -> None:
        many = {f"u{n}": n / 4 for n in range(5000)} | dict.fromkeys(ODD_NAMES, 7.5)
        note_last_seen(backend, many)
        assert backend.last_seen(list(many)) == many

    def test_last_seen_ahead_of_the_clock_becomes_now(self, backend: Tracker, clock: Clock) -> None:
        ahead = {"ada": clock.now, "bob": clock.now, "eve": clock.now + HOUR}
        note_last_seen(backend, ahead)
        assert backend.last_seen(["eve"]) == {"eve": clock.now}
        clock.advance(-HOUR)
        right = clock.now
        assert backend.last_seen(["ada"]) == {"ada": right}
        clock.advance(20)
        assert backend.last_seen(["ada"]) == {"ada": right}
        note_last_seen(backend, {"bob": clock.now})
        assert backend.last_seen(["bob"]) == {"bob": right + 20}
