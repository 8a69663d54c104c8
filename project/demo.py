"""The demo from one command, `python -m project.demo`: Redis, Centrifugo, worker, beat and web.

The parts are those of Procfile.dev; with ASYNC_BACKEND=huey those of Procfile.dev.huey, where
Huey's consumer takes the place of worker and beat. PORT is the site's (8000); the other ports are
free ones. What the parts keep lies in DEMO_DIR (.demo/). Standard output gets one line, once
everything answers; standard error which Centrifugo it is and the warnings of the parts, or with
LOGS=1 all that they say. Ctrl-C stops all of them, and so does the end of any one of them. While
they run, DEMO_DIR/environment tells a shell where they are: `make crowd` reads it.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from honcho.environ import parse_procfile
from honcho.manager import SYSTEM_PRINTER_NAME, Manager
from honcho.printer import Message, Printer

from presence_devtools.servers import ROOT, centrifugo_binary, centrifugo_in_use, free_port
from project.ready import NotReady, wait_until_ready

DEMO_DIR = Path(os.environ.get("DEMO_DIR") or ROOT / ".demo").resolve()
PROCFILES = {"celery": ROOT / "Procfile.dev", "huey": ROOT / "Procfile.dev.huey"}
# Variables with which another process finds the servers.
SHARED = (
    "ASYNC_BACKEND",
    "CELERY_BROKER_URL",
    "CENTRIFUGO_API_URL",
    "CENTRIFUGO_WS_URL",
    "DATABASE_PATH",
    "DEBUG",
    "DJANGO_SETTINGS_MODULE",
    "PRESENCE_REDIS_URL",
)
ASKED_TO_STOP = {128 + signal.SIGINT, 128 + signal.SIGTERM}
READY = "Open {url} in two browsers and sign in as two people; Ctrl-C stops the demo."


def queue() -> str:
    """ASYNC_BACKEND, or celery. Exits with one line when it is neither that nor huey."""
    given = os.environ.get("ASYNC_BACKEND") or "celery"
    if given not in PROCFILES:
        sys.exit(f"ASYNC_BACKEND must be celery or huey, not {given!r}.")
    return given


def site_port() -> int:
    """PORT, or 8000, when it can be listened on. Exits with one line when it cannot."""
    given = os.environ.get("PORT") or "8000"
    if not given.isdecimal() or not 0 < int(given) < 65536:
        sys.exit(f"PORT must be a number from 1 to 65535, not {given!r}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(given)))
        except OSError as error:
            sys.exit(f"Port {given} cannot be used ({error.strerror}). Try: make demo PORT=8010")
    return int(given)


def set_environment(port: int, queue: str, *, logs: bool) -> None:
    """Point every part, and this process, at one another."""
    redis, centrifugo = free_port(), free_port()
    os.environ.update(
        {
            "ASYNC_BACKEND": queue,
            "CELERY_BROKER_URL": f"redis://127.0.0.1:{redis}/1",
            "CENTRIFUGO_API_URL": f"http://127.0.0.1:{centrifugo}/api",
            "CENTRIFUGO_PORT": str(centrifugo),
            "CENTRIFUGO_WS_URL": f"ws://127.0.0.1:{centrifugo}/connection/websocket",
            "DATABASE_PATH": str(DEMO_DIR / "db.sqlite3"),
            "DEBUG": "1",
            "DEMO_DIR": str(DEMO_DIR),
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "LOG_LEVEL": "info" if logs else "warning",
            "PORT": str(port),
            "PRESENCE_REDIS_URL": f"redis://127.0.0.1:{redis}/0",
            "PYTHON": sys.executable,
            "PYTHONUNBUFFERED": "1",
            # In a container one is root, and in a demo that is no worry.
            "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
            "REDIS_PORT": str(redis),
        }
    )
    # `make crowd` brings fifty people: with the default of 30 some would not be drawn.
    os.environ.setdefault("PRESENCE_CURSOR_LIMIT", "60")
    if centrifugo_binary():  # The devserver would warn that it ignores this.
        os.environ["CENTRIFUGO_LOG_LEVEL"] = "info" if logs else "warn"


@contextmanager
def shared_environment(file: Path) -> Iterator[None]:
    """What SHARED names, in `file` for as long as this lasts: lines that a shell can read."""
    lines = (f"export {name}={shlex.quote(os.environ[name])}\n" for name in SHARED)
    file.write_text("".join(lines))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


class Log(Printer):  # type: ignore[misc]  # honcho is not typed
    """Prints what the parts say until they are told to stop; of what honcho itself says, why.

    Calls `started` at the first message, when every part has been forked.
    """

    def __init__(self, *, logs: bool, started: Callable[[], None]) -> None:
        super().__init__(sys.stderr)
        self.logs = logs
        self.started: Callable[[], None] | None = started
        self.stopping = False

    def write(self, message: Message) -> None:
        if self.started:
            self.started()
            self.started = None
        if self.logs or (not self.stopping and message.name != SYSTEM_PRINTER_NAME):
            super().write(message)
        elif not self.stopping and " started " not in message.data:
            self.stop(message.data.strip())

    def stop(self, reason: str) -> None:
        """Say why the demo stops, and nothing more."""
        self.stopping = True
        print(f"{reason}: stopping the demo.", file=sys.stderr, flush=True)


def announce(manager: Manager, log: Log, port: int) -> None:
    """Print the one line when everything answers; stop the demo when something never does."""
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/", timeout=60)
    except NotReady as error:
        log.stop(str(error))
        manager.returncode = 1
        manager.terminate()
    else:
        print(READY.format(url=f"http://127.0.0.1:{port}"), flush=True)


def main() -> int:
    """Run the demo until it is stopped. Returns 0 if it was asked to, 1 if a part died."""
    logs = os.environ.get("LOGS", "0") not in {"", "0"}
    port, runs = site_port(), queue()
    print(f"Uses {centrifugo_in_use()}.", file=sys.stderr, flush=True)
    DEMO_DIR.mkdir(parents=True, exist_ok=True)
    set_environment(port, runs, logs=logs)
    migrate = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity", "0"]
    if status := subprocess.run(migrate, cwd=ROOT).returncode:
        return status

    # A fork while a thread runs may leave a lock held, so this one starts after the parts.
    herald = threading.Thread(target=lambda: announce(manager, log, port), daemon=True)
    log = Log(logs=logs, started=herald.start)
    manager = Manager(log)
    for name, command in parse_procfile(PROCFILES[runs].read_text()).processes.items():
        manager.add_process(name, command, cwd=str(ROOT))
    # A closed terminal must not leave the parts behind.
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    with shared_environment(DEMO_DIR / "environment"):
        manager.loop()
    return 0 if manager.returncode in ASKED_TO_STOP else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
