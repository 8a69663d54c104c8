"""What every RosterStore keeps to: one suite, in memory and on a real Redis."""

from __future__ import annotations

import multiprocessing
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import redis

from presence import wire
from presence.backends import scripts
from presence.backends.base import Acknowledgement, RosterStore, Writes
from presence.backends.memory import MemoryStore
from presence.backends.redis import RedisStore
from presence.exceptions import StoreError
from presence.naming import Keys
from presence.plan import Commit, State
from presence.roster import Change, Member, Position, Roster, Snapshot
from tests import rooms, servers
from tests.side_by_side import run_all
from tests.unit.fakes import Clock

ROOM = "presence:room"
ADA = Member("ada", "Ada \U0001f600")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, clock: Clock) -> RosterStore:
    if request.param == "memory":
        return MemoryStore(clock=clock)
    return RedisStore(request.getfixturevalue("redis_url"), clock=clock)


def commit(
    version: int = 1, *, rev: int = 0, publish: bool = True, who: int = 1, **fields: Any
) -> Commit:
    """A commit of `who` members as `version` of an epoch, upon `rev`."""
    epoch = fields.get("epoch", "e")
    pending = wire.Pending(epoch, version, msgspec.Raw(b'{"n":%d}' % version), Change(total=who))
    shown = {
        "roster": wire.encode(Roster({"ada": ADA} if who else {})),
        "snapshot": wire.encode(Snapshot(epoch, version, [ADA] if who else [], total=who)),
        "pending": wire.encode(pending),
    }
    defaults = {"channel": ROOM, "epoch": "e", "run": "r", "digest": b"\x00\xff\r\n", "total": who}
    defaults |= {"leaving": b""} | (shown if publish else {})
    return Commit(rev=rev, version=version, **(defaults | fields))


def state(store: RosterStore, channel: str = ROOM) -> State:
    return store.load([channel]).states[channel]


def settled(store: RosterStore, version: int = 1, **fields: Any) -> Commit:
    """Commit, acknowledge and signal."""
    one = commit(version, rev=state(store).rev, **fields)
    rooms.write(store, polled=[one.channel], now=1.0)
    assert rooms.write(store, [one]) == [True]
    assert rooms.acknowledge(store, [(one.channel, one.pending, Position(version, "S"))], 1.0) == [
        True
    ]
    rooms.signalled(store, [(one.channel, one.pending)])
    return one


class TestLoading:
    def test_what_was_never_committed(self, store: RosterStore, clock: Clock) -> None:
        loaded = store.load([ROOM, "presence:b"])
        assert loaded.states == {c: State(channel=c) for c in (ROOM, "presence:b")}
        assert (loaded.now, bool(loaded.run)) == (clock.now, True)
        assert rooms.rosters(store, [ROOM]) == {}
        assert (store.known(), store.snapshots([ROOM])[ROOM].snapshot) == ({}, None)

    def test_everything_comes_back_as_it_was_committed(self, store: RosterStore) -> None:
        fields = {"leaving": b'{"x":1}', "position": Position(7, "S:1"), "listed": False}
        one = commit(3, anonymous=5, **fields)
        assert rooms.write(store, [one]) == [True]
        found = state(store)
        for name in ("epoch", "version", "run", "digest", "leaving", "pending", "position",
                     "listed", "total", "anonymous"):  # fmt: skip
            assert getattr(found, name) == getattr(one, name), name
        assert (found.rev, found.unsignalled) == (1, ())
        assert rooms.rosters(store, [ROOM]) == {ROOM: (1, one.roster)}
        assert store.snapshots([ROOM])[ROOM].snapshot == one.snapshot

    def test_a_batch_is_in_the_order_asked_for(self, store: RosterStore) -> None:
        settled(store, channel="presence:b", who=0)
        loaded = store.load(["presence:c", "presence:b", "presence:a"])
        assert list(loaded.states) == ["presence:c", "presence:b", "presence:a"]
        assert [s.rev > 0 for s in loaded.states.values()] == [False, True, False]

    def test_nothing_asked_nothing_done(self, store: RosterStore) -> None:
        assert store.load([]).states == {}
        assert (rooms.rosters(store, []), store.snapshots([])) == ({}, {})
        rooms.write(store, polled=[], now=1.0)
        rooms.signalled(store, [])
        assert (rooms.write(store, []), rooms.acknowledge(store, [], 1.0), store.sweep({})) == (
            [],
            [],
            [],
        )

    def test_its_run_stays_the_same(self, store: RosterStore) -> None:
        assert store.load([]).run == store.load([ROOM]).run


class TestCommitting:
    def test_a_rev_that_no_longer_stands_is_refused(self, store: RosterStore) -> None:
        settled(store)
        before = state(store)
        for rev in (0, before.rev - 1, before.rev + 1):
            assert rooms.write(store, [commit(2, rev=rev, who=0)]) == [False]
        assert state(store) == before
        assert rooms.write(store, [commit(2, rev=before.rev)]) == [True]

    def test_a_retry_after_a_lost_reply_is_done_and_writes_nothing(
        self, store: RosterStore
    ) -> None:
        one = commit()
        assert rooms.write(store, [one]) == [True]
        before = state(store)
        assert rooms.write(store, [one]) == [True]
        assert state(store) == before

    def test_nothing_goes_over_what_is_pending(self, store: RosterStore) -> None:
        rooms.write(store, [commit()])
        before = state(store)
        for other in (commit(2, rev=1), commit(2, rev=1, publish=False), commit(2)):
            assert rooms.write(store, [other]) == [False]
        assert state(store) == before

    def test_a_commit_that_publishes_nothing_keeps_roster_and_snapshot(
        self, store: RosterStore
    ) -> None:
        one = settled(store)
        before = state(store)
        quiet = commit(1, rev=before.rev, publish=False, leaving=b"x", position=before.position)
        assert rooms.write(store, [quiet]) == [True]
        assert (state(store).rev, state(store).version) == (before.rev + 1, 1)
        assert rooms.rosters(store, [ROOM])[ROOM] == (before.rev + 1, one.roster)
        assert store.snapshots([ROOM])[ROOM].snapshot == one.snapshot

    def test_each_of_a_batch_for_itself(self, store: RosterStore) -> None:
        settled(store)
        stale, fresh = commit(2, rev=0), commit(1, channel="presence:b")
        assert rooms.write(store, [stale, fresh]) == [False, True]

    def test_of_many_writers_exactly_one_wins_each_rev(self, store: RosterStore) -> None:
        writers, rounds = 8, 25
        barrier = threading.Barrier(writers)
        won: list[tuple[int, int]] = []

        def write(who: int) -> None:
            for n in range(rounds):
                barrier.wait()
                one = commit(n + 1, rev=2 * n, epoch=f"writer-{who}")
                taken = rooms.write(store, [one]) == [True]
                barrier.wait()
                if taken:
                    won.append((n, who))
                    assert rooms.acknowledge(store, [(ROOM, one.pending, None)], 1.0) == [True]
                    rooms.signalled(store, [(ROOM, one.pending)])

        run_all([lambda who=who: write(who) for who in range(writers)])
        assert [n for n, _ in won] == list(range(rounds))
        assert (state(store).rev, state(store).version) == (2 * rounds, rounds)


class TestAcknowledging:
    def test_the_position_is_taken_and_the_change_is_unsignalled(self, store: RosterStore) -> None:
        one = commit()
        rooms.write(store, [one])
        assert rooms.acknowledge(store, [(ROOM, one.pending, Position(4, "S"))], 12.5) == [True]
        found = state(store)
        assert (found.rev, found.pending, found.position) == (2, b"", Position(4, "S"))
        assert found.unsignalled == ((12.5, one.pending),)

    def test_where_nobody_listens_nothing_is_left_to_signal(self, store: RosterStore) -> None:
        one = commit()
        rooms.write(store, [one])
        done = Acknowledgement(ROOM, one.pending, None, 1.0)
        assert store.write(Writes(acknowledgements=[done], to_signal=False)).acknowledged == [True]
        assert (state(store).pending, state(store).unsignalled) == (b"", ())

    def test_a_commit_stands_upon_what_is_acknowledged_with_it(self, store: RosterStore) -> None:
        one, two = commit(), commit(2, rev=2)
        rooms.write(store, [one])
        done = Acknowledgement(ROOM, one.pending, None, 1.0)
        written = store.write(Writes(acknowledgements=[done], commits=[two], polled=[ROOM]))
        assert (written.acknowledged, written.committed) == ([True], [True])
        last = Acknowledgement(ROOM, two.pending, None, 2.0)
        store.write(Writes(signalled=[(ROOM, one.pending)], acknowledgements=[last]))
        assert state(store).unsignalled == ((2.0, two.pending),)

    def test_only_one_s_own(self, store: RosterStore) -> None:
        rooms.write(store, [commit()])
        before = state(store)
        for channel, pending in ((ROOM, commit(2).pending), (ROOM, b""), ("presence:b", b"x")):
            assert rooms.acknowledge(store, [(channel, pending, None)], 1.0) == [False]
        assert state(store) == before

    def test_twice_is_once(self, store: RosterStore) -> None:
        one = commit()
        rooms.write(store, [one])
        assert rooms.acknowledge(store, [(ROOM, one.pending, None)], 1.0) == [True]
        before = state(store)
        assert rooms.acknowledge(store, [(ROOM, one.pending, None)], 2.0) == [False]
        assert state(store) == before

    def test_of_many_exactly_one_has_it(self, store: RosterStore) -> None:
        for n in range(20):
            one = commit(n + 1, rev=2 * n)
            rooms.write(store, [one])
            taken: list[bool] = []

            def take(one: Commit = one, taken: list[bool] = taken) -> None:
                taken.extend(rooms.acknowledge(store, [(ROOM, one.pending, None)], 1.0))

            run_all([take] * 4)
            assert sorted(taken) == [False, False, False, True]
            assert len(state(store).unsignalled) == n + 1

    @pytest.mark.parametrize(
        ("known", "new", "kept"),
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
        self, store: RosterStore, known: Position | None, new: Position, kept: Position
    ) -> None:
        one = commit(position=known)
        rooms.write(store, [one])
        rooms.acknowledge(store, [(ROOM, one.pending, new)], 1.0)
        assert state(store).position == kept
        assert store.snapshots([ROOM])[ROOM].position == kept


class TestDropping:
    def test_the_channel_goes_on_as_version_one_of_another_epoch(self, store: RosterStore) -> None:
        settled(store)
        one = commit(2, rev=state(store).rev)
        rooms.write(store, [one])
        assert store.drop(ROOM, one.pending, epoch="f", now=9.0)
        found = state(store)
        assert (found.epoch, found.version, found.pending) == ("f", 1, b"")
        assert (found.rev, found.unsignalled) == (4, ((9.0, one.pending),))
        snapshot = wire.decode(store.snapshots([ROOM])[ROOM].snapshot or b"", Snapshot)
        assert (snapshot.epoch, snapshot.version, snapshot.members) == ("f", 1, [ADA])
        assert rooms.rosters(store, [ROOM])[ROOM][1] == one.roster

    def test_only_one_s_own(self, store: RosterStore) -> None:
        assert not store.drop(ROOM, b"x", epoch="f", now=9.0)
        rooms.write(store, [commit()])
        before = state(store)
        assert not store.drop(ROOM, commit(2).pending, epoch="f", now=9.0)
        assert state(store) == before

    def test_what_was_acknowledged_meanwhile_is_not_dropped(self, store: RosterStore) -> None:
        one = settled(store)
        before = state(store)
        assert not store.drop(ROOM, one.pending, epoch="f", now=9.0)
        assert state(store) == before


class TestSignalled:
    def test_only_what_was_sent_is_forgotten(self, store: RosterStore) -> None:
        made = []
        for n in range(3):
            one = commit(n + 1, rev=2 * n)
            rooms.write(store, [one])
            rooms.acknowledge(store, [(ROOM, one.pending, None)], 10.0 + n)
            made.append((10.0 + n, one.pending))
        assert state(store).unsignalled == tuple(made)
        rooms.signalled(store, [(ROOM, made[1][1]), (ROOM, b"unknown"), ("presence:b", b"unknown")])
        assert state(store).unsignalled == (made[0], made[2])
        rooms.signalled(store, [(ROOM, made[0][1]), (ROOM, made[2][1])])
        assert state(store).unsignalled == ()
        assert state(store, "presence:b") == State(channel="presence:b")

    def test_it_disturbs_no_commit(self, store: RosterStore) -> None:
        one = commit()
        rooms.write(store, [one])
        rooms.acknowledge(store, [(ROOM, one.pending, None)], 1.0)
        rev = state(store).rev
        rooms.signalled(store, [(ROOM, one.pending)])
        assert rooms.write(store, [commit(2, rev=rev)]) == [True]


class TestKnown:
    def test_the_newest_poll_counts(self, store: RosterStore) -> None:
        rooms.write(store, polled=[ROOM, "presence:b"], now=50.25)
        rooms.write(store, polled=[ROOM], now=60.5)
        rooms.write(store, polled=["presence:b"], now=40.0)
        assert store.known() == {ROOM: 60.5, "presence:b": 50.25}
        assert store.snapshots([ROOM, "presence:c"])[ROOM].polled == 60.5
        assert store.snapshots(["presence:c"])["presence:c"].polled is None

    def test_a_snapshot_comes_with_the_time(self, store: RosterStore, clock: Clock) -> None:
        assert store.snapshots([ROOM])[ROOM].now == clock.now


class TestSweeping:
    MOMENT = 1732222222.123457

    def empty(self, store: RosterStore, **fields: Any) -> None:
        settled(store, who=0, **fields)
        rooms.write(store, polled=[ROOM], now=self.MOMENT)

    def test_what_is_empty_is_forgotten_whole(self, store: RosterStore) -> None:
        self.empty(store)
        assert store.sweep({ROOM: self.MOMENT}) == [ROOM]
        assert (state(store), store.known()) == (State(channel=ROOM), {})
        assert rooms.rosters(store, [ROOM]) == {}
        assert store.snapshots([ROOM])[ROOM].snapshot is None

    def test_what_was_only_ever_touched_too(self, store: RosterStore) -> None:
        rooms.write(store, polled=[ROOM], now=self.MOMENT)
        assert store.sweep({ROOM: self.MOMENT}) == [ROOM]

    @pytest.mark.parametrize("fields", [{"total": 1}, {"anonymous": 1}, {"leaving": b"x"}])
    def test_what_is_not_empty_stays(self, store: RosterStore, fields: dict[str, Any]) -> None:
        self.empty(store, **fields)
        before = state(store)
        assert store.sweep({ROOM: self.MOMENT}) == []
        assert (state(store), ROOM in store.known()) == (before, True)

    def test_what_is_unfinished_stays(self, store: RosterStore) -> None:
        self.empty(store)
        one = commit(2, rev=state(store).rev, who=0)
        rooms.write(store, [one])
        assert store.sweep({ROOM: self.MOMENT}) == []
        rooms.acknowledge(store, [(ROOM, one.pending, None)], 1.0)
        assert store.sweep({ROOM: self.MOMENT}) == []
        rooms.signalled(store, [(ROOM, one.pending)])
        assert store.sweep({ROOM: self.MOMENT}) == [ROOM]

    def test_what_was_polled_since_stays_known(self, store: RosterStore) -> None:
        self.empty(store)
        rooms.write(store, polled=[ROOM], now=self.MOMENT + 1)
        assert store.sweep({ROOM: self.MOMENT}) == []
        assert store.known() == {ROOM: self.MOMENT + 1}

    def test_whoever_comes_in_meanwhile_is_never_lost(self, store: RosterStore) -> None:
        """A sync that loaded the channel commits while it is swept: it wins, or tries again."""
        for n in range(20):
            self.empty(store)
            loaded = state(store)
            moment = store.known()[ROOM]
            taken: list[bool] = []

            def come(n: int = n, rev: int = loaded.rev, taken: list[bool] = taken) -> None:
                rooms.write(store, polled=[ROOM], now=self.MOMENT + 1 + n)
                taken.extend(rooms.write(store, [commit(2, rev=rev)]))

            run_all([come, lambda moment=moment: store.sweep({ROOM: moment})])
            assert ROOM in store.known(), "touched before the commit"
            assert (state(store).total == 1) is taken[0]
            one = state(store)
            if one.pending:
                rooms.acknowledge(store, [(ROOM, one.pending, None)], 1.0)
                rooms.signalled(store, [(ROOM, one.pending)])
            rooms.write(store, [commit(3, rev=state(store).rev, who=0)])
            one = state(store)
            rooms.acknowledge(store, [(ROOM, one.pending, None)], 1.0)
            rooms.signalled(store, [(ROOM, one.pending)])
            assert store.sweep(dict(store.known())) == [ROOM]


class TestNodes:
    def test_the_first_tick_has_nothing_to_compare(self, store: RosterStore, clock: Clock) -> None:
        assert store.nodes(frozenset("ab")) is None
        clock.advance(100)
        assert store.nodes(frozenset("ba")) is None

    def test_seconds_since_they_changed(self, store: RosterStore, clock: Clock) -> None:
        store.nodes(frozenset("ab"))
        clock.advance(5)
        assert store.nodes(frozenset("a")) == 0
        clock.advance(7.5)
        assert store.nodes(frozenset("a")) == pytest.approx(7.5)
        assert store.nodes(frozenset("ab")) == 0


class TestClaiming:
    def test_the_first_has_the_slot_of_the_channel(self, store: RosterStore) -> None:
        assert [store.claim(ROOM, 7, seconds=60) for _ in range(3)] == [True, False, False]
        assert store.claim(ROOM, 8, seconds=60)
        assert store.claim("presence:b", 7, seconds=60)

    def test_of_many_exactly_one_has_it(self, store: RosterStore) -> None:
        taken: list[bool] = []
        run_all([lambda: taken.append(store.claim(ROOM, 7, seconds=60))] * 8)
        assert sorted(taken) == [False] * 7 + [True]

    def test_it_is_no_channel(self, store: RosterStore) -> None:
        store.claim(ROOM, 7, seconds=60)
        assert (state(store), store.known()) == (State(channel=ROOM), {})

    def test_it_ends(self) -> None:
        clock = Clock()
        kept = MemoryStore(clock=clock)
        assert kept.claim(ROOM, 7, seconds=4)
        clock.advance(3.9)
        assert not kept.claim(ROOM, 7, seconds=4)
        clock.advance(0.2)
        assert kept.claim(ROOM, 7, seconds=4)

    def test_redis_ends_it_by_itself(self, redis_url: str) -> None:
        assert RedisStore(redis_url).claim(ROOM, 7, seconds=4.5)
        with redis.Redis.from_url(redis_url) as server:
            (key,) = server.keys("*")
            assert 0 < server.pttl(key) <= 4500


class TestOnRedis:
    """What only a server can do to one."""

    @pytest.fixture
    def server(self, redis_url: str) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(redis_url) as client:
            yield client

    @pytest.fixture
    def kept(self, redis_url: str, clock: Clock) -> RedisStore:
        return RedisStore(redis_url, clock=clock)

    def test_scripts_that_were_flushed_are_loaded_again(
        self, kept: RedisStore, server: redis.Redis
    ) -> None:
        settled(kept)
        server.script_flush()
        one = commit(2, rev=state(kept).rev)
        assert rooms.write(kept, [one, commit(channel="presence:b")]) == [True, True]
        server.script_flush()
        assert rooms.acknowledge(kept, [(ROOM, one.pending, None)], 1.0) == [True]
        server.script_flush()
        rooms.signalled(kept, [(ROOM, one.pending)])
        server.script_flush()
        assert kept.nodes(frozenset("a")) is None
        server.script_flush()
        assert kept.sweep({"presence:never": 1.0}) == []
        assert state(kept).unsignalled == ()

    @pytest.mark.parametrize("known", ["signalled", "acknowledge", "commit"])
    def test_a_batch_is_run_once_whatever_redis_still_knows(
        self, kept: RedisStore, server: redis.Redis, known: str
    ) -> None:
        """Run twice, it would not know what it acknowledged the first time."""
        one, two = commit(), commit(channel="presence:b")
        rooms.write(kept, [one, two])
        server.script_flush()
        server.script_load(scripts.ALL[known])
        written = kept.write(
            Writes(
                signalled=[(ROOM, one.pending), ("presence:b", two.pending)],
                acknowledgements=[
                    Acknowledgement(done.channel, done.pending, None, 1.0) for done in (one, two)
                ],
                commits=[commit(2, rev=2), commit(2, rev=2, channel="presence:b")],
            )
        )
        assert (written.acknowledged, written.committed) == ([True, True], [True, True])

    def test_occupied_hashes_do_not_expire_and_keep_to_one_key(
        self, kept: RedisStore, server: redis.Redis
    ) -> None:
        settled(kept)
        keys = {key.decode() for key in server.scan_iter()}
        assert keys == {Keys("presence").channel(ROOM), Keys("presence").channels}
        assert {server.ttl(key) for key in keys} == {-1}

    def test_prefixes_keep_sites_apart(self, redis_url: str, kept: RedisStore) -> None:
        settled(kept)
        other = RedisStore(redis_url, prefix="other")
        assert state(other) == State(channel=ROOM)
        assert other.known() == {}

    def test_without_a_clock_the_time_is_the_server_s(
        self, redis_url: str, server: redis.Redis
    ) -> None:
        store = RedisStore(redis_url)
        before, _ = server.time()
        now = store.load([]).now
        after, _ = server.time()
        assert before <= now <= after + 1
        assert before <= store.snapshots([ROOM])[ROOM].now <= after + 2

    def test_a_key_of_another_kind_is_a_store_error(
        self, kept: RedisStore, server: redis.Redis
    ) -> None:
        server.set(Keys("presence").channel(ROOM), "mine")
        for call in (lambda: kept.load([ROOM]), lambda: rooms.write(kept, [commit()])):
            with pytest.raises(StoreError, match="WRONGTYPE"):
                call()

    @pytest.mark.parametrize(
        "call",
        [
            lambda store: store.load([ROOM]),
            lambda store: rooms.rosters(store, [ROOM]),
            lambda store: store.snapshots([ROOM]),
            lambda store: rooms.write(store, polled=[ROOM], now=1.0),
            lambda store: rooms.write(store, [commit()]),
            lambda store: rooms.acknowledge(store, [(ROOM, b"x", None)], 1.0),
            lambda store: store.drop(ROOM, b"x", epoch="e", now=1.0),
            lambda store: rooms.signalled(store, [(ROOM, b"x")]),
            lambda store: store.known(),
            lambda store: store.sweep({ROOM: 1.0}),
            lambda store: store.nodes(frozenset("a")),
        ],
    )
    def test_one_that_is_down_is_a_store_error_without_a_password(
        self, call: Callable[[RosterStore], object]
    ) -> None:
        store = RedisStore("redis://user:s3cret@127.0.0.1:9/0")
        with pytest.raises(StoreError, match="PRESENCE_REDIS_URL") as caught:
            call(store)
        assert "s3cret" not in str(caught.value)

    def test_another_life_has_another_run(self, tmp_path: Any) -> None:
        with servers.redis_server(tmp_path) as (url, server):
            store = RedisStore(url)
            first = store.load([]).run
            server.restart()
            assert store.load([]).run != first

    def test_processes_race_and_one_wins_each_rev(self, redis_url: str) -> None:
        """Four processes write as fast as they can; the chain has no gap and no fork."""
        channel = f"presence:{uuid.uuid4().hex}"
        spawn = multiprocessing.get_context("spawn")
        writers = [
            spawn.Process(target=write_forty, args=(redis_url, channel, who)) for who in range(4)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(120)
        assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
        found = state(RedisStore(redis_url), channel)
        changes = [wire.decode(pending, wire.Pending) for _, pending in found.unsignalled]
        assert [change.version for change in changes] == list(range(1, 161))
        assert (found.version, found.rev) == (160, 320)


def write_forty(url: str, channel: str, who: int) -> None:
    """Win forty commits, each against whoever else writes."""
    store, written = RedisStore(url), 0
    while written < 40:
        found = state(store, channel)
        if found.pending:
            continue
        one = commit(found.version + 1, rev=found.rev, channel=channel, epoch=f"w{who}")
        if rooms.write(store, [one]) == [True]:
            assert rooms.acknowledge(store, [(channel, one.pending, None)], 1.0) == [True]
            written += 1
