"""What an element that is included in a page starts from: who the page is for, and our URLs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from presence.conf import conf
from presence.web.access import authorise
from presence.web.visitors import Visitor, visitor_of

__all__ = [
    "Links",
    "admit",
    "links",
    "page_visitor",
    "store_is_down",
    "store_went_down",
    "warn_once",
]

logger = logging.getLogger("presence.widget")

NO_URLS: Final = (
    "This is not live: the site's urls.py lacks the line "
    'path("presence/", include("presence.urls")).'
)
NOT_LOADED: Final = (
    "This is not live: an async view rendered it before its user was loaded. "
    "Let the view call `await sync_to_async(render)(request, …)`, or `await request.auser()` first."
)


@dataclass(frozen=True, slots=True)
class Links:
    """The URLs that scripts ask; all are "" where they cannot take over, `error` says why."""

    tokens: str = ""
    snapshot: str = ""
    beacon: str = ""
    error: str = ""


def admit(channel: str, request: HttpRequest | None) -> tuple[Visitor | None, bool, str]:
    """Who asks (None: cannot be told), whether they may see the channel, and what is wrong.

    Raises InvalidChannel as `authorise` does.
    """
    if request is None:
        return None, authorise(None, channel), ""
    try:
        return page_visitor(request), authorise(request, channel), ""
    except SynchronousOnlyOperation:
        warn_once(NOT_LOADED)
        return None, authorise(None, channel), NOT_LOADED


def page_visitor(request: HttpRequest) -> Visitor:
    """Who asks, as `visitor_of` tells. Of one page, PRESENCE_VISIBLE is asked once, however much it
    includes."""
    known: Visitor | None = getattr(request, "_presence_visitor", None)
    if known is None or known.user is None or known.user is not getattr(request, "user", None):
        known = visitor_of(request)
        request._presence_visitor = known  # type: ignore[attr-defined]
    return known


def links(visitor: Visitor | None) -> Links:
    """The links for a visitor; none where it cannot be told who that is."""
    if visitor is None:
        return Links()
    try:
        found = [reverse(f"presence:{name}") for name in ("tokens", "snapshot", "beacon")]
    except NoReverseMatch:
        warn_once(NO_URLS)
        return Links(error=NO_URLS)
    tokens, snapshot, beacon = found
    # Only who is identified, and seen, is nudged for.
    nudged = visitor.id and not visitor.hidden and conf.PRESENCE_NUDGE
    return Links(tokens, snapshot, beacon if nudged else "")


def store_is_down(request: HttpRequest | None) -> bool:
    """Whether something else of the page waited for the store in vain."""
    return getattr(request, "_presence_store_down", False)


def store_went_down(request: HttpRequest | None) -> None:
    """Let nothing else of the page wait for the store."""
    if request is not None:
        request._presence_store_down = True  # type: ignore[attr-defined]


@lru_cache
def warn_once(text: str) -> None:
    """Log `text`, once in the life of the process."""
    logger.warning("%s", text)
