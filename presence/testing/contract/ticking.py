"""What ticks and pages take from a Tracker: channels that stand, profiles, rosters, last seen."""

from __future__ import annotations

from presence.backends.base import RosterStore
from presence.backends.tracker import Tracker, TrackerState
from presence.roster.people import ServerMember
from presence.testing.clock import Clock
from presence.testing.contract.base import Contract
from presence.testing.contract.tracking import (
    META,
    ODD_NAMES,
    OTHER,
    ROOM,
    TIMEOUT,
    beat,
    join,
    leave,
    listed,
)
from presence.testing.contract.writing import commit, settled, state, write

__all__ = ["LastSeenContract", "PresentContract", "ProfilesContract", "StandingContract"]


def standing(tracker: Tracker) -> set[str]:
    return set(tracker.load_tracker_state(timeout=TIMEOUT).channels)


class StandingContract(Contract):
    def test_nothing_stands_at_first(self, backend: Tracker) -> None:
        assert backend.load_tracker_state(timeout=TIMEOUT) == TrackerState()

    def test_a_channel_stands_for_the_time_out_after_a_join(
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

    def test_a_beat_makes_it_stand_longer(self, backend: Tracker, clock: Clock) -> None:
        join(backend, "ada")
        for _ in range(3):
            clock.advance(TIMEOUT - 1)
            assert beat(backend, "ada")
        assert standing(backend) == {ROOM}

    def test_a_channel_stands_while_somebody_is_left(self, backend: Tracker) -> None:
        join(backend, "ada")
        join(backend, "bob")
        leave(backend, "ada")
        assert standing(backend) == {ROOM}

    def test_a_clock_that_is_set_back_makes_no_channel_stand_for_ever(
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


class ProfilesContract(Contract):
    def test_the_last_profile_of_each_with_its_time(self, backend: Tracker, clock: Clock) -> None:
        first = backend.save_profile("ada", b"1", seconds=60)
        assert first == clock.now
        backend.save_profile("bob", b"2", seconds=60)
        clock.advance(5)
        backend.save_profile("ada", b"3", seconds=60)
        assert backend.load_tracker_state(timeout=TIMEOUT).profiles == {
            "ada": (clock.now, b"3"),
            "bob": (first, b"2"),
        }

    def test_a_profile_ends(self, backend: Tracker, clock: Clock) -> None:
        backend.save_profile("ada", b"1", seconds=60)
        backend.save_profile("bob", b"2", seconds=90.5)
        clock.advance(59.9)
        assert set(backend.load_tracker_state(timeout=TIMEOUT).profiles) == {"ada", "bob"}
        clock.advance(0.1)
        assert set(backend.load_tracker_state(timeout=TIMEOUT).profiles) == {"bob"}
        clock.advance(30.5)
        assert backend.load_tracker_state(timeout=TIMEOUT).profiles == {}

    def test_a_shorter_one_ends_no_other(self, backend: Tracker, clock: Clock) -> None:
        backend.save_profile("ada", b"1", seconds=600)
        backend.save_profile("bob", b"2", seconds=1)
        clock.advance(2)
        assert set(backend.load_tracker_state(timeout=TIMEOUT).profiles) == {"ada"}

    def test_what_is_shown_is_opaque(self, backend: Tracker) -> None:
        shown = {name: b" 1 \x00\xff\r\n " + name.encode() for name in ODD_NAMES}
        for name, one in shown.items():
            backend.save_profile(name, one, seconds=60)
        found = backend.load_tracker_state(timeout=TIMEOUT).profiles
        assert {user: one for user, (_, one) in found.items()} == shown


class PresentContract(Contract):
    """A backend keeps rosters and members of one channel; neither disturbs the other."""

    def test_the_roster_comes_with_the_members(self, backend: Tracker, clock: Clock) -> None:
        assert isinstance(backend, RosterStore)
        one = settled(backend)
        join(backend, "bob", channel=OTHER)
        found = backend.load_present([OTHER, ROOM], timeout=TIMEOUT)
        assert [found[c].roster for c in (OTHER, ROOM)] == [b"", one.roster]
        bob = ServerMember("bob", "", clock.now, clock.now, META, clock.now)
        assert [found[c].members for c in (OTHER, ROOM)] == [[bob], []]

    def test_a_member_is_no_roster(self, backend: Tracker) -> None:
        assert isinstance(backend, RosterStore)
        join(backend, "ada")
        assert (backend.known_channels(), state(backend).rev) == ({}, 0)
        assert write(backend, [commit()]) == [True], "nor is it in the way of one"

    def test_sweeping_a_channel_leaves_its_members(self, backend: Tracker) -> None:
        assert isinstance(backend, RosterStore)
        settled(backend, who=0)
        join(backend, "ada")
        assert backend.sweep_channels(dict(backend.known_channels())) == [ROOM]
        assert [one.user for one in listed(backend)] == ["ada"]
        assert standing(backend) == {ROOM}


class LastSeenContract(Contract):
    def test_nobody_was_seen_at_first(self, backend: Tracker) -> None:
        backend.note_last_seen({})
        assert (backend.last_seen([]), backend.last_seen(["ada"])) == ({}, {})

    def test_the_latest_time_of_each(self, backend: Tracker) -> None:
        backend.note_last_seen({"ada": 1699999999.123457, "bob": 5.25})
        backend.note_last_seen({"ada": 1699999999.123456, "bob": 6.5, "eve": 0.0})
        assert backend.last_seen(["eve", "bob", "zoe", "ada", "bob"]) == {
            "ada": 1699999999.123457,
            "bob": 6.5,
            "eve": 0.0,
        }

    def test_joining_is_not_being_seen(self, backend: Tracker) -> None:
        """That is for whoever takes note of leaves to say."""
        join(backend, "ada")
        leave(backend, "ada")
        assert backend.last_seen(["ada"]) == {}

    def test_any_name_and_thousands_of_them(self, backend: Tracker) -> None:
        many = {f"u{n}": n / 4 for n in range(5000)} | dict.fromkeys(ODD_NAMES, 7.5)
        backend.note_last_seen(many)
        assert backend.last_seen(list(many)) == many
