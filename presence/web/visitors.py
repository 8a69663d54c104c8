"""Visitors: who sent a request, whether they came to see the page, what others see of them."""

from __future__ import annotations

import re
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

from presence.conf import conf, hooks
from presence.roster import validation
from presence.roster.names import clean_name
from presence.roster.people import UserClaims, anonymous_id
from presence.transport.log_lines import line_logger

logger = line_logger("presence.visitors")

MAX_ID: Final = 8
"""Characters of a primary key up to which it replaces a missing name."""

_SALT: Final = "presence.anonymous"
_FIELD: Final = "_presence_anonymous"
"""Key in the session of an anonymous visitor's secret, where the session's own key changes."""
_LONGEST_KEY: Final = 64
"""Characters of a session key; longer ones carry the content. Django's have 32."""
_PURPOSES: Final = ("Sec-Purpose", "X-Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
"""Headers in which browsers and libraries say what they fetch a page for."""
_AHEAD: Final = frozenset({"prefetch", "prerender", "preview", "preload", "instant"})
_PAGELESS: Final = frozenset({"HEAD", "OPTIONS", "TRACE"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """The person who sent a request.

    `id` is the primary key of the signed-in `user`; "" and None for an anonymous visitor, who has
    an `anonymous` id instead where they have a session. Nobody may know that a `hidden` visitor is
    here. `returning`: the anonymous visitor sent the cookie of that session, so the same browser
    has been here before; a session that this very request made proves nothing.
    """

    id: str = ""
    user: Any = None
    anonymous: str = ""
    hidden: bool = False
    returning: bool = False

    @property
    def shown_as(self) -> str:
        """The id of the member that is this visitor; "" where there can be none."""
        return "" if self.hidden else self.id or self.anonymous


def visitor_of(request: HttpRequest) -> Visitor:
    """Return the visitor who sent `request`; an anonymous one where there is no authentication.

    Never makes a session, but may write to one whose key changes with its content: once, at a
    visit. Raises SynchronousOnlyOperation in an async view that has not loaded its user, and as
    `is_visible` does.
    """
    user = _user_of(request)
    key = getattr(user, "pk", None)
    if getattr(user, "is_authenticated", False) and key not in (None, ""):
        return visitor_as(user)
    return _anonymous(request)


def listed_as(visitor: Visitor) -> str:
    """Return the id under which rosters list the visitor while a page of theirs is connected; ""
    where they are hidden or only counted."""
    return visitor.shown_as if visitor.id or conf.PRESENCE_ANONYMOUS == "list" else ""


def origins_of(request: HttpRequest, visitor: Visitor) -> tuple[str, ...]:
    """Return names of the visitor for limits: of the user; else of the session, and of all sessions
    of the address, as anybody may have many; else of the address.

    The address is REMOTE_ADDR, of IPv6 the network of 64 bits, as a hash: it is stored. Headers in
    which proxies give another address are not read, as anybody can send them.
    """
    if visitor.id:
        return (f"user:{visitor.id}",)
    address = str(request.META.get("REMOTE_ADDR", ""))
    with suppress(ValueError):
        if (found := ip_interface(address)).version == 6:
            address = str(ip_interface((found.ip, 64)).network)
    if visitor.anonymous:
        return f"session:{visitor.anonymous}", f"sessions:{_hash(address)}"
    return (f"address:{_hash(address)}",)


def is_visit(request: Any) -> bool:
    """Return whether somebody is going to see the answer to `request`, as far as it says.

    A page that is fetched ahead (prefetched, prerendered, previewed) may never be shown, and HEAD
    has no page. An object without a method and headers, as the scope of a consumer, is a visit.
    """
    if getattr(request, "method", None) in _PAGELESS:
        return False
    headers = getattr(request, "headers", None) or {}
    if str(headers.get("HX-Preloaded", "")).lower() == "true":  # the preload extension of htmx
        return False
    purposes = ";".join(str(headers.get(name, "")) for name in _PURPOSES)
    return _AHEAD.isdisjoint(re.split(r"[\s;,=\"]+", purposes.lower()))


def _anonymous(request: HttpRequest) -> Visitor:
    """Return the anonymous visitor of the session of `request`, if there is one."""
    session: Any = getattr(request, "session", None)
    loaded = True
    try:
        session.keys()  # which replaces a made-up key by None
    except SynchronousOnlyOperation:
        loaded = False
    except AttributeError:  # no session, or none of Django
        pass
    key = getattr(session, "session_key", None)
    if not key:
        return Visitor()
    if isinstance(session, signed_cookies.SessionStore) or len(key) > _LONGEST_KEY:
        return _carried(request, session)
    cookies = getattr(request, "COOKIES", {})
    sent = cookies.get(settings.SESSION_COOKIE_NAME) == key
    # Some sites send the key in another way; a session that was just made is always modified.
    returning = loaded and (sent or not getattr(session, "modified", False))
    return Visitor(anonymous=anonymous_id(_hash(key)), returning=returning)


def _carried(request: HttpRequest, session: Any) -> Visitor:
    """Return the anonymous visitor of a session that its cookie carries: the key changes whenever
    the session is saved, so a secret in the session identifies the visitor."""
    secret = session.get(_FIELD)
    if isinstance(secret, str) and secret:
        return Visitor(anonymous=anonymous_id(_hash(secret)), returning=True)
    # A cookie without any content is made up, or worth nothing.
    if not is_visit(request) or not session.keys():
        return Visitor()
    session[_FIELD] = secret = get_random_string(22)
    return Visitor(anonymous=anonymous_id(_hash(secret)))


def _hash(secret: str) -> str:
    return salted_hmac(_SALT, secret, algorithm="sha256").hexdigest()[:16]


def visitor_as(user: Any) -> Visitor:
    """Return the visitor that the signed-in `user` is."""
    return Visitor(id=str(user.pk), user=user, hidden=not is_visible(user))


def person_as(user: Any) -> Visitor:
    """Return the visitor that the user is in all sessions: `hidden` where no session is seen.

    Tools with which staff act as a user mark the user of that request. An answer of
    PRESENCE_VISIBLE about such a mark is true of one session. Raises HookFailed where it fails.
    """
    hidden = not is_visible(user, strict=True) and _is_hidden(user)
    return Visitor(id=str(user.pk), user=user, hidden=hidden)


def is_visible(user: Any, *, strict: bool = False) -> bool:
    """Return whether others may know that a signed-in `user` is here, as PRESENCE_VISIBLE says.

    Where the hook fails they may not, which is logged; with `strict` it raises HookFailed.
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
            "it returned None: return True for a user whom others may see, False for any other"
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
    """Return whether PRESENCE_VISIBLE hides a user who has only the fields of their model."""
    if not isinstance(user, Model):
        return True
    deferred = user.get_deferred_fields()
    loaded = [field for field in user._meta.concrete_fields if field.attname not in deferred]
    names = [field.attname for field in loaded]
    # `__class__`, not type(): the user may be lazy.
    person = user.__class__.from_db(user._state.db, names, [getattr(user, name) for name in names])
    try:
        return not is_visible(person, strict=True)
    except Exception:  # The hook may need an annotation that the manager of users adds.
        logger.debug("visible=unknown user=%s", user.pk, exc_info=True)
        return True


def describe(visitor: Visitor, *, now: float, strict: bool = False) -> UserClaims:
    """Return the claims of the visitor's tokens at `now`, seconds since 1970; of a hidden visitor
    only that they are hidden.

    They are the `name` that PRESENCE_USER_INFO returns (default: the full name, else the username,
    never an e-mail address), and as `info` the other parts that fit the wire. Where the hook fails,
    the default name is all, which is logged; with `strict` it raises HookFailed.
    """
    if visitor.hidden:
        return UserClaims(iat=now, hidden=True, session=not _is_hidden(visitor.user))
    if visitor.user is None:
        return UserClaims(iat=now, anonymous=visitor.anonymous)
    given: Mapping[Any, Any] = {}
    if user_info := hooks.hook("PRESENCE_USER_INFO"):
        given = hooks.call(
            "PRESENCE_USER_INFO",
            user_info,
            visitor.user,
            read=as_dict,
            fallback={},
            about=f"user={visitor.id}",
            strict=strict,
        )
    info = hooks.fit_and_log("PRESENCE_USER_INFO", visitor.id, given)
    # The name as it was given: JSON has a "?" for half a character, which shows something.
    name = clean_name(str(given["name"])) if info.pop("name", None) else ""
    return UserClaims(name=name or _default_name(visitor), info=info, iat=now)


def as_dict(info: object) -> dict[Any, Any]:
    """Return the answer of PRESENCE_USER_INFO. Raises TypeError for anything but a dict."""
    if not isinstance(info, Mapping):
        raise TypeError(
            f"it returned a {type(info).__name__}: return a dict such as "
            '{"name": "Ada", "avatar": "/a/42.png"}'
        )
    return dict(info)


def meta_for(visitor: Visitor, meta: object) -> dict[str, Any]:
    """Return `meta` of a tracked visitor together with what others see of a signed-in one.

    That is `name`, `user_id` and the answer of PRESENCE_USER_INFO, as far as there is room. Parts
    that do not fit the wire are left out, and logged. Raises ValueError as `join_presence` does.
    """
    given = validation.check_dict("meta", meta)
    if visitor.user is None:
        return hooks.fit_meta("track_presence", visitor.anonymous, given)
    # A view may give the empty name of a user; a name of another type is the site's own entry.
    name = given.get("name")
    if not (clean_name(name) if isinstance(name, str) else name):
        given = {key: value for key, value in given.items() if key != "name"}
    shown = describe(visitor, now=0.0)  # nothing is signed here
    least = {"name": shown.name, "user_id": visitor.id}
    least = {key: value for key, value in least.items() if key not in given}
    least |= hooks.fit_meta("track_presence", visitor.id, given, reserved=least)
    problems = {key: validation.find_unfit({key: value}) for key, value in shown.info.items()}
    wrong = {key: problem for key, problem in problems.items() if problem}
    hooks.log_left_out("PRESENCE_USER_INFO", visitor.id, wrong)
    info = {key: value for key, value in shown.info.items() if key not in wrong}
    return hooks.fit_and_log("PRESENCE_USER_INFO", visitor.id, info, reserved=least) | least


def _default_name(visitor: Visitor) -> str:
    """Return the first name that the user has; one made of the primary key where there is none and
    where it is an e-mail address."""
    user, about = visitor.user, f"user={visitor.id}"
    # Many models of users have a `name` in the place of a first and a last name.
    sources = (_full_name, lambda user: getattr(user, "name", ""), _username)
    names = (
        hooks.call("get_name", source, user, read=clean_name, fallback="", about=about)
        for source in sources
    )
    name = next(filter(None, names), "")
    if name and "@" not in name:
        return name
    return clean_name(f"User {visitor.id if len(visitor.id) <= MAX_ID else visitor.id[-4:]}")


def _full_name(user: Any) -> object:
    parts = (getattr(user, "first_name", ""), getattr(user, "last_name", ""))
    read = getattr(user, "get_full_name", None)
    # Where a model has set both fields to None, Django's method returns "None None".
    return str(read()) if callable(read) and parts != (None, None) else ""


def _username(user: Any) -> object:
    read = getattr(user, "get_username", None)
    return str(read() or "") if callable(read) else ""
