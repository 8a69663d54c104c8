"""Real servers for tests: started on free ports, awaited, ended by their own process id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from project import parts

ROOT = Path(__file__).resolve().parent.parent
API_KEY = "test-api-key"
TOKEN_SECRET = "test-token-secret-of-at-least-32-bytes"
PATIENCE = 30.0


def wait_until(condition: Callable[[], bool], what: str, *, patience: float = PATIENCE) -> None:
    """Return once `condition` holds; AssertionError naming `what` after `patience` seconds."""
    ends = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < ends, f"not within {patience} s: {what}"
        time.sleep(0.02)


@dataclass
class Server:
    """A process that can be killed and started again on the same port."""

    command: list[str]
    environment: Mapping[str, str]
    answers: Callable[[], bool]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=dict(self.environment), cwd=ROOT, stdout=log, stderr=log
            )
        try:
            wait_until(self._ready, f"{self.command[0]} answers")
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{self.log.read_text()[-2000:]}") from None

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.command} ended: {self.log.read_text()[-2000:]}"
        return self.answers()

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()


@contextmanager
def redis_server(directory: Path, program: str = "") -> Iterator[tuple[str, Server]]:
    """An empty Redis, run by `program` if that is given; its URL (database 0) and its process."""
    port = parts.free_port()
    url = f"redis://127.0.0.1:{port}/0"
    command = parts.redis_command(port, directory)
    server = Server(
        [program or command[0], *command[1:]],
        os.environ,
        lambda: _pings(url),
        directory / "redis.log",
    )
    server.start()
    try:
        yield url, server
    finally:
        server.stop()


def _pings(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


@dataclass
class Centrifugo:
    """A running Centrifugo (or devserver) and how to reach it."""

    port: int
    server: Server

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/connection/websocket"

    @property
    def environment(self) -> dict[str, str]:
        """What our settings read from the environment."""
        return {
            "CENTRIFUGO_API_URL": self.api_url,
            "CENTRIFUGO_API_KEY": API_KEY,
            "CENTRIFUGO_TOKEN_SECRET": TOKEN_SECRET,
            "CENTRIFUGO_WS_URL": self.ws_url,
        }


@contextmanager
def centrifugo_server(directory: Path, config: Path = parts.CONFIG) -> Iterator[Centrifugo]:
    """A real Centrifugo where there is one, else the devserver."""
    port = parts.free_port()
    environment = {
        **os.environ,
        "CENTRIFUGO_API_KEY": API_KEY,
        "CENTRIFUGO_TOKEN_SECRET": TOKEN_SECRET,
        "CENTRIFUGO_PORT": str(port),
    }
    server = Server(
        parts.centrifugo_command(config),
        parts.centrifugo_environment(environment),
        lambda: _informs(port),
        directory / "centrifugo.log",
    )
    server.start()
    try:
        yield Centrifugo(port, server)
    finally:
        server.stop()


def _informs(port: int) -> bool:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/info", data=b"{}", headers={"X-API-Key": API_KEY}
    )
    try:
        with urllib.request.urlopen(request, timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def manage(*arguments: str) -> list[str]:
    """Command line of `manage.py`."""
    return [sys.executable, str(ROOT / "manage.py"), *arguments]
