"""The context of a cursor surface's template: the twin of `widget.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from django.http import HttpRequest

from presence.conf import conf
from presence.roster.channel_names import room_of
from presence.web.page import Element, open_element

UNITS: Final = ("fraction", "px")
"""Units of positions. The first, the default, is of the width and height of the surface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface(Element):
    """The value of `{% presence_cursors_state channel as presence %}`."""

    unit: str = UNITS[0]
    interval_ms: int = 0
    timeout_ms: int = 0
    limit: int = 0


def surface_for(named: object, request: HttpRequest | None) -> Surface:
    """Return the surface of the cursor channel `named` for the visitor who sent `request`.

    It is not live where there is no request, where its user is unknown, and for hidden users: the
    others would see a cursor. Raises InvalidChannel for a name that is not a cursor channel.
    """
    room_of(named)
    # A literal of a template is marked safe and would not be escaped: adding "" makes it plain.
    channel = cast(str, named) + ""
    _, fields = open_element(channel, request, hidden=False)
    if fields["denied"]:
        return Surface(**fields)
    return Surface(
        **fields,
        interval_ms=round(1000 * conf.PRESENCE_CURSOR_INTERVAL),
        timeout_ms=round(1000 * conf.PRESENCE_CURSOR_TIMEOUT),
        limit=conf.PRESENCE_CURSOR_LIMIT,
    )
