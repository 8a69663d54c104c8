"""Connection and subscription tokens for Centrifugo, and grants.

Takes plain values: `now` is in seconds since 1970, `lifetime` in seconds, and `user_id` is "" for
whoever is not signed in.
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeVar

import jwt
import msgspec
from django.core import signing

from presence.exceptions import InvalidGrant
from presence.roster.people import UserClaims

__all__ = [
    "GRANT_LIFETIME",
    "Grant",
    "Issuer",
    "make_grant",
    "read_grant",
    "seal",
    "unseal",
]

GRANT_LIFETIME: Final = 14 * 24 * 3600.0
"""Seconds: as long as Django keeps a session by default. A page may stay in a cache or in a
sleeping laptop for as long as its visitor would still be signed in; while it is open, every
exchange renews the grant."""

_SALT: Final = "presence.grant"


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """That the page shown to `user_id` at `issued` may follow `channel`. Holds nothing secret."""

    channel: str
    user_id: str
    issued: float

    def check(self, *, user_id: str, now: float) -> None:
        """Raise InvalidGrant unless it is this user's and still valid."""
        if abs(now - self.issued) > GRANT_LIFETIME:
            days = GRANT_LIFETIME / 86400
            raise InvalidGrant(
                f"The grant has expired, {days:g} days after it was made: reload the page."
            )
        if self.user_id != user_id:
            raise InvalidGrant(
                "The grant was made for another user: reload the page. (A cached page or fragment "
                "that holds the widget must vary on the user.)"
            )


G = TypeVar("G", bound=Grant)


def make_grant(channel: str, user_id: str, *, now: float) -> str:
    """The grant of `channel` to the user, signed with SECRET_KEY: printable ASCII."""
    grant = Grant(channel, user_id, int(now))
    return seal(grant, salt=_SALT)


def read_grant(text: str) -> Grant:
    """The grant in `text`; whether it still counts is what `Grant.check` tells.

    Raises InvalidGrant when we never signed it.
    """
    return unseal(text, Grant, salt=_SALT, what="grant")


def seal(grant: Grant, *, salt: str, compress: bool = False) -> str:
    """A grant of any kind, signed with SECRET_KEY and the `salt` of its kind."""
    return _signer(salt).sign_object(msgspec.to_builtins(grant), compress=compress)


def unseal(text: str, kind: type[G], *, salt: str, what: str) -> G:
    """The grant of that kind in `text`; `what` it is called where it is none of ours, which raises
    InvalidGrant."""
    try:
        return msgspec.convert(_signer(salt).unsign_object(text), kind)
    except (signing.BadSignature, ValueError, msgspec.ValidationError) as error:
        raise InvalidGrant(f"The {what} is forged or damaged: reload the page.") from error


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """Makes tokens for one user, all of the same moment: JWTs, signed with Centrifugo's secret.

    With `tracked`, Centrifugo can tell the publish proxy what others see of whoever connects; of
    the hidden it can always tell that they are. With `lean`, the token of the connection alone has
    the `info`: a page sends all tokens of its subscriptions in one frame.
    """

    secret: str
    user_id: str
    info: UserClaims
    now: float
    lifetime: float
    tracked: bool = False
    lean: bool = False

    def connection(self) -> str:
        """With which a client connects as the user."""
        shown: dict[str, Any] = {"name": self.info.name, "info": self.info.info}
        if self.info.hidden:
            shown = {"hidden": True}
        elif not (self.tracked and self.user_id):
            return self._sign({})
        # No client is sent what is in there.
        return self._sign({"meta": shown})

    def subscription(self, feed: str, *, quietly: bool = False) -> str:
        """With which a connection of the user subscribes to `feed`; `quietly`: so that no
        subscriber is pushed their joining and leaving."""
        quiet = {"override": {"join_leave": {"value": False}}}
        more = {"channel": feed, **(quiet if quietly else {})}
        return self._sign(more, lean=self.lean)

    def _sign(self, more: dict[str, Any], *, lean: bool = False) -> str:
        claims = {
            "sub": self.user_id,
            "iat": int(self.now),
            "exp": math.ceil(self.now + self.lifetime),
            **({} if lean else {"info": msgspec.to_builtins(self.info)}),
            **more,
        }
        return jwt.encode(claims, self.secret, algorithm="HS256")


def _signer(salt: str) -> signing.Signer:
    # Made anew, as override_settings may change SECRET_KEY.
    return signing.Signer(salt=salt)
