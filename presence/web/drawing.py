"""How a member is drawn. `render.js` draws whoever comes later, by the same rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from presence.roster.names import initials
from presence.roster.people import ANONYMOUS_NAME
from presence.roster.types import Member

__all__ = [
    "PALETTE",
    "DrawnMember",
    "arrange",
    "choose",
    "draw",
    "initials",
    "palette_index",
    "safe_colour",
    "safe_url",
]

PALETTE: Final = 12
"""Colours that the stylesheet has for those who bring none of their own."""

_URL = re.compile(r"https?://|/(?![/\\])", re.IGNORECASE)
_COLOUR = re.compile(r"#(?:[\da-f]{3}|[\da-f]{6})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnMember:
    """A member as the template shows them. Only plain text: the template escapes it.

    `shown_name` is what people read, `name` what scripts are told. `folded` members of a list are
    out of sight until "and N more" is opened.
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


def draw(member: Member, *, self_id: str, anonymous: str = ANONYMOUS_NAME) -> DrawnMember:
    """The member as shown to whoever `self_id` is; "" is nobody.

    `anonymous` is the name of those who have none, in the language of the page.
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


def arrange(members: Sequence[DrawnMember]) -> list[DrawnMember]:
    """Return the members in the order of every list: oneself, then the others by arrival."""
    return sorted(members, key=lambda member: not member.is_self)


def choose(members: Sequence[DrawnMember], limit: int) -> list[DrawnMember]:
    """Return the arranged members that are in sight at once: oneself and the newest, at most
    `limit` of them, in their order."""
    own = sum(member.is_self for member in members)
    return [*members[:own], *members[max(own, len(members) - limit + own) :]][:limit]


def palette_index(id: str) -> int:  # noqa: A002
    """The place of an id in the palette: FNV-1a (32 bit) of its UTF-8 bytes."""
    value = 0x811C9DC5
    for byte in id.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value % PALETTE


def safe_url(value: object) -> str:
    """An absolute http(s) URL or a path of this site; else ""."""
    return value if isinstance(value, str) and _URL.match(value) else ""


def safe_colour(value: object) -> str:
    """`#rgb` or `#rrggbb`; else ""."""
    return value if isinstance(value, str) and _COLOUR.fullmatch(value) else ""
