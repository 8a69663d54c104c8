"""Limit of what others see of a member: parts that do not fit the wire are left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from django.core.serializers.json import DjangoJSONEncoder

from presence.roster.names import MAX_NAME
from presence.roster.validation import MAX_META, check_shape

__all__ = ["Fitted", "described", "fit"]


class Fitted(NamedTuple):
    """The `parts` of a dict as JSON has them; why each other part was left out, by its name."""

    parts: dict[str, Any]
    left_out: dict[str, str]


class _Encoder(DjangoJSONEncoder):
    def default(self, value: Any) -> Any:
        # Sorted: another order would be an update of the member.
        if isinstance(value, set | frozenset):
            return sorted(value, key=str)
        return super().default(value)


def fit(given: object, *, beside: Mapping[str, Any] | None = None) -> Fitted:
    """Return the entries of the dict `given` that fit into MAX_META bytes of JSON, `beside` others.

    A part is one entry, with all that is in it. A part that JSON cannot hold is left out; then the
    largest is, of equally large ones the last by name, until the rest fits. A name is cut first.
    Parts of the same name as one of `beside` are dropped: those are there already. Never raises.
    """
    if not isinstance(given, Mapping):
        return Fitted({}, {"(all)": f"it is a {type(given).__name__}, not a dict"})
    encoded, left_out = _encode_parts(given)
    kept = {name: part for name, part in encoded.items() if name not in (beside or {})}
    room = MAX_META - (len(_json(beside)) - 1 if beside else 1)
    # Each part needs a comma or the closing brace after it.
    while kept and sum(len(part) + 1 for part in kept.values()) > room:
        largest = max(kept, key=lambda name: (len(kept[name]), name))
        part = kept.pop(largest)
        if largest == "name" and (cut := _cut(part)) != part:
            kept["name"] = cut
            left_out["name"] = f"it is cut to {MAX_NAME} characters"
            continue
        left_out[largest] = (
            f"it has {len(part)} bytes as JSON; all parts together may have {MAX_META}"
        )
    return Fitted(_decode(kept.values()), left_out)


def described(error: BaseException) -> str:
    """The type of an error and what it says, in at most 200 characters."""
    try:
        said = str(error)
    except Exception:  # an error of the site's own making
        said = ""
    return f"{type(error).__name__}: {said}"[:200] if said else type(error).__name__


def _encode_parts(given: Mapping[Any, Any]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Each entry as JSON, without braces; why the others are none."""
    encoded: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    for key, value in given.items():
        name = str(key) if isinstance(key, str | int) else f"(key of type {type(key).__name__})"
        try:
            if not isinstance(key, str | int):
                raise TypeError("keys must be strings")
            encoded[name] = _encode(name, value)
        except Exception as error:  # the value is the site's, and may raise anything
            left_out[name] = described(error)
    return encoded, left_out


def _cut(part: bytes) -> bytes:
    """The entry `name` with as much of it as is shown."""
    name = _decode([part])["name"]
    return _encode("name", name[:MAX_NAME]) if isinstance(name, str) else part


def _decode(parts: Iterable[bytes]) -> dict[str, Any]:
    return msgspec.json.decode(b"{" + b",".join(parts) + b"}", type=dict[str, Any])


def _encode(name: str, value: object) -> bytes:
    """The entry as JSON, without braces. Raises whatever the value does."""
    check_shape(name, {name: value}, MAX_META, texts=False)
    return _json({name: value})[1:-1]


def _json(value: object) -> bytes:
    text = json.dumps(
        value, cls=_Encoder, allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )
    # Half a surrogate pair, which Python can hold and nobody else can read, becomes "?".
    return text.encode("utf-8", "replace")
