"""Moves of cursors that server code makes: checked, as they are kept, as they are published. Pure.

    kept       {"x": 0.4125, "y": 0.7301, "meta": {"name": "Ada"}}, and "client" of a browser's
    published  the same and "user": "42", or {"gone": true, "user": "42"}

Numbers stay what they were given as; an empty `meta` is left out.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

__all__ = [
    "Move",
    "ending",
    "is_meta",
    "kept",
    "make_move",
    "publication",
    "publication_gone",
    "shown",
    "user_of",
]

MAX_USER: Final = 200
"""Characters in a user id."""
MOST: Final = 1e9
"""How far from 0 a coordinate may be."""
MAX_META: Final = 4096
"""Bytes of `meta` as JSON: it goes to every browser with every move."""
MAX_DEPTH: Final = 20
"""Dicts and lists within one another in `meta`, itself among them: far below what any reader
takes."""

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


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
    return Move(user_of(user), _coordinate("x", x), _coordinate("y", y), _meta(meta))


def user_of(user: object) -> str:
    """`user` if it can be the id of one. Raises ValueError."""
    if not isinstance(user, str):
        raise ValueError(
            f"user_id is {user!r:.80}: it must be a text, such as str(request.user.pk)"
        )
    if not 1 <= len(user) <= MAX_USER:
        raise ValueError(f"user_id has {len(user)} characters: it must have 1 to {MAX_USER}")
    if found := _UNFIT.search(user):
        raise ValueError(
            f"user_id contains {found.group()!r}: it must be a text without control characters"
        )
    return user + ""  # a text that Django marked safe becomes a plain one


def is_meta(meta: object) -> bool:
    """Whether a move can have it as its `meta`."""
    try:
        _meta(meta)
    except ValueError:
        return False
    return True


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


def _meta(meta: object) -> bytes:
    if not meta and (meta is None or isinstance(meta, dict)):
        return b""
    if not isinstance(meta, dict):
        raise ValueError(f"meta is {meta!r:.80}: it must be a dict, or None")
    if _is_deeper(meta, MAX_DEPTH):
        raise ValueError(
            f"meta is nested more than {MAX_DEPTH} deep: its dicts and lists must not be"
        )
    try:
        text = json.dumps(meta, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        encoded = text.encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"meta is no JSON ({error}): use texts, numbers, lists, dicts") from error
    if len(encoded) > MAX_META:
        raise ValueError(f"meta has {len(encoded)} bytes as JSON: it must have at most {MAX_META}")
    return encoded


def _is_deeper(value: object, depth: int) -> bool:
    """Whether dicts and lists are nested more than `depth` deep in `value`, itself among them."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return False
    return depth == 0 or any(_is_deeper(one, depth - 1) for one in value)
