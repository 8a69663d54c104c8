"""What the widget asks for: tokens for its grants, snapshots, and that it be seen leaving."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Final

import msgspec
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from presence import services
from presence.centrifugo.tokens import Issuer, make_grant, read_grant
from presence.conf import conf, hooks
from presence.exceptions import InvalidGrant, StoreError
from presence.queues.nudge import page_left, page_served
from presence.roster.channel_names import feed_of, is_cursor_channel
from presence.roster.people import Signed
from presence.snapshots import read_snapshot, read_snapshots
from presence.web.access import open_grant
from presence.web.json import No, answers, read_json
from presence.web.registry import touch
from presence.web.visitors import Visitor, describe, origin_of, visitor_of

__all__ = ["beacon", "snapshot", "tokens"]

logger = logging.getLogger("presence.views")

MAX_GRANTS: Final = 100
"""Widgets of one page."""
MAX_BODY: Final = 64 * 1024
"""Bytes: room for MAX_GRANTS grants of the longest channel names."""
MAX_INFOS: Final = 16 * 1024
"""Bytes of info that the tokens of a page's subscriptions may carry together. The page sends them
in one frame, which Centrifugo cuts off at 64 KiB by default, and with them the connection."""
NO_ROSTER: Final = "The channel carries cursors and has no roster."


class _Asked(msgspec.Struct):
    grants: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_GRANTS)]
    back: bool = False


_asked = msgspec.json.Decoder(_Asked)


# It changes nothing, and another origin cannot read what it answers.
@answers("POST")
def tokens(request: HttpRequest) -> dict[str, Any]:
    """Swap the grants of a page for tokens.

    Asked with `{"grants": ["…"]}`, it answers `{"url": of the websocket, "connection": token,
    "id": whom the tokens are for, "user": member or null, "channels": {channel: {"feed", "token",
    "grant": renewed, "shown": whether oneself is to be shown at once}}, "refused": {channel:
    why}}`; a grant that tells no channel is refused as `#<its index>`. Whoever is to be hidden is
    no member and has no cursor. Cursor channels are feeds themselves. 400 for a body of another
    shape, 403 when every grant is refused.
    """
    visitor, now = visitor_of(request), services.now()
    granted, refused = _granted(request, _read(request), visitor, now)
    touch(_with_rosters(granted), by=origin_of(request, visitor))
    info = describe(visitor, hooks.hook("PRESENCE_USER_INFO"), now=now)
    issuer = Issuer(
        secret=_secret(),
        user_id=visitor.id,
        info=info,
        now=now,
        lifetime=conf.PRESENCE_TOKEN_LIFETIME,
        tracked=conf.PRESENCE_CURSOR_TRACK,
        lean=not info.hidden and len(granted) * len(msgspec.json.encode(info)) > MAX_INFOS,
    )
    return {
        "url": conf.CENTRIFUGO_WS_URL,
        "connection": issuer.connection(),
        "id": visitor.id,
        "user": _member(visitor, info),
        "channels": {channel: _open_to(channel, issuer) for channel in granted},
        "refused": refused,
    }


@answers("GET")
def snapshot(request: HttpRequest) -> dict[str, Any]:
    """The snapshot of the channel of `?grant=`, and the `channel`.

    400 without a grant, and for a cursor channel, 403 for a grant that does not count, 503 while
    the store is down.
    """
    text = request.GET.get("grant")
    if not text:
        raise No(400, "The query parameter `grant` is missing.")
    try:
        channel = open_grant(request, read_grant(text), visitor_of(request), now=services.now())
    except InvalidGrant as error:
        raise No(403, str(error)) from error
    if not _with_rosters([channel]):
        raise No(400, NO_ROSTER)
    try:
        found = read_snapshot(channel)
    except StoreError as error:
        logger.exception("snapshot=unread channel=%s", channel)
        raise No(503, "Who is here cannot be read at the moment: try again.") from error
    return {"channel": channel, **msgspec.structs.asdict(found)}


# A beacon cannot carry a token against forgery; and all it can do is have a channel polled early.
@answers("POST")
def beacon(request: HttpRequest) -> None:
    """Have the channels of a page polled soon that a user closed, or came back to; answers 204.

    Asked with grants, as `tokens` is, in a body of any content type; with `"back": true` where the
    browser kept the page and shows it again. It removes nobody from a roster, and adds nobody: the
    poll finds who is here. 400 and 403 as `tokens`.
    """
    visitor, asked = visitor_of(request), _read(request)
    granted, _ = _granted(request, asked, visitor, services.now())
    left = _with_rosters(granted)
    if not left:
        raise No(400, NO_ROSTER)
    try:
        for channel, shown in read_snapshots(left).items():
            (page_served if asked.back else page_left)(channel, visitor.id, shown)
    except StoreError:
        logger.exception("beacon=unheard channels=%s", ",".join(left[:3]))


def _read(request: HttpRequest) -> _Asked:
    return read_json(request, _asked, most=MAX_BODY, example='{"grants": ["…"]}')


def _granted(
    request: HttpRequest, asked: _Asked, visitor: Visitor, now: float
) -> tuple[list[str], dict[str, str]]:
    """The channels that the grants asked with open, and why others do not; raises No."""
    granted, refused = _sort(request, asked.grants, visitor, now)
    if not granted:
        raise No(403, "Every grant was refused.", refused=refused)
    return granted, refused


def _sort(
    request: HttpRequest, grants: list[str], visitor: Visitor, now: float
) -> tuple[list[str], dict[str, str]]:
    """The channels that the grants open, and why each of the others opens none."""
    granted: list[str] = []
    refused: dict[str, str] = {}
    for index, text in enumerate(grants):
        named = f"#{index}"
        try:
            grant = read_grant(text)
            named = grant.channel
            granted.append(open_grant(request, grant, visitor, now=now))
        except InvalidGrant as error:
            refused[named] = str(error)
    return granted, {named: why for named, why in refused.items() if named not in granted}


def _with_rosters(channels: list[str]) -> list[str]:
    """The channels less those of cursors, which nobody is polled in."""
    return [channel for channel in channels if not is_cursor_channel(channel)]


def _member(visitor: Visitor, info: Signed) -> dict[str, Any] | None:
    """The member that the visitor is in rooms; None where they are none."""
    if visitor.hidden or not visitor.id:
        return None
    return {"id": visitor.id, "name": info.name, "info": info.info}


def _open_to(channel: str, issuer: Issuer) -> dict[str, Any]:
    """What a browser needs to follow `channel`."""
    feed = channel if is_cursor_channel(channel) else feed_of(channel)
    hidden = issuer.info.hidden
    return {
        "feed": feed,
        "token": issuer.subscription(feed, quietly=hidden),
        "grant": make_grant(channel, issuer.user_id, now=issuer.now),
        "shown": bool(issuer.user_id) and feed == channel and not hidden,
    }


def _secret() -> str:
    secret = conf.CENTRIFUGO_TOKEN_SECRET
    if not secret:
        raise ImproperlyConfigured(
            "CENTRIFUGO_TOKEN_SECRET is empty: set it to Centrifugo's client.token.hmac_secret_key."
        )
    return secret
