"""Users in all channels: when they were last seen, and a change of what others see of them.

Each function has an async twin with an `a` in front.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from presence import services
from presence.conf.hooks import in_thread
from presence.web.visitors import describe, person_as

__all__ = ["alast_seen", "arefresh", "last_seen", "refresh"]


def last_seen(users: Iterable[Any]) -> dict[Any, datetime | None]:
    """Return when each user was last in any channel, by primary key: aware, in UTC; None: never.

    `users` are instances, primary keys, or both. The time is written when a user leaves: for a user
    who is in a channel now it is that of the visit before. One round trip for all. Raises
    ValueError for a user without a primary key, StoreError when the store cannot be read.
    """
    keys = {key: str(key) for key in map(key_of, users)}
    found = services.tracker().last_seen(list(keys.values())) if keys else {}
    times = {user: datetime.fromtimestamp(at, UTC) for user, at in found.items()}
    return {key: times.get(user) for key, user in keys.items()}


def refresh(user: Any) -> None:
    """Show a changed name, info or visibility of a user to others at the next tick.

    Calls PRESENCE_VISIBLE and PRESENCE_USER_INFO as a page of the user would. If staff act as the
    user, the answer is that of the user's own page. Call it once the change is in the
    database; without it the change shows when the user's tokens are renewed, after
    PRESENCE_TOKEN_LIFETIME at the latest. Raises ValueError for a user without a primary key,
    HookFailed (an ImproperlyConfigured) where a hook fails, StoreError when it cannot be stored:
    then others see what they saw before.
    """
    key = key_of(user)
    if getattr(user, "pk", None) is None:
        raise ValueError(f"{user!r} is a primary key: give an instance")
    shown = describe(person_as(user), now=services.now(), strict=True)
    seconds = services.longest_token()
    services.tracker().save_profile(str(key), msgspec.json.encode(shown), seconds=seconds)


alast_seen = in_thread(last_seen)
arefresh = in_thread(refresh)


def key_of(user: Any) -> Hashable:
    key = user.pk if hasattr(user, "pk") else user
    if key in (None, ""):
        raise ValueError(f"{user!r} has no primary key: only users who were saved have one")
    if not isinstance(key, Hashable):
        raise ValueError(f"{key!r} is not a primary key: give users, or their keys")
    return key
