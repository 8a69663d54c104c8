"""Contract of a RosterStore without diffs: poll times, sweeping, nodes and slots."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from presence.backends.base import RosterStore, Writes
from presence.roster.commit import State
from presence.testing.contract.base import (
    ROOM,
    Clock,
    Contract,
    acknowledge,
    commit,
    rosters,
    run_all,
    settled,
    signalled,
    state,
    sweep,
    write,
)

HOUR = 3600.0


class KnownContract(Contract):
    def test_known_channels_after_several_polls_keep_the_latest_time(
        self, backend: RosterStore
    ) -> None:
        write(backend, polled=[ROOM, "presence:b"], now=50.25)
        write(backend, polled=[ROOM], now=60.5)
        write(backend, polled=["presence:b"], now=40.0)
        assert backend.known_channels().polled == {ROOM: 60.5, "presence:b": 50.25}
        assert backend.load_snapshots([ROOM, "presence:c"])[ROOM].polled == 60.5
        assert backend.load_snapshots(["presence:c"])["presence:c"].polled is None

    def test_load_snapshots_returns_the_time_of_the_store(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert backend.load_snapshots([ROOM])[ROOM].now == clock.now

    def test_poll_time_ahead_of_the_clock_becomes_now_and_moves_on(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        write(backend, polled=[ROOM], now=clock.now)
        clock.advance(-HOUR)
        right = clock.now
        assert backend.known_channels().polled == {ROOM: right}
        clock.advance(10)
        write(backend, polled=[ROOM], now=clock.now)
        assert backend.known_channels().polled == {ROOM: right + 10}
        assert backend.load_snapshots([ROOM])[ROOM].polled == right + 10


class SweepingContract(Contract):
    MOMENT = 1699999999.123457

    def empty(self, backend: RosterStore, **fields: Any) -> None:
        settled(backend, members=0, **fields)
        write(backend, polled=[ROOM], now=self.MOMENT)

    def test_sweep_of_empty_channel_deletes_all_of_it(self, backend: RosterStore) -> None:
        self.empty(backend)
        assert sweep(backend, {ROOM: self.MOMENT}) == [ROOM]
        assert (state(backend), backend.known_channels().polled) == (State(channel=ROOM), {})
        assert rosters(backend, [ROOM]) == {}
        assert backend.load_snapshots([ROOM])[ROOM].snapshot is None

    def test_sweep_of_channel_without_commit_deletes_it(self, backend: RosterStore) -> None:
        write(backend, polled=[ROOM], now=self.MOMENT)
        assert sweep(backend, {ROOM: self.MOMENT}) == [ROOM]

    @pytest.mark.parametrize("fields", [{"total": 1}, {"anonymous": 1}, {"leaving": b"x"}])
    def test_sweep_of_occupied_channel_keeps_it(
        self, backend: RosterStore, fields: dict[str, Any]
    ) -> None:
        self.empty(backend, **fields)
        before = state(backend)
        assert sweep(backend, {ROOM: self.MOMENT}) == []
        assert (state(backend), ROOM in backend.known_channels().polled) == (before, True)

    def test_sweep_of_channel_with_unfinished_diff_keeps_it(self, backend: RosterStore) -> None:
        self.empty(backend)
        first = commit(2, rev=state(backend).rev, members=0)
        write(backend, [first])
        assert sweep(backend, {ROOM: self.MOMENT}) == []
        acknowledge(backend, [(ROOM, first.pending, None)], 1.0)
        assert sweep(backend, {ROOM: self.MOMENT}) == []
        signalled(backend, [(ROOM, first.pending)])
        assert sweep(backend, {ROOM: self.MOMENT}) == [ROOM]

    def test_sweep_of_channel_polled_since_keeps_it(self, backend: RosterStore) -> None:
        self.empty(backend)
        write(backend, polled=[ROOM], now=self.MOMENT + 1)
        assert sweep(backend, {ROOM: self.MOMENT}) == []
        assert backend.known_channels().polled == {ROOM: self.MOMENT + 1}

    def test_sweep_during_a_commit_never_loses_the_commit(self, backend: RosterStore) -> None:
        """A sync that loaded the channel commits while it is swept: it wins, or tries again."""
        for n in range(20):
            self.empty(backend)
            loaded = state(backend)
            moment = backend.known_channels().polled[ROOM]
            taken: list[bool] = []

            def come(n: int = n, rev: int = loaded.rev, taken: list[bool] = taken) -> None:
                write(backend, polled=[ROOM], now=self.MOMENT + 1 + n)
                taken.extend(write(backend, [commit(2, rev=rev)]))

            run_all([come, partial(sweep, backend, {ROOM: moment})])
            assert ROOM in backend.known_channels().polled, "the poll was noted before the commit"
            assert (state(backend).total == 1) is taken[0]
            found = state(backend)
            if found.pending:
                acknowledge(backend, [(ROOM, found.pending, None)], 1.0)
                signalled(backend, [(ROOM, found.pending)])
            write(backend, [commit(3, rev=state(backend).rev, members=0)])
            found = state(backend)
            acknowledge(backend, [(ROOM, found.pending, None)], 1.0)
            signalled(backend, [(ROOM, found.pending)])
            assert sweep(backend, dict(backend.known_channels().polled)) == [ROOM]


def changed(backend: RosterStore, nodes: str) -> float | None:
    """Write the nodes, one a letter. Returns the seconds since they last changed."""
    return backend.write(Writes(nodes=frozenset(nodes))).nodes_changed


class NodesContract(Contract):
    def test_write_of_the_first_nodes_tells_of_no_change(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert changed(backend, "ab") is None
        clock.advance(100)
        assert changed(backend, "ba") is None

    def test_write_of_nodes_returns_seconds_since_their_last_change(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        changed(backend, "ab")
        clock.advance(5)
        assert changed(backend, "a") == 0
        clock.advance(7.5)
        assert changed(backend, "a") == pytest.approx(7.5)
        assert changed(backend, "ab") == 0

    def test_node_change_ahead_of_the_clock_becomes_now(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        changed(backend, "a")
        changed(backend, "b")
        clock.advance(-HOUR)
        assert changed(backend, "b") == 0.0
        clock.advance(50)
        assert changed(backend, "b") == 50.0


class ClaimingContract(Contract):
    def test_claim_slot_succeeds_once_for_each_slot_and_channel(self, backend: RosterStore) -> None:
        assert [backend.claim_slot(ROOM, 7, seconds=60) for _ in range(3)] == [True, False, False]
        assert backend.claim_slot(ROOM, 8, seconds=60)
        assert backend.claim_slot("presence:b", 7, seconds=60)

    def test_claim_slot_outlasts_shorter_claims_of_other_slots(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert backend.claim_slot(ROOM, 7, seconds=60)
        assert backend.claim_slot(ROOM, 8, seconds=4)
        clock.advance(30)
        assert [backend.claim_slot(ROOM, slot, seconds=4) for slot in (7, 8)] == [False, True]
        clock.advance(31)
        assert backend.claim_slot(ROOM, 7, seconds=4)

    def test_claim_slot_by_concurrent_callers_succeeds_once(
        self, backend: RosterStore, peer: RosterStore
    ) -> None:
        taken: list[bool] = []

        def take(by: RosterStore) -> None:
            taken.append(by.claim_slot(ROOM, 7, seconds=60))

        run_all([partial(take, by) for by in (backend, peer) * 4])
        assert sorted(taken) == [False] * 7 + [True]

    def test_claim_slot_creates_no_channel(self, backend: RosterStore) -> None:
        backend.claim_slot(ROOM, 7, seconds=60)
        assert (state(backend), backend.known_channels().polled) == (State(channel=ROOM), {})

    def test_claim_ahead_of_the_clock_has_ended_when_its_slot_returns(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        assert backend.claim_slot(ROOM, 3607, seconds=60)
        clock.advance(-HOUR)
        assert backend.claim_slot(ROOM, 7, seconds=60)
        assert not backend.claim_slot(ROOM, 7, seconds=60)
        clock.advance(HOUR)
        assert backend.claim_slot(ROOM, 3607, seconds=60)
