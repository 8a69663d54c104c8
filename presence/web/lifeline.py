"""Lifelines: with what a page keeps the members whom its view tracked, one for each of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import msgspec
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from presence import services
from presence.centrifugo.tokens import Grant, seal, unseal
from presence.conf import conf
from presence.web.page import NO_URLS, NOT_LOADED, page_visitor, warn_once

__all__ = [
    "MAX_LIFELINES",
    "Heartbeat",
    "Lifeline",
    "heartbeat_for",
    "make_lifeline",
    "read_lifeline",
]

logger = logging.getLogger("presence.heartbeat")

MAX_LIFELINES: Final = 20
"""Members of one page."""

_SALT: Final = "presence.heartbeat"


class Lifeline(Grant, frozen=True, array_like=True):
    """That the page shown to `user_id` at `issued` keeps `member` in `channel`, whom its view
    tracked as `source`. `meta` is the JSON with which they join again. Holds nothing secret."""

    member: str
    source: str
    meta: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What `{% presence_heartbeat_state as heartbeat %}` gives: signed `lifelines`, the `url` that
    takes them, `every` how many seconds. Without lifelines there is no heartbeat. `joins`: the
    first heartbeat is due at once, as it makes members join."""

    lifelines: tuple[str, ...] = ()
    url: str = ""
    every: float = 0.0
    joins: bool = False


def make_lifeline(lifeline: Lifeline, *, now: float) -> str:
    """The lifeline as of `now`, signed with SECRET_KEY: printable ASCII without spaces."""
    renewed = msgspec.structs.replace(lifeline, issued=int(now))
    return seal(renewed, salt=_SALT, compress=True)


def read_lifeline(text: str) -> Lifeline:
    """The lifeline in `text`; whether it still counts is what `Lifeline.check` tells.

    Raises InvalidGrant when we never signed it.
    """
    return unseal(text, Lifeline, salt=_SALT, what="token")


def heartbeat_for(request: HttpRequest | None) -> Heartbeat:
    """The heartbeat of a page that answers `request`; none where its view tracked nobody.

    Where it cannot be told who the page is for, or where our URLs are missing, there is none
    either, and that is logged once.
    """
    tracked = getattr(request, "_presence_tracked", [])
    if request is None or not tracked:
        return Heartbeat()
    if len(tracked) > MAX_LIFELINES:
        logger.error("heartbeat=cut-off members=%d most=%d", len(tracked), MAX_LIFELINES)
    now = services.now()
    try:
        user_id = page_visitor(request).id
        url = reverse("presence:heartbeat")
    except (SynchronousOnlyOperation, NoReverseMatch) as error:
        warn_once(NO_URLS if isinstance(error, NoReverseMatch) else NOT_LOADED)
        return Heartbeat()
    lifelines = tuple(
        make_lifeline(Lifeline(channel, user_id, now, member, source, meta.decode()), now=now)
        for channel, member, source, meta in tracked[:MAX_LIFELINES]
    )
    joins = getattr(request, "_presence_joins", False)
    return Heartbeat(lifelines, url, conf.PRESENCE_HEARTBEAT, joins)
