"""Do the next pieces of work while this one is being used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")
R = TypeVar("R")


def ahead(work: Callable[[T], R], items: Iterable[T], *, depth: int) -> Generator[R, None, None]:
    """What `work` makes of each item, in order; `depth` of them are under way, in threads.

    An error of `work` is raised when its item's turn comes. Closing the iterator waits for what
    is under way, and drops it.
    """
    source = iter(items)
    pool = ThreadPoolExecutor(depth, thread_name_prefix="presence-ahead")
    try:
        waiting: deque[Future[R]] = deque(pool.submit(work, one) for one in islice(source, depth))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, one) for one in islice(source, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
