"""Claims that Django signs into tokens about their bearers; ids and name of visitors. Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from presence.roster.names import clean_name

__all__ = [
    "ANONYMOUS_NAME",
    "ServerMember",
    "UserClaims",
    "anonymous_id",
    "claims_of",
    "decode_meta",
    "fingerprint",
    "is_anonymous",
    "is_sessionless",
    "sessionless_id",
]

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


def sessionless_id(key: str) -> str:
    """Return the id of a visitor without a session; `key` tells the visitor from others."""
    return f"{_PASSING}{key}"


def is_anonymous(member_id: str) -> bool:
    """Return whether an id is that of a visitor who is not signed in."""
    return member_id.startswith(_ANONYMOUS)


def is_sessionless(member_id: str) -> bool:
    """Return whether an id is that of a visitor without a session."""
    return member_id.startswith(_PASSING)


class UserClaims(
    msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False
):
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


logger = logging.getLogger("presence.sync")


class ServerMember(msgspec.Struct, frozen=True):
    """That server code said of a user that they are in a channel.

    One record per user and `source`: who said so, a page for example; "" where there is only one.
    `joined`, `beat` (the last sign of life) and `said` (when they came to have this `meta`, a JSON
    object) are times in seconds since 1970.
    """

    user: str
    source: str
    joined: float
    beat: float
    meta: bytes = b"{}"
    said: float = 0.0

    def by(self, now: float) -> ServerMember:
        """The record as of `now`: nobody joined, or said anything, in times that are yet to come,
        as those are that were noted before the clock was set back."""
        if max(self.joined, self.said) <= now:
            return self
        return msgspec.structs.replace(self, joined=min(self.joined, now), said=min(self.said, now))


_meta = msgspec.json.Decoder(dict[str, Any])


def decode_meta(tracked: ServerMember) -> dict[str, Any]:
    """Return the metadata; none, which is logged, where they cannot be read: stores keep bytes."""
    try:
        return _meta.decode(tracked.meta)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        logger.error(
            "member=unreadable user=%r source=%r error=%s", tracked.user, tracked.source, error
        )
        return {}


def claims_of(tracked: ServerMember) -> UserClaims:
    """What others are to see of them: as if it had been signed when it was said.

    One that tells no name gives way to any other.
    """
    info = decode_meta(tracked)
    name = clean_name(info.pop("name", None))
    if info.get("user_id") == tracked.user:
        del info["user_id"]
    return UserClaims(name=name, info=info, iat=tracked.said if name else 0.0)


def fingerprint(members: Sequence[ServerMember]) -> bytes:
    """What of them decides a roster; empty where there are none."""
    told: Iterable[tuple[object, ...]] = sorted(
        (one.user, one.source, one.said, one.meta) for one in members
    )
    return msgspec.json.encode(list(told)) if members else b""
