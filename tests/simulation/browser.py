"""The pages of the simulator: one long-lived Node process with the real feed and reducer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("pages.js")


class Browser:
    """Sends orders to pages, and returns what each page did and shows after that."""

    def __init__(self) -> None:
        self._node = subprocess.Popen(
            ["node", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def order(self, op: str, page: int = 0, *, now: float = 0.0, **order: Any) -> dict[str, Any]:
        """Give one order at `now`, in seconds. Returns the report of the page."""
        assert self._node.stdin
        assert self._node.stdout
        line = json.dumps({"op": op, "page": page, "now": now * 1000, **order})
        self._node.stdin.write(f"{line}\n")
        self._node.stdin.flush()
        answer = self._node.stdout.readline()
        assert answer, "Node ended: see its error above"
        report: dict[str, Any] = json.loads(answer)
        return report

    def close(self) -> None:
        self._node.communicate()
