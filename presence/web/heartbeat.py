"""What a page sends for the members whom its view tracked: that it is open, and that it closes."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Final

import msgspec
from django.http import HttpRequest

from presence import services
from presence.conf import conf
from presence.exceptions import InvalidGrant, StoreError
from presence.manager import forget_member, left_flag
from presence.queues import nudge
from presence.roster.people import is_passing
from presence.web.access import open_grant
from presence.web.json import No, answers, read_json
from presence.web.lifeline import MAX_LIFELINES, Lifeline, make_lifeline, read_lifeline
from presence.web.visitors import Visitor, visitor_of

__all__ = ["heartbeat"]

logger = logging.getLogger("presence.heartbeat")

MAX_BODY: Final = 160 * 1024
"""Bytes: room for MAX_LIFELINES tokens with as much meta as a member may have."""
CLOSING: Final = 20.0
"""Seconds for which a heartbeat may be under way that its page sent before it closed."""
GONE: Final = "The site has taken them out of the channel."


class _Asked(msgspec.Struct):
    tokens: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_LIFELINES)]
    leave: bool = False
    back: bool = False


_asked = msgspec.json.Decoder(_Asked)


# Another site's page has none of the tokens, which are as good as one against forgery.
@answers("POST")
def heartbeat(request: HttpRequest) -> dict[str, Any] | None:
    """Keep the members of a page.

    Asked with `{"tokens": ["…"]}`, as the heartbeat's element has them, in a body of any content
    type, it answers `{"present": [tokens to go on with, renewed], "gone": {index: why}}`. Who went
    stale, as in a page that slept, joins again; who was taken out by the site is gone. With
    `"leave": true` the page closes: its members are let go of, and nothing is answered (204). What
    it sent before that and comes later makes nobody join, unless it says that it is `"back": true`.

    400 for a body of another shape, 403 when every token is refused, 503 while the store is down.
    """
    asked = read_json(request, _asked, most=MAX_BODY, example='{"tokens": ["…"]}')
    visitor, now = visitor_of(request), services.now()
    lifelines: dict[int, Lifeline] = {}
    gone: dict[str, str] = {}
    for index, text in enumerate(asked.tokens):
        try:
            lifelines[index] = _admit(request, text, visitor, now, leaving=asked.leave)
        except InvalidGrant as error:
            gone[str(index)] = str(error)
    if not lifelines:
        raise No(403, "Every token was refused.", gone=gone)
    present = []
    try:
        for index, lifeline in lifelines.items():
            if asked.leave:
                _leave(lifeline)
            # Who is hidden by now is not kept, but may be seen again.
            elif kept := lifeline if visitor.hidden else _keep(lifeline, visitor, back=asked.back):
                present.append(make_lifeline(kept, now=now))
            else:
                gone[str(index)] = GONE
    except StoreError as error:
        logger.exception("heartbeat=unheard channel=%s", lifeline.channel)
        raise No(503, "Nobody can be kept at the moment: try again.") from error
    return None if asked.leave else {"present": present, "gone": gone}


def _admit(
    request: HttpRequest, text: str, visitor: Visitor, now: float, *, leaving: bool
) -> Lifeline:
    """The lifeline in `text`; raises InvalidGrant when the visitor may not hold it."""
    lifeline = read_lifeline(text)
    if not leaving:
        open_grant(request, lifeline, visitor, now=now)
        return lifeline
    # A page is closed by signing in or out as well, and then says so as whom it was not made for.
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
    if not back and tracker.has_flag(_mark_closed(lifeline)):
        return lifeline
    if is_passing(member) and visitor.returning:
        # They have a session by now, by which their websocket is known as well.
        member = visitor.anonymous
    meta = lifeline.meta.encode()
    tracker.save_member(channel, member, source=source, meta=meta, timeout=timeout)
    nudge.member_changed(channel)
    return msgspec.structs.replace(lifeline, member=member)


def _leave(lifeline: Lifeline) -> None:
    services.tracker().set_flag(_mark_closed(lifeline), seconds=CLOSING)
    forget_member(lifeline.channel, lifeline.member, lifeline.source)


def _mark_closed(lifeline: Lifeline) -> str:
    return f"closed:{lifeline.channel}:{lifeline.member}:{lifeline.source}"
