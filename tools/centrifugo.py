"""Install the pinned Centrifugo into this checkout, once: `python -m tools.centrifugo`.

Centrifugo is a Go module, so that Go builds it: some minutes on two cores the first time.
"""

from __future__ import annotations

import os
import subprocess
import sys

from presence_devtools.servers import CENTRIFUGO_VERSION, INSTALLED_CENTRIFUGO

MODULE = f"github.com/centrifugal/centrifugo/v6@{CENTRIFUGO_VERSION}"


def install() -> None:
    """Raises FileNotFoundError without Go, subprocess.CalledProcessError if it cannot build."""
    if INSTALLED_CENTRIFUGO.exists():
        return
    print(f"go install {MODULE} (some minutes the first time)", flush=True)
    environ = {**os.environ, "GOBIN": str(INSTALLED_CENTRIFUGO.parent), "CGO_ENABLED": "0"}
    try:
        subprocess.run(["go", "install", MODULE], env=environ, check=True)
    except FileNotFoundError:
        raise FileNotFoundError(
            "Go is needed to build Centrifugo (https://go.dev/dl/). Or put `centrifugo` on PATH; "
            "without one, the development server takes its place."
        ) from None


if __name__ == "__main__":
    try:
        install()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
