"""Sessions of signed-in users: the hash that names one, and what signing in and out revokes."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any, Final

from django.conf import settings
from django.contrib.sessions.backends import signed_cookies
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils.crypto import get_random_string, salted_hmac

from presence import services
from presence.backends.revocations import Revocation
from presence.exceptions import StoreError
from presence.transport.log_lines import line_logger

logger = line_logger("presence.sessions")

_SALT: Final = "presence.session"
_FIELD: Final = "_presence_session"
"""Key in a session of what identifies it, also after its own key has changed."""


def session_of(request: Any) -> str:
    """Return the hash of the session of `request`; "" if it has none that can be recognised."""
    return _named(getattr(request, "session", None))


def session_with_key(key: str) -> str:
    """Return the hash of the session that has this key, or had it before it ended."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    return _named(store(key)) or _hash(key)


def revoke_now(*revocations: Revocation) -> None:
    """Store revocations for as long as a token may live. Raises StoreError."""
    services.store().revoke(revocations, seconds=services.longest_token())


def signed_in(sender: Any, request: Any, user: Any, **_: Any) -> None:
    """Receiver of `user_logged_in`: revoke the session of whoever was signed in to it before."""
    session = getattr(request, "session", None)
    if session is None:
        return
    carried = isinstance(session, signed_cookies.SessionStore)
    # `login` empties a session that was another user's; it would have a new key once it is saved.
    if not session.session_key:
        if former := request.COOKIES.get(settings.SESSION_COOKIE_NAME):
            _try_to_revoke(Revocation(session=session_with_key(former)))
        if not carried:
            session.create()
    # Who signs in again keeps the session, under a new key: log-out ends the pages of before, too.
    session.setdefault(_FIELD, get_random_string(22) if carried else session.session_key)


def signed_out(sender: Any, request: Any, user: Any, **_: Any) -> None:
    """Receiver of `user_logged_out`, which is sent while the session is as it was."""
    if user is not None and (session := session_of(request)):
        _try_to_revoke(Revocation(str(user.pk), session))


def saved(sender: Any, instance: Any, using: str, created: bool = False, **_: Any) -> None:
    """Receiver of `post_save` of users: one who is not active is out."""
    if not (created or getattr(instance, "is_active", True)):
        _revoke_at_commit(instance, using)


def deleted(sender: Any, instance: Any, using: str, **_: Any) -> None:
    """Receiver of `pre_delete` of users."""
    _revoke_at_commit(instance, using)


def _revoke_at_commit(user: Any, using: str) -> None:
    # Until the commit, the user gets tokens; after a rollback, they stay who they were.
    revoke = partial(_try_to_revoke, Revocation(str(user.pk)))
    transaction.on_commit(revoke, using=using)


def _named(session: Any) -> str:
    get = getattr(session, "get", None)
    stored = get(_FIELD) if get else None
    if isinstance(stored, str) and stored:
        return _hash(stored)
    # A session whose cookie carries it has another key each time it is saved.
    if isinstance(session, signed_cookies.SessionStore):
        return ""
    key = getattr(session, "session_key", None)
    return _hash(key) if key else ""


def _hash(secret: str) -> str:
    return salted_hmac(_SALT, secret, algorithm="sha256").hexdigest()[:16]


def _try_to_revoke(revocation: Revocation) -> None:
    """Revoke. A store that is down, or not configured, is logged: nobody's signing out fails."""
    try:
        revoke_now(revocation)
    except (ImproperlyConfigured, StoreError):
        logger.exception("revocation=not-kept user=%s", revocation.user)
