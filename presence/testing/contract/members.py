"""Members without a websocket: joining, leaving, beating, listing."""

from __future__ import annotations

import msgspec
import pytest

from presence.backends.tracker import StoredPresence, Tracker
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
    pairs,
)

__all__ = ["JoiningContract"]


class JoiningContract(Contract):
    def test_a_channel_where_nobody_is(self, backend: Tracker) -> None:
        assert backend.load_members([ROOM, OTHER], timeout=TIMEOUT) == {ROOM: [], OTHER: []}
        assert backend.load_present([ROOM], timeout=TIMEOUT) == {ROOM: StoredPresence()}
        assert (leave(backend, "ada"), beat(backend, "ada")) == (None, False)
        assert listed(backend) == [], "nor has that brought anybody in"

    def test_no_channel_asked_none_told(self, backend: Tracker) -> None:
        join(backend, "ada")
        assert backend.load_members([], timeout=TIMEOUT) == {}
        assert backend.load_present([], timeout=TIMEOUT) == {}

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
        assert {channel: [one.user for one in here] for channel, here in found.items()} == {
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
        assert [[one.user for one in here] for here in found.values()] == [
            [str(n)] if n % 2 else [] for n in range(500)
        ]
