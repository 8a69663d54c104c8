"""Contract of a WatchStore."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from presence.backends.base import KEPT_DUE, Counts, LookStart, LookState, RosterStore, Writes
from presence.testing.contract.base import ROOM, Clock, Contract, run_all

__all__ = ["WatchContract", "WatchSetBackContract"]

OTHER = "presence:other"


NO_COUNTS = Counts("", b"")


def look(
    backend: RosterStore,
    holder: str = "a",
    *,
    lease: float = 30.0,
    limit: int = 100,
    known: str = "",
) -> LookStart | None:
    return backend.begin_look(holder, lease=lease, limit=limit, known=known)


def end(
    backend: RosterStore, holder: str, *, rest: float = 0.0, counts: Counts | None = None
) -> None:
    backend.write(Writes(look=LookState(holder, counts, rest)))


def due_after(backend: RosterStore, holder: str = "later") -> list[str]:
    """Return the due channels, and let the next look begin."""
    start = look(backend, holder)
    assert start is not None
    end(backend, holder)
    return list(start.due)


def marks(backend: RosterStore) -> Mapping[str, float]:
    """Return the marks that a look finds, and let the next look begin."""
    start = look(backend, "marks")
    assert start is not None
    end(backend, "marks")
    return start.due


class WatchContract(Contract):
    def test_begin_look_finds_nothing_in_an_empty_store(self, backend: RosterStore) -> None:
        assert look(backend) == LookStart(NO_COUNTS, {})

    def test_begin_look_admits_one_holder_until_it_ends(self, backend: RosterStore) -> None:
        assert look(backend, "a")
        assert look(backend, "b") is None
        end(backend, "a")
        assert look(backend, "b")

    def test_begin_look_admits_the_same_holder_again(self, backend: RosterStore) -> None:
        assert look(backend, "a")
        assert look(backend, "a")

    def test_begin_look_admits_one_of_many_at_once(
        self, backend: RosterStore, peer: RosterStore
    ) -> None:
        admitted: list[int] = []

        def one(number: int) -> None:
            if look((backend, peer)[number % 2], f"holder{number}"):
                admitted.append(number)

        run_all([lambda n=n: one(n) for n in range(8)])  # type: ignore[misc]
        assert len(admitted) == 1

    def test_begin_look_admits_another_holder_when_the_lease_ends(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert look(backend, "a", lease=30.0)
        clock.advance(29.5)
        assert look(backend, "b") is None
        clock.advance(0.6)
        assert look(backend, "b")

    def test_end_of_a_look_with_a_lost_lease_keeps_the_marks_alone(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert look(backend, "a", lease=1.0)
        clock.advance(1.5)
        assert look(backend, "b")
        late = LookState("a", Counts("t", b"{}"), 9.0)
        backend.write(Writes(due={ROOM: 0.0}, look=late))
        assert look(backend, "c") is None
        end(backend, "b")
        start = look(backend, "c")
        assert start is not None
        assert (start.counts, list(start.due)) == (NO_COUNTS, [ROOM])

    def test_end_of_a_look_lets_all_rest(self, backend: RosterStore, clock: Clock) -> None:
        assert look(backend)
        end(backend, "a", rest=2.0)
        clock.advance(1.9)
        assert look(backend, "b") is None
        clock.advance(0.2)
        assert look(backend, "b")

    def test_load_ticks_tells_when_the_last_look_began_or_ended(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert backend.load_ticks().looked is None
        assert look(backend, "a", lease=30.0)
        clock.advance(5.0)
        assert backend.load_ticks().looked == pytest.approx(clock.now - 5.0)
        end(backend, "a", rest=3.0)
        clock.advance(60.0)
        assert backend.load_ticks().looked == pytest.approx(clock.now - 60.0)
        assert backend.load_ticks(records=False).looked is None

    def test_end_of_a_look_keeps_counts(self, backend: RosterStore) -> None:
        assert look(backend)
        counts = Counts("t1", b'{"a": 1}')
        end(backend, "a", counts=counts)
        assert look(backend, "b") == LookStart(counts, {})
        end(backend, "b")
        assert look(backend, "c", known="t0") == LookStart(counts, {})

    def test_look_that_goes_on_keeps_its_counts_and_its_lease(self, backend: RosterStore) -> None:
        assert look(backend)
        counts = Counts("t1", b'{"a": 1}')
        backend.write(Writes(look=LookState("a", counts)))
        assert look(backend, "b") is None
        end(backend, "a")
        assert look(backend, "c") == LookStart(counts, {})

    def test_write_returns_the_time_of_its_marks(self, backend: RosterStore, clock: Clock) -> None:
        backend.write(Writes(due={OTHER: 0.0}))
        clock.advance(0.5)
        marked = backend.write(Writes(due={ROOM: 0.0, OTHER: 0.0})).marked
        found = marks(backend)
        assert found[ROOM] == marked
        assert found[OTHER] != marked
        assert backend.write(Writes()).marked is None

    def test_begin_look_leaves_out_counts_that_the_caller_knows(self, backend: RosterStore) -> None:
        assert look(backend)
        end(backend, "a", counts=Counts("t1", b'{"a": 1}'))
        assert look(backend, "b", known="t1") == LookStart(Counts("t1", b""), {})

    def test_begin_look_returns_due_channels_longest_waiting_first(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        backend.write(Writes(due={ROOM: 10.0, OTHER: 3.0, "presence:later": 60.0}))
        assert due_after(backend) == []
        clock.advance(10.0)
        assert due_after(backend) == [OTHER, ROOM]
        start = look(backend, limit=1)
        assert start is not None
        assert list(start.due) == [OTHER]

    def test_mark_keeps_the_earlier_of_two_times(self, backend: RosterStore, clock: Clock) -> None:
        backend.write(Writes(due={ROOM: 5.0}))
        backend.write(Writes(due={ROOM: 60.0}))
        clock.advance(5.0)
        assert due_after(backend) == [ROOM]

    def test_settled_mark_is_removed(self, backend: RosterStore, clock: Clock) -> None:
        backend.write(Writes(due={ROOM: 0.0}))
        backend.write(Writes(polled=[ROOM], settled=marks(backend), now=clock.now + 0.1))
        clock.advance(1.0)
        assert due_after(backend) == []

    @pytest.mark.parametrize("after", [0.0, 1.0])
    def test_mark_that_was_made_since_is_not_settled(
        self, backend: RosterStore, clock: Clock, after: float
    ) -> None:
        backend.write(Writes(due={ROOM: 0.0, OTHER: 0.0}))
        found = marks(backend)
        clock.advance(0.001)
        backend.write(Writes(due={ROOM: after}))
        backend.write(Writes(settled=found))
        assert due_after(backend) == [ROOM]

    def test_mark_of_a_due_channel_keeps_its_place(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        backend.write(Writes(due={ROOM: 0.0}))
        clock.advance(1.0)
        backend.write(Writes(due={OTHER: 0.0}))
        clock.advance(1.0)
        for _ in range(5):
            backend.write(Writes(due={ROOM: 0.0}))
        assert due_after(backend) == [ROOM, OTHER]

    def test_settled_channel_can_be_due_again(self, backend: RosterStore, clock: Clock) -> None:
        backend.write(Writes(due={ROOM: 0.0}))
        clock.advance(1.0)
        backend.write(Writes(due={ROOM: 10.0}, settled=marks(backend)))
        assert due_after(backend) == []
        clock.advance(10.0)
        assert due_after(backend) == [ROOM]

    def test_begin_tick_forgets_marks_that_no_look_took(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        backend.write(Writes(due={ROOM: 0.0}))
        clock.advance(KEPT_DUE - 10)
        backend.write(Writes(due={OTHER: 0.0}))
        clock.advance(11)
        backend.begin_tick("a")
        assert due_after(backend) == [OTHER]

    @pytest.mark.parametrize("method", ["save_member", "delete_member"])
    def test_member_without_websocket_makes_its_channel_due(
        self, backend: RosterStore, method: str
    ) -> None:
        more = {"meta": b"{}"} if method == "save_member" else {}
        getattr(backend, method)(ROOM, "7", source="a", timeout=60.0, **more)
        assert due_after(backend) == [ROOM]


class WatchSetBackContract(Contract):
    def test_begin_look_ignores_a_lease_after_the_clock_was_set_back(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert look(backend, "a", lease=30.0)
        clock.advance(-3600.0)
        assert look(backend, "b")

    def test_load_ticks_tells_of_no_look_in_the_future(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert look(backend)
        clock.advance(-3600.0)
        assert backend.load_ticks().looked == pytest.approx(clock.now)

    def test_rest_ends_after_the_clock_was_set_back(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert look(backend)
        end(backend, "a", rest=2.0)
        clock.advance(-3600.0)
        assert look(backend, "b")
