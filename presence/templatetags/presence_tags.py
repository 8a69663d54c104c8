"""`{% load presence_tags %}`: the widget, and what it is drawn from."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, cast

from django.http import HttpRequest
from django.template import Context, Engine, Library, TemplateSyntaxError

from presence.conf import conf
from presence.exceptions import InvalidChannel
from presence.widget import VARIANTS, Widget, widget_for

register = Library()
logger = logging.getLogger("presence.widget")

NOT_GIVEN = object()
HINT = (
    "It was given to the widget as `channel`. If that is a variable of the page which means "
    'something else, write {% presence_widget "presence:doc:42" %} in place of the include.'
)


@register.inclusion_tag("presence/widget.html", takes_context=True)
def presence_widget(
    context: Context,
    channel: object = NOT_GIVEN,
    *,
    variant: str = VARIANTS[0],
    announce: bool = False,
) -> dict[str, Any]:
    """The widget of `channel`, by default of PRESENCE_CHANNEL, whatever variables the page has.

    `variant` is "stack", "list", "count" or "none"; `announce` reads out who comes and goes.

    A fragment that is cached with it ({% cache %}) must vary on the user: it holds a grant made
    for one user, and with another's the widget shows what was cached and never goes live.
    """
    chosen = conf.PRESENCE_CHANNEL if channel is NOT_GIVEN else channel
    page = cast("dict[str, Any]", context.flatten())
    return {**page, "channel": chosen, "variant": variant, "announce": announce}


@register.simple_tag(takes_context=True)
def presence_state(context: Context, channel: object) -> Widget:
    """What a widget of `channel` shows to whoever the page is for: see presence.widget.Widget.

    A `channel` that the page does not have stands for PRESENCE_CHANNEL. A wrong one raises
    InvalidChannel where the template engine is in debug mode; elsewhere it is logged, and the
    widget is empty. `variant` and `announce` are taken from the context; a wrong variant raises
    TemplateSyntaxError, or is logged and stands for the default.

    Reads Redis: an async view keeps its event loop free with `sync_to_async(render)`.
    """
    engine = _engine(context)
    try:
        found = widget_for(_chosen(context, channel, engine), _request(context))
    except InvalidChannel as error:
        message = f"{error}. {HINT}"
        if engine.debug:
            raise InvalidChannel(message) from error
        logger.error("%s", message)
        return Widget(channel="", feed="", error=message)
    return replace(
        found,
        show_error=engine.debug,
        variant=_variant(context.get("variant", ""), engine),
        announce=context.get("announce") is True,
    )


def _variant(given: object, engine: Engine) -> str:
    """What was given as the variant; the default where nothing was."""
    # A page may well have something else of that name.
    if not isinstance(given, str) or given in {"", engine.string_if_invalid}:
        return VARIANTS[0]
    if given in VARIANTS:
        return given
    message = f"variant={given!r} is no variant of the widget: it is one of {', '.join(VARIANTS)}"
    if engine.debug:
        raise TemplateSyntaxError(message)
    logger.error("%s", message)
    return VARIANTS[0]


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
