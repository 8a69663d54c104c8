"""Do the next pieces of work while this one is being used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["MakeExecutor", "ahead", "threads"]

T = TypeVar("T")
R = TypeVar("R")


MakeExecutor = Callable[[int], Executor]
"""Makes an executor of that many workers; tests give one that works at once, without threads."""


def threads(workers: int) -> Executor:
    """Threads that are started when there is something to do."""
    return ThreadPoolExecutor(workers, thread_name_prefix="presence")


def ahead(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    depth: int,
    executor: MakeExecutor = threads,
) -> Generator[R, None, None]:
    """What `work` makes of each item, in order; `depth` of them are under way at a time.

    An error of `work` is raised when its item's turn comes. Closing the iterator waits for what
    is under way, and drops it.
    """
    source = iter(items)
    pool = executor(depth)
    try:
        waiting: deque[Future[R]] = deque(pool.submit(work, one) for one in islice(source, depth))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, one) for one in islice(source, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
