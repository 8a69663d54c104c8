"""Loading rosters and committing them."""

from __future__ import annotations

import threading
from functools import partial

from presence.backends.base import RosterStore
from presence.roster.commit import State
from presence.roster.messages import Position
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

__all__ = ["CommittingContract", "LoadingContract"]


class LoadingContract(Contract):
    def test_loading_what_was_never_committed(self, backend: RosterStore, clock: Clock) -> None:
        loaded = backend.load_states([ROOM, "presence:b"])
        assert loaded.states == {c: State(channel=c) for c in (ROOM, "presence:b")}
        assert (loaded.now, bool(loaded.run)) == (clock.now, True)
        assert rosters(backend, [ROOM]) == {}
        assert (backend.known_channels(), backend.load_snapshots([ROOM])[ROOM].snapshot) == (
            {},
            None,
        )

    def test_everything_comes_back_as_it_was_committed(self, backend: RosterStore) -> None:
        one = commit(3, anonymous=5, leaving=b'{"x":1}', position=Position(7, "S:1"), listed=False)
        assert write(backend, [one]) == [True]
        found = state(backend)
        for name in ("epoch", "version", "run", "digest", "leaving", "pending", "position",
                     "listed", "total", "anonymous"):  # fmt: skip
            assert getattr(found, name) == getattr(one, name), name
        assert (found.rev, found.unsignalled) == (1, ())
        assert rosters(backend, [ROOM]) == {ROOM: (1, one.roster)}
        assert backend.load_snapshots([ROOM])[ROOM].snapshot == one.snapshot

    def test_a_batch_is_loaded_in_the_order_asked_for(self, backend: RosterStore) -> None:
        settled(backend, channel="presence:b", who=0)
        loaded = backend.load_states(["presence:c", "presence:b", "presence:a"])
        assert list(loaded.states) == ["presence:c", "presence:b", "presence:a"]
        assert [s.rev > 0 for s in loaded.states.values()] == [False, True, False]

    def test_nothing_asked_nothing_done(self, backend: RosterStore) -> None:
        assert backend.load_states([]).states == {}
        assert (rosters(backend, []), backend.load_snapshots([])) == ({}, {})
        write(backend, polled=[], now=1.0)
        signalled(backend, [])
        assert (write(backend, []), acknowledge(backend, [], 1.0), backend.sweep_channels({})) == (
            [],
            [],
            [],
        )

    def test_its_run_stays_the_same(self, backend: RosterStore) -> None:
        assert backend.load_states([]).run == backend.load_states([ROOM]).run


class CommittingContract(Contract):
    def test_a_rev_that_no_longer_stands_is_refused(self, backend: RosterStore) -> None:
        settled(backend)
        before = state(backend)
        for rev in (0, before.rev - 1, before.rev + 1):
            assert write(backend, [commit(2, rev=rev, who=0)]) == [False]
        assert state(backend) == before
        assert write(backend, [commit(2, rev=before.rev)]) == [True]

    def test_a_retry_after_a_lost_reply_is_done_and_writes_nothing(
        self, backend: RosterStore
    ) -> None:
        one = commit()
        assert write(backend, [one]) == [True]
        before = state(backend)
        assert write(backend, [one]) == [True]
        assert state(backend) == before

    def test_nothing_goes_over_what_is_pending(self, backend: RosterStore) -> None:
        write(backend, [commit()])
        before = state(backend)
        for other in (commit(2, rev=1), commit(2, rev=1, publish=False), commit(2)):
            assert write(backend, [other]) == [False]
        assert state(backend) == before

    def test_a_commit_that_publishes_nothing_keeps_roster_and_snapshot(
        self, backend: RosterStore
    ) -> None:
        one = settled(backend)
        before = state(backend)
        quiet = commit(1, rev=before.rev, publish=False, leaving=b"x", position=before.position)
        assert write(backend, [quiet]) == [True]
        assert (state(backend).rev, state(backend).version) == (before.rev + 1, 1)
        assert rosters(backend, [ROOM])[ROOM] == (before.rev + 1, one.roster)
        assert backend.load_snapshots([ROOM])[ROOM].snapshot == one.snapshot

    def test_each_commit_of_a_batch_for_itself(self, backend: RosterStore) -> None:
        settled(backend)
        stale, fresh = commit(2, rev=0), commit(1, channel="presence:b")
        assert write(backend, [stale, fresh]) == [False, True]

    def test_of_many_writers_exactly_one_wins_each_rev(
        self, backend: RosterStore, peer: RosterStore
    ) -> None:
        writers, rounds = 8, 25
        barrier = threading.Barrier(writers)
        won: list[tuple[int, int]] = []

        def race(who: int) -> None:
            by = (backend, peer)[who % 2]
            for n in range(rounds):
                barrier.wait()
                one = commit(n + 1, rev=2 * n, epoch=f"writer-{who}")
                taken = write(by, [one]) == [True]
                barrier.wait()
                if taken:
                    won.append((n, who))
                    assert acknowledge(by, [(ROOM, one.pending, None)], 1.0) == [True]
                    signalled(by, [(ROOM, one.pending)])

        run_all([partial(race, who) for who in range(writers)])
        assert [n for n, _ in won] == list(range(rounds))
        assert (state(backend).rev, state(backend).version) == (2 * rounds, rounds)
