"""Who is here, from Python: for those who have no websocket, and for code that asks."""

from __future__ import annotations

import logging
from typing import Any, Final

from presence import services
from presence.conf import conf, hooks
from presence.conf.upkeep import in_thread
from presence.exceptions import StoreError
from presence.present import Record, is_hidden, read_channel, record_of
from presence.queues import nudge
from presence.roster import validation
from presence.roster.channel_names import room
from presence.roster.people import is_anonymous
from presence.roster.tracked import Tracked

__all__ = ["PresenceManager", "let_go", "mark_left"]

logger = logging.getLogger("presence.manager")

REMEMBERED: Final = 3600.0
"""Seconds for which it is known that a source took back what it said."""


class PresenceManager:
    """Members of the presence key `doc:42`, which is the channel `presence:doc:42`.

    A record is a dict: the metadata flat (`record["color"]`) and under `meta`, with `id` and
    `user_id` (a text), `name`, and `joined_at` (seconds since 1970 by the store's clock; None for
    who is there by websocket alone). One user is one record, however many sources say that they
    are here; each source takes back what it said, and nothing else.

    Every method raises ValueError, and stores nothing, where an argument is not what it must be: a
    `user_id` is a text of 1 to 200 characters, a `source` one of at most 64, `meta` a dict of JSON;
    none has control characters. Of a `meta` of more than 4096 bytes the largest parts are left out,
    which is logged. Every method that reads or writes the
    store raises StoreError where it cannot. Those that begin with an `a` are for async code.
    """

    @staticmethod
    def join_presence(
        presence_key: str, user_id: str, meta: dict[str, Any] | None = None, *, source: str = ""
    ) -> Record:
        """Say that a user is here, until they leave or PRESENCE_TIMEOUT passes without a heartbeat.

        Returns the record. The same source again takes the place of what it said before. Pages see
        it at the next tick, which is asked for at once.
        """
        channel, user = room(presence_key), validation.user_of(user_id)
        origin = validation.source_of(source)
        given = validation.member_meta(hooks.fitted_meta("join_presence", user, meta))
        found = services.tracker().join(
            channel, user, source=origin, meta=given, timeout=conf.PRESENCE_TIMEOUT
        )
        nudge.member_changed(channel)
        return record_of(found)

    @staticmethod
    def leave_presence(presence_key: str, user_id: str, *, source: str = "") -> Record | None:
        """Take back what a source said of a user. Returns that, None where there is nothing.

        The user stays as long as another source, or a websocket, says that they are here.
        """
        channel, user = room(presence_key), validation.user_of(user_id)
        origin = validation.source_of(source)
        if origin:
            # Before they leave: a page of theirs may be about to say that they are here.
            services.tracker().remember(mark_left(channel, user, origin), seconds=REMEMBERED)
        found = let_go(channel, user, origin)
        return record_of(found) if found else None

    @staticmethod
    def list_presences(presence_key: str) -> list[Record]:
        """Everybody who is here, one record each, in one round trip: those who are connected as of
        the last tick, the others as of now. Visitors who are only counted are not among them."""
        channel = room(presence_key)
        return read_channel(channel)

    @staticmethod
    def presence_count(presence_key: str) -> int:
        """How many records list_presences gives."""
        return len(PresenceManager.list_presences(presence_key))

    @staticmethod
    def update_heartbeat(presence_key: str, user_id: str, *, source: str = "") -> bool:
        """Keep a user here for another PRESENCE_TIMEOUT seconds. False, and nothing else, where
        that source never said that they are, took it back, or let the time pass."""
        channel, user = room(presence_key), validation.user_of(user_id)
        return services.tracker().beat(
            channel, user, source=validation.source_of(source), timeout=conf.PRESENCE_TIMEOUT
        )

    @staticmethod
    def presence_group_name(presence_key: str) -> str:
        """The channel of the key, `presence:doc:42` for `doc:42`: what templates call channel."""
        return room(presence_key)

    @staticmethod
    async def ajoin_presence(
        presence_key: str, user_id: str, meta: dict[str, Any] | None = None, *, source: str = ""
    ) -> Record:
        """As `join_presence`."""
        join = in_thread(PresenceManager.join_presence, thread_sensitive=False)
        return await join(presence_key, user_id, meta, source=source)

    @staticmethod
    async def aleave_presence(
        presence_key: str, user_id: str, *, source: str = ""
    ) -> Record | None:
        """As `leave_presence`."""
        leave = in_thread(PresenceManager.leave_presence, thread_sensitive=False)
        return await leave(presence_key, user_id, source=source)

    @staticmethod
    async def alist_presences(presence_key: str) -> list[Record]:
        """As `list_presences`."""
        read = in_thread(PresenceManager.list_presences, thread_sensitive=False)
        return await read(presence_key)

    @staticmethod
    async def apresence_count(presence_key: str) -> int:
        """As `presence_count`."""
        return len(await PresenceManager.alist_presences(presence_key))

    @staticmethod
    async def aupdate_heartbeat(presence_key: str, user_id: str, *, source: str = "") -> bool:
        """As `update_heartbeat`."""
        beat = in_thread(PresenceManager.update_heartbeat, thread_sensitive=False)
        return await beat(presence_key, user_id, source=source)


def let_go(channel: str, user: str, source: str) -> Tracked | None:
    """Forget what a source said of a user, have a poll asked for, and note when they were seen.

    Returns the record, None where there was none. Raises StoreError: they may be here still. A
    note that cannot be taken is logged, as they have left.
    """
    tracker, timeout = services.tracker(), conf.PRESENCE_TIMEOUT
    found = tracker.leave(channel, user, source=source, timeout=timeout)
    if found is None:
        return None
    nudge.member_changed(channel)
    # A tick notes who leaves a roster. Whoever comes and goes between two of them is in none.
    try:
        if not is_anonymous(user) and not is_hidden(channel, user):
            tracker.saw({user: found.beat})
    except StoreError:
        logger.exception("last-seen=not-noted channel=%s", channel)
    return found


def mark_left(channel: str, user: str, source: str) -> str:
    """What the store remembers for REMEMBERED seconds of a source that took back what it said."""
    return f"left:{channel}:{user}:{source}"
