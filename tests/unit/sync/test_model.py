"""Random histories of several syncs: crashes, pauses, lost replies, restarts, lost writes.

Some syncs tick, others look. What looks find without a tick is in test_watch_model.

Each sync runs in a thread of its own that stops before and after every call to the store or to
Centrifugo; one seeded generator decides who goes on, how far, and what breaks. No history depends
on time or on the scheduler of the machine: a seed that fails fails again.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from presence.backends.base import Acknowledgement, Suspect, Writes
from presence.backends.memory import MemoryStore
from presence.backends.tracker import Tracker
from presence.centrifugo.gateway import Gateway
from presence.exceptions import (
    CentrifugoUnreachable,
    InvalidMessage,
    PresenceError,
    StoreError,
)
from presence.roster import messages
from presence.roster.commit import Commit, State, find_flaw, mark_damaged, verify
from presence.roster.messages import Change, Diff, Position, Snapshot
from presence.snapshots import _serve
from presence.sync.context import LastLook, Options
from presence.sync.tick import NODES_SETTLE, Sync
from tests.feed_reader import Gap, Publication, apply, decode_publication
from tests.unit.fakes import ROOM, Clock, FakeCentrifugo, Inline

QUIET = "presence:quiet"
ROOMS = (ROOM, QUIET)
RESIDENTS = ("r1", "r2")
VISITORS = ("v1", "v2", "v3", "")
TRACKED = ("v1", "bot")
GRACE = 10.0
TIMEOUT = 10_000.0


class Crash(BaseException):
    """The end of a worker."""


class LossyStore(MemoryStore):
    """A store that can be rolled back into another life; it records all commits."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.lives = 0
        self.committed: dict[tuple[str, str, int], bytes] = {}
        self.acknowledged: list[tuple[str, bytes]] = []

    def save(self) -> dict[str, Any]:
        dicts, others = ("_rooms", "_polled", "_due"), ("_nodes", "_counts", "_looking")
        saved = {name: dict(getattr(self, name)) for name in dicts}
        return saved | {name: getattr(self, name) for name in others}

    def roll_back(self, saved: dict[str, Any]) -> None:
        self.lives += 1
        vars(self).update({k: dict(v) if isinstance(v, dict) else v for k, v in saved.items()})
        self._run = f"life-{self.lives}"

    def damage(self, channel: str, field: str, value: bytes) -> None:
        """Overwrite a part of a channel with bytes that no tick wrote."""
        with self._lock:
            if (room := self._rooms.get(channel)) is None:
                return
            state = room.state
            if field in ("roster", "snapshot"):
                self._rooms[channel] = room._replace(**{field: value})
            else:
                if field == "state":  # nothing of it can be read but what tells it from another
                    state = State(channel=channel, rev=state.rev, pending=state.pending)
                else:
                    state = msgspec.structs.replace(state, damage=None, **{field: value})
                self._rooms[channel] = room._replace(state=mark_damaged(state, field))

    def _commit(self, commit: Commit) -> bool:
        taken = super()._commit(commit)
        if taken and commit.snapshot:
            self.committed[commit.channel, commit.epoch, commit.version] = commit.snapshot
        return taken

    def _acknowledge(self, done: Acknowledgement, *, to_signal: bool) -> bool:
        taken = super()._acknowledge(done, to_signal=to_signal)
        if taken:
            self.acknowledged.append((done.channel, done.pending))
        return taken


class Worker:
    """One tick or look in a thread that the test moves step by step."""

    def __init__(self, world: World, *, look: bool = False) -> None:
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._order: BaseException | None = None
        self.at = ""
        self.done = False
        self.failure: BaseException | None = None
        self._look = look
        options = Options(grace=GRACE, list_limit=world.list_limit, batch_size=1, timeout=TIMEOUT)
        self._sync = Sync(
            Stepped(world.store, self),  # type: ignore[arg-type]
            Stepped(Gateway(world.centrifugo), self),  # type: ignore[arg-type]
            options,
            announce=lambda *change: world.announced.append(change),
            last_look=world.last_look,
            clock=world.clock,
            executor=Inline,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._stopped.acquire()

    def step(self, order: BaseException | None = None) -> None:
        """Go on to the next stop; with `order`, raise it there."""
        self._order = order
        self._go.release()
        self._stopped.acquire()

    def stop_at(self, where: str) -> None:
        self.at = where
        self._stopped.release()
        self._go.acquire()
        if self._order:
            raise self._order

    def finish(self) -> None:
        while not self.done:
            self.step()

    def _run(self) -> None:
        try:
            self.stop_at("start")
            self._sync.look() if self._look else self._sync.tick()
        except Crash:
            pass
        except BaseException as error:
            self.failure = error
        self.done = True
        self._stopped.release()


class Stepped:
    """A store or a gateway whose calls are stops of a worker."""

    def __init__(self, real: Any, worker: Worker) -> None:
        self._real, self._worker = real, worker

    def __getattr__(self, name: str) -> Any:
        real: Callable[..., Any] = getattr(self._real, name)

        def stepped(*arguments: Any, **options: Any) -> Any:
            self._worker.stop_at(f"before {name}")
            result = real(*arguments, **options)
            self._worker.stop_at(f"after {name}")
            return result

        return stepped


Tracker.register(Stepped)


class Reader:
    """An open page: a snapshot, and the publications of the feed by the rules of the browser."""

    def __init__(self, world: World, channel: str) -> None:
        self._world, self._channel = world, channel
        self._stream, self._next = "", 0
        self._stale, self._kept = False, list[Publication]()
        self.shown = Snapshot()
        self._subscribe(self.fetch())

    def fetch(self) -> Position | None:
        stored = self._world.store.load_snapshots([self._channel])[self._channel]
        try:
            if stored.damage:
                raise InvalidMessage(stored.damage)
            new = _serve(stored)
        except InvalidMessage:  # answered with 503: the page tries again
            suspect = Suspect(self._channel, "snapshot", stored.snapshot or b"")
            self._world.store.write(Writes(suspects=[suspect]))
            self._stale = True
            return None
        self._stale = False
        for publication in self._kept:
            with contextlib.suppress(Gap):
                new = apply(new, publication)
        if new.epoch == self.shown.epoch and new.version < self.shown.version:
            self._stale = True
            return None
        self.shown = new
        fitting = [p for p in self._kept if _epoch(p) == new.epoch and _version(p) > new.version]
        self._stale, self._kept = bool(fitting), fitting
        return stored.position

    def pull(self, most: int) -> None:
        stream = self._world.centrifugo.stream(self._channel)
        if stream.epoch != self._stream:
            self._subscribe(None)
        for data in stream.log[self._next : self._next + most]:
            self._next += 1
            self._take(data)
        if self._stale:
            self.fetch()

    def _take(self, data: bytes) -> None:
        publication = decode_publication(data)
        assert publication is not None
        try:
            self.shown = apply(self.shown, publication)
        except Gap:
            self._kept = [*self._kept, publication][-100:]
            self._stale = True

    def _subscribe(self, since: Position | None) -> None:
        stream = self._world.centrifugo.stream(self._channel)
        recovered = since is not None and since.epoch == stream.epoch
        self._stream, self._next = stream.epoch, stream.top.offset
        if recovered and since:
            self._next = since.offset
        else:
            self.fetch()


def _epoch(publication: Publication) -> str:
    return str(getattr(publication, "epoch", ""))


def _version(publication: Publication) -> int:
    return int(getattr(publication, "version", 0))


class World:
    """The state of one history, and the actions that change it."""

    def __init__(
        self,
        seed: int,
        *,
        rollbacks: bool = False,
        damage: bool = False,
    ) -> None:
        self.random = random.Random(seed)
        self.clock = Clock()
        self.centrifugo = FakeCentrifugo(self.clock)
        self.store = LossyStore(self.clock)
        self.announced: list[tuple[str, int, Change, str]] = []
        self.list_limit = self.random.choice([2, 200])
        self.last_look = LastLook()
        self.workers: list[Worker] = []
        self.logs: list[tuple[str, list[bytes]]] = []
        self.back: list[tuple[float, str, str]] = []
        self.saved = self.store.save()
        self.names = Counter[str]()
        self.client = 0
        for resident in RESIDENTS:
            self.enter(ROOM, resident)
        first = Worker(self)
        first.finish()
        self.readers = [Reader(self, channel) for channel in (ROOM, ROOM, QUIET)]
        self.actions: list[Callable[[], None]] = [
            *[self.move] * 4,
            *[self.track] * 2,
            *[self.start] * 3,
            *[self.start_look] * 3,
            *[self.work] * 12,
            *[self.read] * 3,
            *[self.pass_time] * 4,
            *[self.break_down] * 2,
            self.restart_centrifugo,
            *([self.save, self.roll_back] if rollbacks else []),
            *([self.damage] * 2 if damage else []),
        ]

    def run(self, actions: int) -> None:
        for _ in range(actions):
            self.random.choice(self.actions)()
            self.return_home()

    def enter(self, channel: str, user: str) -> None:
        self.client += 1
        name = f"{user}-{self.names[user]}" if user else ""
        self.centrifugo.enter(channel, f"c{self.client:04}", user, name, iat=1.0 + self.names[user])

    def move(self) -> None:
        """Let a user come, go, open a second tab, or change their name."""
        channel, user = self.random.choice(ROOMS), self.random.choice(VISITORS)
        theirs = [c for c, e in self.centrifugo.rooms[channel].items() if e["user"] == user]
        if theirs and self.random.random() < 0.6:
            self.centrifugo.quit(channel, self.random.choice(theirs))
        else:
            self.names[user] += self.random.random() < 0.3
            self.enter(channel, user)

    def track(self) -> None:
        """Let server code join, rename or remove a user."""
        channel, user = self.random.choice(ROOMS), self.random.choice(TRACKED)
        source = self.random.choice(["", "tab"])
        if self.random.random() < 0.5:
            self.store.delete_member(channel, user, source=source, timeout=TIMEOUT)
        else:
            meta = msgspec.json.encode({"name": f"{user} {self.random.choice('ABC')}"})
            self.store.save_member(channel, user, source=source, meta=meta, timeout=TIMEOUT)

    def start(self) -> None:
        if len(self.workers) < 3:
            self.workers.append(Worker(self))

    def start_look(self) -> None:
        if len(self.workers) < 3:
            self.workers.append(Worker(self, look=True))

    def work(self) -> None:
        if self.workers:
            self.go_on(self.random.choice(self.workers), self.random.choice([1, 2, 5, 40]))

    def go_on(self, worker: Worker, steps: int) -> None:
        for _ in range(steps):
            if not worker.done:
                worker.step()
        if worker.done:
            assert worker.failure is None, worker.failure
            self.workers.remove(worker)

    def break_down(self) -> None:
        """Kill a worker, or let its call fail before or after it took effect."""
        if not self.workers:
            return
        worker = self.random.choice(self.workers)
        if worker.at == "start":
            return
        error: BaseException = Crash()
        if self.random.random() < 0.5:
            method = worker.at.split()[1]
            known: type[PresenceError] = StoreError
            if hasattr(Gateway, method):
                known = CentrifugoUnreachable
            error = known("lost")
        worker.step(error)
        self.go_on(worker, 0)

    def pass_time(self) -> None:
        self.clock.advance(self.random.choice([0.1, 1.0, 3.0, 6.0, 12.0, 45.0, 400.0]))

    def read(self) -> None:
        self.random.choice(self.readers).pull(self.random.choice([1, 2, 100]))

    def restart_centrifugo(self) -> None:
        """Disconnect everybody; they come back within the reconnect delay."""
        self.keep_logs()
        for channel in ROOMS:
            for entry in self.centrifugo.rooms[channel].values():
                due = self.clock() + self.random.uniform(0, 5)
                self.back.append((due, channel, entry["user"]))
        self.centrifugo.restart()

    def return_home(self) -> None:
        due, self.back = (
            [visit for visit in self.back if visit[0] <= self.clock()],
            [visit for visit in self.back if visit[0] > self.clock()],
        )
        for _, channel, user in due:
            self.enter(channel, user)

    def save(self) -> None:
        self.saved = self.store.save()

    def roll_back(self) -> None:
        self.store.roll_back(self.saved)

    def damage(self) -> None:
        """Write garbage into the store."""
        field = self.random.choice(["roster", "snapshot", "leaving", "pending", "state"])
        value = self.random.choice([b"garbage", b"{}", b"\xff", b"[]"])
        self.store.damage(self.random.choice(ROOMS), field, value)

    def keep_logs(self) -> None:
        self.logs += [(feed, stream.log) for feed, stream in self.centrifugo.streams.items()]

    def settle(self) -> None:
        """Stop all failures, let time pass, run ticks, and let pages read on."""
        for worker in self.workers:
            worker.finish()
            assert worker.failure is None, worker.failure
        self.clock.advance(6)
        self.return_home()
        for reader in self.readers:
            reader.fetch()
        for pause in (0.0, NODES_SETTLE + 1, GRACE + 1, GRACE + 1, 40.0):
            self.clock.advance(pause)
            Worker(self).finish()
        for _ in range(4):
            for reader in self.readers:
                reader.pull(1000)
        self.keep_logs()


def truth(world: World, channel: str) -> tuple[dict[str, str], int]:
    """Return the names in a room by user, and the number of anonymous visitors."""
    entries = list(world.centrifugo.rooms[channel].values())
    newest: dict[str, tuple[float, str]] = {}
    for entry in entries:
        if entry["user"]:
            signed = entry["conn_info"]
            claim = (signed["iat"], signed["name"])
            newest[entry["user"]] = max(newest.get(entry["user"], claim), claim)
    for record in world.store.load_members([channel], timeout=TIMEOUT)[channel].members:
        claim = (record.joined, msgspec.json.decode(record.meta)["name"])
        newest[record.user] = max(newest.get(record.user, claim), claim)
    anonymous = sum(1 for entry in entries if not entry["user"])
    return {user: name for user, (_, name) in newest.items()}, anonymous


def assert_converged(world: World) -> None:
    for reader in world.readers:
        channel, shown = reader._channel, reader.shown
        members, anonymous = truth(world, channel)
        stored = world.store.load_snapshots([channel])[channel].snapshot
        served = messages.serve(stored, age=None, every=60.0, position=None)
        if stored:  # else the store lost a room that nobody is in
            assert (shown.epoch, shown.version) == (served.epoch, served.version)
        assert (shown.total, shown.anonymous) == (len(members), anonymous)
        assert shown.members == served.members
        if shown.listed:
            assert {member.id for member in shown.members} == members.keys()


def assert_nobody_left_on_errors(world: World) -> None:
    left = {member.id for _, _, change, _ in world.announced for member in change.leaves}
    assert not left & set(RESIDENTS)


def assert_chain(world: World) -> None:
    """Assert that each step of the chain was published exactly once in a life of the streams.

    In another life, a worker that was paused may repeat earlier steps: pages drop these.
    """
    contents: dict[tuple[str, str, int], bytes] = {}
    last: dict[str, tuple[str, int]] = {}
    for feed, log in world.logs:
        assert len(set(log)) == len(log), "a repeat"
        for data in log:
            publication = decode_publication(data)
            assert publication is not None
            epoch, version = _epoch(publication), _version(publication)
            if (feed, epoch, version) in contents:
                assert contents[feed, epoch, version] == data, "one version, two contents"
                continue
            before = last.get(feed, ("", 0))
            assert (epoch, version) in {(before[0], before[1] + 1), (epoch, 1)}, "a gap"
            contents[feed, epoch, version], last[feed] = data, (epoch, version)
    for (channel, epoch, version), data in contents.items():
        publication = decode_publication(data)
        base = world.store.committed.get((channel, epoch, version - 1))
        if isinstance(publication, Diff) and base:
            after = messages.decode(world.store.committed[channel, epoch, version], Snapshot)
            assert apply(messages.decode(base, Snapshot), publication) == after


def assert_signalled(world: World) -> None:
    """Assert that each acknowledged change was announced."""
    announced = {(each[0], each[1], repr(each[2])) for each in world.announced}
    for channel, raw in world.store.acknowledged:
        pending = messages.decode(raw, messages.Pending)
        assert (channel, pending.version, repr(pending.change)) in announced
    for channel in ROOMS:
        assert world.store.load_states([channel]).states[channel].unsignalled == ()


def assert_repaired(world: World) -> None:
    for channel in ROOMS:
        loaded = world.store.load_states([channel], whole=[channel])
        state, whole = loaded.states[channel], loaded.whole[channel]
        assert verify(state).damage is None
        assert not state.rev or not find_flaw(state, whole.roster, whole.snapshot)


def check_histories(seeds: range, *checks: Callable[[World], None], **options: bool) -> None:
    """Run a history for each seed, and check how it ends; a failure names the seed."""
    for seed in seeds:
        world = World(seed, **options)
        world.run(150)
        world.settle()
        try:
            for check in checks:
                check(world)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def seeds_of(block: int, *, first: int = 0) -> range:
    return range(first + block * 15, first + block * 15 + 15)


@pytest.mark.parametrize("block", range(8))
def test_model_with_crashes_and_failures_holds_the_chain_and_converges(block: int) -> None:
    check_histories(
        seeds_of(block),
        *(assert_converged, assert_nobody_left_on_errors, assert_chain, assert_signalled),
    )


@pytest.mark.parametrize("block", range(4))
def test_model_with_rolled_back_store_converges(block: int) -> None:
    seeds = seeds_of(block, first=10_000)
    check_histories(seeds, assert_converged, assert_nobody_left_on_errors, rollbacks=True)


@pytest.mark.parametrize("block", range(4))
def test_model_with_damaged_store_repairs_it_and_converges(block: int) -> None:
    checks = (assert_converged, assert_nobody_left_on_errors, assert_repaired)
    check_histories(seeds_of(block, first=20_000), *checks, damage=True)


def test_model_without_versions_in_centrifugo_finds_the_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The model notices a Centrifugo that takes the same version twice."""
    real = FakeCentrifugo._answer_publish

    def forgetful(self: FakeCentrifugo, *, channel: str, **publication: Any) -> Position:
        stream = self.stream(channel)
        stream.version = ("", 0)
        stream.keys.clear()
        return real(self, channel=channel, **publication)

    monkeypatch.setattr(FakeCentrifugo, "_answer_publish", forgetful)

    with pytest.raises(AssertionError, match="a repeat"):
        check_histories(range(60), assert_chain)


def test_pending_of_each_epoch_and_version_has_other_bytes() -> None:
    """A worker recognises its own pending by its bytes."""
    change = Change()
    made = {
        messages.encode(messages.Pending(epoch, version, msgspec.Raw(b"{}"), change))
        for epoch in ("a", "b")
        for version in (1, 2)
    }
    assert len(made) == 4
