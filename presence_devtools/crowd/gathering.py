"""The whole crowd: connect, move, leave."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from presence_devtools.crowd.guest import Guest, Refused
from presence_devtools.crowd.people import Plan
from presence_devtools.crowd.tally import Tally

AT_ONCE = 40
"""Connections that are opened at the same time."""

GOODBYE = 10.0
"""Seconds for everybody to take their cursor away and disconnect."""

CLOSING = 1.5
"""Seconds for the closing handshakes, which the SDK gives up after one second."""

Show = Callable[[str], None]


async def gather(
    plan: Plan, users: int, *, seconds: float | None, every: float, random: Random, show: Show
) -> Tally:
    """Connect `users` people; disconnect them after `seconds` (None: at SIGINT or SIGTERM).

    `show` gets a line every `every` seconds. Raises Refused if the first person cannot connect;
    failures of the others are counted.
    """
    crowd = _Crowd(plan, users, random)
    with _asked_to_stop() as stop:
        staying = asyncio.create_task(crowd.stay(every, show))
        asked = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait(
                {staying, asked}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            asked.cancel()
            staying.cancel()
            await crowd.leave(staying)
    if staying.done() and not staying.cancelled():
        staying.result()
    return crowd.tally


class _Crowd:
    def __init__(self, plan: Plan, users: int, random: Random) -> None:
        self._random = random
        self._moves = bool(plan.cursors)
        self._gate = asyncio.Semaphore(AT_ONCE)
        self.tally = Tally(users, now=time.monotonic())
        self._guests = [Guest(number, plan, self.tally) for number in range(1, users + 1)]

    async def stay(self, every: float, show: Show) -> None:
        """Connect everybody, move and report, until cancelled."""
        first, *others = self._guests
        await first.enter()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._move(first))
            for guest in others:
                tasks.create_task(self._come(guest))
            await self._tell(every, show)

    async def leave(self, staying: asyncio.Task[None]) -> None:
        """Disconnect everybody, each within the time limits."""
        for guest in self._guests:
            guest.stop()
        await asyncio.wait({staying}, timeout=CLOSING)
        leaving = [asyncio.create_task(guest.leave()) for guest in self._guests]
        await asyncio.wait(leaving, timeout=GOODBYE)
        # The SDK continues its closing handshakes in tasks of its own.
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=CLOSING)

    async def _come(self, guest: Guest) -> None:
        async with self._gate:
            try:
                await guest.enter()
            except Refused as error:
                self.tally.problems[str(error)] += 1
        await self._move(guest)

    async def _move(self, guest: Guest) -> None:
        self.tally.arrived += 1
        if self._moves:
            await guest.wander(self._random)

    async def _tell(self, every: float, show: Show) -> None:
        while True:
            show(self.tally.line(time.monotonic()))
            await asyncio.sleep(every)


@contextmanager
def _asked_to_stop() -> Iterator[asyncio.Event]:
    """Yield an event that SIGINT and SIGTERM set; after it, another Ctrl-C ends the process."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    caught = []
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
            caught.append(number)
    except (NotImplementedError, RuntimeError, ValueError):
        pass  # Windows has no such handlers, and other threads than the main one have none.
    try:
        yield stop
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
