"""Contract: times that were stored while the clock was ahead are not in the future later."""

from __future__ import annotations

from presence.backends.base import RosterStore
from presence.backends.tracker import Tracker
from presence.testing.clock import Clock
from presence.testing.contract.base import Contract
from presence.testing.contract.tracking import ROOM, TIMEOUT, beat, join, listed
from presence.testing.contract.writing import write

__all__ = ["LedgerSetBackContract", "StoreSetBackContract", "TrackerSetBackContract"]

HOUR = 3600.0


class StoreSetBackContract(Contract):
    def test_known_polled_ahead_is_of_now_and_can_be_polled_again(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        write(backend, polled=[ROOM], now=clock.now)
        clock.advance(-HOUR)
        right = clock.now
        assert backend.known_channels() == {ROOM: right}
        clock.advance(10)
        write(backend, polled=[ROOM], now=clock.now)
        assert backend.known_channels() == {ROOM: right + 10}
        assert backend.load_snapshots([ROOM])[ROOM].polled == right + 10

    def test_nodes_that_changed_ahead_changed_just_now(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        backend.note_nodes(frozenset("a"))
        backend.note_nodes(frozenset("b"))
        clock.advance(-HOUR)
        assert backend.note_nodes(frozenset("b")) == 0.0
        clock.advance(50)
        assert backend.note_nodes(frozenset("b")) == 50.0

    def test_claim_made_ahead_is_gone_when_its_slot_comes_again(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert backend.claim_slot(ROOM, 3607, seconds=60)
        clock.advance(-HOUR)
        assert backend.claim_slot(ROOM, 7, seconds=60)
        assert not backend.claim_slot(ROOM, 7, seconds=60)
        clock.advance(HOUR)
        assert backend.claim_slot(ROOM, 3607, seconds=60)


class LedgerSetBackContract(Contract):
    def test_ticks_that_began_ahead_began_just_now(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        backend.begin_tick("a")
        clock.advance(-HOUR)
        assert backend.load_ticks().began == clock.now
        assert backend.begin_tick("b").since is None
        clock.advance(60)
        assert backend.begin_tick("c").since == 60.0

    def test_registered_ahead_is_forgotten_in_time(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        backend.register_channels([ROOM])
        clock.advance(-HOUR)
        assert backend.registered_channels(within=60) == [ROOM]
        clock.advance(61)
        assert backend.registered_channels(within=60) == []


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
        backend.note_last_seen({"ada": clock.now, "bob": clock.now, "eve": clock.now + HOUR})
        assert backend.last_seen(["eve"]) == {"eve": clock.now}
        clock.advance(-HOUR)
        right = clock.now
        assert backend.last_seen(["ada"]) == {"ada": right}
        clock.advance(20)
        assert backend.last_seen(["ada"]) == {"ada": right}
        backend.note_last_seen({"bob": clock.now})
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
