"""What runs work beside the caller's own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

__all__ = ["MakeExecutor", "threads"]

MakeExecutor = Callable[[int], Executor]
"""Makes an executor of that many workers; tests give one that works at once, without threads."""


def threads(workers: int) -> Executor:
    """Threads that are started when there is something to do."""
    return ThreadPoolExecutor(workers, thread_name_prefix="presence")
