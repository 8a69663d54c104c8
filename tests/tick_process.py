"""Process that runs ticks as a worker does, some of them interrupted by a signal handler.

Each line of its input is a JSON number: the seconds after which a tick is interrupted, 0 for a tick
that is not. Each line of its output is a JSON object that tells how that tick ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any

import django

ROOMS = [f"presence:interrupted:{number}" for number in range(6)]


class SoftTimeLimitExceeded(Exception):
    """Exception of a signal handler, like that of Celery."""


def refuse(shard: dict[str, Any], /) -> bool:
    """Hand out no shard, so that this process runs the whole tick: a jobs.HandOut."""
    return False


def interrupt(*_: object) -> None:
    raise SoftTimeLimitExceeded


def tick(after: float) -> dict[str, Any]:
    """Run a tick that is interrupted after `after` seconds; 0: never."""
    from presence.tasks import jobs

    began = time.perf_counter()
    report, raised = None, ""
    try:
        signal.setitimer(signal.ITIMER_REAL, after)
        try:
            report = jobs.update_presence(refuse)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except SoftTimeLimitExceeded:
        pass
    except Exception:
        raised = traceback.format_exc()
    return {
        "interrupted": report is None,
        "raised": raised,
        "seconds": time.perf_counter() - began,
        "failures": report.failures if report else [],
        "errors": report.errors if report else 0,
        "refused": report.refused if report else 0,
    }


def state() -> dict[str, Any]:
    """Return the resources of this process, and the rosters that it would show."""
    from presence import services

    shown = services.store().load_snapshots(ROOMS)
    return {
        "threads": [thread.name for thread in threading.enumerate()],
        "files": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
        "rosters": {room: json.loads(shown[room].snapshot or b"{}") for room in ROOMS},
    }


def main() -> None:
    django.setup()
    from presence.signals import presence_joined

    presence_joined.connect(lambda **_: None, weak=False)  # so that changes are announced
    signal.signal(signal.SIGALRM, interrupt)
    for line in sys.stdin:
        after = json.loads(line)
        done = tick(after) if after else tick(0) | state()
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
