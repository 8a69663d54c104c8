"""Claims about users in tokens, members that server code joined, and ids of visitors. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from presence.roster.names import clean_name
from presence.transport.log_lines import line_logger

ANONYMOUS_NAME: Final = "Anonymous"
"""Name of a visitor who is not signed in. Pages translate it."""

_ANONYMOUS: Final = "anon_"
"""Prefix of the id of a visitor who is not signed in."""
_PASSING: Final = f"{_ANONYMOUS}~"
"""Prefix of the id of such a visitor who has no session either. Anybody can get any number of these
ids."""


def anonymous_id(key: str) -> str:
    """Return the id of an anonymous visitor; `key` identifies the visitor."""
    return f"{_ANONYMOUS}{key}"


def sessionless_id(key: str) -> str:
    """Return the id of a visitor without a session; `key` identifies the visitor."""
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
    """Claims that Django signs into a token about its user.

    `iat` is the time of signing in seconds since 1970. `anonymous` is the visible id of a visitor
    who is not signed in, the same in all tabs; "" if the session has no key. A `hidden` user is in
    no roster. With `session`, only this session is hidden: other sessions of the user may be shown.
    """

    name: str = ""
    info: dict[str, Any] = {}
    iat: float = 0.0
    anonymous: str = ""
    hidden: bool = False
    session: bool = False


logger = line_logger("presence.sync")


class ServerMember(msgspec.Struct, frozen=True):
    """Member of a channel that server code joined.

    There is one record per user and `source`, for example a page; "" if there is only one source.
    `joined`, `beat` (the last heartbeat) and `said` (when this `meta`, a JSON object, was set) are
    in seconds since 1970.
    """

    user: str
    source: str
    joined: float
    beat: float
    meta: bytes = b"{}"
    said: float = 0.0

    def by(self, now: float) -> ServerMember:
        """Return the record with no time after `now`: the clock may have been set back since."""
        if max(self.joined, self.said) <= now:
            return self
        return msgspec.structs.replace(self, joined=min(self.joined, now), said=min(self.said, now))


_meta = msgspec.json.Decoder(dict[str, Any])


def decode_meta(tracked: ServerMember) -> dict[str, Any]:
    """Return the metadata of a member. If they cannot be read, log that and return {}."""
    try:
        return _meta.decode(tracked.meta)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        logger.error(
            "member=unreadable user=%r source=%r error=%s", tracked.user, tracked.source, error
        )
        return {}


def claims_of(tracked: ServerMember) -> UserClaims:
    """Return the claims about a member, signed at the time when its `meta` was set.

    Without a name, any other claims replace them.
    """
    info = decode_meta(tracked)
    name = clean_name(info.pop("name", None))
    if info.get("user_id") == tracked.user:
        del info["user_id"]
    return UserClaims(name=name, info=info, iat=tracked.said if name else 0.0)
