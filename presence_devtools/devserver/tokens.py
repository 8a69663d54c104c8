"""Connection and subscription JWTs, checked as Centrifugo checks them."""

from __future__ import annotations

import jwt
import msgspec

from .codes import INVALID_TOKEN, TOKEN_EXPIRED, UNKNOWN_CHANNEL, HangUpError, RefusedError
from .config import ChannelOptions, Config
from .wire import NONE, Raw, compact, own

ALGORITHMS = ["HS256", "HS384", "HS512"]


class Switch(msgspec.Struct):
    value: bool = False


class Override(msgspec.Struct):
    """Options of the namespace that a token overrides."""

    presence: Switch | None = None
    join_leave: Switch | None = None
    force_push_join_leave: Switch | None = None
    force_recovery: Switch | None = None


class SubscribeOptions(msgspec.Struct, kw_only=True):
    """Options of one client in one channel."""

    presence: bool = False
    join_leave: bool = False
    push_join_leave: bool = False
    recovery: bool = False
    expire_at: float = 0
    info: Raw = NONE

    @classmethod
    def of(cls, channel: ChannelOptions) -> SubscribeOptions:
        """Return the options of `channel`'s namespace."""
        return cls(
            presence=channel.presence,
            join_leave=channel.join_leave,
            push_join_leave=channel.force_push_join_leave,
            recovery=channel.force_recovery,
        )


class _Sub(msgspec.Struct):
    """Options of a channel in the claim `subs`."""

    info: Raw = NONE
    override: Override | None = None


class _Claims(msgspec.Struct, kw_only=True):
    sub: str = ""
    info: Raw = NONE
    meta: Raw = NONE
    exp: float | None = None
    channel: str = ""
    client: str = ""
    channels: list[str] = []
    subs: dict[str, _Sub] = {}
    override: Override | None = None


class ConnectionToken(msgspec.Struct):
    user: str
    expire_at: float
    info: Raw
    meta: Raw
    subscriptions: dict[str, SubscribeOptions]


class SubscriptionToken(msgspec.Struct):
    user: str
    channel: str
    client: str
    options: SubscribeOptions


class InvalidTokenError(Exception):
    """Raised for a string that is no token, a forged token, or a token of the other kind."""


def connection_token(token: str, config: Config, now: float) -> ConnectionToken:
    """Read a connection token.

    Raises HangUpError (3500) for an invalid one, RefusedError for one that has expired (109) or
    names a channel of an unknown namespace (102).
    """
    try:
        claims = _verify(token, config.client.token.hmac_secret_key)
    except InvalidTokenError as error:
        raise HangUpError(INVALID_TOKEN) from error
    if claims.channel:
        raise HangUpError(INVALID_TOKEN)
    _check_time(claims, now)
    return ConnectionToken(
        user=claims.sub,
        expire_at=int(claims.exp or 0),
        info=compact(claims.info),
        meta=own(claims.meta),
        subscriptions={
            channel: _options(channel, config, sub.info, sub.override)
            for channel, sub in (claims.subs or dict.fromkeys(claims.channels, _Sub())).items()
        },
    )


def subscription_token(token: str, config: Config, now: float) -> SubscriptionToken:
    """Read a subscription token. Raises InvalidTokenError; RefusedError as `connection_token`."""
    claims = _verify(token, config.client.token.hmac_secret_key)
    _check_time(claims, now)
    if not claims.channel:
        raise InvalidTokenError("a subscription token needs a channel claim")
    options = _options(claims.channel, config, claims.info, claims.override)
    options.expire_at = int(claims.exp or 0)
    return SubscriptionToken(claims.sub, claims.channel, claims.client, options)


def _verify(token: str, secret: str) -> _Claims:
    """Return the claims, read from the signed bytes: `info` must stay as it was written."""
    if not secret:
        raise InvalidTokenError("client.token.hmac_secret_key is not set")
    try:
        payload = jwt.PyJWS().decode_complete(token, secret, algorithms=ALGORITHMS)["payload"]
        return msgspec.json.decode(payload, type=_Claims)
    except (jwt.PyJWTError, msgspec.DecodeError, UnicodeError) as error:
        raise InvalidTokenError(str(error)) from error


def _check_time(claims: _Claims, now: float) -> None:
    if claims.exp is not None and claims.exp <= now:
        raise RefusedError(TOKEN_EXPIRED)


def _options(
    channel: str, config: Config, info: Raw, override: Override | None
) -> SubscribeOptions:
    namespace = config.channel_options(channel)
    if namespace is None:
        raise RefusedError(UNKNOWN_CHANNEL)
    options, override = SubscribeOptions.of(namespace), override or Override()
    options.info = compact(info)
    if override.presence:
        options.presence = override.presence.value
    if override.join_leave:
        options.join_leave = override.join_leave.value
    if override.force_push_join_leave:
        options.push_join_leave = override.force_push_join_leave.value
    if override.force_recovery:
        options.recovery = override.force_recovery.value
    return options
