"""What the widget's template is given.

A page never fails because Redis is down, and says what is wrong where the site is set up wrongly.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Final

from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext

from presence import services
from presence.centrifugo.tokens import make_grant
from presence.conf import conf, hooks
from presence.exceptions import StoreDamaged
from presence.queues.nudge import page_served
from presence.roster.channel_names import feed_of, validate_channel
from presence.roster.types import Member, Position, Snapshot
from presence.snapshots import read_snapshot
from presence.web.drawing import DrawnMember, arrange, choose, draw
from presence.web.page import admit, links, store_is_down, store_went_down
from presence.web.visitors import Visitor, describe
from presence.web.visits import is_visit

__all__ = ["FACES", "LIMITS", "VARIANTS", "Widget", "widget_for"]

logger = logging.getLogger("presence.widget")

VARIANTS: Final = ("stack", "list", "count", "none")
"""The first is the default. "none" shows nothing: it is there for scripts."""

LIMITS: Final = {"list": 20}
"""Members in sight before "and N more", by variant, where the page gives no limit."""

FACES: Final = 5
"""The limit of any other variant: the faces of a stack before its "+N"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Widget:
    """What `{% presence_state channel as presence %}` gives; times in seconds.

    `live` says whether scripts can take over; only then is there a grant, are there URLs.
    `denied`: the visitor may not see this, and nothing is shown. `error` is for whoever runs the
    site, and in sight only where the template engine is in debug mode (`show_error`). `age` is
    None where nothing is known yet. `self_id` is the id of the member who is the visitor;
    "" where none can be. `stranger`: the visitor is one of those whom `anonymous` counts, once
    their page is live. `members` come by arrival; in a counted room they are at most oneself.
    `limit` is how many of them are in sight at once, None the default of the variant. `key` is an
    element id that no other widget of any page has.
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
    stranger: bool = False
    denied: bool = False
    error: str = ""
    show_error: bool = False
    variant: str = VARIANTS[0]
    announce: bool = False
    limit: int = FACES
    key: str = field(default_factory=lambda: f"presence-{token_hex(4)}", compare=False)

    @property
    def faces(self) -> list[DrawnMember]:
        """The members that are in sight at once: the faces of a stack."""
        return choose(arrange(self.members), self.limit)

    @property
    def listing(self) -> list[DrawnMember]:
        """All members, oneself first; a list folds those beyond its limit."""
        arranged = arrange(self.members)
        if self.variant != "list" or not self.more:
            return arranged
        shown = {member.id for member in choose(arranged, self.limit)}
        return [replace(member, folded=member.id not in shown) for member in arranged]

    @property
    def more(self) -> int:
        """How many members are beyond the limit."""
        return max(0, len(self.members) - self.limit)

    @property
    def heading(self) -> str:
        """The number of people, in words: the heading of the panel."""
        words = ngettext("{n} person here", "{n} people here", self.total)
        return words.replace("{n}", str(self.total))

    @property
    def more_words(self) -> str:
        """Text of the control that opens the rest of a list."""
        return ngettext("and {n} more", "and {n} more", self.more).replace("{n}", str(self.more))

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
    present = live and feed == channel
    known = found.members if found.listed or not present else _own(visitor)
    anonymous = gettext("Anonymous")
    return Widget(
        channel=channel,
        feed=feed,
        epoch=found.epoch,
        version=found.version,
        members=tuple(draw(member, self_id=self_id, anonymous=anonymous) for member in known),
        listed=found.listed,
        total=found.total,
        anonymous=found.anonymous,
        age=found.age,
        every=found.every,
        position=found.position,
        grant=make_grant(channel, user_id, now=services.now()) if live else "",
        tokens_url=urls.tokens,
        snapshot_url=urls.snapshot,
        beacon_url=urls.beacon,
        live=live,
        user_id=user_id,
        self_id=self_id,
        stranger=present and not user_id and conf.PRESENCE_ANONYMOUS == "count",
        error=error or urls.error,
    )


def _own(visitor: Visitor | None) -> list[Member]:
    """Return the visitor alone, as a counted room shows them; nobody where they have no name."""
    if visitor is None or visitor.user is None or visitor.hidden:
        return []
    try:
        shown = describe(visitor, hooks.hook("PRESENCE_USER_INFO"), now=services.now())
    except SynchronousOnlyOperation:  # The script asks once the page is live.
        return []
    return [Member(visitor.id, shown.name, shown.info)]


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
