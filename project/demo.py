"""The demo from one command, `python -m project.demo`: Redis, Centrifugo, worker, beat and web.

The parts are those of Procfile.dev. PORT is the site's (8000); the other ports are free ones.
What the parts keep lies in .demo/. Standard output gets one line, once everything answers; the
warnings of the parts go to standard error, or with LOGS=1 all they say. Ctrl-C stops all of
them, and so does the end of any one of them.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from honcho.environ import parse_procfile
from honcho.manager import SYSTEM_PRINTER_NAME, Manager
from honcho.printer import Message, Printer

from project.parts import ROOT, free_port
from project.ready import wait_until_ready

DEMO_DIR = ROOT / ".demo"
PROCFILE = ROOT / "Procfile.dev"
READY = "Open {url} in two browsers and sign in as two people; Ctrl-C stops the demo."


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


def set_environment(port: int, *, logs: bool) -> None:
    """Point every part, and this process, at one another."""
    redis, centrifugo = free_port(), free_port()
    programs = str(Path(sys.executable).parent)
    os.environ.update(
        {
            "CELERY_BROKER_URL": f"redis://127.0.0.1:{redis}/1",
            "CENTRIFUGO_API_URL": f"http://127.0.0.1:{centrifugo}/api",
            "CENTRIFUGO_LOG_LEVEL": "info" if logs else "warn",
            "CENTRIFUGO_PORT": str(centrifugo),
            "CENTRIFUGO_WS_URL": f"ws://127.0.0.1:{centrifugo}/connection/websocket",
            "DATABASE_PATH": str(DEMO_DIR / "db.sqlite3"),
            "DEBUG": "1",
            "DEMO_DIR": str(DEMO_DIR),
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "LOG_LEVEL": "info" if logs else "warning",
            "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)]),
            "PORT": str(port),
            "PRESENCE_REDIS_URL": f"redis://127.0.0.1:{redis}/0",
            "PYTHONUNBUFFERED": "1",
            "REDIS_PORT": str(redis),
        }
    )


class Log(Printer):  # type: ignore[misc]  # honcho is not typed
    """Prints what the parts say; of what honcho itself says, why everything stops."""

    def __init__(self, *, logs: bool) -> None:
        super().__init__(sys.stderr)
        self.logs = logs
        self.stopping = False

    def write(self, message: Message) -> None:
        if self.logs or message.name != SYSTEM_PRINTER_NAME:
            super().write(message)
            return
        said = message.data.strip()
        if not self.stopping and " started " not in said:
            self.stopping = True
            print(f"{said}: stopping the demo.", file=sys.stderr, flush=True)


def announce(manager: Manager, port: int) -> None:
    """Print the one line when everything answers; stop the demo when something never does."""
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/", timeout=60)
    except TimeoutError as error:
        print(f"{error}: stopping the demo.", file=sys.stderr, flush=True)
        manager.returncode = 1
        manager.terminate()
    else:
        print(READY.format(url=f"http://127.0.0.1:{port}"), flush=True)


def main() -> int:
    """Run the demo until it is stopped. Returns 0 after Ctrl-C, else what the dead part gave."""
    logs = os.environ.get("LOGS", "0") not in {"", "0"}
    port = site_port()
    DEMO_DIR.mkdir(exist_ok=True)
    set_environment(port, logs=logs)
    migrate = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=ROOT, check=True)

    manager = Manager(Log(logs=logs))
    for name, command in parse_procfile(PROCFILE.read_text()).processes.items():
        manager.add_process(name, command, cwd=str(ROOT))
    # A closed terminal must not leave the parts behind.
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    threading.Thread(target=announce, args=(manager, port), daemon=True).start()
    manager.loop()
    return 0 if manager.returncode == 128 + signal.SIGINT else int(manager.returncode or 1)


if __name__ == "__main__":
    sys.exit(main())
