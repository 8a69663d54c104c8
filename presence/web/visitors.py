"""Who a request comes from, and what others get to see of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any, Final

from django.conf import settings
from django.contrib.sessions.backends import signed_cookies
from django.core.exceptions import SynchronousOnlyOperation
from django.db.models import Model
from django.http import HttpRequest
from django.utils.crypto import get_random_string, salted_hmac

from presence.conf import UserInfo, hooks
from presence.roster.names import MAX_NAME, clean_name
from presence.roster.people import Signed, anonymous_id
from presence.web.visits import is_visit

__all__ = [
    "MAX_NAME",
    "Visitor",
    "as_dict",
    "describe",
    "is_visible",
    "origin_of",
    "person_as",
    "visitor_as",
    "visitor_of",
]

logger = logging.getLogger("presence.visitors")

MAX_ID: Final = 8
"""Characters of a primary key up to which it stands in the place of a name."""

_SALT: Final = "presence.anonymous"
_FIELD: Final = "_presence_anonymous"
"""Session key of an anonymous visitor's secret, where the session's own key changes."""
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
    return Visitor(anonymous=anonymous_id(_hash(key)), returning=returning)


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
        return Visitor(anonymous=anonymous_id(_hash(secret)), returning=True)
    # Without any content the cookie is made up, or as good as none.
    if not is_visit(request) or not session.keys():
        return Visitor()
    session[_FIELD] = secret = get_random_string(22)
    return Visitor(anonymous=anonymous_id(_hash(secret)))


def _hash(secret: str) -> str:
    return salted_hmac(_SALT, secret, algorithm="sha256").hexdigest()[:16]


def visitor_as(user: Any, *, strict: bool = False) -> Visitor:
    """The visitor that the signed-in `user` is. Raises as `is_visible` does."""
    return Visitor(id=str(user.pk), user=user, hidden=not is_visible(user, strict=strict))


def person_as(user: Any, *, strict: bool = False) -> Visitor:
    """The visitor that the person is, in whatever session: `hidden` where none of theirs is seen.

    Tools with which staff act as a user mark the user of that request. What PRESENCE_VISIBLE says
    of such a mark is true of one session. Raises as `is_visible` does.
    """
    hidden = not is_visible(user, strict=strict) and _is_hidden(user)
    return Visitor(id=str(user.pk), user=user, hidden=hidden)


def is_visible(user: Any, *, strict: bool = False) -> bool:
    """Whether others may know that a signed-in `user` is here, as PRESENCE_VISIBLE has it.

    Where that fails they may not, which is logged; with `strict` it raises HookFailed.
    """
    visible = hooks.hook("PRESENCE_VISIBLE")
    if visible is None:
        return True
    return hooks.call(
        "PRESENCE_VISIBLE",
        visible,
        user,
        read=_yes_or_no,
        fallback=False,
        about=f"user={user.pk}",
        strict=strict,
    )


def _yes_or_no(answer: object) -> bool:
    if answer is None:
        raise TypeError(
            "it gave None: let it return True for a user whom others may see, False for any other"
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


def _is_hidden(user: Any) -> bool:
    """Whether PRESENCE_VISIBLE says no of a user without the attributes that are no fields."""
    if not isinstance(user, Model):
        return True
    deferred = user.get_deferred_fields()
    loaded = [field for field in user._meta.concrete_fields if field.attname not in deferred]
    names = [field.attname for field in loaded]
    # Of a lazy user, the class of the user.
    person = user.__class__.from_db(user._state.db, names, [getattr(user, name) for name in names])
    try:
        return not is_visible(person, strict=True)
    except Exception:  # The hook may need an annotation that the manager of users adds.
        logger.debug("visible=unknown user=%s", user.pk, exc_info=True)
        return True


def describe(
    visitor: Visitor, user_info: UserInfo | None, *, now: float, strict: bool = False
) -> Signed:
    """What is signed into the visitor's tokens at `now`, seconds since 1970; of the hidden, that
    they are.

    `user_info` is PRESENCE_USER_INFO: the `name` it gives (default: the full name, else the
    username, never an e-mail address) and all the rest, which becomes `info`, less the parts that
    do not fit the wire. Where it fails, nothing is known but the default name, which is logged;
    with `strict` it raises HookFailed.
    """
    if visitor.hidden:
        return Signed(iat=now, hidden=True, session=not _is_hidden(visitor.user))
    if visitor.user is None:
        return Signed(iat=now, anonymous=visitor.anonymous)
    given: Mapping[Any, Any] = {}
    if user_info:
        given = hooks.call(
            "PRESENCE_USER_INFO",
            user_info,
            visitor.user,
            read=as_dict,
            fallback={},
            about=f"user={visitor.id}",
            strict=strict,
        )
    info = hooks.fitted("PRESENCE_USER_INFO", visitor.id, given)
    # The name as it was given: in JSON, half a character is a "?", which shows something.
    name = clean_name(str(given["name"])) if info.pop("name", None) else ""
    return Signed(name=name or _default_name(visitor), info=info, iat=now)


def as_dict(info: object) -> dict[Any, Any]:
    """Return the answer of PRESENCE_USER_INFO. Raises TypeError for anything but a dict."""
    if not isinstance(info, Mapping):
        raise TypeError(
            f"it gave a {type(info).__name__}: let it return a dict such as "
            '{"name": "Ada", "avatar": "/a/42.png"}'
        )
    return dict(info)


def _default_name(visitor: Visitor) -> str:
    for source in (_full_name, _field_name, _username):
        about = f"user={visitor.id}"
        name = hooks.call(
            "get_name", source, visitor.user, read=clean_name, fallback="", about=about
        )
        if name:
            return _nameless(visitor.id) if "@" in name else name
    return _nameless(visitor.id)


def _full_name(user: Any) -> object:
    parts = (getattr(user, "first_name", ""), getattr(user, "last_name", ""))
    read = getattr(user, "get_full_name", None)
    # Where a model has set both fields to None, Django's method gives "None None".
    return str(read()) if callable(read) and parts != (None, None) else ""


def _field_name(user: Any) -> object:
    """The `name` that many models of users have in the place of a first and a last name."""
    return getattr(user, "name", "")


def _username(user: Any) -> object:
    read = getattr(user, "get_username", None)
    return str(read() or "") if callable(read) else ""


def _nameless(key: str) -> str:
    """Return the name of a user who has none: the end of the key, where it is long."""
    return clean_name(f"User {key if len(key) <= MAX_ID else key[-4:]}")
