"""Workers of the simulator: processes whose calls to the store and to Centrifugo are steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import greenlet

from presence.backends.tracker import Tracker
from presence.centrifugo.gateway import Gateway
from presence.exceptions import CentrifugoUnreachable, StoreError
from presence.sync.context import LastLook
from presence.sync.tick import Sync
from tests.unit.fakes import Inline

if TYPE_CHECKING:
    from tests.simulation.world import World

Job = Callable[[Sync], object]


class Killed(BaseException):
    """The end of a process: no handler and no `finally` of it can do anything any more."""


class Process:
    """One worker process. It does a job in a coroutine that stops before and after each call."""

    def __init__(self, world: World, number: int) -> None:
        self.number = number
        self.at = ""
        self.job = ""
        self.paused = False
        self.failure: type[Exception] = StoreError
        self._world = world
        self._dead = False
        self._order: Exception | None = None
        self._running: greenlet.greenlet | None = None
        self._sync = Sync(
            Stepped(world.store, self, StoreError),  # type: ignore[arg-type]
            Stepped(Gateway(world.centrifugo), self, CentrifugoUnreachable),  # type: ignore[arg-type]
            world.options,
            announce=lambda *change: world.announced.append(change),
            last_look=LastLook(),
            clock=world.clock,
            executor=Inline,
        )

    @property
    def is_free(self) -> bool:
        return self._running is None

    def start(self, name: str, job: Job) -> None:
        """Take a job, and stop at its first step."""
        self.job = name

        def run() -> None:
            with suppress(Killed):
                job(self._sync)

        self._running = greenlet.greenlet(run)
        self.step()

    def step(self, order: Exception | None = None) -> None:
        """Go on to the next stop; with `order`, raise it where the process stands."""
        assert self._running is not None
        self._order = order
        self._running.switch()
        if self._running.dead:
            self._running, self.at = None, ""

    def kill(self) -> None:
        """End the process at once, whatever it was doing."""
        self._dead = True
        if self._running is not None:
            self._running.throw(Killed)
            assert self._running.dead, self.at
            self._running = None

    def stop_at(self, where: str, failure: type[Exception]) -> None:
        """Let the world go on; an order may raise an error here, `failure` if a call is to fail."""
        if self._dead:
            raise Killed
        self.at, self.failure = where, failure
        try:
            self._world.hub.switch()
        except Killed:
            self._dead = True
            raise
        order, self._order = self._order, None
        if order:
            raise order


class Stepped:
    """A store or a gateway whose calls are steps of a process."""

    def __init__(self, real: Any, process: Process, failure: type[Exception]) -> None:
        self._real, self._process, self._failure = real, process, failure

    def __getattr__(self, name: str) -> Any:
        real: Callable[..., Any] = getattr(self._real, name)
        process, failure = self._process, self._failure

        def stepped(*arguments: Any, **options: Any) -> Any:
            process.stop_at(f"before {name}", failure)
            if getattr(self._real, "down", False):
                raise failure("down")
            result = real(*arguments, **options)
            process.stop_at(f"after {name}", failure)
            return result

        return stepped


Tracker.register(Stepped)
