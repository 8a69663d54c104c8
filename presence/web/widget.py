"""The widget: the context of its template, and how a member is drawn.

A page never fails because Redis is down; a wrong set-up of the site is reported on it.
`render.js` draws members who come later, by the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Final

import msgspec
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext

from presence import services
from presence.conf import conf
from presence.exceptions import StoreDamaged
from presence.roster.channel_names import feed_of, validate_channel
from presence.roster.messages import Member, Position, Snapshot
from presence.roster.names import initials
from presence.roster.people import ANONYMOUS_NAME
from presence.snapshots import read_snapshot
from presence.transport.log_lines import line_logger
from presence.web.page import Element, PageState, open_element, page_state
from presence.web.visitors import Visitor, describe

logger = line_logger("presence.widget")

VARIANTS: Final = ("stack", "list", "count", "none")
"""The first is the default. "none" shows nothing: it is there for scripts."""
LIMITS: Final = {"list": 20}
"""Members in sight before "and N more", by variant, where the page gives no limit."""
FACES: Final = 5
"""Limit of any other variant: the faces of a stack before its "+N"."""
PALETTE: Final = 12
"""Colours that the stylesheet has for members without a colour of their own."""

_URL = re.compile(r"https?://|/(?![/\\])", re.IGNORECASE)
_COLOUR = re.compile(r"#(?:[\da-f]{3}|[\da-f]{6})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnMember:
    """A member as the template shows them. Only plain text: the template escapes it.

    People read `shown_name`, scripts get `name`. `folded` members of a list are out of sight until
    "and N more" is opened.
    """

    id: str
    name: str
    shown_name: str
    info: dict[str, object]
    info_json: str
    initials: str
    colour: int  # 0 to PALETTE - 1
    avatar: str  # a safe URL, or ""
    own_colour: str  # "#rrggbb" or "#rgb", or ""
    is_self: bool
    folded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Widget(Element):
    """The value of `{% presence_state channel as presence %}`; times in seconds.

    `age` is None where the channel was never polled. `self_id` is the id of the member who is the
    visitor; "" where none can be. `stranger`: the visitor is one of those that `anonymous` counts,
    once their page is live. `members` are in order of arrival; in a counted room they are at most
    the visitor. `limit` is the number of members in sight at once. `key` is an element id that no
    other widget of any page has.
    """

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
    self_id: str = ""
    stranger: bool = False
    variant: str = VARIANTS[0]
    announce: bool = False
    limit: int = FACES
    key: str = field(default_factory=lambda: f"presence-{token_hex(4)}", compare=False)

    @property
    def faces(self) -> list[DrawnMember]:
        """The members that are in sight at once: the faces of a stack."""
        return _choose(_arrange(self.members), self.limit)

    @property
    def listing(self) -> list[DrawnMember]:
        """All members, the visitor first; a list folds those beyond its limit."""
        arranged = _arrange(self.members)
        if self.variant != "list" or not self.more:
            return arranged
        shown = {member.id for member in _choose(arranged, self.limit)}
        return [replace(member, folded=member.id not in shown) for member in arranged]

    @property
    def more(self) -> int:
        """The number of members beyond the limit."""
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
        """Whether only scripts see the members."""
        return self.variant in ("count", "none")


def widget_for(named: object, request: HttpRequest | None) -> Widget:
    """Return the widget of the channel `named` for the visitor who sent `request`.

    It is static, and marks no member as the visitor, where there is no request or where its user is
    unknown. Raises InvalidChannel for a name that cannot be a channel or is not polled.
    """
    # A literal of a template is marked safe and would not be escaped: adding "" makes it plain.
    channel = validate_channel(named) + ""
    feed, state = feed_of(channel), page_state(request)
    visitor, fields = open_element(channel, request, hidden=True)
    if fields["denied"]:
        return Widget(feed=feed, **fields)
    found = _read(channel, state)
    live, self_id = "grant" in fields, visitor.shown_as
    present = live and feed == channel
    known = found.members if found.listed or not present else _own(visitor)
    anonymous = gettext("Anonymous")
    drawn = tuple(draw(member, self_id=self_id, anonymous=anonymous) for member in known)
    fields |= msgspec.structs.asdict(found) | {"members": drawn}
    return Widget(
        feed=feed,
        self_id=self_id,
        stranger=present and not visitor.id and conf.PRESENCE_ANONYMOUS == "count",
        **fields,
    )


def _own(visitor: Visitor) -> list[Member]:
    """Return the visitor alone, as a counted room shows them; none where they have no name."""
    if visitor.user is None or visitor.hidden:
        return []
    try:
        shown = describe(visitor, now=services.now())
    except SynchronousOnlyOperation:  # The script asks once the page is live.
        return []
    return [Member(visitor.id, shown.name, shown.info)]


def _read(channel: str, state: PageState) -> Snapshot:
    """Return the snapshot; an empty one, which scripts then fill, while it cannot be read."""
    nothing = Snapshot(every=conf.PRESENCE_INTERVAL)
    # The other widgets of the page would wait for the same time-out again.
    if state.store_is_down:
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
        state.store_is_down = True
        return nothing


def draw(member: Member, *, self_id: str, anonymous: str = ANONYMOUS_NAME) -> DrawnMember:
    """Return the member as the member `self_id` sees them; "" is nobody's id.

    `anonymous` is the name of members without one, in the language of the page.
    """
    shown_name = anonymous if member.name == ANONYMOUS_NAME else member.name
    return DrawnMember(
        id=member.id,
        name=member.name,
        shown_name=shown_name,
        info=member.info,
        info_json=msgspec.json.encode(member.info).decode(),
        initials=initials(shown_name),
        colour=palette_index(member.id),
        avatar=safe_url(member.info.get("avatar")),
        own_colour=safe_colour(member.info.get("color")),
        is_self=bool(self_id) and member.id == self_id,
    )


def _arrange(members: Sequence[DrawnMember]) -> list[DrawnMember]:
    """Return the members in the order of every list: the visitor, then the others by arrival."""
    return sorted(members, key=lambda member: not member.is_self)


def _choose(members: Sequence[DrawnMember], limit: int) -> list[DrawnMember]:
    """Return the arranged members that are in sight at once: the visitor and the newest, at most
    `limit` of them, in their order."""
    own = sum(member.is_self for member in members)
    return [*members[:own], *members[max(own, len(members) - limit + own) :]][:limit]


def palette_index(id: str) -> int:  # noqa: A002
    """Return the place of an id in the palette: FNV-1a (32 bit) of its UTF-8 bytes."""
    value = 0x811C9DC5
    for byte in id.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value % PALETTE


def safe_url(value: object) -> str:
    """Return an absolute http(s) URL or a path of this site; "" for anything else."""
    return value if isinstance(value, str) and _URL.match(value) else ""


def safe_colour(value: object) -> str:
    """Return `#rgb` or `#rrggbb`; "" for anything else."""
    return value if isinstance(value, str) and _COLOUR.fullmatch(value) else ""
