"""What the steps of a tick work with: one object, from the first step to the last."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from presence.backends.base import RosterStore
from presence.backends.tracker import Tracker
from presence.centrifugo.gateway import Gateway
from presence.roster.types import Change
from presence.sync.cache import RosterCache
from presence.sync.options import Options
from presence.sync.report import Report

__all__ = ["Announce", "Clock", "MakeExecutor", "TickContext", "threads"]

Clock = Callable[[], float]
"""Returns seconds; only differences between them count."""

MakeExecutor = Callable[[int], Executor]
"""Makes an executor of that many workers. Tests give one that works at once, without threads."""


class Announce(Protocol):
    """Receiver of each change after it was published, at least once."""

    def __call__(self, channel: str, version: int, change: Change, epoch: str, /) -> None: ...


@dataclass(frozen=True, slots=True)
class TickContext:
    """The collaborators of one tick, its options, and the report that it fills in.

    `tracker` is the store where that keeps members without a websocket, else None. `announce` is
    None where nobody listens to signals.
    """

    store: RosterStore
    tracker: Tracker | None
    gateway: Gateway
    options: Options
    announce: Announce | None
    cache: RosterCache
    clock: Clock
    executor: MakeExecutor
    report: Report


def threads(workers: int) -> Executor:
    """Make threads that start when there is something to do."""
    return ThreadPoolExecutor(workers, thread_name_prefix="presence")
