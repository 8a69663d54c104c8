"""Servers of a bench, empty and on free ports, and the sync that ticks on them."""

from __future__ import annotations

import gc
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import redis

from bench.crowd import Crowd
from presence.backends.redis.store import RedisStore
from presence.centrifugo.gateway import Command, Gateway, Reply
from presence.centrifugo.http import HttpTransport
from presence.sync.context import Options
from presence.sync.statistics import Report
from presence.sync.tick import Sync
from presence_devtools import servers

T = TypeVar("T")

ALWAYS = 0.001
"""Seconds between ticks: they are not reported for coming too often."""

PATIENCE = 60.0
"""Seconds for one answer, and for Centrifugo to show a crowd whole."""


class Recorder:
    """A transport that keeps what it published last: parameters of publish commands."""

    def __init__(self, url: str) -> None:
        self._transport = HttpTransport(url, servers.API_KEY, timeout=PATIENCE)
        self.last: list[dict[str, Any]] = []

    def batch(
        self, commands: Sequence[Command], *, parallel: bool = False, once: bool = False
    ) -> list[Reply]:
        self.last += [parameters for method, parameters in commands if method == "publish"]
        return self._transport.batch(commands, parallel=parallel, once=once)


@dataclass
class Site:
    """A Redis, a Centrifugo and a crowd on it."""

    redis_url: str
    centrifugo: servers.Centrifugo
    crowd: Crowd

    @property
    def api_url(self) -> str:
        return self.centrifugo.api_url

    def sync(self, gateway: Gateway, patterns: Sequence[str]) -> Sync:
        """Make a sync without leave grace, so that joins and leaves come in one tick."""
        return make_sync(self.redis_url, gateway, patterns)

    def settle(self, entries: int) -> None:
        """Wait until Centrifugo shows `entries` clients in all channels, and is quiet."""
        gateway = Gateway(HttpTransport(self.api_url, servers.API_KEY, timeout=PATIENCE))

        def whole() -> bool:
            return sum(gateway.survey(["presence:**"]).clients.values()) == entries

        servers.wait_until(whole, f"{entries} clients are shown", timeout=PATIENCE)
        self.crowd.settle()

    def forget(self) -> None:
        """Empty the database of the app."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushdb()


@contextmanager
def running(*, processes: int = 1) -> Iterator[Site]:
    """Run a new site, with a crowd of so many processes."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, _ = stack.enter_context(servers.redis_server(directory))
        centrifugo = stack.enter_context(servers.centrifugo_server(directory, config(directory)))
        crowd = Crowd(centrifugo.ws_url, servers.TOKEN_SECRET, processes=processes)
        stack.callback(crowd.close)
        yield Site(url, centrifugo, crowd)


QUIET = {"ping_interval": "3600s", "channel_position_check_delay": "3600s"}
"""Options of clients with which Centrifugo sends nothing by itself."""


def config(directory: Path, **client: Any) -> Path:
    """Write the project's configuration, changed so that no crowd is cut off on a busy machine.

    It has a long write timeout and the options `client`: by default no pings, which a crowd answers
    late under load, and no checks of stream positions.
    """
    settings = json.loads(servers.CONFIG.read_text())
    settings["client"] |= client or QUIET
    settings["websocket"] = {"write_timeout": "60s"}
    path = directory / "centrifugo.json"
    path.write_text(json.dumps(settings))
    return path


def make_sync(redis_url: str, gateway: Gateway, patterns: Sequence[str]) -> Sync:
    options = Options(patterns=tuple(patterns), interval=3600.0, grace=0.0, list_limit=200)
    return Sync(RedisStore(redis_url), gateway, options, announce=None)


def tick(sync: Sync) -> Report:
    """Run one tick. Raises RuntimeError if it has errors."""
    report = sync.tick(interval=ALWAYS)
    if report.errors or report.refused:
        raise RuntimeError(f"a tick went wrong: {report.failures}")
    return report


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Run `work`. Returns the seconds it took, and its result."""
    gc.collect()
    started = time.perf_counter()
    done = work()
    return time.perf_counter() - started, done


def seconds(work: Callable[[], object]) -> float:
    """Run `work`. Returns the seconds it took."""
    return timed(work)[0]


def processor_seconds(work: Callable[[], object]) -> float:
    """Run `work`. Returns its seconds of processor time in all threads of this process."""
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started
