"""Checks of the site's hooks: they answer for real users, with values that fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from presence.conf import conf, hooks
from presence.conf.hooks import fit
from presence.doctor.findings import Findings, ok, problem, skipped, warning
from presence.roster.validation import MAX_META
from presence.web.visitors import as_dict, is_visible

USERS: Final = 20
"""Number of users to call the hooks for: those with the highest primary keys."""


def examine() -> Findings:
    """Call PRESENCE_USER_INFO, PRESENCE_VISIBLE and PRESENCE_FETCH for the newest users.

    PRESENCE_AUTHORIZE is not called: it needs the request of a page.
    """
    asked = {name: _hook(name) for name in ("USER_INFO", "VISIBLE", "FETCH")}
    called = {f"PRESENCE_{name}": found for name, found in asked.items() if found}
    if not called:
        return
    try:
        users = list(get_user_model()._default_manager.order_by("-pk")[:USERS])
    except (DatabaseError, ImproperlyConfigured) as error:
        yield skipped("hooks.answers", f"users cannot be read ({type(error).__name__})")
        return
    if not users:
        yield skipped("hooks.answers", "there are no users yet")
        return
    for name, function in called.items():
        yield from judge(name, function, users)


def _hook(name: str) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = getattr(conf, f"PRESENCE_{name}")
    return found


def judge(name: str, function: Callable[..., Any], users: list[Any]) -> Findings:
    """Call one hook for `users`; report if it fails, or if parts of its answers are left out."""
    try:
        answers = _ask(name, function, users)
    except hooks.HookFailed as error:
        yield problem(
            "hooks.answers",
            str(error),
            "Correct the function. Until then its results are not shown; if it is "
            "PRESENCE_VISIBLE, users are hidden.",
        )
        return
    left_out = {user: fit(info).left_out for user, info in answers.items() if info is not None}
    if found := next(((user, parts) for user, parts in left_out.items() if parts), None):
        user, parts = found
        part, reason = next(iter(parts.items()))
        yield warning(
            "hooks.answers",
            f"{name} returns more than is shown: {part!r} of user {user} is left out, as {reason}",
            f"What others see of a user has at most {MAX_META} bytes of JSON: give the URL of a "
            "picture, not the picture.",
        )
        return
    yield ok("hooks.answers", f"{name} answers for the newest {len(users)} users")


def _ask(name: str, function: Callable[..., Any], users: list[Any]) -> dict[str, Any]:
    """Return the info that pages show of each user; empty for PRESENCE_VISIBLE."""
    if name == "PRESENCE_VISIBLE":
        for user in users:
            is_visible(user, strict=True)
        return {}
    if name == "PRESENCE_FETCH":
        ids = [str(user.pk) for user in users]
        by_id: dict[str, Any] = hooks.call(
            name, function, ids, read=hooks.by_id, fallback={}, strict=True
        )
        return by_id
    return {
        str(user.pk): hooks.call(name, function, user, read=as_dict, fallback={}, strict=True)
        for user in users
    }
