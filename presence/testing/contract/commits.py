"""Contract of a RosterStore for one diff: load, commit, acknowledge, drop, signal."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from presence.backends.base import Acknowledgement, RosterStore, Writes
from presence.roster import messages
from presence.roster.commit import Commit, State
from presence.roster.messages import Position, Snapshot
from presence.testing.contract.base import (
    ADA,
    ROOM,
    Clock,
    Contract,
    acknowledge,
    commit,
    drop,
    rosters,
    run_all,
    settled,
    signalled,
    state,
    sweep,
    write,
)


class LoadingContract(Contract):
    def test_load_of_new_channel_returns_empty_state(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        loaded = backend.load_states([ROOM, "presence:b"])
        assert loaded.states == {c: State(channel=c) for c in (ROOM, "presence:b")}
        assert (loaded.now, bool(loaded.run)) == (clock.now, True)
        assert rosters(backend, [ROOM]) == {}
        assert (backend.known_channels().polled, backend.load_snapshots([ROOM])[ROOM].snapshot) == (
            {},
            None,
        )

    def test_load_after_commit_returns_every_field(self, backend: RosterStore) -> None:
        first = commit(
            3, anonymous=5, leaving=b'{"x":1}', position=Position(7, "S:1"), listed=False
        )
        assert write(backend, [first]) == [True]
        found = state(backend)
        for name in ("epoch", "version", "run", "digest", "leaving", "pending", "position",
                     "listed", "total", "anonymous"):  # fmt: skip
            assert getattr(found, name) == getattr(first, name), name
        assert (found.rev, found.unsignalled) == (1, ())
        assert rosters(backend, [ROOM]) == {ROOM: (1, first.roster)}
        assert backend.load_snapshots([ROOM])[ROOM].snapshot == first.snapshot

    def test_load_of_batch_keeps_the_order_of_the_channels(self, backend: RosterStore) -> None:
        settled(backend, channel="presence:b", members=0)
        loaded = backend.load_states(["presence:c", "presence:b", "presence:a"])
        assert list(loaded.states) == ["presence:c", "presence:b", "presence:a"]
        assert [s.rev > 0 for s in loaded.states.values()] == [False, True, False]

    def test_calls_without_channels_return_nothing(self, backend: RosterStore) -> None:
        assert backend.load_states([]).states == {}
        assert (rosters(backend, []), backend.load_snapshots([])) == ({}, {})
        write(backend, polled=[], now=1.0)
        signalled(backend, [])
        assert (
            write(backend, []),
            acknowledge(backend, [], 1.0),
            sweep(backend, {}),
        ) == (
            [],
            [],
            [],
        )

    def test_load_twice_returns_the_same_run(self, backend: RosterStore) -> None:
        assert backend.load_states([]).run == backend.load_states([ROOM]).run


class CommittingContract(Contract):
    def test_commit_with_another_rev_is_refused(self, backend: RosterStore) -> None:
        settled(backend)
        before = state(backend)
        for rev in (0, before.rev - 1, before.rev + 1):
            assert write(backend, [commit(2, rev=rev, members=0)]) == [False]
        assert state(backend) == before
        assert write(backend, [commit(2, rev=before.rev)]) == [True]

    def test_commit_repeated_after_lost_reply_succeeds_and_writes_nothing(
        self, backend: RosterStore
    ) -> None:
        first = commit()
        assert write(backend, [first]) == [True]
        before = state(backend)
        assert write(backend, [first]) == [True]
        assert state(backend) == before

    def test_commit_over_pending_diff_is_refused(self, backend: RosterStore) -> None:
        write(backend, [commit()])
        before = state(backend)
        for other in (commit(2, rev=1), commit(2, rev=1, publish=False), commit(2)):
            assert write(backend, [other]) == [False]
        assert state(backend) == before

    def test_commit_without_diff_keeps_roster_and_snapshot(self, backend: RosterStore) -> None:
        stored = settled(backend)
        before = state(backend)
        quiet = commit(1, rev=before.rev, publish=False, leaving=b"x", position=before.position)
        assert write(backend, [quiet]) == [True]
        assert (state(backend).rev, state(backend).version) == (before.rev + 1, 1)
        assert rosters(backend, [ROOM])[ROOM] == (before.rev + 1, stored.roster)
        assert backend.load_snapshots([ROOM])[ROOM].snapshot == stored.snapshot

    def test_commit_refused_in_a_batch_leaves_the_others(self, backend: RosterStore) -> None:
        settled(backend)
        stale, fresh = commit(2, rev=0), commit(1, channel="presence:b")
        assert write(backend, [stale, fresh]) == [False, True]

    def test_commit_by_concurrent_writers_is_won_by_one_for_each_rev(
        self, backend: RosterStore, peer: RosterStore
    ) -> None:
        writers, rounds = 8, 25
        barrier = threading.Barrier(writers)
        won: list[tuple[int, int]] = []

        def race(writer: int) -> None:
            by = (backend, peer)[writer % 2]
            for n in range(rounds):
                barrier.wait()
                first = commit(n + 1, rev=2 * n, epoch=f"writer-{writer}")
                taken = write(by, [first]) == [True]
                barrier.wait()
                if taken:
                    won.append((n, writer))
                    assert acknowledge(by, [(ROOM, first.pending, None)], 1.0) == [True]
                    signalled(by, [(ROOM, first.pending)])

        run_all([partial(race, writer) for writer in range(writers)])
        assert [n for n, _ in won] == list(range(rounds))
        assert (state(backend).rev, state(backend).version) == (2 * rounds, rounds)


class AcknowledgingContract(Contract):
    def test_acknowledge_stores_position_and_adds_unsignalled_diff(
        self, backend: RosterStore
    ) -> None:
        first = commit()
        write(backend, [first])
        assert acknowledge(backend, [(ROOM, first.pending, Position(4, "S"))], 12.5) == [True]
        found = state(backend)
        assert (found.rev, found.pending, found.position) == (2, b"", Position(4, "S"))
        assert found.unsignalled == ((12.5, first.pending),)

    def test_acknowledge_without_receivers_leaves_nothing_unsignalled(
        self, backend: RosterStore
    ) -> None:
        first = commit()
        write(backend, [first])
        done = Acknowledgement(ROOM, first.pending, None, 1.0)
        written = backend.write(Writes(acknowledgements=[done], to_signal=False))
        assert written.acknowledged == [True]
        assert (state(backend).pending, state(backend).unsignalled) == (b"", ())

    def test_commit_follows_the_acknowledgement_in_the_same_write(
        self, backend: RosterStore
    ) -> None:
        first, second = commit(), commit(2, rev=2)
        write(backend, [first])
        done = Acknowledgement(ROOM, first.pending, None, 1.0)
        written = backend.write(Writes(acknowledgements=[done], commits=[second], polled=[ROOM]))
        assert (written.acknowledged, written.committed) == ([True], [True])
        last = Acknowledgement(ROOM, second.pending, None, 2.0)
        backend.write(Writes(signalled=[(ROOM, first.pending)], acknowledgements=[last]))
        assert state(backend).unsignalled == ((2.0, second.pending),)

    def test_acknowledge_of_another_diff_is_refused(self, backend: RosterStore) -> None:
        write(backend, [commit()])
        before = state(backend)
        for channel, pending in ((ROOM, commit(2).pending), (ROOM, b""), ("presence:b", b"x")):
            assert acknowledge(backend, [(channel, pending, None)], 1.0) == [False]
        assert state(backend) == before

    def test_acknowledge_repeated_is_refused(self, backend: RosterStore) -> None:
        first = commit()
        write(backend, [first])
        assert acknowledge(backend, [(ROOM, first.pending, None)], 1.0) == [True]
        before = state(backend)
        assert acknowledge(backend, [(ROOM, first.pending, None)], 2.0) == [False]
        assert state(backend) == before

    def test_acknowledge_by_concurrent_writers_succeeds_once(self, backend: RosterStore) -> None:
        for n in range(20):
            first = commit(n + 1, rev=2 * n)
            write(backend, [first])
            taken: list[bool] = []

            def take(first: Commit = first, taken: list[bool] = taken) -> None:
                taken.extend(acknowledge(backend, [(ROOM, first.pending, None)], 1.0))

            run_all([take] * 4)
            assert sorted(taken) == [False, False, False, True]
            assert len(state(backend).unsignalled) == n + 1

    @pytest.mark.parametrize(
        ("known", "told", "kept"),
        [
            (None, None, None),
            (None, Position(3, "S"), Position(3, "S")),
            (Position(3, "S"), None, Position(3, "S")),
            (Position(3, "S"), Position(4, "S"), Position(4, "S")),
            (Position(3, "S"), Position(3, "S"), Position(3, "S")),
            (Position(10, "S"), Position(9, "S"), Position(10, "S")),
            (Position(10, "S"), Position(1, "T"), Position(1, "T")),
            (Position(10, "S:1"), Position(9, "S:1"), Position(10, "S:1")),
            (Position(0, "S"), Position(2**53, "S"), Position(2**53, "S")),
        ],
    )
    def test_acknowledge_never_moves_position_back_within_a_stream(
        self, backend: RosterStore, known: Position | None, told: Position | None, kept: Position
    ) -> None:
        first = commit(position=known)
        write(backend, [first])
        acknowledge(backend, [(ROOM, first.pending, told)], 1.0)
        assert state(backend).position == kept
        assert backend.load_snapshots([ROOM])[ROOM].position == kept


class DroppingContract(Contract):
    def test_drop_restarts_at_version_one_of_another_epoch(self, backend: RosterStore) -> None:
        settled(backend)
        first = commit(2, rev=state(backend).rev)
        write(backend, [first])
        assert drop(backend, first.pending, epoch="f", now=9.0)
        found = state(backend)
        assert (found.epoch, found.version, found.pending) == ("f", 1, b"")
        assert (found.rev, found.unsignalled) == (4, ((9.0, first.pending),))
        snapshot = messages.decode(backend.load_snapshots([ROOM])[ROOM].snapshot or b"", Snapshot)
        assert (snapshot.epoch, snapshot.version, snapshot.members) == ("f", 1, [ADA])
        assert rosters(backend, [ROOM])[ROOM][1] == first.roster

    def test_drop_of_another_diff_is_refused(self, backend: RosterStore) -> None:
        assert not drop(backend, b"x", epoch="f", now=9.0)
        write(backend, [commit()])
        before = state(backend)
        assert not drop(backend, commit(2).pending, epoch="f", now=9.0)
        assert state(backend) == before

    def test_drop_of_acknowledged_diff_is_refused(self, backend: RosterStore) -> None:
        stored = settled(backend)
        before = state(backend)
        assert not drop(backend, stored.pending, epoch="f", now=9.0)
        assert state(backend) == before


class SignalledContract(Contract):
    def test_signalled_removes_only_the_diffs_that_were_sent(self, backend: RosterStore) -> None:
        made = []
        for n in range(3):
            first = commit(n + 1, rev=2 * n)
            write(backend, [first])
            acknowledge(backend, [(ROOM, first.pending, None)], 10.0 + n)
            made.append((10.0 + n, first.pending))
        assert state(backend).unsignalled == tuple(made)
        signalled(backend, [(ROOM, made[1][1]), (ROOM, b"unknown"), ("presence:b", b"unknown")])
        assert state(backend).unsignalled == (made[0], made[2])
        signalled(backend, [(ROOM, made[0][1]), (ROOM, made[2][1])])
        assert state(backend).unsignalled == ()
        assert state(backend, "presence:b") == State(channel="presence:b")

    def test_signalled_keeps_the_rev_of_the_next_commit(self, backend: RosterStore) -> None:
        first = commit()
        write(backend, [first])
        acknowledge(backend, [(ROOM, first.pending, None)], 1.0)
        rev = state(backend).rev
        signalled(backend, [(ROOM, first.pending)])
        assert write(backend, [commit(2, rev=rev)]) == [True]
