"""The publish proxy of the namespace `cursors`: Centrifugo asks Django about moves of browsers.

For sites that need more than Centrifugo offers: a limit on how fast a browser may publish, a check
of what it publishes, or its moves in `CursorTracker.get_cursors`.
"""

from __future__ import annotations

from math import ceil
from typing import Annotated, Any, Final, TypeVar

import msgspec
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from presence import cursors, services
from presence.backends.base import Hit
from presence.centrifugo.gateway import decode_reply, result_of
from presence.conf import conf
from presence.exceptions import CentrifugoError, InvalidChannel, StoreError
from presence.roster import validation
from presence.roster.channel_names import room_of
from presence.roster.names import clean_name
from presence.transport.log_lines import line_logger
from presence.web.json import HttpError, json_view

logger = line_logger("presence.proxy")

T = TypeVar("T")

MAX_BODY: Final = 128 * 1024
"""Bytes: as much as Centrifugo takes from a browser by default, and the meta of its connection."""
MAX_DATA: Final = 1024
"""Bytes of a move. A move of our scripts has at most 64."""
MAX_COORDINATE: Final = 100_000
"""Pixels; fractions end at 1. The unit of the surface is not known here."""

SLACK: Final = 1.5
"""Factor on the rate of our scripts: moves that a slow network held back arrive all at once."""
TRUSTED: Final = 60.0
"""Seconds for which a client counts as subscribed after Centrifugo said so."""
ASKS: Final = 60
"""Times in TRUSTED seconds that Centrifugo is asked about the clients of one user: each page is a
client."""

TEMPORARY: Final = (429, 503)


class _Publication(msgspec.Struct):
    """Publication that Centrifugo asks about. All but `data` is trusted; visitors have no user."""

    client: Annotated[str, msgspec.Meta(min_length=1)]
    channel: str
    user: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    meta: msgspec.Raw = msgspec.Raw(b"{}")


class _Presence(msgspec.Struct):
    presence: dict[str, msgspec.Raw]


class _Claims(msgspec.Struct):
    """Claims of our connection tokens about a user (presence.centrifugo.tokens.Issuer)."""

    name: str = ""
    info: dict[str, Any] = {}
    hidden: bool = False


Coordinate = (
    Annotated[int, msgspec.Meta(ge=0, le=MAX_COORDINATE)]
    | Annotated[float, msgspec.Meta(ge=0, le=MAX_COORDINATE)]
)


class _BrowserMove(msgspec.Struct, omit_defaults=True):
    """A position, or that the cursor has gone. Other fields are ignored."""

    gone: bool = False
    x: Coordinate | None = None
    y: Coordinate | None = None

    def __post_init__(self) -> None:
        if self.gone:
            self.x = self.y = None
        elif self.x is None or self.y is None:
            raise ValueError('it is {"x": …, "y": …} or {"gone": true}')


class _Refusal(Exception):
    """Code, which is one that Centrifugo leaves to sites, and reason not to publish."""


# The key identifies the caller, and Centrifugo has no cookies.
@json_view("POST")
def publish(request: HttpRequest) -> dict[str, Any]:
    """Answer whether Centrifugo may publish what a browser sent.

    200 with `{"result": {}}` (with `data` where other data than was sent is to be published) or
    `{"error": {"code", "message", "temporary"?}}`. 403 unless X-API-Key is CENTRIFUGO_API_KEY, 405
    for another method than POST.
    """
    if not _is_from_centrifugo(request):
        raise HttpError(
            403, "The header X-API-Key has to be CENTRIFUGO_API_KEY (http.static_headers)."
        )
    try:
        return {"result": _judge(request.read(MAX_BODY + 1))}
    except _Refusal as refusal:
        code, reason = refusal.args
        temporary = {"temporary": True} if code in TEMPORARY else {}
        return {"error": {"code": code, "message": reason, **temporary}}


def _is_from_centrifugo(request: HttpRequest) -> bool:
    # A function of its own: debug pages and error trackers show the variables of each frame.
    key = conf.CENTRIFUGO_API_KEY
    return bool(key) and constant_time_compare(request.headers.get("X-API-Key", ""), key)


def _judge(body: bytes) -> dict[str, Any]:
    """Return the result for a publication that is allowed; raises _Refusal for another."""
    asked = _decode(_Publication, body, MAX_BODY, "a publication")
    claims = _read_claims(asked.meta)
    if not asked.user or claims.hidden:
        raise _Refusal(403, "the anonymous and the invisible have no cursor")
    try:
        room_of(asked.channel)
    except InvalidChannel as error:
        raise _Refusal(403, str(error)) from error
    sent = _decode(_BrowserMove, bytes(asked.data), MAX_DATA, "a move")
    try:
        _admit(asked)
        if conf.PRESENCE_CURSOR_TRACK:
            _track(asked, sent, claims)
    except (StoreError, CentrifugoError) as error:
        # Without them we cannot know whether the user may publish, or how often they did.
        logger.error("publish=refused channel=%s error=%s", asked.channel, error)
        raise _Refusal(503, "cursors are not passed on at the moment") from error
    understood = msgspec.json.encode(sent)
    return {} if bytes(asked.data) == understood else {"data": msgspec.Raw(understood)}


def _decode(kind: type[T], data: bytes, limit: int, what: str) -> T:
    if len(data) > limit:
        raise _Refusal(413, f"{what} of more than {limit} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Refusal(400, f"not {what}: {error}") from error


def _admit(asked: _Publication) -> None:
    """Raise _Refusal where the user sends too much, or the client is not subscribed.

    The limit is per user: anybody may have as many clients as they like. With a proxy, Centrifugo
    does not check that the client is subscribed, which takes a token of ours: so we ask it.
    """
    tracker = services.tracker()
    pair = f"{asked.client}:{asked.channel}"
    rate = ceil(SLACK * ceil(1 / conf.PRESENCE_CURSOR_INTERVAL))
    (taken,), (known,) = tracker.check_limits(
        [Hit(f"moves:{asked.user}", rate, seconds=1.0)], [pair]
    )
    if not taken:
        raise _Refusal(429, "too many moves")
    if known:
        return
    if not tracker.hit_rate_limit(f"asks:{asked.user}", limit=ASKS, seconds=TRUSTED):
        raise _Refusal(429, "too many channels")
    (reply,) = services.gateway().presence([asked.channel])
    if asked.client not in decode_reply(result_of(reply), _Presence).presence:
        raise _Refusal(403, "not subscribed")
    tracker.set_flag(pair, seconds=TRUSTED)


def _track(asked: _Publication, sent: _BrowserMove, claims: _Claims) -> None:
    """Store a move for `CursorTracker.get_cursors`."""
    tracker = services.tracker()
    if sent.gone:
        # Another page of the same user may still show a cursor.
        tracker.delete_cursor(asked.channel, asked.user, ending=cursors.suffix_of(asked.client))
        return
    try:
        move = cursors.make_move(asked.user, sent.x, sent.y, _meta(claims))
    except ValueError as error:
        raise _Refusal(403, str(error)) from error
    kept = {move.user: cursors.encode_move(move, asked.client)}
    tracker.save_cursors(asked.channel, kept, timeout=conf.PRESENCE_CURSOR_TIMEOUT)


def _read_claims(raw: msgspec.Raw) -> _Claims:
    """Return our claims; none where a site wrote something else into tokens of its own."""
    try:
        return msgspec.json.decode(raw, type=_Claims)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Claims()


def _meta(claims: _Claims) -> dict[str, Any]:
    """Return what others see of a user; the name alone where the rest is too large."""
    cleaned = clean_name(claims.name)
    name = {"name": cleaned} if cleaned else {}
    meta = claims.info | name
    return meta if validation.is_meta(meta) else name
