"""What Django signs into tokens about their bearers. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Signed"]


class Signed(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """What Django signs into a token about its bearer.

    `iat` is the time of signing in seconds since 1970. `anonymous` is the visible id of a visitor
    who is not signed in, the same in all their tabs; "" where their session has no key. Whoever is
    `hidden` is in no roster.
    """

    name: str = ""
    info: dict[str, Any] = {}
    iat: float = 0.0
    anonymous: str = ""
    hidden: bool = False
