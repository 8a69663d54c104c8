"""`{% load presence_tags %}`: widget and cursors, what they are drawn from, and who is here."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, cast

from django.http import HttpRequest
from django.template import Context, Engine, Library, TemplateSyntaxError
from django.utils.html import format_html

from presence.conf import conf
from presence.exceptions import InvalidChannel
from presence.snapshots import Record
from presence.web.cursor_surface import UNITS, Surface, surface_for
from presence.web.heartbeat import Heartbeat, heartbeat_for
from presence.web.page import look_up
from presence.web.widget import FACES, LIMITS, VARIANTS, Widget, widget_for

register = Library()
logger = logging.getLogger("presence.widget")

NOT_GIVEN = object()
HINT = (
    "It was given to the {what} as `channel`. If that is a variable of the page which means "
    "something else, write {{% {tag} %}} in place of the include."
)
WIDGET_HINT = HINT.format(what="widget", tag='presence_widget "presence:doc:42"')
TAG_HINT = "It was given to {{% {tag} %}}."
CURSORS_HINT = HINT.format(what="cursors", tag='presence_cursors "cursors:doc:42"')


@register.inclusion_tag("presence/widget.html", takes_context=True)
def presence_widget(
    context: Context,
    channel: object = NOT_GIVEN,
    *,
    variant: str = VARIANTS[0],
    announce: bool = False,
    limit: int | None = None,
) -> dict[str, Any]:
    """The widget of `channel`, by default of PRESENCE_CHANNEL, whatever variables the page has.

    `variant` is "stack", "list", "count" or "none"; `announce` reads out who comes and goes.
    `limit` is how many people are in sight before a button opens the rest: by default 5 faces of
    a stack, 20 names of a list.

    A fragment that is cached with it ({% cache %}) must vary on the user: it holds a grant made
    for one user, and with another's the widget shows what was cached and never goes live.
    """
    chosen = conf.PRESENCE_CHANNEL if channel is NOT_GIVEN else channel
    page = cast("dict[str, Any]", context.flatten())
    return {**page, "channel": chosen, "variant": variant, "announce": announce, "limit": limit}


@register.simple_tag(takes_context=True)
def presence_state(context: Context, channel: object) -> Widget:
    """What a widget of `channel` shows to whoever the page is for: see presence.web.widget.Widget.

    A `channel` that the page does not have stands for PRESENCE_CHANNEL. A wrong one raises
    InvalidChannel where the template engine is in debug mode; elsewhere it is logged, and the
    widget is empty. `variant`, `announce` and `limit` are taken from the context; a wrong variant
    or limit raises TemplateSyntaxError, or is logged and stands for the default.

    Reads Redis: an async view keeps its event loop free with `sync_to_async(render)`.
    """
    engine = _engine(context)
    try:
        found = widget_for(_chosen(context, channel, engine), _request(context))
    except InvalidChannel as error:
        return Widget(channel="", feed="", error=_told(error, WIDGET_HINT, engine))
    variant = _one_of(VARIANTS, "variant", context, engine)
    return replace(
        found,
        show_error=engine.debug,
        variant=variant,
        announce=context.get("announce") is True,
        limit=_limit(variant, context, engine),
    )


@register.inclusion_tag("presence/cursors.html", takes_context=True)
def presence_cursors(context: Context, channel: object, *, unit: str = UNITS[0]) -> dict[str, Any]:
    """The cursors of `channel`, such as "cursors:doc:42", whatever variables the page has.

    `unit` is "fraction" (of the surface) or "px". As for the widget, a cached fragment must vary
    on the user.
    """
    page = cast("dict[str, Any]", context.flatten())
    return {**page, "channel": channel, "unit": unit}


@register.simple_tag(takes_context=True)
def presence_cursors_state(context: Context, channel: object) -> Surface:
    """What scripts need to share cursors in `channel`: see presence.web.cursor_surface.Surface.

    A wrong channel, or none, raises InvalidChannel where the template engine is in debug mode;
    elsewhere it is logged, and there are no cursors. `unit` is taken from the context; a wrong one
    raises TemplateSyntaxError, or is logged and stands for the default. Asks no server.
    """
    engine = _engine(context)
    try:
        found = surface_for(channel, _request(context))
    except InvalidChannel as error:
        return Surface(channel="", error=_told(error, CURSORS_HINT, engine))
    unit = _one_of(UNITS, "unit", context, engine)
    return replace(found, show_error=engine.debug, unit=unit)


@register.simple_tag(takes_context=True)
def presence_count(context: Context, channel: object = NOT_GIVEN) -> int:
    """How many are in `channel`: always as many as `{% presence_list %}` has."""
    return len(_people(context, channel, "presence_count"))


@register.simple_tag(takes_context=True)
def presence_list(context: Context, channel: object = NOT_GIVEN) -> list[Record]:
    """Who is in `channel`, a whole name and by default PRESENCE_CHANNEL, as
    PresenceManager.list_presences gives it: `{% presence_list "presence:doc:42" as people %}`.

    Nobody where PRESENCE_AUTHORIZE denies the visitor the channel, and while the store is down. A
    wrong channel raises InvalidChannel where the template engine is in debug mode; elsewhere it is
    logged. However often a page asks for a channel, the store is read once.
    """
    return _people(context, channel, "presence_list")


@register.simple_tag(takes_context=True)
def is_present(context: Context, user: object, channel: object = NOT_GIVEN) -> bool:
    """Whether a user, or whoever has that id, is among those `{% presence_list %}` has."""
    wanted = getattr(user, "pk", user)
    found = _people(context, channel, "is_present")
    return wanted is not None and any(one["id"] == str(wanted) for one in found)


def _people(context: Context, channel: object, tag: str) -> list[Record]:
    named = conf.PRESENCE_CHANNEL if channel is NOT_GIVEN else channel
    try:
        found = look_up([named], _request(context))
    except InvalidChannel as error:
        _told(error, TAG_HINT.format(tag=tag), _engine(context))
        return []
    return next(iter(found.values()), [])


@register.inclusion_tag("presence/heartbeat.html", takes_context=True)
def presence_heartbeat(context: Context) -> dict[str, Any]:
    """What keeps the members whom the page's view tracked, for as long as it is open."""
    return cast("dict[str, Any]", context.flatten())


@register.simple_tag(takes_context=True)
def presence_heartbeat_state(context: Context) -> Heartbeat:
    """The heartbeat of the page, a presence.web.heartbeat.Heartbeat. Asks no server."""
    return heartbeat_for(_request(context))


@register.simple_tag(takes_context=True)
def presence_nonce(context: Context) -> str:
    """The attribute ` nonce="…"` for each script, stylesheet and preload of ours; "" where the
    page's Content-Security-Policy has no nonce."""
    nonce = _nonce(context)
    return format_html(' nonce="{}"', nonce) if nonce else ""


def _nonce(context: Context) -> str:
    """The nonce of the page: that of a context processor (Django 6.0), else that which a middleware
    left in the request (django-csp, Django 6.0)."""
    request = _request(context)
    known = (
        context.get("csp_nonce"),
        getattr(request, "csp_nonce", None),
        getattr(request, "_csp_nonce", None),
    )
    try:
        # A lazy one is false until it was written: only its text says whether there is one.
        return next((text for nonce in known if nonce is not None and (text := str(nonce))), "")
    except Exception:
        # As django-csp's does where the page is rendered after the header was sent.
        logger.exception("nonce=unread")
        return ""


def _told(error: InvalidChannel, hint: str, engine: Engine) -> str:
    """What is wrong and what may help; raised in debug mode, else logged."""
    message = f"{error}. {hint}"
    if engine.debug:
        raise InvalidChannel(message) from error
    logger.error("%s", message)
    return message


def _one_of(known: tuple[str, ...], name: str, context: Context, engine: Engine) -> str:
    """What the page has under `name`, if that is `known`; the default where it has nothing."""
    given = context.get(name, "")
    # A page may well have something else of that name.
    if not isinstance(given, str) or given in {"", engine.string_if_invalid}:
        return known[0]
    if given in known:
        return str(given)
    message = f"{name}={given!r} is no {name} that there is: it is one of {', '.join(known)}"
    if engine.debug:
        raise TemplateSyntaxError(message)
    logger.error("%s", message)
    return known[0]


def _limit(variant: str, context: Context, engine: Engine) -> int:
    """Return the `limit` that the page has, if that is a number above 0; else that of `variant`."""
    given = context.get("limit")
    default = LIMITS.get(variant, FACES)
    # A page may well have something else of that name.
    if not isinstance(given, int) or isinstance(given, bool):
        return default
    if given > 0:
        return given
    message = f"limit={given} is no number of people to show: it must be 1 or more"
    if engine.debug:
        raise TemplateSyntaxError(message)
    logger.error("%s", message)
    return default


def _chosen(context: Context, channel: object, engine: Engine) -> object:
    """What was given as the channel; the default where nothing was."""
    # What the engine makes of a variable that is not there.
    absent = {"", engine.string_if_invalid.replace("%s", "channel")}
    given = "channel" in context or not isinstance(channel, str) or channel not in absent
    return channel if given else conf.PRESENCE_CHANNEL


def _request(context: Context) -> HttpRequest | None:
    """The request that the page answers; None for a template rendered without one."""
    request = getattr(context, "request", None)
    if request is None:
        request = context.get("request")
    return request if hasattr(request, "META") else None


def _engine(context: Context) -> Engine:
    template = context.template
    assert template is not None, "only there while a template is rendered"
    return template.engine
