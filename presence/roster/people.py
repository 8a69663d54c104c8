"""Claims that Django signs into tokens about their bearers; the ids of visitors. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["Signed", "anonymous_id", "is_anonymous"]

_ANONYMOUS: Final = "anon_"
"""The first characters of the ids of visitors who are not signed in."""


def anonymous_id(key: str) -> str:
    """Return the id of an anonymous visitor; `key` tells the visitor from others."""
    return f"{_ANONYMOUS}{key}"


def is_anonymous(member_id: str) -> bool:
    """Return whether an id is that of a visitor who is not signed in."""
    return member_id.startswith(_ANONYMOUS)


class Signed(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """What Django signs into a token about its bearer.

    `iat` is the time of signing in seconds since 1970. `anonymous` is the visible id of a visitor
    who is not signed in, the same in all their tabs; "" where their session has no key. A bearer
    who is `hidden` is in no roster. With `session`, that is true of this session alone, and says
    nothing about the user: the user's other sessions may be seen.
    """

    name: str = ""
    info: dict[str, Any] = {}
    iat: float = 0.0
    anonymous: str = ""
    hidden: bool = False
    session: bool = False
