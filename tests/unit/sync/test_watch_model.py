"""Random histories in which looks alone have to find who is where.

Members come, go, swap, and stay for less than the time between two looks, with a tick in between or
without one. A page that the roster lacks 1.5 s after it came marks its room due, once. As in
tests.unit.sync.test_model, a seed that fails fails again.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from math import ceil
from typing import Any

import pytest

from presence.backends.base import Counts, Writes
from presence.centrifugo.gateway import Gateway
from presence.roster import messages
from presence.roster.commit import Commit
from presence.roster.messages import Snapshot
from presence.sync.context import LastLook, Options
from presence.sync.tick import NODES_SETTLE, Sync
from presence.sync.watch import LEASE
from tests.unit.fakes import ROOM, Inline
from tests.unit.sync.test_model import (
    GRACE,
    QUIET,
    RESIDENTS,
    TIMEOUT,
    Crash,
    Reader,
    Worker,
    World,
    assert_chain,
    assert_nobody_left_on_errors,
    truth,
)

LOBBY = "presence:lobby"
"""A room of anonymous visitors, who are only counted."""
USERS = ("u1", "u2", "u3", "u4")
BOT = "bot"
CHECK = 1.5
"""Seconds after which a page checks whether the roster has it."""
EARLY = 0.3
"""Seconds by which a leave may be believed before the grace is over."""
HOUR = 3600.0
READING = ("after load_states", "before poll", "after poll", "before recount")
"""Stops between the time that a poll takes for its own and its reply."""


class WatchWorld(World):
    """A World in which each user has one connection in a room at most, so that a page sees each
    swap of its own. `present` has the client of each of them."""

    def __init__(
        self,
        seed: int,
        *,
        ticks: bool = True,
        failures: bool = True,
        losses: bool = False,
        jumps: bool = False,
    ) -> None:
        self.present: dict[tuple[str, str], str] = {}
        self.moves: dict[tuple[str, str], list[tuple[float, bool]]] = defaultdict(list)
        self.checks: list[tuple[float, str, str, str]] = []
        self.read_at: dict[tuple[int, str], float] = {}
        self.known_at: dict[str, list[float]] = defaultdict(list)
        self.jumped: list[float] = []
        self.ticks = ticks
        self.wrong: list[str] = []
        self.ahead = 0.0
        super().__init__(seed)
        self.list_limit = 200
        self.store._clock = lambda: self.clock() + self.ahead
        self.processes = [self.last_look, LastLook()]
        self._observe()
        self.readers = [Reader(self, room) for room in (ROOM, QUIET, LOBBY)]
        self.actions = [
            *[self.come] * 2,
            *[self.go] * 2,
            *[self.swap] * 2,
            *[self.flicker] * 2,
            self.visit,
            self.track,
            *[self.look] * 4,
            *[self.start_look] * 3,
            *[self.work] * 12,
            *[self.pass_time] * 4,
            *([self.start, self.tick] if ticks else []),
            *([*[self.break_down] * 2, self.flicker_at_a_kill] if failures else []),
            *([self.restart_centrifugo] if failures else []),
            *([self.lose_due, self.lose_counts, self.restart_store] if losses else []),
            *([self.jump] if jumps else []),
        ]

    def _observe(self) -> None:
        """Compare each leave that is committed with what its reader could know."""
        answer, commit = self.centrifugo._answer_presence, self.store._commit

        def answer_presence(*, channel: str) -> dict[str, Any]:
            self.read_at[threading.get_ident(), channel] = self._moment()
            return answer(channel=channel)

        def noted(planned: Commit) -> bool:
            taken = commit(planned)
            if taken:
                read_at = self.read_at[threading.get_ident(), planned.channel]
                self._judge(planned, read_at)
                self.known_at[planned.channel].append(read_at)
            return taken

        self.centrifugo._answer_presence = answer_presence  # type: ignore[method-assign]
        self.store._commit = noted  # type: ignore[method-assign]

    def _moment(self) -> float:
        """Return a time that nothing else has."""
        self.clock.advance(0.0001)
        return self.clock()

    def _judge(self, planned: Commit, read_at: float) -> None:
        for member in planned.change.leaves:
            if member.id != BOT and not self._is_gone(planned.channel, member.id, read_at):
                moves = self.moves[planned.channel, member.id][-4:]
                self.wrong.append(f"{member.id} left {planned.channel} at {read_at}: {moves}")

    def _is_gone(self, channel: str, user: str, read_at: float) -> bool:
        """Return whether a user was away for the grace, as far as anybody could know: a stay that
        no commit knew of does not count."""
        moves = [move for move in self.moves[channel, user] if move[0] <= read_at]
        if moves[-1][1]:
            return False
        while moves:
            gone, came = moves.pop()[0], moves.pop()[0]
            if read_at - gone >= GRACE - EARLY or any(at >= gone for at in self.jumped):
                return True
            if any(came <= at <= gone for at in self.known_at[channel]):
                return False
        return False

    # Members

    def enter(self, channel: str, user: str) -> None:
        super().enter(channel, user)
        client = f"c{self.client:04}"
        if user:
            self.present[channel, user] = client
            self.moves[channel, user].append((self._moment(), True))
            self.checks.append((self.clock() + CHECK, channel, user, client))

    def quit(self, channel: str, user: str) -> None:
        self.centrifugo.quit(channel, self.present.pop((channel, user)))
        self.moves[channel, user].append((self._moment(), False))

    def _absent(self, channel: str) -> list[str]:
        away = {user for _, room, user in self.back if room == channel}
        return [u for u in USERS if (channel, u) not in self.present and u not in away]

    def _here(self, channel: str) -> list[str]:
        return [user for user in USERS if (channel, user) in self.present]

    def come(self) -> None:
        channel = self.random.choice((ROOM, QUIET))
        if absent := self._absent(channel):
            self.enter(channel, self.random.choice(absent))

    def go(self) -> None:
        channel = self.random.choice((ROOM, QUIET))
        if here := self._here(channel):
            self.quit(channel, self.random.choice(here))

    def swap(self) -> None:
        channel = self.random.choice((ROOM, QUIET))
        here, absent = self._here(channel), self._absent(channel)
        if here and absent:
            self.quit(channel, self.random.choice(here))
            self.enter(channel, self.random.choice(absent))

    def flicker(self) -> None:
        """Let a user come and go at once. A tick or a look may see them."""
        between = (self.look, self.work, self.work, int, *[self.tick] * self.ticks)
        self._flicker(self.random.choice(between))

    def flicker_at_a_kill(self) -> None:
        """Let a user come and go while a look is killed, when no other look is under way."""
        for pause in (6.0, 3 * LEASE):
            self.clock.advance(pause)
            self.return_home()
        self._flicker(self.kill_look)

    def _flicker(self, between: Callable[[], object]) -> None:
        channel = self.random.choice((ROOM, QUIET))
        if absent := self._absent(channel):
            user = self.random.choice(absent)
            self.enter(channel, user)
            between()
            if (channel, user) in self.present:
                self.quit(channel, user)

    def visit(self) -> None:
        """Let an anonymous visitor come or go."""
        here = list(self.centrifugo.rooms[LOBBY])
        if here and self.random.random() < 0.5:
            self.centrifugo.quit(LOBBY, self.random.choice(here))
        else:
            self.enter(LOBBY, "")

    def track(self) -> None:
        if self.random.random() < 0.5:
            self.store.delete_member(ROOM, BOT, source="", timeout=TIMEOUT)
        else:
            self.store.save_member(ROOM, BOT, source="", meta=b'{"name":"B"}', timeout=TIMEOUT)

    # Workers

    def start_look(self) -> None:
        self.last_look = self.random.choice(self.processes)
        super().start_look()

    def look(self) -> None:
        """Look at once, and as a whole."""
        self._sync().look()

    def kill_look(self) -> None:
        """Kill a look at any step."""
        self.last_look = LastLook()
        worker = Worker(self, look=True)
        for _ in range(self.random.choice((*range(1, 12), *range(12, 24), *range(12, 24)))):
            if not worker.done:
                worker.step()
        if not worker.done:
            worker.step(Crash())

    def tick(self) -> None:
        self._sync().tick()

    def _sync(self) -> Sync:
        return Sync(
            self.store,
            Gateway(self.centrifugo),
            Options(grace=GRACE, batch_size=1, timeout=TIMEOUT),
            announce=lambda *change: self.announced.append(change),
            last_look=self.random.choice(self.processes),
            clock=self.clock,
            executor=Inline,
        )

    # Failures

    def restart_centrifugo(self) -> None:
        """Disconnect everybody; most come back within the reconnect delay."""
        self.keep_logs()
        for channel, user in list(self.present):
            self.quit(channel, user)
            if user in RESIDENTS or self.random.random() < 0.8:
                self.back.append((self.clock() + self.random.uniform(0, 5), channel, user))
        self.centrifugo.restart()

    def lose_due(self) -> None:
        self.store._due = {}

    def lose_counts(self) -> None:
        self.store._counts, self.store._looking = Counts("", b""), ("", 0.0, 0.0)

    def restart_store(self) -> None:
        self.store.roll_back(self.store.save())

    def jump(self) -> None:
        """Set the clock of the store."""
        self.ahead += self.random.choice((-HOUR, -20.0, 20.0, HOUR))
        self.jumped.append(self.clock())

    # Pages and time

    def return_home(self) -> None:
        super().return_home()
        ready = [check for check in self.checks if check[0] <= self.clock()]
        self.checks = [check for check in self.checks if check[0] > self.clock()]
        for _, channel, user, client in ready:
            if self.present.get((channel, user)) == client and user in USERS:
                self._check(channel, user, client)

    def _check(self, channel: str, user: str, client: str) -> None:
        (reader,) = (reader for reader in self.readers if reader._channel == channel)
        reader.pull(1000)
        if reader._stale:
            self.checks.append((self.clock() + CHECK, channel, user, client))
        elif user not in {member.id for member in reader.shown.members}:
            self.store.write(Writes(due={channel: 0.0}))

    def pass_time(self) -> None:
        """Let time pass, but not while a poll is answered: an absence may have begun since."""
        for worker in list(self.workers):
            while worker.at in READING and not worker.done:
                self.go_on(worker, 1)
        super().pass_time()

    def settle_by_looks(self, seconds: float) -> None:
        self.clock.advance(3 * LEASE + 1)  # A look that was stopped or killed, and its rest.
        self.return_home()
        for _ in range(ceil(seconds)):
            self.look()
            self.clock.advance(1)
            self.return_home()

    def stop(self) -> None:
        """End all workers, and let those come back who are on their way."""
        for worker in self.workers:
            worker.finish()
            assert worker.failure is None, worker.failure
        self.clock.advance(6)
        self.return_home()


def assert_all_rooms_are_right(world: WatchWorld) -> None:
    for channel in (ROOM, QUIET, LOBBY):
        members, anonymous = truth(world, channel)
        state = world.store.load_states([channel], whole=[channel])
        snapshot = state.whole[channel].snapshot or messages.encode(Snapshot())
        shown = messages.serve(snapshot, age=None, every=60, position=None)
        ids = {member.id for member in shown.members}
        assert (channel, ids, shown.anonymous) == (channel, {*members}, anonymous)
    for reader in world.readers:
        for _ in range(4):
            reader.pull(1000)
        served = world.store.load_snapshots([reader._channel])[reader._channel]
        assert (reader.shown.epoch, reader.shown.version) == (served.epoch, served.version)


def assert_nobody_left_early(world: WatchWorld) -> None:
    assert world.wrong == []


def assert_safe(world: WatchWorld) -> None:
    assert_nobody_left_early(world)
    assert_nobody_left_on_errors(world)
    assert_chain(world)


def check_histories(
    seeds: range,
    settle: Callable[[WatchWorld], None],
    *checks: Callable[[WatchWorld], None],
    **options: bool,
) -> None:
    """Run a history for each seed, and check how it ends; a failure names the seed."""
    for seed in seeds:
        world = WatchWorld(seed, **options)
        try:
            world.run(world.random.choice((20, 60, 150)))
            world.stop()
            settle(world)
            for check in (assert_all_rooms_are_right, *checks):
                check(world)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def by_looks(world: WatchWorld) -> None:
    world.settle_by_looks(NODES_SETTLE + 2 * GRACE + 5)


def by_looks_and_a_tick(world: WatchWorld) -> None:
    by_looks(world)
    world.tick()
    by_looks(world)


def by_ticks(world: WatchWorld) -> None:
    for pause in (0.0, NODES_SETTLE + 1, GRACE + 1, GRACE + 1):
        world.clock.advance(pause)
        world.tick()


def seeds_of(block: int, *, first: int) -> range:
    return range(first + block * 15, first + block * 15 + 15)


@pytest.mark.parametrize("block", range(4))
def test_model_without_ticks_and_failures_is_right_by_looks(block: int) -> None:
    check_histories(
        seeds_of(block, first=50_000), by_looks, assert_safe, ticks=False, failures=False
    )


@pytest.mark.parametrize("block", range(4))
def test_model_with_ticks_between_looks_is_right_by_looks(block: int) -> None:
    check_histories(seeds_of(block, first=51_000), by_looks, assert_safe, failures=False)


@pytest.mark.parametrize("ticks", [False, True])
@pytest.mark.parametrize("block", range(4))
def test_model_with_killed_looks_is_right_by_looks(block: int, *, ticks: bool) -> None:
    seeds = seeds_of(block, first=60_030)
    check_histories(seeds, by_looks, assert_safe, ticks=ticks)


@pytest.mark.parametrize("block", range(4))
def test_model_that_loses_marks_and_counts_is_right_after_a_tick(block: int) -> None:
    check_histories(seeds_of(block, first=53_000), by_looks_and_a_tick, assert_safe, losses=True)


@pytest.mark.parametrize("block", range(4))
def test_model_whose_clock_is_set_is_right_after_a_tick(block: int) -> None:
    seeds = seeds_of(block, first=54_000)
    # A clock that is set ahead ends graces, and the hold after a restart of Centrifugo.
    check_histories(seeds, by_looks_and_a_tick, assert_nobody_left_early, assert_chain, jumps=True)


@pytest.mark.parametrize("block", range(2))
def test_model_whose_looks_end_for_good_is_right_by_ticks(block: int) -> None:
    check_histories(seeds_of(block, first=55_000), by_ticks, assert_safe)
