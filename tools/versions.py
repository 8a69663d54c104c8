"""Print the servers and programs that the tests will use: `python -m tools.versions`."""

from __future__ import annotations

import shutil
import subprocess
import sys

from presence_devtools.servers import centrifugo_in_use, chromium_binary, redis_binary


def version(program: str | None, *arguments: str) -> str:
    """Return the first line of the program's version, and its path."""
    if not program:
        return "none found"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    said = (done.stdout or done.stderr).strip().splitlines() or ["of unknown version"]
    return f"{said[0]} ({program})"


def main() -> None:
    used = {
        "Python": version(sys.executable, "--version"),
        "Centrifugo": centrifugo_in_use(),
        "Redis": version(redis_binary(), "--version"),
        "Chromium": version(chromium_binary(), "--version"),
        "Node": version(shutil.which("node"), "--version"),
    }
    for name, found in used.items():
        print(f"{name + ':':12}{found}")


if __name__ == "__main__":
    main()
