"""HTTP endpoints of the widget: exchange grants for tokens, read a snapshot, report a page that
the roster lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from presence import services
from presence.backends.base import Hit, Limits, Writes
from presence.centrifugo.tokens import Issuer, make_grant, read_grant
from presence.conf import conf
from presence.exceptions import InvalidGrant, StoreError
from presence.roster.channel_names import feed_of, is_cursor_channel, session_channel
from presence.snapshots import read_snapshot
from presence.transport.log_lines import line_logger
from presence.web.access import open_grant
from presence.web.json import HttpError, json_view, read_json
from presence.web.sessions import session_of
from presence.web.visitors import Visitor, describe, listed_as, origins_of, visitor_of

logger = line_logger("presence.views")
registry_logger = line_logger("presence.registry")

MAX_GRANTS: Final = 100
"""Widgets of one page."""
MAX_BODY: Final = 64 * 1024
"""Bytes: room for MAX_GRANTS grants of the longest channel names."""
MAX_INFOS: Final = 16 * 1024
"""Bytes of info that the tokens of a page's subscriptions may carry together. The page sends them
in one frame, which Centrifugo cuts off at 64 KiB by default, and with them the connection."""
NO_ROSTER: Final = "The channel carries cursors and has no roster."
NEW_ROOMS: Final = 300
"""Rooms that one visitor may add in HOUR: one every twelve seconds, for an hour. Rooms that are
registered already do not count."""
HOUR: Final = 3600.0
CHECKS: Final = 30
"""Channels that one visitor may have checked in CHECK_WINDOW: more than the pages that a visitor
opens in a minute."""
CHECK_WINDOW: Final = 60.0
CHECK_PAUSE: Final = 1.0
"""Seconds between two checks of a channel, whoever asks for them: about the time between two
looks."""
SESSIONS: Final = 20
"""All sessions of one address have so many times the limit of one visitor: a visitor who drops the
cookie has a new session at the next page."""


class _Body(msgspec.Struct):
    grants: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_GRANTS)]


@json_view("POST")
def tokens(request: HttpRequest) -> dict[str, Any]:
    """Exchange the grants of a page for tokens.

    The body is `{"grants": ["…"]}`, the answer `{"url": of the websocket, "connection": token,
    "subs": {channel: token} with which a connection of the site's own subscribes to the pulse and
    to the channel of the session, "id": of the user the tokens are for, "user": member or null,
    "channels": {channel: {"feed", "token", "grant": renewed, "shown": whether the user is to be
    shown at once, "self": id under which the roster lists the visitor once subscribed, or ""}},
    "refused": {channel: reason}}`; a grant that names no channel is refused as `#<its index>`. A
    hidden user is no member and has no cursor. A cursor channel is its own feed. 400 for a body of
    another shape, 403 when every grant is refused.
    """
    visitor, now = visitor_of(request), services.now()
    granted, refused = _open(request, _read(request), visitor, now)
    register_channels(_with_rosters(granted), by=origins_of(request, visitor))
    info = describe(visitor, now=now)
    issuer = Issuer(
        secret=_secret(),
        user_id=visitor.id,
        info=info,
        now=now,
        lifetime=conf.PRESENCE_TOKEN_LIFETIME,
        session=_session_channel(request, visitor),
        tracked=conf.PRESENCE_CURSOR_TRACK,
        lean=not info.hidden and len(granted) * len(msgspec.json.encode(info)) > MAX_INFOS,
    )
    return {
        "url": conf.CENTRIFUGO_WS_URL,
        "connection": issuer.connection(),
        "subs": issuer.subscriptions(),
        "id": visitor.id,
        "user": (
            {"id": visitor.id, "name": info.name, "info": info.info}
            if visitor.id and not visitor.hidden
            else None
        ),
        "channels": {channel: _subscription(channel, issuer, visitor) for channel in granted},
        "refused": refused,
    }


@json_view("GET")
def snapshot(request: HttpRequest) -> dict[str, Any]:
    """Answer the snapshot of the channel of `?grant=`, and the `channel`.

    400 without a grant, and for a cursor channel, 403 for a grant that is not valid, 503 while the
    store is down.
    """
    text = request.GET.get("grant")
    if not text:
        raise HttpError(400, "The query parameter `grant` is missing.")
    try:
        channel = open_grant(request, read_grant(text), visitor_of(request), now=services.now())
    except InvalidGrant as error:
        raise HttpError(403, str(error)) from error
    if is_cursor_channel(channel):
        raise HttpError(400, NO_ROSTER)
    try:
        found = read_snapshot(channel)
    except StoreError as error:
        logger.exception("snapshot=unread channel=%s", channel)
        raise HttpError(503, "Who is here cannot be read at the moment: try again.") from error
    return {"channel": channel, **msgspec.structs.asdict(found)}


# No CSRF token is needed: all that a check can do is have a channel polled early.
@json_view("POST")
def check(request: HttpRequest) -> None:
    """Have channels polled early whose rosters lack the visitor's page; answer 204.

    The body is that of `tokens`, of any content type. A check adds and removes nobody: the poll
    does. Left out is what is beyond the limits of the visitor, cursor channels and `roster:` feeds,
    and all where no roster would list the visitor, or without looks. 400 and 403 as `tokens`. A
    store that is down is logged: the next tick polls the channels anyway.
    """
    visitor = visitor_of(request)
    granted, _ = _open(request, _read(request), visitor, services.now())
    if not (conf.PRESENCE_WATCH and listed_as(visitor)):
        return
    channels = [c for c in dict.fromkeys(_with_rosters(granted)) if feed_of(c) == c]
    try:
        _mark_due(channels, by=origins_of(request, visitor))
    except StoreError:
        logger.exception("check=not-marked channels=%s", ",".join(channels[:3]))


def _mark_due(channels: Sequence[str], *, by: Sequence[str]) -> None:
    """Mark channels due, as many as are within every limit of the visitor that `by` names.

    A channel that was checked less than CHECK_PAUSE ago is due after CHECK_PAUSE: a look may have
    read it before the member came who asks now, so the mark must not be dropped.
    """
    store = services.store()
    if conf.PRESENCE_DISCOVERY == "registry":
        channels = store.only_registered(channels)
    admitted = _admitted(store, "checks", len(channels), by, limit=CHECKS, seconds=CHECK_WINDOW)
    if not (channels := channels[:admitted]):
        return
    fresh, _ = store.check_limits([Hit(f"check:{c}", 1, CHECK_PAUSE) for c in channels])
    store.write(
        Writes(
            due={
                channel: 0.0 if is_fresh else CHECK_PAUSE
                for channel, is_fresh in zip(channels, fresh, strict=True)
            }
        )
    )


def register_channels(channels: Sequence[str], *, by: Sequence[str]) -> None:
    """Register channels that a visitor gets tokens of, where PRESENCE_DISCOVERY is "registry".

    `by` names the visitor, as `visitors.origins_of` does. Beyond NEW_ROOMS in an HOUR, a room that
    nobody else registered stays unregistered, and the page live: others see its members once
    somebody else registers it. A store that is down is logged: the renewal of the tokens makes up
    for it.
    """
    if conf.PRESENCE_DISCOVERY != "registry" or not channels:
        return
    channels = list(dict.fromkeys(channels))
    try:
        store = services.store()
        new = store.unregistered_channels(channels)
        admitted = _admitted(
            store, "rooms", len(new), by, limit=NEW_ROOMS, seconds=HOUR, warn=_warn_of_limit
        )
        refused = set(new[admitted:])
        store.register_channels([channel for channel in channels if channel not in refused])
    except StoreError:
        registry_logger.exception("registry=not-touched channels=%s", ",".join(channels[:3]))


def _admitted(
    store: Limits,
    name: str,
    count: int,
    by: Sequence[str],
    *,
    limit: int,
    seconds: float,
    warn: Callable[[str, int], None] = lambda kind, limit: None,
) -> int:
    """Return how many of `count` hits are within every limit of the visitor that `by` names. What
    one limit refuses does not count for the next. `warn` is told of a limit that is exceeded."""
    for origin in by:
        if not count:
            break
        kind = origin.partition(":")[0]
        most = SESSIONS * limit if kind == "sessions" else limit
        admitted = store.hit_rate_limit(
            f"{name}:{origin}", limit=most, seconds=seconds, times=count
        )
        if admitted < count:
            warn(kind, most)
        count = admitted
    return count


@lru_cache
def _warn_of_limit(kind: str, limit: int) -> None:
    """Log, once for each kind of visitor in the life of the process, that one asks for too much."""
    shared = (
        "Visitors who are not signed in are told apart by REMOTE_ADDR: behind a proxy, have your "
        "server or a middleware set it to the address of the client."
    )
    registry_logger.warning(
        "registry=full by=%s: a visitor asked for more than %d new rooms within an hour; the "
        "rest of them are not polled. %s",
        kind,
        limit,
        shared if kind in ("address", "sessions") else "",
    )


def _read(request: HttpRequest) -> _Body:
    return read_json(request, _Body, limit=MAX_BODY, example='{"grants": ["…"]}')


def _open(
    request: HttpRequest, asked: _Body, visitor: Visitor, now: float
) -> tuple[list[str], dict[str, str]]:
    """Return the channels that the grants open, and the reason for each other grant.

    Raises HttpError where no grant opens a channel.
    """
    granted: list[str] = []
    refused: dict[str, str] = {}
    for index, text in enumerate(asked.grants):
        name = f"#{index}"
        try:
            grant = read_grant(text)
            name = grant.channel
            granted.append(open_grant(request, grant, visitor, now=now))
        except InvalidGrant as error:
            refused[name] = str(error)
    refused = {name: reason for name, reason in refused.items() if name not in granted}
    if not granted:
        raise HttpError(403, "Every grant was refused.", refused=refused)
    return granted, refused


def _with_rosters(channels: list[str]) -> list[str]:
    """Return the channels without cursor channels, which are never polled."""
    return [channel for channel in channels if not is_cursor_channel(channel)]


def _subscription(channel: str, issuer: Issuer, visitor: Visitor) -> dict[str, Any]:
    """Return what a browser needs to follow `channel`."""
    has_roster = not is_cursor_channel(channel)
    feed = feed_of(channel) if has_roster else channel
    hidden = issuer.info.hidden
    return {
        "feed": feed,
        "token": issuer.subscription(feed, quietly=hidden),
        "grant": make_grant(channel, issuer.user_id, now=issuer.now),
        "shown": bool(issuer.user_id) and feed == channel and not hidden,
        "self": listed_as(visitor) if has_roster and feed == channel else "",
    }


def _session_channel(request: HttpRequest, visitor: Visitor) -> str:
    # A user without a session, who sends a token or so, is found where the user is revoked.
    return session_channel(visitor.id, session_of(request)) if visitor.id else ""


def _secret() -> str:
    secret = conf.CENTRIFUGO_TOKEN_SECRET
    if not secret:
        raise ImproperlyConfigured(
            "CENTRIFUGO_TOKEN_SECRET is empty: set it to Centrifugo's client.token.hmac_secret_key."
        )
    return secret
