"""What server code says of members and cursors, checked: one set of rules for both. Pure.

Everything here raises ValueError that says what is wrong and what is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

__all__ = [
    "MAX_META",
    "TooLarge",
    "check_dict",
    "check_event",
    "check_shape",
    "check_source",
    "check_user_id",
    "encode_json_dict",
    "encode_member_meta",
    "encode_meta",
    "find_unfit",
    "is_meta",
    "strip_controls",
]

MAX_USER: Final = 200
"""Characters in a user id."""
MAX_SOURCE: Final = 64
"""Characters in a source."""
MAX_EVENT: Final = 100
"""Characters in the name of an event."""
MAX_META: Final = 4096
"""Bytes of what others see of a member, as JSON, whether server code says it or a hook.

It goes to every browser with every move, and with every join. A diff that has one join of this size
fits wire.MAX_PUBLICATION. Two tokens that carry it fit a frame of 64 KiB, which is what Centrifugo
takes from a browser by default."""
MAX_DEPTH: Final = 20
"""Dicts and lists within one another, the outermost among them: far below what any reader takes."""

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNFIT_IN_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class TooLarge(ValueError):
    """JSON that has more bytes than it may have."""


def check_user_id(user: object) -> str:
    """`user` if it can be the id of one."""
    return _text("user_id", user, least=1, most=MAX_USER, example="str(request.user.pk)")


def check_source(source: object) -> str:
    """`source` if it can be who says that a user is here; "" where nobody else does."""
    return _text("source", source, least=0, most=MAX_SOURCE, example="'bot-7'")


def check_event(event: object) -> str:
    """`event` if it can be the name of one."""
    return _text("event", event, least=1, most=MAX_EVENT, example="'saved'")


def strip_controls(text: str) -> str:
    """`text` without what no id or name may contain, on one line."""
    return " ".join(_UNFIT.sub(" ", text).split())


def encode_meta(meta: object) -> bytes:
    """`meta` as JSON; b"" for None and for an empty one."""
    return encode_json_dict("meta", meta, most=MAX_META)


def is_meta(meta: object) -> bool:
    """Whether `encode_meta` takes it."""
    try:
        encode_meta(meta)
    except ValueError:
        return False
    return True


def encode_member_meta(meta: object) -> bytes:
    """`meta` of a member as JSON, b"{}" where there is none.

    Names (and all that is no text of several lines) are without control characters.
    """
    encoded = encode_meta(meta)
    if wrong := find_unfit(meta):
        raise ValueError(wrong)
    return encoded or b"{}"


def find_unfit(meta: object) -> str:
    """Return what is wrong with the strings of a `meta` that is JSON; "" if nothing is."""
    for where, text, allowed in _texts(meta):
        if found := (_UNFIT_IN_LINES if allowed else _UNFIT).search(text):
            return (
                f"meta contains {found.group()!r} in {where:.80}: its texts must be without "
                "control characters (line breaks and tabs may be in all but the name)"
            )
    return ""


def check_dict(name: str, value: object) -> dict[str, Any]:
    """`value`, the argument `name`, if it is a dict; {} for None."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {value!r:.80}: it must be a dict, or None")
    return value


def encode_json_dict(name: str, value: object, *, most: int) -> bytes:
    """The dict `value`, the argument `name`, as at most so many bytes of JSON; b"" for an empty one
    and for None."""
    if not check_dict(name, value):
        return b""
    check_shape(name, value, most)
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        encoded = text.encode()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is no JSON ({error}): use texts, numbers, lists, dicts"
        ) from error
    if len(encoded) > most:
        raise TooLarge(f"{name} has {len(encoded)} bytes as JSON: it must have at most {most}")
    return encoded


def _text(name: str, value: object, *, least: int, most: int, example: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r:.80}: it must be a text, such as {example}")
    text: str = value + ""  # one that is lazy, or that Django marked safe, becomes a plain one
    if not least <= len(text) <= most:
        raise ValueError(f"{name} has {len(text)} characters: it must have {least} to {most}")
    if found := _UNFIT.search(text):
        raise ValueError(
            f"{name} contains {found.group()!r}: it must be a text without control characters"
        )
    return text


def check_shape(name: str, value: object, most: int, *, texts: bool = True) -> None:
    """Refuse what is nested too deep, what has other keys than `texts`, which JSON would make
    alike, and what holds too much to be encoded at all: a list may be in many places at once."""
    level, held, depth = [value], 0, 0
    while containers := [one for one in level if isinstance(one, dict | list | tuple)]:
        depth, held = depth + 1, held + sum(map(len, containers))
        if depth > MAX_DEPTH:
            raise ValueError(
                f"{name} is nested more than {MAX_DEPTH} deep: its dicts and lists must not be"
            )
        if held > most:
            raise TooLarge(
                f"{name} holds more than {most} values: as JSON it must have at most {most} bytes"
            )
        dicts = [one for one in containers if isinstance(one, dict)]
        others = [key for one in dicts for key in one if not isinstance(key, str)]
        if texts and others:
            raise ValueError(f"{name} is no JSON (the key {others[0]!r:.80}): keys must be texts")
        level = [part for one in containers for part in _parts(one)]


def _parts(container: dict[str, Any] | list[Any] | tuple[Any, ...]) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


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
