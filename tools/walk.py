"""Measure the way of one tick through the code: `python -m tools.walk` prints files and frames.

The site is `presence.testing.FakePresence`: rosters in memory, a fake Centrifugo, no threads. What
is measured is one call of `presence.tasks.jobs.update_presence`, which is what the task of Celery
or Huey calls, after a first tick without anybody. It is run twice: with one member who has joined
one channel, and once more with nothing changed.

- files: the files below presence/ that the called functions are in, each once; the fakes, below
  presence/testing/, do not count, nor does the filter of log messages, which logging calls;
- frames: the calls that are open at once, at the deepest point: everything below presence/, with
  the fakes, lambdas and comprehensions (which have no frame from Python 3.12 on), but without
  Django and the standard library; `update_presence` is the first;
- calls: all of those calls, and each time that a generator continues;
- changes of file: calls that are in another file than the call before.

Before the packages, the same count was 28 files, 17 frames and 396 calls.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import presence

APP = f"{Path(presence.__file__).parent}{os.sep}"
FAKES = f"testing{os.sep}"
LOG = f"{APP}transport{os.sep}log_lines.py"
ROOM = "presence:walk"


@dataclass
class Walk:
    """The calls of one tick in their order, by file, and the greatest depth of open calls."""

    calls: list[str] = field(default_factory=list)
    frames: int = 0

    @property
    def files(self) -> list[str]:
        """The files without the fakes, in the order in which they were entered first."""
        return [file for file in dict.fromkeys(self.calls) if not file.startswith(FAKES)]

    @property
    def changes(self) -> int:
        return sum(a != b for a, b in zip(self.calls, self.calls[1:], strict=False))

    def __str__(self) -> str:
        return (
            f"{len(self.files)} files, {self.frames} frames deep "
            f"({len(self.calls)} calls, {self.changes} changes of file)"
        )


def refuse(shard: dict[str, Any], /) -> bool:
    """Hand out no shard, so that the whole tick runs here: a jobs.HandOut."""
    return False


def measure(work: Callable[[], object]) -> Walk:
    """Run `work`, and return its walk."""
    walk = Walk()
    depth = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal depth
        path = frame.f_code.co_filename
        if not path.startswith(APP) or path == LOG:
            return
        if event == "return":
            depth -= 1
        elif event == "call":
            depth += 1
            walk.calls.append(path.removeprefix(APP))
            walk.frames = max(walk.frames, depth)

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return walk


def one_join_and_unchanged() -> tuple[Walk, Walk]:
    """Return the walk of a tick with one join, and that of the next one."""
    from django.contrib.auth import get_user_model

    from presence.tasks import jobs
    from presence.testing import FakePresence

    def tick() -> object:
        return jobs.update_presence(refuse)

    with FakePresence() as site:
        site.tick()
        site.connect(ROOM, get_user_model()(pk=7, username="ada"))
        return measure(tick), measure(tick)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    import django

    django.setup()
    joined, unchanged = one_join_and_unchanged()
    print(f"tick with one join: {joined}", *joined.files, sep="\n  ")
    print(f"unchanged tick: {unchanged}", *unchanged.files, sep="\n  ")


if __name__ == "__main__":
    main()
