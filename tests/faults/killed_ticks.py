"""Process that runs ticks, each in a child that kills itself at a step.

Each line of its input is the number of a step. Steps are the beginnings and the ends of the calls
of store and gateway: 1 is the beginning of the first call, 2 its end. Each line of its output tells
how the child ended: the number of a signal, 0 for a tick that has fewer steps.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from inspect import isfunction
from threading import Lock
from typing import Any

import django


class Steps:
    """Counter of the steps of this process, which dies at one of them."""

    def __init__(self, last: int) -> None:
        self._last = last
        self._passed = 0
        self._lock = Lock()

    def step(self) -> None:
        with self._lock:
            self._passed += 1
            if self._passed == self._last:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(work)
        def run(*args: Any, **options: Any) -> Any:
            self.step()
            result = work(*args, **options)
            self.step()
            return result

        return run


def tick(step: int) -> None:
    """Run a tick that dies at a step."""
    from presence.backends.redis.store import RedisStore
    from presence.centrifugo.gateway import Gateway
    from presence.tasks import jobs

    steps = Steps(step)
    for kind in (RedisStore, Gateway):
        for name in dir(kind):
            found = getattr(kind, name)
            if isfunction(found) and not name.startswith("_"):
                setattr(kind, name, steps.around(found))
    jobs.update_presence(lambda _: False)


def main() -> None:
    django.setup()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            tick(int(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, flush=True)


if __name__ == "__main__":
    main()
