"""Connection and subscription JWTs, checked as Centrifugo checks them."""

from __future__ import annotations

import base64
import binascii

import jwt
import msgspec

from .codes import INVALID_TOKEN, TOKEN_EXPIRED, UNKNOWN_CHANNEL, HangUpError, RefusedError
from .options import ChannelOptions, Config
from .wire import NONE, Raw, compact, own

ALGORITHMS = ["HS256", "HS384", "HS512"]


class Switch(msgspec.Struct):
    value: bool = False


class Override(msgspec.Struct):
    """What a token or the subscribe call sets against the namespace's options."""

    presence: Switch | None = None
    join_leave: Switch | None = None
    force_push_join_leave: Switch | None = None
    force_positioning: Switch | None = None
    force_recovery: Switch | None = None


class SubscribeOptions(msgspec.Struct, kw_only=True):
    """How one client takes part in one channel."""

    presence: bool = False
    join_leave: bool = False
    push_join_leave: bool = False
    positioning: bool = False
    recovery: bool = False
    expire_at: float = 0
    info: Raw = NONE
    data: Raw = NONE

    @classmethod
    def of(cls, channel: ChannelOptions, override: Override | None = None) -> SubscribeOptions:
        """The options of `channel`'s namespace, with `override` over them."""
        asked = override or Override()

        def choose(switch: Switch | None, default: bool) -> bool:
            return default if switch is None else switch.value

        return cls(
            presence=choose(asked.presence, channel.presence),
            join_leave=choose(asked.join_leave, channel.join_leave),
            push_join_leave=choose(asked.force_push_join_leave, channel.force_push_join_leave),
            positioning=choose(asked.force_positioning, channel.force_positioning),
            recovery=choose(asked.force_recovery, channel.force_recovery),
        )


class _Payload(msgspec.Struct, kw_only=True):
    """JSON, or anything as base64 in the field beside it."""

    info: Raw = NONE
    b64info: str = ""
    data: Raw = NONE
    b64data: str = ""
    override: Override | None = None


class _Claims(_Payload, kw_only=True):
    sub: str = ""
    meta: Raw = NONE
    exp: float | None = None
    nbf: float | None = None
    expire_at: int | None = None
    channel: str = ""
    client: str = ""
    channels: list[str] = []
    subs: dict[str, _Payload] = {}

    @property
    def expires(self) -> float:
        """When the connection or subscription expires; 0 is never. `expire_at` beats `exp`."""
        if self.expire_at is not None:
            return max(self.expire_at, 0)
        return int(self.exp or 0)


class ConnectionToken(msgspec.Struct):
    user: str = ""
    expire_at: float = 0
    info: Raw = NONE
    meta: Raw = NONE
    subscriptions: dict[str, SubscribeOptions] = {}


class SubscriptionToken(msgspec.Struct):
    user: str
    channel: str
    client: str
    options: SubscribeOptions


class InvalidTokenError(Exception):
    """Not a token, not ours, or not for this use."""


def connection_token(token: str, config: Config, now: float) -> ConnectionToken:
    """What a connection token says.

    Raises InvalidTokenError, and RefusedError when it has expired (109) or names a channel of an
    unknown namespace (102).
    """
    claims = _verify(token, config.client.token.hmac_secret_key)
    if claims.channel:
        raise InvalidTokenError("a connection token cannot have a channel claim")
    _check_time(claims, now)
    payloads = claims.subs or dict.fromkeys(claims.channels, _Payload())
    return ConnectionToken(
        user=claims.sub,
        expire_at=claims.expires,
        info=compact(_choose(claims.info, claims.b64info)),
        meta=own(claims.meta),
        subscriptions={
            channel: _options(channel, payload, config) for channel, payload in payloads.items()
        },
    )


def subscription_token(token: str, config: Config, now: float) -> SubscriptionToken:
    """What a subscription token says. Raises as `connection_token` does."""
    claims = _verify(token, config.client.token.hmac_secret_key)
    _check_time(claims, now)
    if not claims.channel:
        raise InvalidTokenError("a subscription token needs a channel claim")
    options = _options(claims.channel, claims, config)
    options.expire_at = claims.expires
    return SubscriptionToken(claims.sub, claims.channel, claims.client, options)


def connection_token_or_hang_up(token: str, config: Config, now: float) -> ConnectionToken:
    """`connection_token`, where an invalid one ends the connection (3500)."""
    try:
        return connection_token(token, config, now)
    except InvalidTokenError as error:
        raise HangUpError(INVALID_TOKEN) from error


def _verify(token: str, secret: str) -> _Claims:
    """The claims, read from the signed bytes themselves: info must stay as it was written."""
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
    if claims.nbf is not None and claims.nbf >= now:
        raise RefusedError(TOKEN_EXPIRED)


def _options(channel: str, payload: _Payload, config: Config) -> SubscribeOptions:
    namespace = config.channel_options(channel)
    if namespace is None:
        raise RefusedError(UNKNOWN_CHANNEL)
    options = SubscribeOptions.of(namespace, payload.override)
    options.info = compact(_choose(payload.info, payload.b64info))
    options.data = _choose(payload.data, payload.b64data)
    return options


def _choose(raw: Raw, encoded: str) -> Raw:
    """The base64 field when it is set, else a copy of the JSON one."""
    try:
        return Raw(base64.b64decode(encoded, validate=True)) if encoded else own(raw)
    except binascii.Error as error:
        raise InvalidTokenError(str(error)) from error
