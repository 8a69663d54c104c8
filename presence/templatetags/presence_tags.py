"""`{% load presence_tags %}`: the widget, cursors, the context they are drawn from, and records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from django.http import HttpRequest
from django.template import Context, Engine, Library, TemplateSyntaxError
from django.utils.html import format_html

from presence.conf import conf
from presence.exceptions import InvalidChannel
from presence.snapshots import Record
from presence.transport.log_lines import line_logger
from presence.web.cursor_surface import UNITS, Surface, surface_for
from presence.web.heartbeat import Heartbeat, heartbeat_for
from presence.web.page import look_up
from presence.web.widget import FACES, LIMITS, VARIANTS, Widget, widget_for

register = Library()
logger = line_logger("presence.widget")

NOT_GIVEN = object()
HINT = (
    "It was given to the {} as `channel`. If that is a variable of the page with another meaning, "
    "write {{% {} %}} in place of the include."
)


@register.inclusion_tag("presence/widget.html", takes_context=True)
def presence_widget(
    context: Context,
    channel: object = NOT_GIVEN,
    *,
    variant: str = VARIANTS[0],
    announce: bool = False,
    limit: int | None = None,
) -> dict[str, Any]:
    """Render the widget of `channel`, by default PRESENCE_CHANNEL, whatever variables the page has.

    `variant` is "stack", "list", "count" or "none"; `announce` reads joins and leaves out to screen
    readers. `limit` is the number of people in sight before a button opens the rest: by default 5
    faces of a stack, 20 names of a list.

    A fragment that is cached with it ({% cache %}) must vary on the user: it holds a grant made
    for one user, and for another the widget shows what was cached and never goes live.
    """
    chosen = conf.PRESENCE_CHANNEL if channel is NOT_GIVEN else channel
    page = cast("dict[str, Any]", context.flatten())
    return {**page, "channel": chosen, "variant": variant, "announce": announce, "limit": limit}


@register.simple_tag(takes_context=True)
def presence_state(context: Context, channel: object) -> Widget:
    """Return the presence.web.widget.Widget of `channel` for the visitor of the page.

    A `channel` that the page does not have stands for PRESENCE_CHANNEL. A wrong one raises
    InvalidChannel where the template engine is in debug mode; elsewhere it is logged, and the
    widget is empty. `variant`, `announce` and `limit` are taken from the context; a wrong variant
    or limit raises TemplateSyntaxError, or is logged and replaced by the default.

    Reads Redis: an async view keeps its event loop free with `sync_to_async(render)`.
    """
    try:
        widget = widget_for(_channel(context, channel), _request(context))
    except InvalidChannel as error:
        hint = HINT.format("widget", 'presence_widget "presence:doc:42"')
        return Widget(channel="", feed="", error=_report(context, error, hint))
    variant = _one_of(VARIANTS, "variant", context)
    return replace(
        widget,
        show_error=_engine(context).debug,
        variant=variant,
        announce=context.get("announce") is True,
        limit=_limit(variant, context),
    )


@register.inclusion_tag("presence/cursors.html", takes_context=True)
def presence_cursors(context: Context, channel: object, *, unit: str = UNITS[0]) -> dict[str, Any]:
    """Render the cursors of `channel`, such as "cursors:doc:42", whatever variables the page has.

    `unit` is "fraction" (of the surface) or "px". As for the widget, a cached fragment must vary
    on the user.
    """
    page = cast("dict[str, Any]", context.flatten())
    return {**page, "channel": channel, "unit": unit}


@register.simple_tag(takes_context=True)
def presence_cursors_state(context: Context, channel: object) -> Surface:
    """Return the presence.web.cursor_surface.Surface of `channel`: what scripts need for cursors.

    A wrong channel, or none, raises InvalidChannel where the template engine is in debug mode;
    elsewhere it is logged, and there are no cursors. `unit` is taken from the context; a wrong one
    raises TemplateSyntaxError, or is logged and replaced by the default. Asks no server.
    """
    try:
        surface = surface_for(channel, _request(context))
    except InvalidChannel as error:
        hint = HINT.format("cursors", 'presence_cursors "cursors:doc:42"')
        return Surface(channel="", error=_report(context, error, hint))
    unit = _one_of(UNITS, "unit", context)
    return replace(surface, show_error=_engine(context).debug, unit=unit)


@register.simple_tag(takes_context=True)
def presence_count(context: Context, channel: object = NOT_GIVEN) -> int:
    """Return the number of people in `channel`: the length of `{% presence_list %}`."""
    return len(_records(context, channel, "presence_count"))


@register.simple_tag(takes_context=True)
def presence_list(context: Context, channel: object = NOT_GIVEN) -> list[Record]:
    """Return the records of `channel`, a full name and by default PRESENCE_CHANNEL, as
    PresenceManager.list_presences does: `{% presence_list "presence:doc:42" as people %}`.

    The list is empty where PRESENCE_AUTHORIZE denies the visitor the channel, and while the store
    is down. A wrong channel raises InvalidChannel where the template engine is in debug mode;
    elsewhere it is logged. However often a page asks for a channel, the store is read once.
    """
    return _records(context, channel, "presence_list")


@register.simple_tag(takes_context=True)
def is_present(context: Context, user: object, channel: object = NOT_GIVEN) -> bool:
    """Return whether a user, or the user with that id, is in `{% presence_list %}`."""
    wanted = getattr(user, "pk", user)
    records = _records(context, channel, "is_present")
    return wanted is not None and any(record["id"] == str(wanted) for record in records)


@register.inclusion_tag("presence/heartbeat.html", takes_context=True)
def presence_heartbeat(context: Context) -> dict[str, Any]:
    """Render the element that keeps the members whom the page's view tracked while it is open."""
    return cast("dict[str, Any]", context.flatten())


@register.simple_tag(takes_context=True)
def presence_heartbeat_state(context: Context) -> Heartbeat:
    """Return the heartbeat of the page, a presence.web.heartbeat.Heartbeat. Asks no server."""
    return heartbeat_for(_request(context))


@register.simple_tag(takes_context=True)
def presence_nonce(context: Context) -> str:
    """Return the attribute ` nonce="…"` for each script, stylesheet and preload of ours; "" where
    the page's Content-Security-Policy has no nonce.

    The nonce is that of a context processor (Django 6.0), else that which a middleware left in the
    request (django-csp, Django 6.0).
    """
    request = _request(context)
    nonces = (
        context.get("csp_nonce"),
        getattr(request, "csp_nonce", None),
        getattr(request, "_csp_nonce", None),
    )
    try:
        # A lazy nonce is false until it is written: only its text says whether there is one.
        nonce = next((text for nonce in nonces if nonce is not None and (text := str(nonce))), "")
    except Exception:
        # django-csp raises if the page is rendered after the header was sent.
        logger.exception("nonce=unread")
        return ""
    return format_html(' nonce="{}"', nonce) if nonce else ""


def _records(context: Context, channel: object, tag: str) -> list[Record]:
    named = conf.PRESENCE_CHANNEL if channel is NOT_GIVEN else channel
    try:
        found = look_up([named], _request(context))
    except InvalidChannel as error:
        _report(context, error, f"It was given to {{% {tag} %}}.")
        return []
    return next(iter(found.values()), [])


def _report(context: Context, error: Exception, hint: str = "") -> str:
    """Raise the error with the hint in debug mode, else log it. Returns its message."""
    if hint:
        error = type(error)(f"{error}. {hint}")
    if _engine(context).debug:
        raise error
    logger.error("%s", error)
    return str(error)


def _one_of(known: tuple[str, ...], name: str, context: Context) -> str:
    """Return the variable `name` of the page, if it is one of `known`; else the first of these."""
    given = context.get(name, "")
    # A page may have something else of that name.
    if not isinstance(given, str) or given in {"", _engine(context).string_if_invalid}:
        return known[0]
    if given in known:
        return str(given)
    message = f"{name} is {given!r}: it must be one of {', '.join(known)}"
    _report(context, TemplateSyntaxError(message))
    return known[0]


def _limit(variant: str, context: Context) -> int:
    """Return the variable `limit` of the page, if it is a number above 0; else the default."""
    given = context.get("limit")
    # A page may have something else of that name.
    if isinstance(given, int) and not isinstance(given, bool):
        if given > 0:
            return given
        _report(context, TemplateSyntaxError(f"limit is {given}: it must be 1 or more"))
    return LIMITS.get(variant, FACES)


def _channel(context: Context, channel: object) -> object:
    """Return the channel that was given; PRESENCE_CHANNEL where none was."""
    # The value that the engine gives a variable which is not there.
    absent = {"", _engine(context).string_if_invalid.replace("%s", "channel")}
    given = "channel" in context or not isinstance(channel, str) or channel not in absent
    return channel if given else conf.PRESENCE_CHANNEL


def _request(context: Context) -> HttpRequest | None:
    """Return the request that the page answers; None for a template rendered without one."""
    request = getattr(context, "request", None)
    if request is None:
        request = context.get("request")
    return request if hasattr(request, "META") else None


def _engine(context: Context) -> Engine:
    template = context.template
    assert template is not None, "only there while a template is rendered"
    return template.engine
