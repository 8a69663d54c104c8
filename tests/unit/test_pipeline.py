"""Work done ahead: its order, its depth, its errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from presence.pipeline import ahead


def test_results_come_in_the_order_of_the_items() -> None:
    first = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert first.wait(10)
        else:
            first.set()
        return item * item

    assert list(ahead(work, range(5), depth=2)) == [0, 1, 4, 9, 16]


def test_no_more_are_taken_than_are_under_way() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(10):
            taken.append(item)
            yield item

    results = ahead(lambda item: item, items(), depth=2)
    assert next(results) == 0
    assert taken == [0, 1, 2]
    assert next(results) == 1
    assert taken == [0, 1, 2, 3]
    results.close()


def test_two_are_done_at_once() -> None:
    both = threading.Barrier(2, timeout=10)
    assert list(ahead(lambda _: both.wait() >= 0, range(4), depth=2)) == [True] * 4


def test_an_error_comes_in_its_turn() -> None:
    def work(item: int) -> int:
        if item == 1:
            raise LookupError("one")
        return item

    results = ahead(work, range(3), depth=3)
    assert next(results) == 0
    with pytest.raises(LookupError):
        next(results)


def test_closing_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with closing(ahead(lambda item: item, range(100), depth=2)) as results:
        assert next(results) == 0
    assert threading.active_count() == before
