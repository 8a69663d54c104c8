"""The Lua scripts of the Redis store. Each touches one key and is safe to run twice.

A line `--# name: part part` in a .lua file begins a script, which is what follows that line after
the parts that it names. Comments are not sent to Redis.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

_HEADER = re.compile(r"^--# (\w+)(?:: ([\w ]+))?$", re.MULTILINE)
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)


def _read() -> Iterator[tuple[str, str]]:
    """Yield each script, and each part of scripts, by its name."""
    bodies: dict[str, tuple[list[str], str]] = {}
    for name in ("clock", "rosters", "members", "cursors", "watch", "revocations"):
        text = files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
        _, *found = _HEADER.split(text)
        for script, parts, body in zip(found[::3], found[1::3], found[2::3], strict=True):
            bodies[script] = (parts or "").split(), _COMMENT.sub("", body).strip() + "\n"

    def source(script: str) -> str:
        parts, body = bodies[script]
        return "".join([*map(source, parts), body])

    for script in bodies:
        yield script, source(script)


ALL = dict(_read())
"""The source of each script."""
