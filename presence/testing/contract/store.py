"""Contract of a RosterStore: rosters, commits, what is published, and damage."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest

from presence.backends.base import (
    Acknowledgement,
    RosterStore,
    StoredRoster,
    Writes,
)
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
    suspect,
    sweep,
    write,
)

__all__ = [
    "AcknowledgingContract",
    "ClaimingContract",
    "CommittingContract",
    "DroppingContract",
    "KnownContract",
    "LoadingContract",
    "MendingContract",
    "NodesContract",
    "SignalledContract",
    "StoreSetBackContract",
    "SweepingContract",
]


class LoadingContract(Contract):
    def test_loading_what_was_never_committed(self, backend: RosterStore, clock: Clock) -> None:
        loaded = backend.load_states([ROOM, "presence:b"])
        assert loaded.states == {c: State(channel=c) for c in (ROOM, "presence:b")}
        assert (loaded.now, bool(loaded.run)) == (clock.now, True)
        assert rosters(backend, [ROOM]) == {}
        assert (backend.known_channels().polled, backend.load_snapshots([ROOM])[ROOM].snapshot) == (
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
        assert (
            write(backend, []),
            acknowledge(backend, [], 1.0),
            sweep(backend, {}),
        ) == (
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
        assert drop(backend, one.pending, epoch="f", now=9.0)
        found = state(backend)
        assert (found.epoch, found.version, found.pending) == ("f", 1, b"")
        assert (found.rev, found.unsignalled) == (4, ((9.0, one.pending),))
        snapshot = messages.decode(backend.load_snapshots([ROOM])[ROOM].snapshot or b"", Snapshot)
        assert (snapshot.epoch, snapshot.version, snapshot.members) == ("f", 1, [ADA])
        assert rosters(backend, [ROOM])[ROOM][1] == one.roster

    def test_only_one_s_own_is_dropped(self, backend: RosterStore) -> None:
        assert not drop(backend, b"x", epoch="f", now=9.0)
        write(backend, [commit()])
        before = state(backend)
        assert not drop(backend, commit(2).pending, epoch="f", now=9.0)
        assert state(backend) == before

    def test_what_was_acknowledged_meanwhile_is_not_dropped(self, backend: RosterStore) -> None:
        one = settled(backend)
        before = state(backend)
        assert not drop(backend, one.pending, epoch="f", now=9.0)
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


class KnownContract(Contract):
    def test_the_newest_poll_counts(self, backend: RosterStore) -> None:
        write(backend, polled=[ROOM, "presence:b"], now=50.25)
        write(backend, polled=[ROOM], now=60.5)
        write(backend, polled=["presence:b"], now=40.0)
        assert backend.known_channels().polled == {ROOM: 60.5, "presence:b": 50.25}
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
        assert sweep(backend, {ROOM: self.MOMENT}) == [ROOM]
        assert (state(backend), backend.known_channels().polled) == (State(channel=ROOM), {})
        assert rosters(backend, [ROOM]) == {}
        assert backend.load_snapshots([ROOM])[ROOM].snapshot is None

    def test_a_channel_that_was_only_ever_touched_is_forgotten(self, backend: RosterStore) -> None:
        write(backend, polled=[ROOM], now=self.MOMENT)
        assert sweep(backend, {ROOM: self.MOMENT}) == [ROOM]

    @pytest.mark.parametrize("fields", [{"total": 1}, {"anonymous": 1}, {"leaving": b"x"}])
    def test_a_channel_that_is_not_empty_stays(
        self, backend: RosterStore, fields: dict[str, Any]
    ) -> None:
        self.empty(backend, **fields)
        before = state(backend)
        assert sweep(backend, {ROOM: self.MOMENT}) == []
        assert (state(backend), ROOM in backend.known_channels().polled) == (before, True)

    def test_a_channel_with_something_unfinished_stays(self, backend: RosterStore) -> None:
        self.empty(backend)
        one = commit(2, rev=state(backend).rev, who=0)
        write(backend, [one])
        assert sweep(backend, {ROOM: self.MOMENT}) == []
        acknowledge(backend, [(ROOM, one.pending, None)], 1.0)
        assert sweep(backend, {ROOM: self.MOMENT}) == []
        signalled(backend, [(ROOM, one.pending)])
        assert sweep(backend, {ROOM: self.MOMENT}) == [ROOM]

    def test_a_channel_that_was_polled_since_stays_known(self, backend: RosterStore) -> None:
        self.empty(backend)
        write(backend, polled=[ROOM], now=self.MOMENT + 1)
        assert sweep(backend, {ROOM: self.MOMENT}) == []
        assert backend.known_channels().polled == {ROOM: self.MOMENT + 1}

    def test_whoever_comes_in_while_it_is_swept_is_never_lost(self, backend: RosterStore) -> None:
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
            assert ROOM in backend.known_channels().polled, "touched before the commit"
            assert (state(backend).total == 1) is taken[0]
            one = state(backend)
            if one.pending:
                acknowledge(backend, [(ROOM, one.pending, None)], 1.0)
                signalled(backend, [(ROOM, one.pending)])
            write(backend, [commit(3, rev=state(backend).rev, who=0)])
            one = state(backend)
            acknowledge(backend, [(ROOM, one.pending, None)], 1.0)
            signalled(backend, [(ROOM, one.pending)])
            assert sweep(backend, dict(backend.known_channels().polled)) == [ROOM]


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
        assert (state(backend), backend.known_channels().polled) == (State(channel=ROOM), {})


def suspected(backend: RosterStore, field: str = "snapshot") -> State:
    """The state of a channel of which a reader says that it cannot read a field."""
    found = backend.load_states([], whole=[ROOM]).whole[ROOM]
    suspect(backend, field, getattr(found, field))
    return state(backend)


def mending(damaged: State, version: int = 1, **fields: Any) -> Commit:
    return commit(version, rev=damaged.rev, epoch="f", replaces=damaged.damage, **fields)


class MendingContract(Contract):
    def test_load_whole_gives_roster_and_snapshot_of_one_rev(self, backend: RosterStore) -> None:
        one = settled(backend)
        loaded = backend.load_states([], whole=[ROOM, "presence:never"])
        assert loaded.whole == {
            ROOM: StoredRoster(2, one.roster or b"", one.snapshot or b""),
            "presence:never": StoredRoster(0, b"", b""),
        }

    @pytest.mark.parametrize("field", ["roster", "snapshot"])
    def test_suspect_field_as_it_was_read_damages_the_state(
        self, backend: RosterStore, field: str
    ) -> None:
        one = settled(backend)
        found = suspected(backend, field)
        assert found.damage
        assert field in found.damage.reason
        assert (found.rev, found.epoch, found.occupied) == (2, one.epoch, True)

    def test_suspect_field_that_was_written_since_changes_nothing(
        self, backend: RosterStore
    ) -> None:
        settled(backend)
        before = state(backend)
        suspect(backend, "snapshot", b"what another one read")
        assert state(backend) == before

    def test_suspect_channel_that_was_never_committed_makes_none(
        self, backend: RosterStore
    ) -> None:
        suspect(backend, "roster", b"")
        assert state(backend) == State(channel=ROOM)

    def test_commit_that_replaces_leaves_nothing_of_what_was_there(
        self, backend: RosterStore
    ) -> None:
        settled(backend, position=None, leaving=b"x")
        damaged = suspected(backend)
        kept = ((3.5, commit(9).pending),)
        one = mending(damaged, who=0, unsignalled=kept)
        assert write(backend, [one]) == [True]
        found = state(backend)
        assert (found.rev, found.epoch, found.version) == (damaged.rev + 1, "f", 1)
        assert (found.damage, found.leaving, found.pending) == (None, b"", one.pending)
        assert (found.unsignalled, found.total) == (kept, 0)
        assert rosters(backend, [ROOM])[ROOM] == (found.rev, one.roster)

    def test_commit_that_replaces_is_refused_once_somebody_has_written(
        self, backend: RosterStore
    ) -> None:
        settled(backend)
        damaged = suspected(backend)
        first, second = mending(damaged), mending(damaged, 2)
        assert write(backend, [first, second]) == [True, False]
        acknowledge(backend, [(ROOM, first.pending, None)], 1.0)
        before = state(backend)
        assert write(backend, [second]) == [False]
        assert state(backend) == before

    def test_commit_that_replaces_is_done_when_its_reply_was_lost(
        self, backend: RosterStore
    ) -> None:
        settled(backend)
        one = mending(suspected(backend))
        assert write(backend, [one]) == [True]
        before = state(backend)
        assert write(backend, [one]) == [True]
        assert state(backend) == before

    def test_commit_that_replaces_takes_the_place_of_what_is_pending(
        self, backend: RosterStore
    ) -> None:
        left = commit()
        write(backend, [left])
        one = mending(suspected(backend))
        assert write(backend, [one]) == [True]
        assert state(backend).pending == one.pending
        assert acknowledge(backend, [(ROOM, left.pending, None)], 1.0) == [False]


HOUR = 3600.0


class StoreSetBackContract(Contract):
    def test_known_polled_ahead_is_of_now_and_can_be_polled_again(
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
