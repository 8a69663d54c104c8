"""What the widget's template is given.

A page never fails because Redis is down, and says what is wrong where the site is set up wrongly.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Final

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.translation import gettext

from presence import assembly
from presence.conf import conf
from presence.drawing import FACES, DrawnMember, draw
from presence.exceptions import StoreDamaged
from presence.inclusion import admit, links, store_is_down, store_went_down
from presence.naming import feed_of, validate_channel
from presence.nudge import page_served
from presence.roster import Position, Snapshot
from presence.snapshots import read_snapshot
from presence.tokens import make_grant
from presence.visits import is_visit

__all__ = ["VARIANTS", "Widget", "widget_for"]

logger = logging.getLogger("presence.widget")

VARIANTS: Final = ("stack", "list", "count", "none")
"""The first is the default. "none" shows nothing: it is there for scripts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Widget:
    """What `{% presence_state channel as presence %}` gives; times in seconds.

    `live` says whether scripts can take over; only then is there a grant, are there URLs.
    `denied`: the visitor may not see this, and nothing is shown. `error` is for whoever runs the
    site, and in sight only where the template engine is in debug mode (`show_error`). `age` is
    None where nothing is known yet. `self_id` is the id of the member who is the visitor;
    "" where none can be. `key` is an element id that no other widget of any page has.
    """

    channel: str
    feed: str
    epoch: str = ""
    version: int = 0
    members: tuple[DrawnMember, ...] = ()
    listed: bool = True
    total: int = 0
    anonymous: int = 0
    age: float | None = None
    every: float = 0.0
    position: Position | None = None
    grant: str = ""
    tokens_url: str = ""
    snapshot_url: str = ""
    beacon_url: str = ""
    live: bool = False
    user_id: str = ""
    self_id: str = ""
    denied: bool = False
    error: str = ""
    show_error: bool = False
    variant: str = VARIANTS[0]
    announce: bool = False
    key: str = field(default_factory=lambda: f"presence-{token_hex(4)}", compare=False)

    @property
    def faces(self) -> tuple[DrawnMember, ...]:
        """Whom a stack shows at once."""
        return self.members[:FACES]

    @property
    def more(self) -> int:
        """How many members a stack's button stands for."""
        return max(0, len(self.members) - FACES)

    @property
    def folded(self) -> bool:
        """Whether the members are there for scripts alone."""
        return self.variant in ("count", "none")


def widget_for(named: object, request: HttpRequest | None) -> Widget:
    """The widget of the channel `named` for whoever sent `request`.

    Static and nobody's own where there is no request, or where its user cannot be told. Raises
    InvalidChannel for what cannot be a channel or is not polled.
    """
    # A literal of a template is marked safe, and would not be escaped: adding "" makes it plain.
    channel = validate_channel(named) + ""
    visitor, allowed, error = admit(channel, request)
    feed = feed_of(channel)
    if not allowed:
        return Widget(channel=channel, feed=feed, denied=True, error=error)
    found = _read(channel, request)
    urls = links(visitor)
    live = bool(urls.tokens)
    self_id, user_id = (visitor.shown_as, visitor.id) if visitor else ("", "")
    if live and not store_is_down(request) and is_visit(request):
        page_served(channel, self_id and user_id, found)
    anonymous = gettext("Anonymous")
    return Widget(
        channel=channel,
        feed=feed,
        epoch=found.epoch,
        version=found.version,
        members=tuple(
            draw(member, self_id=self_id, anonymous=anonymous) for member in found.members
        ),
        listed=found.listed,
        total=found.total,
        anonymous=found.anonymous,
        age=found.age,
        every=found.every,
        position=found.position,
        grant=make_grant(channel, user_id, now=assembly.now()) if live else "",
        tokens_url=urls.tokens,
        snapshot_url=urls.snapshot,
        beacon_url=urls.beacon,
        live=live,
        user_id=user_id,
        self_id=self_id,
        error=error or urls.error,
    )


def _read(channel: str, request: HttpRequest | None) -> Snapshot:
    """The snapshot; an empty one while it cannot be read, which scripts then fill."""
    nothing = Snapshot(every=conf.PRESENCE_INTERVAL)
    # The other widgets of the page would wait for the same time-out again.
    if store_is_down(request):
        return nothing
    try:
        return read_snapshot(channel)
    except ImproperlyConfigured:
        raise
    except StoreDamaged as error:
        logger.error("snapshot=unread channel=%s error=%r", channel, str(error))
        return nothing
    except Exception:
        logger.exception("snapshot=unread channel=%s", channel)
        store_went_down(request)
        return nothing
