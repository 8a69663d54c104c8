"""A worker in a fresh process, so that its memory is its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from bench.site import PATIENCE, make_sync, tick, timed
from presence.centrifugo.gateway import Gateway
from presence.centrifugo.http import HttpTransport
from presence_devtools.servers import API_KEY


class Done(NamedTuple):
    """What a tick took, and the most memory (MB) that its process ever had."""

    seconds: float
    memory: float
    members: int
    channels: int


class Worker:
    """The parent's side: a process that ticks when told to."""

    def __init__(self, api_url: str, redis_url: str, patterns: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", api_url, redis_url, *patterns],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parent.parent,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(60)

    def tick(self) -> Done:
        """Run a tick over every channel of the patterns. Raises RuntimeError if it goes wrong."""
        print(file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()  # type: ignore[union-attr]
        if not answer:
            raise RuntimeError("a worker ended: see its error output")
        return Done(*json.loads(answer))


def peak_memory() -> float:
    """MB. `ru_maxrss` is the last resort: on Linux it counts what the parent had at the exec."""
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _serve(api_url: str, redis_url: str, *patterns: str) -> None:
    sync = make_sync(
        redis_url, Gateway(HttpTransport(api_url, API_KEY, timeout=PATIENCE)), patterns
    )
    for _ in sys.stdin:
        spent, report = timed(lambda: tick(sync))
        done = Done(spent, peak_memory(), report.members, report.channels)
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
