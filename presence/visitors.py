"""Who a request comes from, and what others get to see of them."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from inspect import isawaitable
from ipaddress import ip_interface
from typing import Any, Final

from django.conf import settings
from django.contrib.sessions.backends import signed_cookies
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest
from django.utils.crypto import get_random_string, salted_hmac

from presence.conf import UserInfo, conf
from presence.signed import Signed
from presence.visits import is_visit

__all__ = [
    "MAX_NAME",
    "Visitor",
    "describe",
    "is_visible",
    "origin_of",
    "visitor_as",
    "visitor_of",
]

MAX_NAME: Final = 200
"""Characters of a name that are signed; the rest is cut off."""

_SALT: Final = "presence.anonymous"
_FIELD: Final = "_presence_anonymous"
"""Where the secret of an anonymous visitor is in a session whose key changes with its content."""
_LONGEST_KEY: Final = 64
"""Characters of a session key; longer ones carry the content. Those of Django have 32."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """`id` is the primary key of the signed-in `user`; "" and None for the anonymous, who have
    an `anonymous` id instead where they have a session. Of the `hidden` nobody may know that
    they are here. `returning`: the anonymous visitor sent the cookie of that session, so the same
    browser has been here before; a session that this very request made proves nothing."""

    id: str = ""
    user: Any = None
    anonymous: str = ""
    hidden: bool = False
    returning: bool = False

    @property
    def shown_as(self) -> str:
        """The id that a member which is this visitor has; "" where none can be."""
        return "" if self.hidden else self.id or self.anonymous


def visitor_of(request: HttpRequest) -> Visitor:
    """Who sent `request`; anonymous where there is no authentication. Never makes a session, but
    may write to one whose key changes with its content: once, at a visit.

    Raises SynchronousOnlyOperation in an async view that has not loaded its user, and as
    `is_visible` does.
    """
    user = _user_of(request)
    key = getattr(user, "pk", None)
    if getattr(user, "is_authenticated", False) and key not in (None, ""):
        return visitor_as(user)
    return _anonymous(request)


def origin_of(request: HttpRequest, visitor: Visitor) -> str:
    """A name of the visitor for limits: that of the user, else of the session, else of the address.

    The address is REMOTE_ADDR, of IPv6 the network of 64 bits, as a hash: it is stored. Headers in
    which proxies tell another one are not read, as anybody can send them.
    """
    if visitor.id:
        return f"user:{visitor.id}"
    if visitor.anonymous:
        return f"session:{visitor.anonymous}"
    address = str(request.META.get("REMOTE_ADDR", ""))
    with suppress(ValueError):
        if (found := ip_interface(address)).version == 6:
            address = str(ip_interface((found.ip, 64)).network)
    return f"address:{_hash(address)}"


def _anonymous(request: HttpRequest) -> Visitor:
    """The anonymous visitor of the session of `request`, if there is one."""
    session = getattr(request, "session", None)
    found = _load(session)
    key = getattr(session, "session_key", None)
    if not key:
        return Visitor()
    if isinstance(session, signed_cookies.SessionStore) or len(key) > _LONGEST_KEY:
        return _carried(request, session)
    cookies = getattr(request, "COOKIES", {})
    sent = cookies.get(settings.SESSION_COOKIE_NAME) == key
    # Some sites send the key otherwise; a session that was just made is always modified.
    returning = found and (sent or not getattr(session, "modified", False))
    return Visitor(anonymous=f"anon_{_hash(key)}", returning=returning)


def _load(session: Any) -> bool:
    """Load the session, which replaces a made-up key by None. Whether that was possible here."""
    with suppress(AttributeError):  # no session of Django
        try:
            session.keys()
        except SynchronousOnlyOperation:
            return False
    return True


def _carried(request: HttpRequest, session: Any) -> Visitor:
    """The anonymous visitor of a session that its cookie carries: the key changes whenever the
    session is saved, so the visitor is told by a secret in the session."""
    secret = session.get(_FIELD)
    if isinstance(secret, str) and secret:
        return Visitor(anonymous=f"anon_{_hash(secret)}", returning=True)
    # Without any content the cookie is made up, or as good as none.
    if not is_visit(request) or not session.keys():
        return Visitor()
    session[_FIELD] = secret = get_random_string(22)
    return Visitor(anonymous=f"anon_{_hash(secret)}")


def _hash(secret: str) -> str:
    return salted_hmac(_SALT, secret, algorithm="sha256").hexdigest()[:16]


def visitor_as(user: Any) -> Visitor:
    """The visitor that the signed-in `user` is. Raises as `is_visible` does."""
    return Visitor(id=str(user.pk), user=user, hidden=not is_visible(user))


def is_visible(user: Any) -> bool:
    """Whether others may know that a signed-in `user` is here, as PRESENCE_VISIBLE has it.

    What that raises passes through; raises ImproperlyConfigured when it answers nothing.
    """
    visible = conf.PRESENCE_VISIBLE
    if visible is None:
        return True
    answer = visible(user)
    if isawaitable(answer):
        raise ImproperlyConfigured(
            "PRESENCE_VISIBLE is an async function, whose answer would always count as yes: "
            "make it a plain one."
        )
    if answer is None:
        raise ImproperlyConfigured(
            "PRESENCE_VISIBLE gave None: let it return True for a user whom others may see, "
            "False for any other."
        )
    return bool(answer)


def _user_of(request: HttpRequest) -> Any:
    user = getattr(request, "user", None)
    try:
        getattr(user, "is_authenticated", False)  # A lazy user is loaded now.
    except SynchronousOnlyOperation:
        # `await request.auser()` loads the user, but not for request.user.
        loaded = getattr(request, "_acached_user", None)
        if loaded is None:
            raise
        return loaded
    return user


def describe(visitor: Visitor, user_info: UserInfo | None, *, now: float) -> Signed:
    """What is signed into the visitor's tokens at `now`, seconds since 1970; of the hidden, that
    they are.

    `user_info` is PRESENCE_USER_INFO: the `name` it gives (default: the full name, else the
    username, never an e-mail address) and all the rest, which becomes `info`. Raises
    ImproperlyConfigured when it gives something else than a dict of JSON.
    """
    if visitor.hidden:
        return Signed(iat=now, hidden=True)
    if visitor.user is None:
        return Signed(iat=now, anonymous=visitor.anonymous)
    info = _json_of(user_info(visitor.user)) if user_info else {}
    name = _clean(str(info.pop("name", None) or "")) or _default_name(visitor)
    return Signed(name=name, info=info, iat=now)


def _default_name(visitor: Visitor) -> str:
    for source in ("get_full_name", "get_username"):
        read = getattr(visitor.user, source, None)
        name = _clean(str(read())) if callable(read) else ""
        if name:
            return f"User {visitor.id}" if "@" in name else name
    return f"User {visitor.id}"


def _clean(name: str) -> str:
    """The name on one line, cut to MAX_NAME."""
    return " ".join(name.split())[:MAX_NAME]


def _json_of(info: object) -> dict[str, Any]:
    try:
        text = json.dumps(info, cls=DjangoJSONEncoder, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ImproperlyConfigured(
            f"PRESENCE_USER_INFO gave something that is not JSON ({error}): let it return a dict "
            "of texts, numbers, lists and dicts."
        ) from error
    # Half a surrogate pair, which Python can hold and nobody else can read, becomes "?".
    value = json.loads(text.encode("utf-8", "replace"))
    if not isinstance(value, dict):
        raise ImproperlyConfigured(
            f"PRESENCE_USER_INFO gave a {type(info).__name__}: let it return a dict such as "
            '{"name": "Ada", "avatar": "/a/42.png"}.'
        )
    return value
