"""What applying a diff costs the browser's script, against copying the roster once; run by node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

SCRIPT: Final = Path(__file__).with_name("apply.mjs")
MEMBERS: Final = 5000
CHANGES: Final = 100
ROUNDS: Final = 15


class _Spent(msgspec.Struct):
    """Milliseconds, round by round."""

    apply: list[float]
    copy: list[float]


def run() -> dict[str, float] | None:
    """Milliseconds of a diff and of a copy, and the ratio of the two, medians; None where there
    is no node."""
    node = shutil.which("node")
    if node is None:
        return None
    sizes = [str(size) for size in (MEMBERS, CHANGES, ROUNDS)]
    done = subprocess.run([node, SCRIPT, *sizes], stdout=subprocess.PIPE, check=True)
    spent = msgspec.json.decode(done.stdout, type=_Spent)
    return {
        "apply_ms": median(spent.apply),
        "copy_ms": median(spent.copy),
        "ratio": median(one / copy for one, copy in zip(spent.apply, spent.copy, strict=True)),
    }
