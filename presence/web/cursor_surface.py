"""The context of a cursor surface's template: the twin of `widget.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from django.http import HttpRequest

from presence import services
from presence.centrifugo.tokens import make_grant
from presence.conf import conf
from presence.roster.channel_names import room_of
from presence.web.page import admit, links

__all__ = ["UNITS", "Surface", "surface_for"]

UNITS: Final = ("fraction", "px")
"""Units of positions. The first, the default, is of the width and height of the surface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """The value of `{% presence_cursors_state channel as presence %}`.

    `live` says whether scripts can show cursors; only then are there a grant and URLs. `denied`,
    `error` and `show_error` are those of a presence.web.widget.Widget.
    """

    channel: str
    unit: str = UNITS[0]
    interval_ms: int = 0
    timeout_ms: int = 0
    limit: int = 0
    grant: str = ""
    tokens_url: str = ""
    snapshot_url: str = ""
    beacon_url: str = ""
    live: bool = False
    user_id: str = ""
    denied: bool = False
    error: str = ""
    show_error: bool = False


def surface_for(named: object, request: HttpRequest | None) -> Surface:
    """Return the surface of the cursor channel `named` for the visitor who sent `request`.

    It is not live where there is no request, where its user is unknown, and for hidden users: the
    others would see a cursor. Raises InvalidChannel for a name that is not a cursor channel.
    """
    room_of(named)
    # A literal of a template is marked safe and would not be escaped: adding "" makes it plain.
    channel = cast(str, named) + ""
    visitor, allowed, error = admit(channel, request)
    if not allowed:
        return Surface(channel=channel, denied=True, error=error)
    urls = links(visitor)
    live = bool(visitor and urls.tokens and not visitor.hidden)
    return Surface(
        channel=channel,
        interval_ms=round(1000 * conf.PRESENCE_CURSOR_INTERVAL),
        timeout_ms=round(1000 * conf.PRESENCE_CURSOR_TIMEOUT),
        limit=conf.PRESENCE_CURSOR_LIMIT,
        grant=make_grant(channel, visitor.id, now=services.now()) if visitor and live else "",
        tokens_url=urls.tokens,
        snapshot_url=urls.snapshot,
        beacon_url=urls.beacon,
        live=live,
        user_id=visitor.id if visitor else "",
        error=error or urls.error,
    )
