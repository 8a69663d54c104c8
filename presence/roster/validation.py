"""Checks of the arguments of server code about members, cursors and events. Pure.

Each raises ValueError that says what is wrong and what is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

MAX_USER: Final = 200
"""Characters in a user id."""
MAX_SOURCE: Final = 64
"""Characters in a source."""
MAX_EVENT: Final = 100
"""Characters in the name of an event."""
MAX_META: Final = 4096
"""Bytes of JSON that others see of a member, from server code or a hook.

It goes to every browser with every move and every join. A diff with one join of this size fits
messages.MAX_PUBLICATION. Two tokens that carry it fit a frame of 64 KiB, which is what Centrifugo
takes from a browser by default."""
MAX_DEPTH: Final = 20
"""Levels of nested dicts and lists, the outermost included: far fewer than any reader takes."""

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNFIT_IN_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class TooLarge(ValueError):
    """JSON of more bytes than are allowed."""


def check_user_id(user: object) -> str:
    """Return `user` if it can be a user id."""
    return _string(
        "user_id", user, min_length=1, max_length=MAX_USER, example="str(request.user.pk)"
    )


def check_source(source: object) -> str:
    """Return `source` if it can be a source; "" is the only source of a user."""
    return _string("source", source, min_length=0, max_length=MAX_SOURCE, example="'bot-7'")


def check_event(event: object) -> str:
    """Return `event` if it can be the name of an event."""
    return _string("event", event, min_length=1, max_length=MAX_EVENT, example="'saved'")


def encode_meta(meta: object) -> bytes:
    """Return `meta` as JSON; b"" for None and for an empty dict."""
    return encode_json_dict("meta", meta, limit=MAX_META)


def is_meta(meta: object) -> bool:
    """Return whether `encode_meta` takes it."""
    try:
        encode_meta(meta)
    except ValueError:
        return False
    return True


def encode_member_meta(meta: object) -> bytes:
    """Return the `meta` of a member as JSON, b"{}" where there is none.

    Its strings have no control characters; other strings than the name may have several lines.
    """
    encoded = encode_meta(meta)
    if wrong := find_unfit(meta):
        raise ValueError(wrong)
    return encoded or b"{}"


def find_unfit(meta: object) -> str:
    """Return what is wrong with the strings of a `meta` that is JSON; "" if nothing is."""
    for where, text, lines_allowed in _strings(meta):
        if found := (_UNFIT_IN_LINES if lines_allowed else _UNFIT).search(text):
            return (
                f"meta contains {found.group()!r} in {where:.80}: its strings must have no "
                "control characters (line breaks and tabs may be in all but the name)"
            )
    return ""


def check_dict(name: str, value: object) -> dict[str, Any]:
    """Return `value`, the argument `name`, if it is a dict; {} for None."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {value!r:.80}: it must be a dict, or None")
    return value


def encode_json_dict(name: str, value: object, *, limit: int) -> bytes:
    """Return the dict `value`, the argument `name`, as at most `limit` bytes of JSON; b"" for an
    empty dict and for None."""
    if not check_dict(name, value):
        return b""
    check_shape(name, value, limit)
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        encoded = text.encode()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is not JSON ({error}): use strings, numbers, lists, dicts"
        ) from error
    if len(encoded) > limit:
        raise TooLarge(f"{name} has {len(encoded)} bytes as JSON: it must have at most {limit}")
    return encoded


def _string(name: str, value: object, *, min_length: int, max_length: int, example: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r:.80}: it must be a string, such as {example}")
    text: str = value + ""  # a lazy string, or one that Django marked safe, becomes a plain one
    if not min_length <= len(text) <= max_length:
        raise ValueError(
            f"{name} has {len(text)} characters: it must have {min_length} to {max_length}"
        )
    if found := _UNFIT.search(text):
        raise ValueError(
            f"{name} contains {found.group()!r}: it must be a string without control characters"
        )
    return text


def check_shape(name: str, value: object, limit: int, *, string_keys: bool = True) -> None:
    """Raise ValueError for a value that is nested too deep, that has other keys than strings (JSON
    would make 1 and "1" the same), or that holds too much to be encoded: one list may be in many
    places."""
    level, held, depth = [value], 0, 0
    while containers := [item for item in level if isinstance(item, dict | list | tuple)]:
        depth, held = depth + 1, held + sum(map(len, containers))
        if depth > MAX_DEPTH:
            raise ValueError(
                f"{name} is nested more than {MAX_DEPTH} deep: its dicts and lists must not be"
            )
        if held > limit:
            raise TooLarge(
                f"{name} holds more than {limit} values: as JSON it must have at most {limit} bytes"
            )
        dicts = [container for container in containers if isinstance(container, dict)]
        others = [key for entries in dicts for key in entries if not isinstance(key, str)]
        if string_keys and others:
            raise ValueError(
                f"{name} is not JSON (the key {others[0]!r:.80}): keys must be strings"
            )
        level = [part for container in containers for part in _parts(container)]


def _parts(container: dict[str, Any] | list[Any] | tuple[Any, ...]) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def _strings(value: Any, where: str = "") -> Iterator[tuple[str, str, bool]]:
    """Yield each string in JSON: its place, the string, and whether it may have several lines."""
    if isinstance(value, str):
        yield where, value, where != "name"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"the key {key!r}", str(key), False
            yield from _strings(item, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item, where)
