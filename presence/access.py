"""Revoking access: open connections of a user, or of one session, end within about two seconds.

Signing out, and deactivating or deleting a user, revoke by themselves. Each function has an async
twin with an `a` in front.
"""

from __future__ import annotations

from typing import Any

from presence.backends.revocations import Revocation
from presence.conf.hooks import in_thread
from presence.roster.channel_names import is_cursor_channel, room_of
from presence.users import key_of
from presence.web.access import polled_channel
from presence.web.sessions import revoke_now, session_with_key

__all__ = ["arevoke", "revoke"]


def revoke(*, user: Any = None, session: str | None = None, channel: str | None = None) -> None:
    """End the open connections of a `user`, or only those of one of their sessions.

    `user` is an instance or a primary key, `session` the key of a Django session; one of them is
    needed. With `channel`, only the subscriptions to that channel, its feed and its cursors end.
    The next look does it, else the next tick. Until every token that was signed before has expired,
    after PRESENCE_TOKEN_LIFETIME, connections that use one are ended again.

    The pages turn static until they are loaded again. What they may see then is for the session and
    PRESENCE_AUTHORIZE to say, so change these first. Raises ValueError without a user and a
    session, and for a user without a primary key; InvalidChannel (a ValueError) for a channel that
    is not polled; StoreError where it cannot be kept.
    """
    if user is None and session is None:
        raise ValueError("Whose access is revoked? Give a user, a session, or both.")
    room = ""
    if channel is not None:
        room = room_of(channel) if is_cursor_channel(channel) else polled_channel(channel)
    revoke_now(
        Revocation(
            "" if user is None else str(key_of(user)),
            "" if session is None else session_with_key(session),
            room,
        )
    )


arevoke = in_thread(revoke)
