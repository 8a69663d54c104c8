"""Claims that Django signs into tokens about their bearers; ids and name of visitors. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["ANONYMOUS_NAME", "Signed", "anonymous_id", "is_anonymous", "is_passing", "passing_id"]

ANONYMOUS_NAME: Final = "Anonymous"
"""The name, in any language, of a visitor who is not signed in. Pages translate it."""

_ANONYMOUS: Final = "anon_"
"""First characters of the id of a visitor who is not signed in."""
_PASSING: Final = f"{_ANONYMOUS}~"
"""First characters of the id where such a visitor has no session either: anybody can have as many
of these ids as they like."""


def anonymous_id(key: str) -> str:
    """Return the id of an anonymous visitor; `key` tells the visitor from others."""
    return f"{_ANONYMOUS}{key}"


def passing_id(key: str) -> str:
    """Return the id of a visitor without a session; `key` tells the visitor from others."""
    return f"{_PASSING}{key}"


def is_anonymous(member_id: str) -> bool:
    """Return whether an id is that of a visitor who is not signed in."""
    return member_id.startswith(_ANONYMOUS)


def is_passing(member_id: str) -> bool:
    """Return whether an id is that of a visitor without a session."""
    return member_id.startswith(_PASSING)


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
