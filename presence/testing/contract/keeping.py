"""Which channels are known and which are forgotten; nodes and slots."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from presence.backends.base import RosterStore
from presence.roster.commit import State
from presence.testing.clock import Clock
from presence.testing.contract.base import Contract
from presence.testing.contract.side_by_side import run_all
from presence.testing.contract.writing import (
    ROOM,
    acknowledge,
    commit,
    rosters,
    settled,
    signalled,
    state,
    write,
)

__all__ = ["ClaimingContract", "KnownContract", "NodesContract", "SweepingContract"]


class KnownContract(Contract):
    def test_the_newest_poll_counts(self, backend: RosterStore) -> None:
        write(backend, polled=[ROOM, "presence:b"], now=50.25)
        write(backend, polled=[ROOM], now=60.5)
        write(backend, polled=["presence:b"], now=40.0)
        assert backend.known_channels() == {ROOM: 60.5, "presence:b": 50.25}
        assert backend.load_snapshots([ROOM, "presence:c"])[ROOM].polled == 60.5
        assert backend.load_snapshots(["presence:c"])["presence:c"].polled is None

    def test_a_snapshot_comes_with_the_time(self, backend: RosterStore, clock: Clock) -> None:
        assert backend.load_snapshots([ROOM])[ROOM].now == clock.now


class SweepingContract(Contract):
    MOMENT = 1699999999.123457

    def empty(self, backend: RosterStore, **fields: Any) -> None:
        settled(backend, who=0, **fields)
        write(backend, polled=[ROOM], now=self.MOMENT)

    def test_an_empty_channel_is_forgotten_whole(self, backend: RosterStore) -> None:
        self.empty(backend)
        assert backend.sweep_channels({ROOM: self.MOMENT}) == [ROOM]
        assert (state(backend), backend.known_channels()) == (State(channel=ROOM), {})
        assert rosters(backend, [ROOM]) == {}
        assert backend.load_snapshots([ROOM])[ROOM].snapshot is None

    def test_a_channel_that_was_only_ever_touched_is_forgotten(self, backend: RosterStore) -> None:
        write(backend, polled=[ROOM], now=self.MOMENT)
        assert backend.sweep_channels({ROOM: self.MOMENT}) == [ROOM]

    @pytest.mark.parametrize("fields", [{"total": 1}, {"anonymous": 1}, {"leaving": b"x"}])
    def test_a_channel_that_is_not_empty_stays(
        self, backend: RosterStore, fields: dict[str, Any]
    ) -> None:
        self.empty(backend, **fields)
        before = state(backend)
        assert backend.sweep_channels({ROOM: self.MOMENT}) == []
        assert (state(backend), ROOM in backend.known_channels()) == (before, True)

    def test_a_channel_with_something_unfinished_stays(self, backend: RosterStore) -> None:
        self.empty(backend)
        one = commit(2, rev=state(backend).rev, who=0)
        write(backend, [one])
        assert backend.sweep_channels({ROOM: self.MOMENT}) == []
        acknowledge(backend, [(ROOM, one.pending, None)], 1.0)
        assert backend.sweep_channels({ROOM: self.MOMENT}) == []
        signalled(backend, [(ROOM, one.pending)])
        assert backend.sweep_channels({ROOM: self.MOMENT}) == [ROOM]

    def test_a_channel_that_was_polled_since_stays_known(self, backend: RosterStore) -> None:
        self.empty(backend)
        write(backend, polled=[ROOM], now=self.MOMENT + 1)
        assert backend.sweep_channels({ROOM: self.MOMENT}) == []
        assert backend.known_channels() == {ROOM: self.MOMENT + 1}

    def test_whoever_comes_in_while_it_is_swept_is_never_lost(self, backend: RosterStore) -> None:
        """A sync that loaded the channel commits while it is swept: it wins, or tries again."""
        for n in range(20):
            self.empty(backend)
            loaded = state(backend)
            moment = backend.known_channels()[ROOM]
            taken: list[bool] = []

            def come(n: int = n, rev: int = loaded.rev, taken: list[bool] = taken) -> None:
                write(backend, polled=[ROOM], now=self.MOMENT + 1 + n)
                taken.extend(write(backend, [commit(2, rev=rev)]))

            run_all([come, partial(backend.sweep_channels, {ROOM: moment})])
            assert ROOM in backend.known_channels(), "touched before the commit"
            assert (state(backend).total == 1) is taken[0]
            one = state(backend)
            if one.pending:
                acknowledge(backend, [(ROOM, one.pending, None)], 1.0)
                signalled(backend, [(ROOM, one.pending)])
            write(backend, [commit(3, rev=state(backend).rev, who=0)])
            one = state(backend)
            acknowledge(backend, [(ROOM, one.pending, None)], 1.0)
            signalled(backend, [(ROOM, one.pending)])
            assert backend.sweep_channels(dict(backend.known_channels())) == [ROOM]


class NodesContract(Contract):
    def test_the_first_tick_has_no_nodes_to_compare(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert backend.note_nodes(frozenset("ab")) is None
        clock.advance(100)
        assert backend.note_nodes(frozenset("ba")) is None

    def test_seconds_since_the_nodes_changed(self, backend: RosterStore, clock: Clock) -> None:
        backend.note_nodes(frozenset("ab"))
        clock.advance(5)
        assert backend.note_nodes(frozenset("a")) == 0
        clock.advance(7.5)
        assert backend.note_nodes(frozenset("a")) == pytest.approx(7.5)
        assert backend.note_nodes(frozenset("ab")) == 0


class ClaimingContract(Contract):
    def test_the_first_has_the_slot_of_the_channel(self, backend: RosterStore) -> None:
        assert [backend.claim_slot(ROOM, 7, seconds=60) for _ in range(3)] == [True, False, False]
        assert backend.claim_slot(ROOM, 8, seconds=60)
        assert backend.claim_slot("presence:b", 7, seconds=60)

    def test_claim_outlasts_shorter_ones_of_other_slots(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert backend.claim_slot(ROOM, 7, seconds=60)
        assert backend.claim_slot(ROOM, 8, seconds=4)
        clock.advance(30)
        assert [backend.claim_slot(ROOM, slot, seconds=4) for slot in (7, 8)] == [False, True]
        clock.advance(31)
        assert backend.claim_slot(ROOM, 7, seconds=4)

    def test_of_many_exactly_one_has_the_slot(
        self, backend: RosterStore, peer: RosterStore
    ) -> None:
        taken: list[bool] = []

        def take(by: RosterStore) -> None:
            taken.append(by.claim_slot(ROOM, 7, seconds=60))

        run_all([partial(take, by) for by in (backend, peer) * 4])
        assert sorted(taken) == [False] * 7 + [True]

    def test_a_slot_is_no_channel(self, backend: RosterStore) -> None:
        backend.claim_slot(ROOM, 7, seconds=60)
        assert (state(backend), backend.known_channels()) == (State(channel=ROOM), {})
