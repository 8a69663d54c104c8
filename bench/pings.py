"""Processor time of Centrifugo for idle connections, by the interval of its pings.

Every case has a Centrifugo and a crowd of its own, and all are measured in the same minute:
`python -m bench.pings`, or with another number of connections than 10,000 after it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.crowd import Crowd
from bench.processor import processor_seconds
from bench.site import PATIENCE, config
from presence.centrifugo.gateway import Gateway
from presence.centrifugo.http import HttpTransport
from presence_devtools import servers

CASES = {
    "no pings": {"ping_interval": "3600s"},
    "25 s and 8 s, Centrifugo's defaults": {"ping_interval": "25s", "pong_timeout": "8s"},
    "10 s and 4 s": {"ping_interval": "10s", "pong_timeout": "4s"},
}
ROOM = "presence:idle:{}"
MEMBERS = 10
"""Connections in each room."""
SETTLE = 30.0
"""Seconds after which every connection has had its first ping and its first refresh."""
SECONDS = 60.0


def measure(connections: int) -> dict[str, float]:
    """Return the part of a core that the Centrifugo of each case uses."""
    with ExitStack() as stack:
        running = {name: _start(stack, connections, client) for name, client in CASES.items()}
        time.sleep(SETTLE)
        started = time.monotonic()
        before = {name: processor_seconds(made.pid) for name, made in running.items()}
        time.sleep(SECONDS)
        spent = time.monotonic() - started
        used = {name: processor_seconds(made.pid) - before[name] for name, made in running.items()}
        for name, centrifugo in running.items():
            gateway = Gateway(HttpTransport(centrifugo.api_url, servers.API_KEY, timeout=PATIENCE))
            left = sum(gateway.survey([ROOM.format("*")]).clients.values())
            if left != connections:
                raise RuntimeError(f"{name}: {connections - left} connections were cut off")
    return {name: seconds / spent for name, seconds in used.items()}


def _start(stack: ExitStack, connections: int, client: dict[str, str]) -> servers.Centrifugo:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    made = stack.enter_context(servers.centrifugo_server(directory, config(directory, **client)))
    crowd = Crowd(made.ws_url, servers.TOKEN_SECRET)
    stack.callback(crowd.close)
    crowd.connect({f"u{n}": [ROOM.format(n // MEMBERS)] for n in range(connections)})
    return made


if __name__ == "__main__":
    for name, core in measure(int(sys.argv[1]) if sys.argv[1:] else 10_000).items():
        print(f"{name}: {core:.1%} of a core")
