"""Shared state of the elements of a page: the visitor, our URLs, presence, failures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from presence import services
from presence.centrifugo.tokens import make_grant
from presence.conf import conf
from presence.exceptions import StoreError
from presence.roster.channel_names import validate_channel
from presence.snapshots import Record, read_records
from presence.transport.log_lines import line_logger
from presence.web.access import authorise
from presence.web.visitors import Visitor, visitor_of

logger = line_logger("presence.widget")

LOOK_UP_LIFETIME: Final = 1.0
"""Seconds for which records are reused: about the time to render a page. A view that lives on
renders many pages for one request."""

URLS: Final = ("tokens", "snapshot", "check")
"""Names of the URLs that scripts call."""

NO_URLS: Final = (
    "This is not live: the site's urls.py lacks the line "
    'path("presence/", include("presence.urls")).'
)
_RENDER: Final = (
    "an async view rendered the page before its user was loaded. Let the view call "
    "`await sync_to_async(render)(request, …)`"
)
NOT_LOADED: Final = f"This is not live: {_RENDER}, or `await request.auser()` first."
NOT_ALLOWED: Final = f"Nobody is shown: PRESENCE_AUTHORIZE needs the user, and {_RENDER}."

People = dict[str, list[Record]]
"""Records by channel."""
PageMember = tuple[str, str, str, bytes]
"""Channel, user, source and meta (as JSON) of a member that a page's heartbeat keeps."""


@dataclass(slots=True)
class PageState:
    """State of one request, kept on the request.

    `store_is_down`: an element of the page waited for the store in vain, so no other does. `people`
    were read at `people_read`, by time.monotonic(). `members` are those whom the view tracked;
    `joins`: the page's first heartbeat makes one of them join. `beats`: the page has a heartbeat.
    """

    visitor: Visitor | None = None
    store_is_down: bool = False
    people: People = field(default_factory=dict)
    people_read: float = float("-inf")
    members: list[PageMember] = field(default_factory=list)
    joins: bool = False
    beats: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """The fields that the widget and the cursors of a page have in common.

    `live` says whether scripts can take over; only then are there a grant and URLs. `denied`: the
    visitor may not see the channel, and nothing is shown. `check_url` is "" for the hidden, and
    without looks. `error` is for the developers of the site, and shown only where the template
    engine is in debug mode (`show_error`).
    """

    channel: str
    grant: str = ""
    tokens_url: str = ""
    snapshot_url: str = ""
    check_url: str = ""
    live: bool = False
    user_id: str = ""
    denied: bool = False
    error: str = ""
    show_error: bool = False


def page_state(request: object) -> PageState:
    """Return the state of the page that answers `request`; without a request, one to throw away."""
    state: PageState | None = getattr(request, "_presence_page", None)
    if state is None:
        state = PageState()
        if request is not None:
            request._presence_page = state  # type: ignore[attr-defined]
    return state


def open_element(
    channel: str, request: HttpRequest | None, *, hidden: bool
) -> tuple[Visitor, dict[str, Any]]:
    """Return the visitor who sent `request`, nobody if unknown, and the fields of their Element.

    With `hidden` it is live for hidden visitors too. Raises InvalidChannel as `authorise` does.
    """
    fields: dict[str, Any] = {"channel": channel}
    try:
        visitor = page_visitor(request) if request else None
        fields["denied"] = not authorise(request, channel)
    except SynchronousOnlyOperation:
        visitor, fields["denied"] = None, not authorise(None, channel)
        fields["error"] = warn_once(NOT_LOADED)
    if visitor is None or fields["denied"]:
        return visitor or Visitor(), fields
    fields["user_id"] = visitor.id
    try:
        fields |= {f"{name}_url": reverse(f"presence:{name}") for name in URLS}
    except NoReverseMatch:
        fields["error"] = warn_once(NO_URLS)
        return visitor, fields
    if visitor.hidden or not conf.PRESENCE_WATCH:
        fields["check_url"] = ""
    if not visitor.hidden or hidden:
        fields |= {"live": True, "grant": make_grant(channel, visitor.id, now=services.now())}
    return visitor, fields


def page_visitor(request: HttpRequest) -> Visitor:
    """Return the visitor as `visitor_of` does. PRESENCE_VISIBLE is called once for a page."""
    state = page_state(request)
    known = state.visitor
    if known is None or known.user is None or known.user is not getattr(request, "user", None):
        known = state.visitor = visitor_of(request)
    return known


def look_up(channels: Sequence[object], request: HttpRequest | None) -> People:
    """Return the records of each channel; none of one that the visitor may not see.

    Takes one round trip, and none for channels that the same page asked for before. A channel that
    cannot be read is left out, which is logged once for a page. Raises InvalidChannel for names
    that cannot be a channel or are not polled.
    """
    names = [validate_channel(channel) for channel in channels]
    state, now = page_state(request), time.monotonic()
    if now - state.people_read >= LOOK_UP_LIFETIME:
        state.people, state.people_read = {}, now
    people = state.people
    new = [name for name in dict.fromkeys(names) if name not in people]
    allowed = [name for name in new if _may_see(request, name)]
    people |= {name: [] for name in new if name not in allowed}
    if allowed and not state.store_is_down:
        try:
            people |= read_records(allowed)
        except StoreError:
            line_logger("presence.lookup").exception(
                "present=unread channels=%s", ",".join(allowed[:3])
            )
            state.store_is_down = True
    return {name: people[name] for name in names if name in people}


def _may_see(request: HttpRequest | None, channel: str) -> bool:
    try:
        return authorise(request, channel)
    except SynchronousOnlyOperation:
        warn_once(NOT_ALLOWED)
        return False


@lru_cache
def warn_once(text: str) -> str:
    """Log `text`, once in the life of the process. Returns it."""
    logger.warning("%s", text)
    return text
