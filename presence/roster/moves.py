"""Moves of cursors that server code makes: checked, as they are kept, as they are published. Pure.

    kept       {"x": 0.4125, "y": 0.7301, "meta": {"name": "Ada"}}, and "client" of a browser's
    published  the same and "user": "42", or {"gone": true, "user": "42"}

Numbers stay what they were given as; an empty `meta` is left out.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from presence.roster.names import clean_name
from presence.roster.validation import meta_of, user_of

__all__ = [
    "Move",
    "ending",
    "kept",
    "make_move",
    "publication",
    "publication_gone",
    "shown",
]

MOST: Final = 1e9
"""How far from 0 a coordinate may be."""


class Move(msgspec.Struct, frozen=True):
    """Where the cursor of `user` is; `meta` is JSON, empty where there is none."""

    user: str
    x: int | float
    y: int | float
    meta: bytes = b""


class _Kept(msgspec.Struct):
    x: int | float
    y: int | float
    meta: dict[str, Any] = {}


_kept = msgspec.json.Decoder(_Kept)


def make_move(user: object, x: object, y: object, meta: object = None) -> Move:
    """The move, checked. Raises ValueError that says what is wrong and what is allowed."""
    return Move(user_of(user), _coordinate("x", x), _coordinate("y", y), meta_of(_named(meta)))


def _named(meta: object) -> object:
    """`meta` with a name that may be shown; without, where that shows nothing: the id does."""
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
        return meta
    name = clean_name(meta["name"])
    more = {key: value for key, value in meta.items() if key != "name"}
    return {"name": name, **more} if name else more


def kept(move: Move, client: str = "") -> bytes:
    """What the store is to keep of a move, and whose connection it came from if it was one."""
    return msgspec.json.encode(_fields(move) | ({"client": client} if client else {}))


def ending(client: str) -> bytes:
    """How all ends that is kept of moves from a connection, and nothing else."""
    return msgspec.json.encode({"client": client})[1:]


def shown(kept: bytes, timestamp: float) -> dict[str, Any]:
    """What was kept, as CursorTracker.get_cursors gives it. Raises ValueError if it is not such."""
    try:
        found = _kept.decode(kept)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{kept!r:.80} is no position: {error}") from error
    return {"x": found.x, "y": found.y, "timestamp": timestamp, "meta": found.meta}


def publication(move: Move) -> msgspec.Raw:
    """What is published of a move."""
    return msgspec.Raw(msgspec.json.encode(_fields(move) | {"user": move.user}))


def publication_gone(user: str) -> msgspec.Raw:
    """What is published when the cursor of `user` goes."""
    return msgspec.Raw(msgspec.json.encode({"gone": True, "user": user}))


def _fields(move: Move) -> dict[str, Any]:
    fields: dict[str, Any] = {"x": move.x, "y": move.y}
    if move.meta:
        fields["meta"] = msgspec.Raw(move.meta)
    return fields


def _coordinate(name: str, value: object) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r:.80}: it must be an int or a float")
    if not -MOST <= value <= MOST:  # nor does what is no number
        raise ValueError(f"{name} is {value!r:.80}: it must lie between {-MOST:g} and {MOST:g}")
    return int(value) if isinstance(value, int) else float(value)  # of a subclass, the number
