"""What becomes of what was committed: acknowledged, dropped, signalled."""

from __future__ import annotations

import pytest

from presence.backends.base import Acknowledgement, RosterStore, Writes
from presence.roster import messages
from presence.roster.commit import Commit, State
from presence.roster.messages import Position, Snapshot
from presence.testing.contract.base import Contract
from presence.testing.contract.side_by_side import run_all
from presence.testing.contract.writing import (
    ADA,
    ROOM,
    acknowledge,
    commit,
    rosters,
    settled,
    signalled,
    state,
    write,
)

__all__ = ["AcknowledgingContract", "DroppingContract", "SignalledContract"]


class AcknowledgingContract(Contract):
    def test_the_position_is_taken_and_the_change_is_unsignalled(
        self, backend: RosterStore
    ) -> None:
        one = commit()
        write(backend, [one])
        assert acknowledge(backend, [(ROOM, one.pending, Position(4, "S"))], 12.5) == [True]
        found = state(backend)
        assert (found.rev, found.pending, found.position) == (2, b"", Position(4, "S"))
        assert found.unsignalled == ((12.5, one.pending),)

    def test_where_nobody_listens_nothing_is_left_to_signal(self, backend: RosterStore) -> None:
        one = commit()
        write(backend, [one])
        done = Acknowledgement(ROOM, one.pending, None, 1.0)
        written = backend.write(Writes(acknowledgements=[done], to_signal=False))
        assert written.acknowledged == [True]
        assert (state(backend).pending, state(backend).unsignalled) == (b"", ())

    def test_a_commit_stands_upon_what_is_acknowledged_with_it(self, backend: RosterStore) -> None:
        one, two = commit(), commit(2, rev=2)
        write(backend, [one])
        done = Acknowledgement(ROOM, one.pending, None, 1.0)
        written = backend.write(Writes(acknowledgements=[done], commits=[two], polled=[ROOM]))
        assert (written.acknowledged, written.committed) == ([True], [True])
        last = Acknowledgement(ROOM, two.pending, None, 2.0)
        backend.write(Writes(signalled=[(ROOM, one.pending)], acknowledgements=[last]))
        assert state(backend).unsignalled == ((2.0, two.pending),)

    def test_only_one_s_own_is_acknowledged(self, backend: RosterStore) -> None:
        write(backend, [commit()])
        before = state(backend)
        for channel, pending in ((ROOM, commit(2).pending), (ROOM, b""), ("presence:b", b"x")):
            assert acknowledge(backend, [(channel, pending, None)], 1.0) == [False]
        assert state(backend) == before

    def test_acknowledging_twice_is_once(self, backend: RosterStore) -> None:
        one = commit()
        write(backend, [one])
        assert acknowledge(backend, [(ROOM, one.pending, None)], 1.0) == [True]
        before = state(backend)
        assert acknowledge(backend, [(ROOM, one.pending, None)], 2.0) == [False]
        assert state(backend) == before

    def test_of_many_exactly_one_acknowledges(self, backend: RosterStore) -> None:
        for n in range(20):
            one = commit(n + 1, rev=2 * n)
            write(backend, [one])
            taken: list[bool] = []

            def take(one: Commit = one, taken: list[bool] = taken) -> None:
                taken.extend(acknowledge(backend, [(ROOM, one.pending, None)], 1.0))

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
    def test_a_position_never_moves_back_within_a_stream(
        self, backend: RosterStore, known: Position | None, told: Position | None, kept: Position
    ) -> None:
        one = commit(position=known)
        write(backend, [one])
        acknowledge(backend, [(ROOM, one.pending, told)], 1.0)
        assert state(backend).position == kept
        assert backend.load_snapshots([ROOM])[ROOM].position == kept


class DroppingContract(Contract):
    def test_dropping_goes_on_as_version_one_of_another_epoch(self, backend: RosterStore) -> None:
        settled(backend)
        one = commit(2, rev=state(backend).rev)
        write(backend, [one])
        assert backend.drop(ROOM, one.pending, epoch="f", now=9.0)
        found = state(backend)
        assert (found.epoch, found.version, found.pending) == ("f", 1, b"")
        assert (found.rev, found.unsignalled) == (4, ((9.0, one.pending),))
        snapshot = messages.decode(backend.load_snapshots([ROOM])[ROOM].snapshot or b"", Snapshot)
        assert (snapshot.epoch, snapshot.version, snapshot.members) == ("f", 1, [ADA])
        assert rosters(backend, [ROOM])[ROOM][1] == one.roster

    def test_only_one_s_own_is_dropped(self, backend: RosterStore) -> None:
        assert not backend.drop(ROOM, b"x", epoch="f", now=9.0)
        write(backend, [commit()])
        before = state(backend)
        assert not backend.drop(ROOM, commit(2).pending, epoch="f", now=9.0)
        assert state(backend) == before

    def test_what_was_acknowledged_meanwhile_is_not_dropped(self, backend: RosterStore) -> None:
        one = settled(backend)
        before = state(backend)
        assert not backend.drop(ROOM, one.pending, epoch="f", now=9.0)
        assert state(backend) == before


class SignalledContract(Contract):
    def test_only_signals_that_were_sent_are_forgotten(self, backend: RosterStore) -> None:
        made = []
        for n in range(3):
            one = commit(n + 1, rev=2 * n)
            write(backend, [one])
            acknowledge(backend, [(ROOM, one.pending, None)], 10.0 + n)
            made.append((10.0 + n, one.pending))
        assert state(backend).unsignalled == tuple(made)
        signalled(backend, [(ROOM, made[1][1]), (ROOM, b"unknown"), ("presence:b", b"unknown")])
        assert state(backend).unsignalled == (made[0], made[2])
        signalled(backend, [(ROOM, made[0][1]), (ROOM, made[2][1])])
        assert state(backend).unsignalled == ()
        assert state(backend, "presence:b") == State(channel="presence:b")

    def test_signals_that_were_sent_disturb_no_commit(self, backend: RosterStore) -> None:
        one = commit()
        write(backend, [one])
        acknowledge(backend, [(ROOM, one.pending, None)], 1.0)
        rev = state(backend).rev
        signalled(backend, [(ROOM, one.pending)])
        assert write(backend, [commit(2, rev=rev)]) == [True]
