"""What server code says of members and cursors, checked: one set of rules for both. Pure.

Everything here raises ValueError that says what is wrong and what is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

__all__ = [
    "event_of",
    "is_meta",
    "json_of",
    "member_meta",
    "meta_of",
    "plain",
    "source_of",
    "user_of",
]

MAX_USER: Final = 200
"""Characters in a user id."""
MAX_SOURCE: Final = 64
"""Characters in a source."""
MAX_EVENT: Final = 100
"""Characters in the name of an event."""
MAX_META: Final = 4096
"""Bytes of `meta` as JSON: it goes to every browser with every move, and with every join."""
MAX_DEPTH: Final = 20
"""Dicts and lists within one another, the outermost among them: far below what any reader takes."""

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNFIT_IN_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def user_of(user: object) -> str:
    """`user` if it can be the id of one."""
    return _text("user_id", user, least=1, most=MAX_USER, example="str(request.user.pk)")


def source_of(source: object) -> str:
    """`source` if it can be who says that a user is here; "" where nobody else does."""
    return _text("source", source, least=0, most=MAX_SOURCE, example="'bot-7'")


def event_of(event: object) -> str:
    """`event` if it can be the name of one."""
    return _text("event", event, least=1, most=MAX_EVENT, example="'saved'")


def plain(text: str) -> str:
    """`text` without what no id or name may contain, on one line."""
    return " ".join(_UNFIT.sub(" ", text).split())


def meta_of(meta: object) -> bytes:
    """`meta` as JSON; b"" for None and for an empty one."""
    return json_of("meta", meta, most=MAX_META)


def is_meta(meta: object) -> bool:
    """Whether `meta_of` takes it."""
    try:
        meta_of(meta)
    except ValueError:
        return False
    return True


def member_meta(meta: object) -> bytes:
    """`meta` of a member as JSON, b"{}" where there is none.

    Names (and all that is no text of several lines) are without control characters.
    """
    encoded = meta_of(meta)
    for where, text, allowed in _texts(meta):
        if found := (_UNFIT_IN_LINES if allowed else _UNFIT).search(text):
            raise ValueError(
                f"meta contains {found.group()!r} in {where:.80}: its texts must be without "
                "control characters (line breaks and tabs may be in all but the name)"
            )
    return encoded or b"{}"


def json_of(name: str, value: object, *, most: int) -> bytes:
    """The dict `value`, the argument `name`, as at most so many bytes of JSON; b"" for an empty one
    and for None."""
    if not value and (value is None or isinstance(value, dict)):
        return b""
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {value!r:.80}: it must be a dict, or None")
    if _is_deeper(value, MAX_DEPTH):
        raise ValueError(
            f"{name} is nested more than {MAX_DEPTH} deep: its dicts and lists must not be"
        )
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        encoded = text.encode()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is no JSON ({error}): use texts, numbers, lists, dicts"
        ) from error
    if len(encoded) > most:
        raise ValueError(f"{name} has {len(encoded)} bytes as JSON: it must have at most {most}")
    return encoded


def _text(name: str, value: object, *, least: int, most: int, example: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r:.80}: it must be a text, such as {example}")
    if not least <= len(value) <= most:
        raise ValueError(f"{name} has {len(value)} characters: it must have {least} to {most}")
    if found := _UNFIT.search(value):
        raise ValueError(
            f"{name} contains {found.group()!r}: it must be a text without control characters"
        )
    return value + ""  # a text that Django marked safe becomes a plain one


def _is_deeper(value: object, depth: int) -> bool:
    """Whether dicts and lists are nested more than `depth` deep in `value`, itself among them."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return False
    return depth == 0 or any(_is_deeper(one, depth - 1) for one in value)


def _texts(value: Any, where: str = "") -> Iterator[tuple[str, str, bool]]:
    """Every text in JSON: where it is, itself, and whether it may have several lines."""
    if isinstance(value, str):
        yield where, value, where != "name"
    elif isinstance(value, dict):
        for key, one in value.items():
            yield f"the key {key!r}", str(key), False
            yield from _texts(one, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one, where)
