"""What is known of users, wherever they are: when they were last seen, what others see of them.

Each function has an async twin with an `a` in front.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from presence import services
from presence.conf import conf, hooks
from presence.conf.upkeep import in_thread
from presence.web.visitors import describe, person_as

__all__ = ["alast_seen", "arefresh", "last_seen", "refresh"]

MARGIN: Final = 60.0
"""Seconds for which Centrifugo keeps a connection whose token has expired, and more."""


def last_seen(users: Iterable[Any]) -> dict[Any, datetime | None]:
    """When each user was last in any channel, by primary key: aware, in UTC; None: never.

    `users` are instances, primary keys, or both; a key is that of the instance, or the one given.
    It is written when a user leaves: of whoever is in a channel now, it is the time before. One
    round trip for all. Raises ValueError for a user without a primary key, StoreError when the
    store cannot be read.
    """
    keys = {key: str(key) for key in map(_key_of, users)}
    found = services.tracker().last_seen(list(keys.values())) if keys else {}
    times = {user: datetime.fromtimestamp(at, UTC) for user, at in found.items()}
    return {key: times.get(user) for key, user in keys.items()}


def refresh(user: Any) -> None:
    """Have a change of what others see of a user shown at the next tick: of the name, of the info,
    or of whether they are visible at all.

    Asks PRESENCE_VISIBLE and PRESENCE_USER_INFO as a page of theirs would. Of a user whom staff act
    as, the answer is that of the user's own page. To be called once the
    change is in the database; without it, the change is seen as their tokens are renewed, which is
    after PRESENCE_TOKEN_LIFETIME at the latest. Raises ValueError for a user without a primary
    key, HookFailed (an ImproperlyConfigured) where a hook fails, StoreError when it cannot be
    noted: then the last thing that was known stays.
    """
    key = _key_of(user)
    if getattr(user, "pk", None) is None:
        raise ValueError(f"{user!r} is a primary key: give the user themselves")
    visitor, user_info = person_as(user, strict=True), hooks.hook("PRESENCE_USER_INFO")
    shown = describe(visitor, user_info, now=services.now(), strict=True)
    seconds = conf.PRESENCE_TOKEN_LIFETIME + MARGIN
    services.tracker().save_profile(str(key), msgspec.json.encode(shown), seconds=seconds)


alast_seen = in_thread(last_seen)
arefresh = in_thread(refresh)


def _key_of(user: Any) -> Hashable:
    key = user.pk if hasattr(user, "pk") else user
    if key in (None, ""):
        raise ValueError(f"{user!r} has no primary key: only users who were saved have one")
    if not isinstance(key, Hashable):
        raise ValueError(f"{key!r} is no primary key: give users, or their keys")
    return key
