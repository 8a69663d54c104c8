"""Batches read ahead: their order, their depth, their round trips, their errors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest

from presence.backends.base import Loaded
from presence.backends.memory import MemoryStore
from presence.centrifugo.gateway import Gateway
from presence.exceptions import CentrifugoUnreachable, StoreError
from presence.roster.merge import read_presence
from presence.roster.messages import encode
from presence.roster.types import Roster
from presence.sync.cache import Known
from presence.sync.executors import MakeExecutor, threads
from presence.sync.poll import Polled, Polls
from presence.sync.tick import Options, Sync
from presence.testing.contract.writing import commit, write
from tests.rooms import fill
from tests.unit.fakes import Clock, FakeCentrifugo, Inline

BATCHES = [[f"presence:{n}"] for n in range(6)]


class Store(MemoryStore):
    """Notes what each call of `load` asks for; `failing` channels cannot be loaded."""

    def __init__(self) -> None:
        super().__init__(clock=Clock())
        self.asked: list[tuple[list[str], list[str]]] = []
        self.failing: str = ""

    def load(self, channels: Any, *, rosters: Any = (), whole: Any = ()) -> Loaded:
        self.asked.append(([*channels], [*rosters]))
        if self.failing in channels:
            raise StoreError("down")
        return super().load(channels, rosters=rosters, whole=whole)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def centrifugo() -> FakeCentrifugo:
    return FakeCentrifugo()


@pytest.fixture
def polls(store: Store, centrifugo: FakeCentrifugo) -> Polls:
    return make(store, centrifugo)


def make(
    store: Store,
    gateway: Any,
    executor: MakeExecutor = Inline,
    *,
    fingerprint: str = "",
    clock: Callable[[], float] = lambda: 0.0,
) -> Polls:
    return Polls(
        store,
        gateway,
        Known(),
        tracked=None,
        news=(),
        clients={},
        channels=1,
        fingerprint=fingerprint,
        clock=clock,
        executor=executor,
    )


def numbers(polled: list[Polled]) -> list[int]:
    return [int(one.channels[0].removeprefix("presence:")) for one in polled]


def changed(store: Store, channel: str) -> None:
    """Raise the `rev` of a channel, as another worker does."""
    state = store._states[channel]
    store._states[channel] = msgspec.structs.replace(state, rev=state.rev + 1)


class Reads(Gateway):
    """Calls `read` in the thread of each read, and shows nobody."""

    def __init__(self, read: Callable[[str], object]) -> None:
        self._read = read

    def poll(self, channels: Any) -> Any:
        for channel in channels:
            self._read(channel)
        return [msgspec.Raw(b'{"presence":{}}')] * len(channels), frozenset()


def test_they_come_in_order(store: Store) -> None:
    later = threading.Event()

    def read(channel: str) -> None:
        if channel == "presence:0":
            assert later.wait(10)
        else:
            later.set()

    polls = make(store, Reads(read), threads)
    assert numbers(list(polls.ahead(BATCHES))) == [0, 1, 2, 3, 4, 5]


def test_two_are_read_at_once(store: Store) -> None:
    both = threading.Barrier(2, timeout=10)
    polls = make(store, Reads(lambda _: both.wait()), threads)
    assert len(list(polls.ahead(BATCHES))) == 6


def test_no_more_are_taken_than_are_under_way_and_one(polls: Polls) -> None:
    taken: list[int] = []

    def batches() -> Iterator[list[str]]:
        for number, batch in enumerate(BATCHES):
            taken.append(number)
            yield batch

    with closing(polls.ahead(batches())) as reading:
        next(reading)
        assert taken == [0, 1, 2, 3]
        next(reading)
        assert taken == [0, 1, 2, 3, 4]


def test_closing_leaves_no_thread_behind(store: Store) -> None:
    before = threading.active_count()
    with closing(make(store, Reads(print), threads).ahead(BATCHES)) as reading:
        next(reading)
    assert threading.active_count() == before


def test_one_is_the_same_as_many(polls: Polls, centrifugo: FakeCentrifugo) -> None:
    centrifugo.enter("presence:0", "c", "ada", "Ada")
    one, (other,) = polls.one(BATCHES[0]), list(polls.ahead(BATCHES[:1]))
    assert vars(one) == vars(other)
    assert list(one.different) == ["presence:0"]


def test_rosters_come_with_the_states_of_the_batch_to_be_read_next(
    polls: Polls, store: Store, centrifugo: FakeCentrifugo
) -> None:
    for (channel,) in BATCHES[:4]:
        centrifugo.enter(channel, "c", "ada", "Ada")
        fill(store, channel)
    store.asked.clear()
    for polled in polls.ahead(BATCHES[:4]):
        (channel,) = polled.channels
        assert polled.rosters == {channel: (2, encode(Roster()))}
    zero, one, two, three = BATCHES[:4]
    assert store.asked == [
        *((zero, []), (one, []), (two, [])),
        *((three, zero), ([], one), ([], two), ([], three)),
    ]


def test_what_did_not_change_costs_no_roster(store: Store, centrifugo: FakeCentrifugo) -> None:
    for (channel,) in BATCHES:
        centrifugo.enter(channel, "c", "ada", "Ada")
    sync = Sync(store, centrifugo, Options(), announce=None, executor=Inline)  # type: ignore[arg-type]
    assert sync.tick().joins == 6
    store.asked.clear()
    polls = make(store, centrifugo, fingerprint=Options().fingerprint)
    assert [polled.unchanged for polled in polls.ahead(BATCHES)] == BATCHES
    assert store.asked == [(batch, []) for batch in BATCHES]


def test_state_is_taken_before_presence(store: Store, centrifugo: FakeCentrifugo) -> None:
    """Else a reading could be older than the state that it is compared with."""
    fill(store, "presence:0")
    centrifugo.before["poll"] = lambda: changed(store, "presence:0")
    (polled,) = make(store, centrifugo).ahead(BATCHES[:1])
    assert polled.loaded.states["presence:0"].rev == 2
    assert polled.rosters["presence:0"][0] == 3, "so that the commit will be refused"


def test_the_time_of_a_poll_is_that_of_its_reading(
    store: Store, centrifugo: FakeCentrifugo
) -> None:
    """However long the states waited: nobody is taken to be missing from before that."""
    started, read, found = 50.0, list[float](), list[float]()
    clock = Clock(started)
    ahead = store.load([]).now - started
    store._clock = lambda: clock() + ahead
    centrifugo.before["poll"] = lambda: read.append(clock() + ahead)
    for polled in make(store, centrifugo, clock=clock).ahead(BATCHES):
        found.append(polled.loaded.now)
        clock.advance(7)
    assert found == read


def test_what_cannot_be_read_is_the_error_of_its_batch(polls: Polls, store: Store) -> None:
    error = CentrifugoUnreachable("no answer")

    def read(channel: str) -> None:
        if channel == "presence:1":
            raise error

    found = list(make(store, Reads(read)).ahead(BATCHES))
    assert [one.error for one in found] == [None, error, None, None, None, None]
    assert read_presence(found[0].different["presence:0"].raw)[1] == 0


def test_a_store_that_fails_costs_both_batches_of_the_round_trip(
    polls: Polls, store: Store, centrifugo: FakeCentrifugo
) -> None:
    for (channel,) in BATCHES:
        centrifugo.enter(channel, "c", "ada", "Ada")
        fill(store, channel)
    store.failing = "presence:3"
    failed = [one.channels[0] for one in polls.ahead(BATCHES) if one.error]
    assert failed == ["presence:0", "presence:3"]


def test_a_store_that_fails_costs_nothing_where_no_roster_was_asked_for(
    store: Store, centrifugo: FakeCentrifugo
) -> None:
    for (channel,) in BATCHES:
        centrifugo.enter(channel, "c", "ada", "Ada")
    Sync(store, centrifugo, Options(), announce=None, executor=Inline).tick()  # type: ignore[arg-type]
    polls = make(store, centrifugo, fingerprint=Options().fingerprint)
    store.failing = "presence:3"
    assert [one.channels[0] for one in polls.ahead(BATCHES) if one.error] == ["presence:3"]


def test_what_a_crash_left_is_not_read(
    polls: Polls, store: Store, centrifugo: FakeCentrifugo
) -> None:
    write(store, [commit(channel="presence:0")])
    polled = polls.one(["presence:0", "presence:1"])
    assert (polled.pending, list(polled.different)) == (["presence:0"], ["presence:1"])
