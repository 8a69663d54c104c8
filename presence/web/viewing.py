"""Whom a view is for and what it is about: a class-based view, a consumer or a live view alike."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from django.http import HttpRequest

from presence.conf import hooks
from presence.roster import validation
from presence.roster.keys import fill_in
from presence.roster.names import clean_name
from presence.web.visitors import Visitor, describe, visitor_of
from presence.web.visits import is_visit

__all__ = ["has_come", "key_of", "meta_for", "visitor_behind"]


def has_come(view: object, visitor: Visitor) -> bool:
    """Whether `visitor` is here because `view` was asked for.

    A request that fetches a page ahead, or one that brings neither a user nor a session, is only
    believed once the page itself says that it is open. A websocket is open.
    """
    request = getattr(view, "request", None)
    if request is None:
        return True
    return is_visit(request) and bool(visitor.id or visitor.returning)


def visitor_behind(view: object) -> Visitor:
    """Whom `view` is for: who sent its `request`, else who its `scope` is of, as Channels makes it.

    Raises as `visitor_of` does.
    """
    request = getattr(view, "request", None)
    if request is None:
        scope = _scope(view)
        request = SimpleNamespace(user=scope.get("user"), session=scope.get("session"))
    return visitor_of(cast(HttpRequest, request))


def key_of(view: object, key: str | None) -> str:
    """The presence key of `view`: its class by its whole name, or `key` with the variables in it
    filled in, from attributes of the view, else from its URL. Raises InvalidChannel."""
    kind = type(view)
    if key is None:
        return f"{kind.__module__}.{kind.__qualname__}"
    owner = f"{kind.__qualname__}: set it before, as an attribute or in the URL"
    return fill_in(key, lambda name: _variable(view, name), owner=owner)


def meta_for(visitor: Visitor, meta: object) -> dict[str, Any]:
    """`meta`, and beside it what others see of a visitor who is signed in: `name`, `user_id` and
    what PRESENCE_USER_INFO gives, if there is room for that. What does not fit the wire is left
    out, and logged. Raises ValueError as `join_presence` does."""
    given = validation.dict_of("meta", meta)
    if visitor.user is None:
        return hooks.fitted_meta("track_presence", visitor.anonymous, given)
    # Of a user without a first and last name, say; a name of another type is none of ours.
    if "name" in given and not _shows_something(given["name"]):
        given = {key: value for key, value in given.items() if key != "name"}
    shown = describe(visitor, hooks.hook("PRESENCE_USER_INFO"), now=0.0)  # nothing is signed here
    least = {"name": validation.plain(shown.name), "user_id": visitor.id}
    least = {key: value for key, value in least.items() if key not in given}
    least |= hooks.fitted_meta("track_presence", visitor.id, given, beside=least)
    wrong = {key: validation.unfit({key: value}) for key, value in shown.info.items()}
    hooks.log_left_out("PRESENCE_USER_INFO", visitor.id, {k: w for k, w in wrong.items() if w})
    info = {key: value for key, value in shown.info.items() if not wrong[key]}
    return hooks.fitted("PRESENCE_USER_INFO", visitor.id, info, beside=least) | least


def _shows_something(name: object) -> bool:
    return bool(clean_name(name) if isinstance(name, str) else name)


def _variable(view: object, name: str) -> object:
    found = getattr(view, name, None)
    if found is None or found == "" or callable(found):  # views have methods of many names
        return _arguments(view).get(name)
    return found


def _arguments(view: object) -> dict[str, Any]:
    """What the URL of the view says."""
    found = getattr(view, "kwargs", None)
    if found is None:
        found = _scope(view).get("url_route", {}).get("kwargs")
    return found or {}


def _scope(view: object) -> dict[str, Any]:
    return getattr(view, "scope", None) or {}
