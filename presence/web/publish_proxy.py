"""Moves of browsers on their way through Django: the publish proxy of the namespace `cursors`.

For sites that need what Centrifugo has not: a limit on how fast a browser may publish, a check of
what it publishes, or its moves in `CursorTracker.get_cursors`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from math import ceil
from typing import Annotated, Any, Final

import msgspec
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from presence import cursors, services
from presence.centrifugo import replies
from presence.conf import conf
from presence.exceptions import CentrifugoError, InvalidChannel, StoreError
from presence.roster import validation
from presence.roster.channel_names import room_of
from presence.roster.names import clean_name
from presence.web.json import No, answers

__all__ = ["publish"]

logger = logging.getLogger("presence.proxy")

MAX_BODY: Final = 128 * 1024
"""Bytes: what Centrifugo takes from a browser by default, and the meta of its connection."""
MAX_DATA: Final = 1024
"""Bytes of a move. Those of our scripts have at most 64."""
FARTHEST: Final = 100_000
"""Pixels; fractions end at 1, and which of the two a surface counts in is not known here."""

SLACK: Final = 1.5
"""Times the rate at which our scripts send: what a slow network held back arrives all at once."""
TRUSTED: Final = 60.0
"""Seconds for which a client that was found subscribed is taken to be."""
ASKS: Final = 60
"""Times in TRUSTED seconds that Centrifugo is asked about the clients of one user, each page of
whom is one."""

TEMPORARY: Final = (429, 503)


class _Publication(msgspec.Struct):
    """What Centrifugo asks about. It vouches for all but the data; the anonymous have no user."""

    client: Annotated[str, msgspec.Meta(min_length=1)]
    channel: str
    user: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    meta: msgspec.Raw = msgspec.Raw(b"{}")


class _Presence(msgspec.Struct):
    presence: dict[str, msgspec.Raw]


class _Shown(msgspec.Struct):
    """What our connection tokens say of a user (presence.centrifugo.tokens.Issuer)."""

    name: str = ""
    info: dict[str, Any] = {}
    hidden: bool = False


Coordinate = (
    Annotated[int, msgspec.Meta(ge=0, le=FARTHEST)]
    | Annotated[float, msgspec.Meta(ge=0, le=FARTHEST)]
)


class _Sent(msgspec.Struct, omit_defaults=True):
    """A position, or that the cursor has gone. Other fields are ignored."""

    gone: bool = False
    x: Coordinate | None = None
    y: Coordinate | None = None

    def __post_init__(self) -> None:
        if self.gone:
            self.x = self.y = None
        elif self.x is None or self.y is None:
            raise ValueError('it is {"x": …, "y": …} or {"gone": true}')


_publication = msgspec.json.Decoder(_Publication)
_shown = msgspec.json.Decoder(_Shown)
_sent = msgspec.json.Decoder(_Sent)


class _Refused(Exception):
    """Not to be published; the code is among those that Centrifugo leaves to sites."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {"code": code, "message": message}
        if code in TEMPORARY:
            self.error["temporary"] = True


# Who calls is told by the key, and Centrifugo has no cookies.
@answers("POST")
def publish(request: HttpRequest) -> dict[str, Any]:
    """Whether Centrifugo may publish what a browser sent: its publish proxy.

    200 with `{"result": {}}` (with `data` where something else than what was sent is to be
    published) or `{"error": {"code", "message", "temporary"?}}`. 403 unless X-API-Key is
    CENTRIFUGO_API_KEY, 405 for another method than POST.
    """
    key = conf.CENTRIFUGO_API_KEY
    if not key or not constant_time_compare(request.headers.get("X-API-Key", ""), key):
        raise No(403, "The header X-API-Key has to be CENTRIFUGO_API_KEY (http.static_headers).")
    try:
        return {"result": _judge(request.read(MAX_BODY + 1))}
    except _Refused as refused:
        return {"error": refused.error}


def _judge(body: bytes) -> dict[str, Any]:
    """The result for what may be published; raises _Refused."""
    asked = _read(body)
    shown = _read_meta(asked.meta)
    if not asked.user or shown.hidden:
        raise _Refused(403, "the anonymous and the invisible have no cursor")
    try:
        room_of(asked.channel)
    except InvalidChannel as error:
        raise _Refused(403, str(error)) from error
    sent = _understand(asked.data)
    try:
        _admit(asked)
        if conf.PRESENCE_CURSOR_TRACK:
            _track(asked, sent, shown)
    except (StoreError, CentrifugoError) as error:
        # Without them nobody knows who may publish, or how often they did.
        logger.error("publish=refused channel=%s error=%s", asked.channel, error)
        raise _Refused(503, "cursors are not passed on at the moment") from error
    understood = msgspec.json.encode(sent)
    return {} if bytes(asked.data) == understood else {"data": msgspec.Raw(understood)}


def _read(body: bytes) -> _Publication:
    if len(body) > MAX_BODY:
        raise _Refused(413, f"more than {MAX_BODY} bytes")
    try:
        return _publication.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused(400, f"not a publication: {error}") from error


def _understand(data: msgspec.Raw) -> _Sent:
    if len(bytes(data)) > MAX_DATA:
        raise _Refused(413, f"a move of more than {MAX_DATA} bytes")
    try:
        return _sent.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused(400, f"not a move: {error}") from error


def _admit(asked: _Publication) -> None:
    """Raise _Refused where the user sends too much, or the client is not subscribed.

    It is users that are counted: anybody may have as many clients as they like. Centrifugo asks us
    instead of looking whether the client is subscribed, for which it takes a token of ours: so it
    is asked who is.
    """
    tracker = services.tracker()
    pair = f"{asked.client}:{asked.channel}"
    taken, known = tracker.admit(f"moves:{asked.user}", limit=_most(), seconds=1.0, known=pair)
    if not taken:
        raise _Refused(429, "too many moves")
    if known:
        return
    if not tracker.hit_rate_limit(f"asks:{asked.user}", limit=ASKS, seconds=TRUSTED):
        raise _Refused(429, "too many channels")
    if asked.client not in _subscribed(asked.channel):
        raise _Refused(403, "not subscribed")
    tracker.set_flag(pair, seconds=TRUSTED)


def _most() -> int:
    """Moves a second that a user may send."""
    return ceil(SLACK * ceil(1 / conf.PRESENCE_CURSOR_INTERVAL))


def _track(asked: _Publication, sent: _Sent, shown: _Shown) -> None:
    """Keep what was sent for `CursorTracker.get_cursors`."""
    tracker, meta = services.tracker(), _meta(shown)
    if sent.gone:
        # Another page of the same user may still point.
        tracker.delete_cursor(asked.channel, asked.user, ending=cursors.suffix_of(asked.client))
        return
    try:
        move = cursors.make_move(asked.user, sent.x, sent.y, meta)
    except ValueError as error:
        raise _Refused(403, str(error)) from error
    kept = {move.user: cursors.encode_move(move, asked.client)}
    tracker.save_cursors(asked.channel, kept, timeout=conf.PRESENCE_CURSOR_TIMEOUT)


def _read_meta(raw: msgspec.Raw) -> _Shown:
    """Nothing of what a site wrote into tokens of its own."""
    try:
        return _shown.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Shown()


def _meta(shown: _Shown) -> dict[str, Any]:
    """What others see of a user, the name alone where that is too much."""
    cleaned = clean_name(shown.name)
    name = {"name": cleaned} if cleaned else {}
    meta = shown.info | name
    return meta if validation.is_meta(meta) else name


def _subscribed(channel: str) -> Collection[str]:
    """The clients that are subscribed to `channel`. Raises CentrifugoError."""
    (reply,) = services.gateway().presence([channel])
    return replies.decode(replies.result(reply), _Presence).presence
