"""The heartbeat of a page: it keeps members that the page's view tracked, until the page closes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from presence import services
from presence.centrifugo.tokens import Grant, seal, unseal
from presence.conf import conf
from presence.exceptions import InvalidGrant, StoreError
from presence.manager import forget_member, left_flag
from presence.roster.people import is_sessionless
from presence.transport.log_lines import line_logger
from presence.web.access import open_grant
from presence.web.json import HttpError, json_view, read_json
from presence.web.page import NO_URLS, NOT_LOADED, page_state, page_visitor, warn_once
from presence.web.visitors import Visitor, visitor_of

logger = line_logger("presence.heartbeat")

MAX_LIFELINES: Final = 20
"""Members of one page."""
MAX_BODY: Final = 160 * 1024
"""Bytes: room for MAX_LIFELINES tokens with as much meta as a member may have."""
CLOSING: Final = 20.0
"""Seconds that a heartbeat may be under way which its page sent before it closed."""
GONE: Final = "The site has taken them out of the channel."

_SALT: Final = "presence.heartbeat"


class Lifeline(Grant, frozen=True, array_like=True):
    """Claim, signed for a page, that its view tracked `member` in `channel` as `source`.

    The page was shown to `user_id` at `issued`. `meta` is the JSON with which the member joins
    again. Holds nothing secret.
    """

    member: str
    source: str
    meta: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The value of `{% presence_heartbeat_state as heartbeat %}`.

    Scripts send the signed `lifelines` to `url` every `every` seconds; without lifelines there is
    no heartbeat. `joins`: the first heartbeat is due at once, as it makes members join.
    """

    lifelines: tuple[str, ...] = ()
    url: str = ""
    every: float = 0.0
    joins: bool = False


class _Body(msgspec.Struct):
    tokens: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_LIFELINES)]
    leave: bool = False
    back: bool = False


def make_lifeline(lifeline: Lifeline, *, now: float) -> str:
    """Return the lifeline as of `now`, signed with SECRET_KEY: printable ASCII without spaces."""
    renewed = msgspec.structs.replace(lifeline, issued=int(now))
    return seal(renewed, salt=_SALT, compress=True)


def read_lifeline(text: str) -> Lifeline:
    """Return the lifeline in `text`; `Lifeline.check` tells whether it is still valid.

    Raises InvalidGrant when we never signed it.
    """
    return unseal(text, Lifeline, salt=_SALT, name="token")


def heartbeat_for(request: HttpRequest | None) -> Heartbeat:
    """Return the heartbeat of the page that answers `request`; none where its view tracked nobody.

    Nor is there one where the page's user is unknown or our URLs are missing: that is logged once.
    """
    state = page_state(request)
    if request is None or not state.members:
        return Heartbeat()
    if len(state.members) > MAX_LIFELINES:
        logger.error("heartbeat=cut-off members=%d most=%d", len(state.members), MAX_LIFELINES)
    try:
        user_id, now = page_visitor(request).id, services.now()
        url = reverse("presence:heartbeat")
    except (SynchronousOnlyOperation, NoReverseMatch) as error:
        warn_once(NO_URLS if isinstance(error, NoReverseMatch) else NOT_LOADED)
        return Heartbeat()
    lifelines = tuple(
        make_lifeline(Lifeline(channel, user_id, now, member, source, meta.decode()), now=now)
        for channel, member, source, meta in state.members[:MAX_LIFELINES]
    )
    state.beats = True
    return Heartbeat(lifelines, url, conf.PRESENCE_HEARTBEAT, state.joins)


# Another site's page has none of the tokens, which are as good as a CSRF token.
@json_view("POST")
def heartbeat(request: HttpRequest) -> dict[str, Any] | None:
    """Keep the members of a page.

    The body is `{"tokens": ["…"]}`, the tokens of the heartbeat's element, of any content type. The
    answer is `{"present": [renewed tokens to go on with], "gone": {index: reason}}`. A member that
    timed out, as in a page that slept, joins again; one that the site took out is gone. With
    `"leave": true` the page closes: its members leave, and there is no answer (204). A heartbeat
    that the page sent before and that arrives later makes nobody join, unless it says `"back":
    true`.

    400 for a body of another shape, 403 when every token is refused, 503 while the store is down.
    """
    asked = read_json(request, _Body, limit=MAX_BODY, example='{"tokens": ["…"]}')
    visitor, now = visitor_of(request), services.now()
    lifelines: dict[int, Lifeline] = {}
    gone: dict[str, str] = {}
    for index, text in enumerate(asked.tokens):
        try:
            lifelines[index] = _admit(request, text, visitor, now, leaving=asked.leave)
        except InvalidGrant as error:
            gone[str(index)] = str(error)
    if not lifelines:
        raise HttpError(403, "Every token was refused.", gone=gone)
    present = []
    try:
        for index, lifeline in lifelines.items():
            if asked.leave:
                services.tracker().set_flag(_closed_flag(lifeline), seconds=CLOSING)
                forget_member(lifeline.channel, lifeline.member, lifeline.source)
            # A user who is hidden by now is not kept, but may be seen again.
            elif kept := lifeline if visitor.hidden else _keep(lifeline, visitor, back=asked.back):
                present.append(make_lifeline(kept, now=now))
            else:
                gone[str(index)] = GONE
    except StoreError as error:
        logger.exception("heartbeat=unheard channel=%s", lifeline.channel)
        raise HttpError(503, "Nobody can be kept at the moment: try again.") from error
    return None if asked.leave else {"present": present, "gone": gone}


def _admit(
    request: HttpRequest, text: str, visitor: Visitor, now: float, *, leaving: bool
) -> Lifeline:
    """Return the lifeline in `text`; raises InvalidGrant when the visitor may not hold it."""
    lifeline = read_lifeline(text)
    if not leaving:
        open_grant(request, lifeline, visitor, now=now)
        return lifeline
    # Signing in or out closes a page as well: it then leaves as another visitor than it was made
    # for.
    signed_over = not (visitor.id and lifeline.user_id)
    lifeline.check(user_id=lifeline.user_id if signed_over else visitor.id, now=now)
    return lifeline


def _keep(lifeline: Lifeline, visitor: Visitor, *, back: bool) -> Lifeline | None:
    """Keep the member. Returns the lifeline that the page is to go on with, None for none."""
    tracker, timeout = services.tracker(), conf.PRESENCE_TIMEOUT
    channel, member, source = lifeline.channel, lifeline.member, lifeline.source
    if tracker.touch_member(channel, member, source=source, timeout=timeout):
        return lifeline
    if tracker.has_flag(left_flag(channel, member, source)):
        return None
    if not back and tracker.has_flag(_closed_flag(lifeline)):
        return lifeline
    if is_sessionless(member) and visitor.returning:
        # They have a session by now, which names their websocket as well.
        member = visitor.anonymous
    meta = lifeline.meta.encode()
    tracker.save_member(channel, member, source=source, meta=meta, timeout=timeout)
    return msgspec.structs.replace(lifeline, member=member)


def _closed_flag(lifeline: Lifeline) -> str:
    return f"closed:{lifeline.channel}:{lifeline.member}:{lifeline.source}"
