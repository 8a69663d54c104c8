"""Contract of a Tracker for members without a websocket: join, beat, leave, list."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest

from presence.backends.base import RosterStore
from presence.backends.tracker import MANY, StoredPresence, Tracker
from presence.roster.people import ServerMember
from presence.testing.contract.base import (
    ROOM,
    Clock,
    Contract,
    commit,
    run_all,
    settled,
    state,
    sweep,
    write,
)

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
    """Return the members of a channel; a call that reads rosters as well must return the same."""
    found = tracker.load_members([channel], timeout=timeout)[channel].members
    with_roster = tracker.load_members([channel], timeout=timeout, rosters=True)[channel]
    assert with_roster.members == found
    return found


def pairs(tracker: Tracker, channel: str = ROOM) -> list[tuple[str, str]]:
    """Return the sorted (user, source) pairs of a channel, and check that each occurs once."""
    found = sorted((member.user, member.source) for member in listed(tracker, channel))
    assert len(found) == len(set(found))
    return found


def standing(tracker: Tracker) -> set[str]:
    return set(tracker.load_tracker_state(timeout=TIMEOUT).channels)


class JoiningContract(Contract):
    def test_calls_on_empty_channel_find_nobody(self, backend: Tracker) -> None:
        nobody = {ROOM: StoredPresence(), OTHER: StoredPresence()}
        for rosters in (False, True):
            found = backend.load_members([ROOM, OTHER], timeout=TIMEOUT, rosters=rosters)
            assert found == nobody
        assert (leave(backend, "ada"), beat(backend, "ada")) == (None, False)
        assert listed(backend) == [], "neither call added a member"

    def test_load_members_of_no_channel_returns_empty_dict(self, backend: Tracker) -> None:
        join(backend, "ada")
        assert backend.load_members([], timeout=TIMEOUT) == {}
        assert backend.load_members([], timeout=TIMEOUT, rosters=True) == {}

    @pytest.mark.parametrize("user", ODD_NAMES)
    @pytest.mark.parametrize("source", ["", *ODD_NAMES])
    def test_member_with_any_user_and_source_is_returned_unchanged(
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
    def test_member_metadata_is_returned_unchanged(
        self, backend: Tracker, clock: Clock, meta: bytes
    ) -> None:
        join(backend, "ada", meta=meta)
        clock.advance(1)
        assert beat(backend, "ada")
        assert [member.meta for member in listed(backend)] == [meta]
        left = leave(backend, "ada")
        assert left is not None
        assert left.meta == meta

    def test_join_with_same_source_replaces_the_record_and_keeps_joined(
        self, backend: Tracker, clock: Clock
    ) -> None:
        first = join(backend, "ada", meta=b"1")
        clock.advance(5)
        again = join(backend, "ada", meta=b"2")
        assert again == ServerMember("ada", "", first.joined, clock.now, b"2", clock.now)
        assert listed(backend) == [again]
        assert (leave(backend, "ada"), leave(backend, "ada")) == (again, None)

    @pytest.mark.parametrize("meta", [META, b" 1 2 ", b""])
    def test_join_with_same_metadata_keeps_the_time_of_the_metadata(
        self, backend: Tracker, clock: Clock, meta: bytes
    ) -> None:
        said = join(backend, "ada", meta=meta).said
        clock.advance(5)
        assert join(backend, "ada", meta=meta).said == said
        assert [member.said for member in listed(backend)] == [said]

    def test_join_after_leave_sets_joined_to_now(self, backend: Tracker, clock: Clock) -> None:
        join(backend, "ada")
        leave(backend, "ada")
        clock.advance(5)
        assert join(backend, "ada").joined == clock.now

    def test_leave_removes_only_the_record_of_its_source(self, backend: Tracker) -> None:
        for source in ("", "tab-a", "tab-b"):
            join(backend, "ada", source=source)
        leave(backend, "ada", source="tab-a")
        assert pairs(backend) == [("ada", ""), ("ada", "tab-b")]
        leave(backend, "ada")
        leave(backend, "ada", source="tab-c")
        assert pairs(backend) == [("ada", "tab-b")]

    def test_members_with_similar_users_and_sources_stay_distinct(self, backend: Tracker) -> None:
        said = [(u, s) for u in ODD_NAMES for s in ODD_NAMES]
        said += [("a", "b c"), ("a b", "c"), ("a\x1fb", "c"), ("a", "b\x1fc"), ('a","b', "c")]
        for user, source in said:
            join(backend, user, source=source)
        assert pairs(backend) == sorted(said)

    def test_member_with_hundreds_of_sources_keeps_each(self, backend: Tracker) -> None:
        for n in range(300):
            join(backend, "ada", source=f"{n:03}")
        for n in range(0, 300, 2):
            leave(backend, "ada", source=f"{n:03}")
        assert pairs(backend) == [("ada", f"{n:03}") for n in range(1, 300, 2)]

    def test_member_with_more_sources_than_all_others_loses_the_first(
        self, backend: Tracker, clock: Clock
    ) -> None:
        for n in range(10):
            join(backend, f"u{n}")
        for n in range(MANY + 100):
            clock.advance(0.001)
            join(backend, "ada", source=f"{n:03}")
        found = pairs(backend)
        assert len(found) == MANY
        assert {user for user, _ in found} == {"ada", *(f"u{n}" for n in range(10))}
        assert found[MANY - 11] == ("ada", f"{MANY + 99}")
        for n in range(MANY + 100):
            join(backend, f"o{n}")
        assert len(pairs(backend)) == 2 * MANY + 100, "nobody else loses any"

    def test_touch_members_keeps_each_member_that_is_there(
        self, backend: Tracker, clock: Clock
    ) -> None:
        for n in range(1200):
            join(backend, f"u{n}")
        join(backend, "ada", source="tab", channel=OTHER)
        clock.advance(TIMEOUT - 1)
        members = [(ROOM, f"u{n}", "") for n in range(0, 1200, 2)]
        # The members of both channels are mixed: answers come in the order of the question.
        asked = [(OTHER, "ada", "tab"), (ROOM, "eve", ""), *members, (OTHER, "ada", "")]
        assert backend.touch_members(asked, timeout=TIMEOUT) == [True, False, *[True] * 600, False]
        clock.advance(TIMEOUT - 1)
        assert pairs(backend) == sorted((user, "") for _, user, _ in members)
        assert pairs(backend, OTHER) == [("ada", "tab")]
        assert standing(backend) == {ROOM, OTHER}

    def test_touch_members_of_nobody_returns_empty_list(self, backend: Tracker) -> None:
        assert backend.touch_members([], timeout=TIMEOUT) == []

    def test_members_of_one_channel_are_not_in_another(self, backend: Tracker) -> None:
        join(backend, "ada")
        join(backend, "bob", channel=OTHER)
        assert leave(backend, "ada", channel=OTHER) is None
        assert not beat(backend, "bob")
        found = backend.load_members([OTHER, ROOM], timeout=TIMEOUT)
        assert {
            channel: [member.user for member in here.members] for channel, here in found.items()
        } == {
            OTHER: ["bob"],
            ROOM: ["ada"],
        }

    def test_load_members_sorts_by_joined_then_user_then_source(
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
        assert [(member.user, member.source) for member in listed(backend)] == wanted

    def test_load_members_returns_thousands_of_members(self, backend: Tracker) -> None:
        for n in range(2000):
            join(backend, f"u{n:04}")
        assert pairs(backend) == [(f"u{n:04}", "") for n in range(2000)]

    def test_load_members_returns_hundreds_of_channels(self, backend: Tracker) -> None:
        channels = [f"presence:{n}" for n in range(500)]
        for n, channel in enumerate(channels):
            if n % 2:
                join(backend, str(n), channel=channel)
        found = backend.load_members(channels, timeout=TIMEOUT)
        assert list(found) == channels
        assert [[member.user for member in here.members] for here in found.values()] == [
            [str(n)] if n % 2 else [] for n in range(500)
        ]


class ConcurrencyContract(Contract):
    """Writers in several threads."""

    def test_concurrent_writers_of_different_sources_lose_nothing(
        self, backend: Tracker, peer: Tracker
    ) -> None:
        def write(writer: int) -> None:
            for n in range(25):
                by = (backend, peer)[n % 2]
                join(by, "ada", source=f"{writer}-{n}")
                join(by, f"{writer}-{n}")
                assert beat(by, "ada", source=f"{writer}-{n}")
                assert leave(by, f"{writer}-{n}") is not None

        run_all([partial(write, writer) for writer in range(8)])
        assert pairs(backend) == sorted(
            ("ada", f"{writer}-{n}") for writer in range(8) for n in range(25)
        )

    def test_concurrent_leaves_return_the_record_once(
        self, backend: Tracker, peer: Tracker
    ) -> None:
        for _ in range(20):
            record = join(backend, "ada")
            left: list[ServerMember | None] = []

            def take_out(by: Tracker, left: list[ServerMember | None] = left) -> None:
                left.append(leave(by, "ada"))

            run_all([partial(take_out, by) for by in (backend, peer) * 2])
            assert sorted(left, key=str) == [None, None, None, record]

    def test_join_while_stale_members_are_deleted_stays(
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


class RosterContract(Contract):
    """Rosters and members of one channel, which a backend keeps apart."""

    def test_load_members_with_rosters_returns_roster_of_each_channel(
        self, backend: Tracker, clock: Clock
    ) -> None:
        assert isinstance(backend, RosterStore)
        stored = settled(backend)
        join(backend, "bob", channel=OTHER)
        found = backend.load_members([OTHER, ROOM], timeout=TIMEOUT, rosters=True)
        assert [found[c].roster for c in (OTHER, ROOM)] == [b"", stored.roster]
        bob = ServerMember("bob", "", clock.now, clock.now, META, clock.now)
        assert [found[c].members for c in (OTHER, ROOM)] == [[bob], []]

    def test_join_creates_no_roster(self, backend: Tracker) -> None:
        assert isinstance(backend, RosterStore)
        join(backend, "ada")
        assert (backend.known_channels().polled, state(backend).rev) == ({}, 0)
        assert write(backend, [commit()]) == [True], "a first commit still succeeds"

    def test_sweep_of_channel_keeps_its_members(self, backend: Tracker) -> None:
        assert isinstance(backend, RosterStore)
        settled(backend, members=0)
        join(backend, "ada")
        assert sweep(backend, dict(backend.known_channels().polled)) == [ROOM]
        assert [member.user for member in listed(backend)] == ["ada"]
        assert standing(backend) == {ROOM}
