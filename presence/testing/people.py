"""Users in tests: their ids, and the claims that the site's tokens would have."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from presence.roster.people import UserClaims
from presence.testing.centrifugo import Connection
from presence.web.visitors import Visitor, describe, visitor_of

__all__ = ["id_of", "is_anonymous", "sign", "visitor"]


def visitor(user: Any, session_key: str) -> Visitor:
    """Return the visitor of a request of `user`: an instance or a primary key; None, "" and
    AnonymousUser are anonymous. Raises ValueError for a user without a primary key, or that does
    not exist."""
    request = HttpRequest()
    request.user = _loaded(user)
    request.session = SimpleNamespace(session_key=session_key or None)  # type: ignore[assignment]
    return visitor_of(request)


def sign(who: Visitor, *, now: float) -> UserClaims:
    """Return the claims of a visitor's tokens at `now`, in seconds since 1970."""
    return describe(who, now=now)


def id_of(user: Any) -> str:
    """Return the member id of `user`: an instance, a primary key, an id, or a Connection.

    Raises ValueError for an anonymous user, and for a user without a primary key.
    """
    if isinstance(user, Connection):
        return user.member_id
    if is_anonymous(user):
        raise ValueError(
            f"{user!r} is anonymous and has no member id: use "
            "assert_count(channel, 0, anonymous=1), or what connect() returned"
        )
    return str(_key(user))


def is_anonymous(user: Any) -> bool:
    """Return whether `user` stands for a visitor who is not signed in."""
    return user in (None, "") or not getattr(user, "is_authenticated", True)


def _loaded(user: Any) -> Any:
    if is_anonymous(user):
        return None
    if hasattr(user, "is_authenticated"):
        _key(user)
        return user
    try:
        found = get_user_model()._default_manager.filter(pk=user).first()
    except (TypeError, ValueError, ValidationError):  # not a key of that type
        found = None
    if found is None:
        raise ValueError(
            f"There is no user {user!r}: create one, or give an unsaved instance, "
            f"such as User(pk={user!r}, username='ada')"
        )
    return found


def _key(user: Any) -> Any:
    key = user.pk if hasattr(user, "pk") else user
    if key in (None, ""):
        raise ValueError(
            f"{user!r} has no primary key: save it, or give it one, as in User(pk=42, …)"
        )
    return key
