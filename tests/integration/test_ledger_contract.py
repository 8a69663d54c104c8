"""What every Ledger keeps to: one suite, in memory and on a real Redis."""

from __future__ import annotations

import multiprocessing
import time

import pytest

from presence.backends.base import KEPT_TICKS, Ledger
from presence.backends.memory import MemoryStore
from presence.backends.redis import RedisStore
from presence.exceptions import StoreError
from tests.unit.fakes import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "redis"])
def ledger(request: pytest.FixtureRequest, clock: Clock) -> Ledger:
    if request.param == "memory":
        return MemoryStore(clock=clock)
    return RedisStore(request.getfixturevalue("redis_url"), clock=clock)


class TestTicks:
    def test_nothing_yet(self, ledger: Ledger, clock: Clock) -> None:
        logged = ledger.ticks()
        assert (logged.now, logged.began, logged.open, logged.records) == (clock.now, None, {}, [])

    def test_one_begins_after_the_other(self, ledger: Ledger, clock: Clock) -> None:
        first = ledger.begin("a")
        assert (first.now, first.since, first.open) == (clock.now, None, {})
        clock.advance(7.5)
        second = ledger.begin("b")
        assert (second.since, second.open) == (7.5, {"a": clock.now - 7.5})
        assert ledger.ticks().open == {"a": clock.now - 7.5, "b": clock.now}
        assert ledger.ticks().began == clock.now

    def test_that_it_began_stays_known_when_it_is_closed(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        ledger.begin("a")
        ledger.close("a", b"r")
        clock.advance(3)
        assert ledger.ticks().began == clock.now - 3
        begun = ledger.begin("b")
        assert (begun.since, begun.open) == (3.0, {})

    def test_parts_come_in_in_any_order(self, ledger: Ledger) -> None:
        ledger.begin("a")
        assert [ledger.add("a", n, b"%d" % n, of=12) for n in range(11, 0, -1)] == [False] * 11
        assert (ledger.parts("a").of, len(ledger.parts("a").parts)) == (12, 11)
        assert ledger.add("a", 0, b"0", of=12) is True
        assert ledger.parts("a").parts == [b"%d" % n for n in range(12)]

    def test_a_part_that_comes_twice_counts_once(self, ledger: Ledger) -> None:
        ledger.begin("a")
        assert not ledger.add("a", 1, b"\x00\xffone", of=2)
        assert not ledger.add("a", 1, b"again", of=2)
        assert ledger.parts("a").parts == [b"again"]

    def test_a_tick_is_closed_once(self, ledger: Ledger) -> None:
        ledger.begin("a")
        ledger.add("a", 0, b"x", of=1)
        assert ledger.close("a", b"record") is True
        assert ledger.close("a", b"other") is False
        assert ledger.close("never", b"began") is False
        assert (ledger.ticks().records, ledger.ticks().open) == ([b"record"], {})
        assert (ledger.parts("a").of, ledger.parts("a").parts) == (0, [])

    def test_records_are_bounded_newest_first(self, ledger: Ledger) -> None:
        for n in range(KEPT_TICKS + 5):
            ledger.begin(str(n))
            ledger.close(str(n), b"%d" % n)
        records = ledger.ticks().records
        assert (len(records), records[0], records[-1]) == (KEPT_TICKS, b"%d" % (n), b"5")


class TestRegistry:
    def test_what_was_registered_lately(self, ledger: Ledger, clock: Clock) -> None:
        assert ledger.registered(within=60) == []
        ledger.register(["presence:a", "presence:b"])
        clock.advance(40)
        ledger.register(["presence:b", "presence:c"])
        clock.advance(20)
        assert sorted(ledger.registered(within=60)) == ["presence:a", "presence:b", "presence:c"]
        clock.advance(1)
        assert sorted(ledger.registered(within=60)) == ["presence:b", "presence:c"]
        assert sorted(ledger.registered(within=600)) == ["presence:b", "presence:c"], "forgotten"

    def test_nothing_registered(self, ledger: Ledger) -> None:
        ledger.register([])
        assert ledger.registered(within=60) == []

    def test_thousands_come_and_go(self, ledger: Ledger, clock: Clock) -> None:
        for turn in range(5):
            ledger.register([f"presence:{n}" for n in range(1000 * turn, 1000 * turn + 2000)])
            clock.advance(10)
        found = ledger.registered(within=20)
        assert sorted(found) == sorted(f"presence:{n}" for n in range(3000, 6000))


def _add(url: str, number: int) -> bool:
    return RedisStore(url).add("a", number, b"x" * 100, of=8)


def test_many_processes_one_of_them_has_the_last_part(redis_url: str) -> None:
    ledger = RedisStore(redis_url)
    ledger.begin("a")
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        whole = pool.starmap(_add, [(redis_url, n) for n in range(8)])
    assert sum(whole) == 1
    assert len(ledger.parts("a").parts) == 8


def test_the_time_is_that_of_redis(redis_url: str) -> None:
    ledger = RedisStore(redis_url)
    before = time.time()
    begun = ledger.begin("a")
    ledger.register(["presence:a"])
    assert before - 1 <= begun.now <= time.time() + 1
    assert ledger.registered(within=10) == ["presence:a"]
    assert abs(ledger.ticks().began - begun.now) < 0.001


def test_a_redis_that_does_not_answer_is_a_store_error() -> None:
    ledger = RedisStore("redis://127.0.0.1:9/0")
    for call in (
        lambda: ledger.begin("a"),
        lambda: ledger.add("a", 0, b"", of=1),
        lambda: ledger.parts("a"),
        lambda: ledger.close("a", b""),
        lambda: ledger.ticks(),
        lambda: ledger.register(["presence:a"]),
        lambda: ledger.registered(within=1.0),
    ):
        with pytest.raises(StoreError, match="PRESENCE_REDIS_URL"):
            call()
