"""Batches polled ahead: order, number in flight, round trips and errors."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from math import inf
from typing import Any

import msgspec
import pytest

from presence.backends.base import BatchState
from presence.backends.memory import MemoryStore
from presence.centrifugo.gateway import Gateway, Survey
from presence.exceptions import CentrifugoUnreachable, StoreError
from presence.roster.merge import read_presence
from presence.roster.messages import Roster, encode
from presence.sync.channels import split
from presence.sync.context import MakeExecutor, Options, TickContext, threads
from presence.sync.poll import PollResult, poll_ahead
from presence.sync.statistics import OpenTick, Report
from presence.sync.tick import Sync
from presence.testing.contract.base import commit, write
from tests.stored_rooms import fill
from tests.unit.fakes import Clock, FakeCentrifugo, Inline

CHANNELS = [f"presence:{number}" for number in range(6)]
ONE_BY_ONE = Options(batch_size=1)


class Store(MemoryStore):
    """Records the calls of `load_states`; a batch with the channel `failing` cannot be loaded."""

    def __init__(self) -> None:
        super().__init__(clock=Clock())
        self.asked: list[tuple[list[str], list[str]]] = []
        self.failing: str = ""

    def load_states(self, channels: Any, *, rosters: Any = (), whole: Any = ()) -> BatchState:
        self.asked.append(([*channels], [*rosters]))
        if self.failing in channels:
            raise StoreError("down")
        return super().load_states(channels, rosters=rosters, whole=whole)


class Reads(Gateway):
    """Calls `read` in the thread of each read, and shows nobody."""

    def __init__(self, read: Callable[[str], object]) -> None:
        self._read = read

    def poll(self, channels: Any) -> Any:
        for channel in channels:
            self._read(channel)
        return [msgspec.Raw(b'{"presence":{}}')] * len(channels), frozenset()


class Poll:
    """Polls channels in batches of one."""

    def __init__(
        self,
        store: Store,
        gateway: Any,
        executor: MakeExecutor = Inline,
        *,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.report = Report()
        self._ctx = TickContext(
            store,
            gateway,
            ONE_BY_ONE,
            announce=None,
            clock=clock,
            executor=executor,
            report=self.report,
        )

    def __call__(
        self, channels: list[str] = CHANNELS, *, news: Sequence[str] = ()
    ) -> Generator[PollResult, None, None]:
        survey = Survey(frozenset(), {})
        (shard,) = split(channels, survey, size=None, tick=OpenTick(), hold=0.0)
        return poll_ahead(self._ctx, shard, channels, news=news, ends=inf)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def centrifugo() -> FakeCentrifugo:
    return FakeCentrifugo()


@pytest.fixture
def poll(store: Store, centrifugo: FakeCentrifugo) -> Poll:
    return Poll(store, Gateway(centrifugo))


def changed(store: Store, channel: str) -> None:
    """Raise the `rev` of a channel, as another worker does."""
    room = store._rooms[channel]
    state = msgspec.structs.replace(room.state, rev=room.state.rev + 1)
    store._rooms[channel] = room._replace(state=state)


def test_poll_with_slow_first_batch_yields_batches_in_order(store: Store) -> None:
    later = threading.Event()

    def read(channel: str) -> None:
        if channel == "presence:0":
            assert later.wait(10)
        else:
            later.set()

    poll = Poll(store, Reads(read), threads)
    assert [polled.channels for polled in poll()] == [[channel] for channel in CHANNELS]


def test_poll_of_many_batches_reads_two_at_once(store: Store) -> None:
    both = threading.Barrier(2, timeout=10)
    poll = Poll(store, Reads(lambda _: both.wait()), threads)
    assert len(list(poll())) == 6


def test_poll_of_many_batches_loads_only_one_batch_ahead(poll: Poll, store: Store) -> None:
    with closing(poll()) as reading:
        next(reading)
        assert len(store.asked) == 4
        next(reading)
        assert len(store.asked) == 5


def test_poll_closed_early_leaves_no_thread_behind(store: Store) -> None:
    before = set(threading.enumerate())
    with closing(Poll(store, Reads(print), threads)()) as reading:
        next(reading)
    for thread in set(threading.enumerate()) - before:
        thread.join(5.0)
        assert not thread.is_alive()


def test_poll_of_different_channels_loads_rosters_with_states_of_next_batch(
    poll: Poll, store: Store, centrifugo: FakeCentrifugo
) -> None:
    for channel in CHANNELS[:4]:
        centrifugo.enter(channel, "c", "ada", "Ada")
        fill(store, channel)
    store.asked.clear()
    for polled in poll(CHANNELS[:4]):
        (channel,) = polled.channels
        assert list(polled.different) == [channel]
        assert polled.different[channel].stored == (2, encode(Roster()))
    zero, one, two, three = ([channel] for channel in CHANNELS[:4])
    assert store.asked == [
        *((zero, []), (one, []), (two, [])),
        *((three, zero), ([], one), ([], two), ([], three)),
    ]


def test_poll_of_unchanged_channels_loads_no_roster(
    store: Store, centrifugo: FakeCentrifugo
) -> None:
    for channel in CHANNELS:
        centrifugo.enter(channel, "c", "ada", "Ada")
    sync = Sync(store, Gateway(centrifugo), Options(), announce=None, executor=Inline)
    assert sync.tick().joins == 6
    store.asked.clear()
    found = list(Poll(store, Gateway(centrifugo))())
    assert [polled.unchanged for polled in found] == [[channel] for channel in CHANNELS]
    assert store.asked == [([channel], []) for channel in CHANNELS]


def test_poll_during_a_write_has_the_state_from_before_the_read(
    store: Store, centrifugo: FakeCentrifugo
) -> None:
    """Otherwise a reply could be older than the state that it is compared with."""
    fill(store, "presence:0")
    centrifugo.before["poll"] = lambda: changed(store, "presence:0")
    (polled,) = Poll(store, Gateway(centrifugo))(CHANNELS[:1])
    assert polled.loaded.states["presence:0"].rev == 2
    assert polled.different["presence:0"].stored[0] == 3, "so that the commit will be refused"


def test_poll_of_waiting_states_has_the_time_of_the_read(
    store: Store, centrifugo: FakeCentrifugo
) -> None:
    """No absence begins before the read, even if the states waited for long."""
    started, read, found = 50.0, list[float](), list[float]()
    clock = Clock(started)
    ahead = store.load_states([]).now - started
    store._clock = lambda: clock() + ahead
    centrifugo.before["poll"] = lambda: read.append(clock() + ahead)
    for polled in Poll(store, Gateway(centrifugo), clock=clock)():
        found.append(polled.loaded.now)
        clock.advance(7)
    assert found == read


def test_poll_with_unreadable_batch_reports_only_that_batch(store: Store) -> None:
    def read(channel: str) -> None:
        if channel == "presence:1":
            raise CentrifugoUnreachable("no answer")

    poll = Poll(store, Reads(read))
    found = list(poll())
    assert [list(polled.loaded.states) for polled in found] == [
        [] if channel == "presence:1" else [channel] for channel in CHANNELS
    ]
    assert poll.report.failures == ["presence:1: no answer"]
    assert read_presence(found[0].different["presence:0"].raw)[1] == 0


def test_poll_with_failing_store_loses_both_batches_of_the_round_trip(
    poll: Poll, store: Store, centrifugo: FakeCentrifugo
) -> None:
    for channel in CHANNELS:
        centrifugo.enter(channel, "c", "ada", "Ada")
        fill(store, channel)
    store.failing = "presence:3"
    assert len(list(poll())) == 6
    assert poll.report.failures == ["presence:0: down", "presence:3: down"]


def test_poll_with_failing_store_and_no_roster_to_load_loses_one_batch(
    store: Store, centrifugo: FakeCentrifugo
) -> None:
    for channel in CHANNELS:
        centrifugo.enter(channel, "c", "ada", "Ada")
    Sync(store, Gateway(centrifugo), Options(), announce=None, executor=Inline).tick()
    poll = Poll(store, Gateway(centrifugo))
    store.failing = "presence:3"
    assert len(list(poll())) == 6
    assert poll.report.failures == ["presence:3: down"]


def test_poll_of_pending_channel_does_not_read_it(store: Store, poll: Poll) -> None:
    write(store, [commit(channel="presence:0")])
    left, other = poll(CHANNELS[:2])
    assert (left.pending, list(left.different)) == (["presence:0"], [])
    assert (other.pending, list(other.different)) == ([], ["presence:1"])


def unchanged_poll(store: Store, centrifugo: FakeCentrifugo) -> Poll:
    """A poll whose first channel does not differ, unless there are news of a user in it."""
    gateway = Gateway(centrifugo)
    Sync(store, gateway, Options(), announce=None, executor=Inline).tick(CHANNELS[:1])
    (unchanged,) = Poll(store, gateway)(CHANNELS[:1])
    assert unchanged.unchanged == CHANNELS[:1]
    return Poll(store, gateway)


@pytest.mark.parametrize(
    ("user", "spelled"),
    [("a<b", r"a\u003cb"), ('a"b', r"a\"b"), ("ü", "ü"), ("ü", r"\u00fc"), ("ada", "ada")],
)
def test_poll_with_news_of_user_in_any_json_spelling_finds_the_channel(
    store: Store, centrifugo: FakeCentrifugo, user: str, spelled: str
) -> None:
    entry = f'{{"client":"c","user":"{spelled}","conn_info":null}}'
    centrifugo.raw["presence:0"] = f'{{"presence":{{"c":{entry}}}}}'.encode()
    (polled,) = unchanged_poll(store, centrifugo)(CHANNELS[:1], news=[user])
    assert list(polled.different) == ["presence:0"]


@pytest.mark.parametrize("present", [True, False])
def test_poll_with_news_of_many_users_compiles_no_pattern(
    store: Store, centrifugo: FakeCentrifugo, monkeypatch: pytest.MonkeyPatch, present: bool
) -> None:
    """A pattern of 5,000 ids took 437 ms to compile, and 1.1 ms for each 100 entries."""
    centrifugo.enter("presence:0", "c", "ada", "Ada")
    news = [f"user-{number}" for number in range(5000)] + ["ada"] * present

    def refuse(*_: object) -> None:
        raise AssertionError("a pattern was compiled")

    poll = unchanged_poll(store, centrifugo)
    monkeypatch.setattr(re, "compile", refuse)
    (polled,) = poll(CHANNELS[:1], news=news)
    assert (list(polled.different) == ["presence:0"]) is present
