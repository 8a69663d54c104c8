"""Contract of a Tracker: members without a websocket, last seen, cursors and limits."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest

from presence.backends.base import (
    Hit,
    RosterStore,
)
from presence.backends.tracker import StoredPresence, Tracker, TrackerState
from presence.roster.people import ServerMember
from presence.testing.contract.base import (
    ROOM,
    Clock,
    Contract,
    commit,
    note_last_seen,
    run_all,
    settled,
    state,
    sweep,
    write,
)

__all__ = [
    "CHANNEL",
    "CURSOR_TIMEOUT",
    "META",
    "ODD_NAMES",
    "OTHER",
    "TIMEOUT",
    "AdmittingContract",
    "AtOnceContract",
    "CursorsAheadContract",
    "CursorsContract",
    "JoiningContract",
    "LastSeenContract",
    "MembersAheadContract",
    "MovingContract",
    "PresentContract",
    "ProfilesContract",
    "RememberingContract",
    "RemovingContract",
    "StaleCursorsContract",
    "StaleMembersContract",
    "StandingContract",
    "TakingContract",
    "TrackerSetBackContract",
    "WindowsContract",
    "beat",
    "join",
    "leave",
    "listed",
    "move",
    "pairs",
    "shown",
]


OTHER = "presence:other"
TIMEOUT = 60.0
META = b'{"name":"Ada Lovelace"}'
ODD_NAMES = ["7", "ada lovelace", "héloïse \U0001f600", "a" * 200, " 1 2 ", '["a","b"]', "a:b%\\"]


def join(
    tracker: Tracker, user: str, *, source: str = "", meta: bytes = META, channel: str = ROOM
) -> ServerMember:
    return tracker.save_member(channel, user, source=source, meta=meta, timeout=TIMEOUT)


def leave(
    tracker: Tracker, user: str, *, source: str = "", channel: str = ROOM
) -> ServerMember | None:
    return tracker.delete_member(channel, user, source=source, timeout=TIMEOUT)


def beat(tracker: Tracker, user: str, *, source: str = "", channel: str = ROOM) -> bool:
    return tracker.touch_member(channel, user, source=source, timeout=TIMEOUT)


def listed(
    tracker: Tracker, channel: str = ROOM, *, timeout: float = TIMEOUT
) -> list[ServerMember]:
    """Return the members of a channel, with which a call for the roster, too, must agree."""
    found = tracker.load_members([channel], timeout=timeout)[channel].members
    with_roster = tracker.load_members([channel], timeout=timeout, rosters=True)[channel]
    assert with_roster.members == found
    return found


def pairs(tracker: Tracker, channel: str = ROOM) -> list[tuple[str, str]]:
    """Users and sources, sorted; each of them once."""
    found = sorted((one.user, one.source) for one in listed(tracker, channel))
    assert len(found) == len(set(found))
    return found


class JoiningContract(Contract):
    def test_a_channel_where_nobody_is(self, backend: Tracker) -> None:
        nobody = {ROOM: StoredPresence(), OTHER: StoredPresence()}
        for rosters in (False, True):
            found = backend.load_members([ROOM, OTHER], timeout=TIMEOUT, rosters=rosters)
            assert found == nobody
        assert (leave(backend, "ada"), beat(backend, "ada")) == (None, False)
        assert listed(backend) == [], "nor has that brought anybody in"

    def test_no_channel_asked_none_told(self, backend: Tracker) -> None:
        join(backend, "ada")
        assert backend.load_members([], timeout=TIMEOUT) == {}
        assert backend.load_members([], timeout=TIMEOUT, rosters=True) == {}

    @pytest.mark.parametrize("user", ODD_NAMES)
    @pytest.mark.parametrize("source", ["", *ODD_NAMES])
    def test_any_name_comes_back_as_it_was_said(
        self, backend: Tracker, clock: Clock, user: str, source: str
    ) -> None:
        record = join(backend, user, source=source)
        assert record == ServerMember(user, source, clock.now, clock.now, META, clock.now)
        assert listed(backend) == [record]
        clock.advance(1.5)
        assert beat(backend, user, source=source)
        beaten = msgspec.structs.replace(record, beat=clock.now)
        assert listed(backend) == [beaten]
        assert leave(backend, user, source=source) == beaten
        assert listed(backend) == []

    @pytest.mark.parametrize("meta", [b"{}", b"", b" ", b"1 2 \x00\xff\r\n", b"x" * 100_000])
    def test_metadata_are_opaque(self, backend: Tracker, clock: Clock, meta: bytes) -> None:
        join(backend, "ada", meta=meta)
        clock.advance(1)
        assert beat(backend, "ada")
        assert [one.meta for one in listed(backend)] == [meta]
        left = leave(backend, "ada")
        assert left is not None
        assert left.meta == meta

    def test_the_same_source_again_takes_the_place_of_the_first(
        self, backend: Tracker, clock: Clock
    ) -> None:
        first = join(backend, "ada", meta=b"1")
        clock.advance(5)
        again = join(backend, "ada", meta=b"2")
        assert again == ServerMember("ada", "", first.joined, clock.now, b"2", clock.now)
        assert listed(backend) == [again]
        assert (leave(backend, "ada"), leave(backend, "ada")) == (again, None)

    @pytest.mark.parametrize("meta", [META, b" 1 2 ", b""])
    def test_the_same_metadata_keep_the_time_when_they_were_said(
        self, backend: Tracker, clock: Clock, meta: bytes
    ) -> None:
        said = join(backend, "ada", meta=meta).said
        clock.advance(5)
        assert join(backend, "ada", meta=meta).said == said
        assert [one.said for one in listed(backend)] == [said]

    def test_who_left_and_comes_again_has_joined_then(self, backend: Tracker, clock: Clock) -> None:
        join(backend, "ada")
        leave(backend, "ada")
        clock.advance(5)
        assert join(backend, "ada").joined == clock.now

    def test_each_source_takes_back_what_it_said_alone(self, backend: Tracker) -> None:
        for source in ("", "tab-a", "tab-b"):
            join(backend, "ada", source=source)
        leave(backend, "ada", source="tab-a")
        assert pairs(backend) == [("ada", ""), ("ada", "tab-b")]
        leave(backend, "ada")
        leave(backend, "ada", source="tab-c")
        assert pairs(backend) == [("ada", "tab-b")]

    def test_users_and_sources_are_never_taken_for_one_another(self, backend: Tracker) -> None:
        said = [(u, s) for u in ODD_NAMES for s in ODD_NAMES]
        said += [("a", "b c"), ("a b", "c"), ("a\x1fb", "c"), ("a", "b\x1fc"), ('a","b', "c")]
        for user, source in said:
            join(backend, user, source=source)
        assert pairs(backend) == sorted(said)

    def test_many_sources_of_one_user(self, backend: Tracker) -> None:
        for n in range(300):
            join(backend, "ada", source=f"{n:03}")
        for n in range(0, 300, 2):
            leave(backend, "ada", source=f"{n:03}")
        assert pairs(backend) == [("ada", f"{n:03}") for n in range(1, 300, 2)]

    def test_members_of_channels_are_apart(self, backend: Tracker) -> None:
        join(backend, "ada")
        join(backend, "bob", channel=OTHER)
        assert leave(backend, "ada", channel=OTHER) is None
        assert not beat(backend, "bob")
        found = backend.load_members([OTHER, ROOM], timeout=TIMEOUT)
        assert {channel: [one.user for one in here.members] for channel, here in found.items()} == {
            OTHER: ["bob"],
            ROOM: ["ada"],
        }

    def test_in_order_of_arrival_then_by_user_and_source(
        self, backend: Tracker, clock: Clock
    ) -> None:
        for user, source in (("eve", "2"), ("eve", "10"), ("bob", ""), ("\U0001f600", "")):
            join(backend, user, source=source)
        clock.advance(1)
        join(backend, "ada")
        join(backend, "eve", source="2", meta=b"again")
        clock.advance(1)
        beat(backend, "bob")
        wanted = [("bob", ""), ("eve", "10"), ("eve", "2"), ("\U0001f600", ""), ("ada", "")]
        assert [(one.user, one.source) for one in listed(backend)] == wanted

    def test_thousands_of_members(self, backend: Tracker) -> None:
        for n in range(2000):
            join(backend, f"u{n:04}")
        assert pairs(backend) == [(f"u{n:04}", "") for n in range(2000)]

    def test_hundreds_of_channels_at_once(self, backend: Tracker) -> None:
        channels = [f"presence:{n}" for n in range(500)]
        for n, channel in enumerate(channels):
            if n % 2:
                join(backend, str(n), channel=channel)
        found = backend.load_members(channels, timeout=TIMEOUT)
        assert list(found) == channels
        assert [[one.user for one in here.members] for here in found.values()] == [
            [str(n)] if n % 2 else [] for n in range(500)
        ]


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

    @pytest.mark.parametrize("rosters", [False, True])
    def test_stale_members_are_cleared_away_by_reading(
        self, backend: Tracker, clock: Clock, rosters: bool
    ) -> None:
        for user in ("ada", "bob"):
            join(backend, user)
            join(backend, user, channel=OTHER)
        clock.advance(TIMEOUT)
        join(backend, "eve")
        clock.advance(1)
        backend.load_members([OTHER, ROOM], timeout=TIMEOUT, rosters=rosters)
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
        found = backend.load_members([OTHER, ROOM], timeout=TIMEOUT, rosters=True)
        assert [found[c].roster for c in (OTHER, ROOM)] == [b"", one.roster]
        bob = ServerMember("bob", "", clock.now, clock.now, META, clock.now)
        assert [found[c].members for c in (OTHER, ROOM)] == [[bob], []]

    def test_a_member_is_no_roster(self, backend: Tracker) -> None:
        assert isinstance(backend, RosterStore)
        join(backend, "ada")
        assert (backend.known_channels().polled, state(backend).rev) == ({}, 0)
        assert write(backend, [commit()]) == [True], "nor is it in the way of one"

    def test_sweeping_a_channel_leaves_its_members(self, backend: Tracker) -> None:
        assert isinstance(backend, RosterStore)
        settled(backend, who=0)
        join(backend, "ada")
        assert sweep(backend, dict(backend.known_channels().polled)) == [ROOM]
        assert [one.user for one in listed(backend)] == ["ada"]
        assert standing(backend) == {ROOM}


class LastSeenContract(Contract):
    def test_nobody_was_seen_at_first(self, backend: Tracker) -> None:
        note_last_seen(backend, {})
        assert (backend.last_seen([]), backend.last_seen(["ada"])) == ({}, {})

    def test_the_latest_time_of_each(self, backend: Tracker) -> None:
        note_last_seen(backend, {"ada": 1699999999.123457, "bob": 5.25})
        note_last_seen(backend, {"ada": 1699999999.123456, "bob": 6.5, "eve": 0.0})
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
        note_last_seen(backend, many)
        assert backend.last_seen(list(many)) == many


CHANNEL = "cursors:doc:42"
CURSOR_TIMEOUT = 10.0


def move(tracker: Tracker, *users: str, where: bytes = b"{}", channel: str = CHANNEL) -> float:
    return tracker.save_cursors(channel, dict.fromkeys(users, where), timeout=CURSOR_TIMEOUT)


def shown(tracker: Tracker, channel: str = CHANNEL) -> dict[str, tuple[float, bytes]]:
    return tracker.load_cursors(channel, timeout=CURSOR_TIMEOUT)


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
        backend.save_cursors(CHANNEL, many, timeout=CURSOR_TIMEOUT)
        assert {user: where for user, (_, where) in shown(backend).items()} == many

    def test_removed_cursors_are_gone(self, backend: Tracker) -> None:
        move(backend, "ada", "bob")
        assert [backend.delete_cursor(CHANNEL, "ada") for _ in range(2)] == [True, False]
        assert list(shown(backend)) == ["bob"]

    def test_a_cursor_is_no_member_and_no_roster(self, backend: Tracker) -> None:
        move(backend, "ada")
        assert backend.load_members([CHANNEL], timeout=CURSOR_TIMEOUT, rosters=True) == {
            CHANNEL: StoredPresence()
        }
        assert backend.load_tracker_state(timeout=CURSOR_TIMEOUT) == TrackerState()

    def test_threads_that_write_lose_nothing(self, backend: Tracker, peer: Tracker) -> None:
        def write(who: int) -> None:
            for n in range(25):
                move((backend, peer)[n % 2], f"{who}-{n}")

        run_all([partial(write, who) for who in range(8)])
        assert len(shown(backend)) == 200


class StaleCursorsContract(Contract):
    def test_stale_cursors_are_not_shown(self, backend: Tracker, clock: Clock) -> None:
        move(backend, "ada")
        clock.advance(CURSOR_TIMEOUT / 2)
        move(backend, "bob")
        clock.advance(CURSOR_TIMEOUT / 2)
        assert sorted(shown(backend)) == ["ada", "bob"], "just in time"
        clock.advance(0.01)
        assert list(shown(backend)) == ["bob"]
        clock.advance(CURSOR_TIMEOUT)
        assert shown(backend) == {}

    def test_stale_cursors_are_cleared_away_by_reading(
        self, backend: Tracker, clock: Clock
    ) -> None:
        move(backend, "ada", "bob")
        clock.advance(CURSOR_TIMEOUT + 1)
        move(backend, "eve", channel="cursors:other")
        assert shown(backend) == {}
        assert backend.load_cursors(CHANNEL, timeout=1e6) == {}, "nothing is left of them"

    def test_stale_cursors_come_back_with_a_move(self, backend: Tracker, clock: Clock) -> None:
        move(backend, "ada", where=b"1")
        clock.advance(CURSOR_TIMEOUT + 1)
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


class TakingContract(Contract):
    def test_nothing_is_taken_more_often_than_the_most_in_a_window(self, backend: Tracker) -> None:
        taken = [backend.hit_rate_limit("c1", limit=3, seconds=60) for _ in range(5)]
        assert taken == [True, True, True, False, False]
        assert backend.hit_rate_limit("c2", limit=3, seconds=60), "another's are another's"

    def test_take_several_times_at_once_returns_how_many_are_within_the_most(
        self, backend: Tracker
    ) -> None:
        assert [backend.hit_rate_limit("c1", limit=10, seconds=60, times=4) for _ in range(4)] == [
            4,
            4,
            2,
            0,
        ]
        assert backend.hit_rate_limit("c2", limit=1, seconds=60, times=5) == 1
        assert backend.hit_rate_limit("c2", limit=1, seconds=60) == 0

    def test_of_many_who_take_at_once_no_more_may(self, backend: Tracker, peer: Tracker) -> None:
        taken: list[bool] = []

        def take(by: Tracker) -> None:
            taken.append(bool(by.hit_rate_limit("c1", limit=3, seconds=60)))

        run_all([partial(take, by) for by in (backend, peer) * 4])
        assert sorted(taken) == [False] * 5 + [True] * 3


class RememberingContract(Contract):
    def test_what_is_remembered(self, backend: Tracker) -> None:
        assert not backend.has_flag("c1")
        backend.set_flag("c1", seconds=60)
        assert (backend.has_flag("c1"), backend.has_flag("c2")) == (True, False)


class AdmittingContract(Contract):
    def test_admitting_takes_one_name_and_tells_whether_the_other_is_remembered(
        self, backend: Tracker
    ) -> None:
        def admit(name: str) -> tuple[bool, bool]:
            (admitted,), (flag,) = backend.check_limits([Hit(name, 2, seconds=60)], ["c1:room"])
            return bool(admitted), flag

        assert [admit("c1"), admit("c2")] == [(True, False), (True, False)]
        backend.set_flag("c1:room", seconds=60)
        assert [admit("c1"), admit("c1")] == [(True, True), (False, True)]
        assert not backend.hit_rate_limit("c1", limit=2, seconds=60)


class WindowsContract(TakingContract, RememberingContract, AdmittingContract):
    """All about windows."""


HOUR = 3600.0


class TrackerSetBackContract(Contract):
    def test_members_who_joined_ahead_joined_just_now(self, backend: Tracker, clock: Clock) -> None:
        join(backend, "ada")
        clock.advance(-TIMEOUT / 2)
        (record,) = listed(backend)
        assert (record.joined, record.said) == (clock.now, clock.now)
        right = clock.now
        assert beat(backend, "ada")
        clock.advance(10)
        (record,) = listed(backend)
        assert (record.joined, record.said) == (right, right), "and that stays"

    def test_seen_ahead_is_of_now_and_is_seen_later(self, backend: Tracker, clock: Clock) -> None:
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

    def test_profiles_noted_ahead_are_of_now(self, backend: Tracker, clock: Clock) -> None:
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
