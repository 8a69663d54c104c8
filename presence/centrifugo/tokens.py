"""Connection and subscription tokens for Centrifugo, and grants.

`now` is in seconds since 1970, `lifetime` in seconds, and `user_id` is "" for a visitor who is not
signed in.
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeVar

import jwt
import msgspec
from django.core import signing

from presence.exceptions import InvalidGrant
from presence.roster.channel_names import PULSE
from presence.roster.people import UserClaims

GRANT_LIFETIME: Final = 14 * 24 * 3600.0
"""Seconds, as long as Django's default for sessions. A page may stay in a cache or in a sleeping
laptop for as long as its visitor stays signed in. While it is open, every exchange renews the
grant."""

_SALT: Final = "presence.grant"
_PLAIN: Final = {
    "override": {
        option: {"value": False}
        for option in ("presence", "join_leave", "force_recovery", "force_positioning")
    }
}
"""Options of the pulse's subscriptions, whatever a site configures for channels without a
namespace. Presence and joins would show all visitors of the site to each other. With recoverable
channels in a connection token, Centrifugo 6.9.1 can lock up for ever."""
_SESSION: Final = {
    "override": {**_PLAIN["override"], "presence": {"value": True}},
}
"""Options of the subscription to the channel of a session."""


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """Permission for a page, made for `user_id` at `issued`, to follow `channel`. Not secret."""

    channel: str
    user_id: str
    issued: float

    def check(self, *, user_id: str, now: float) -> None:
        """Raise InvalidGrant if the grant is another user's or has expired."""
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
    """Return a grant of `channel` to the user, signed with SECRET_KEY, as printable ASCII."""
    grant = Grant(channel, user_id, int(now))
    return seal(grant, salt=_SALT)


def read_grant(text: str) -> Grant:
    """Return the grant in `text`. Raises InvalidGrant if the signature is wrong.

    `Grant.check` tells whether it is valid.
    """
    return unseal(text, Grant, salt=_SALT, name="grant")


def seal(grant: Grant, *, salt: str, compress: bool = False) -> str:
    """Return a grant of any type, signed with SECRET_KEY and the `salt` of the type."""
    return _signer(salt).sign_object(msgspec.to_builtins(grant), compress=compress)


def unseal(text: str, kind: type[G], *, salt: str, name: str) -> G:
    """Return the grant of that type in `text`. Raises InvalidGrant, with `name` in its message, if
    the signature is wrong."""
    try:
        return msgspec.convert(_signer(salt).unsign_object(text), kind)
    except (signing.BadSignature, ValueError, msgspec.ValidationError) as error:
        raise InvalidGrant(f"The {name} is forged or damaged: reload the page.") from error


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """Makes tokens for one user at one time: JWTs, signed with Centrifugo's secret.

    With `tracked`, Centrifugo passes the user's name and info to the publish proxy; it always
    passes on that a user is hidden. With `lean`, only the connection token has the whole
    `info`, because a page sends all its subscription tokens in one frame. `session` is the channel
    of the user's session, through which a revocation finds its connections; "" if there is none.
    """

    secret: str
    user_id: str
    info: UserClaims
    now: float
    lifetime: float
    session: str = ""
    tracked: bool = False
    lean: bool = False

    def __repr__(self) -> str:
        """Return a text without the secret, for error reports that show variables."""
        return f"Issuer(user_id={self.user_id!r})"

    def connection(self) -> str:
        """Return the token with which a client connects as the user."""
        # The claim `channels` has no options, and Centrifugo ignores it beside `subs`.
        more: dict[str, Any] = {"subs": self._subs()}
        # Centrifugo never sends meta to clients.
        if self.info.hidden:
            more["meta"] = {"hidden": True}
        elif self.tracked and self.user_id:
            more["meta"] = {"name": self.info.name, "info": self.info.info}
        return self._sign(more, self.info)

    def subscriptions(self) -> dict[str, str]:
        """Return tokens by channel: a connection of the site subscribes with them to what ours is
        subscribed to by its own token."""
        return {
            channel: self._sign({"channel": channel, **options}, self._moment())
            for channel, options in self._subs().items()
        }

    def subscription(self, feed: str, *, quietly: bool = False) -> str:
        """Return the token with which a connection of the user subscribes to `feed`. With
        `quietly`, other subscribers get no push when it joins and leaves."""
        quiet = {"override": {"join_leave": {"value": False}}}
        more = {"channel": feed, **(quiet if quietly else {})}
        return self._sign(more, self._moment() if self.lean else self.info)

    def _moment(self) -> UserClaims:
        """Return claims that only say when they were signed, for revocations."""
        return UserClaims(iat=self.info.iat)

    def _subs(self) -> dict[str, Any]:
        """Return the channels of every connection, with their options."""
        return {PULSE: _PLAIN, **({self.session: _SESSION} if self.session else {})}

    def _sign(self, more: dict[str, Any], info: UserClaims) -> str:
        claims = {
            "sub": self.user_id,
            "iat": int(self.now),
            "exp": math.ceil(self.now + self.lifetime),
            "info": msgspec.to_builtins(info),
            **more,
        }
        return jwt.encode(claims, self.secret, algorithm="HS256")


def _signer(salt: str) -> signing.Signer:
    # Not cached: override_settings may change SECRET_KEY.
    return signing.Signer(salt=salt)
