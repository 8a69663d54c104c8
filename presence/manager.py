"""Presence from Python: for users without a websocket, for code that asks, events for a room."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from presence import services
from presence.backends.base import Writes
from presence.conf import conf, hooks
from presence.conf.hooks import in_thread
from presence.exceptions import StoreError
from presence.roster import messages, validation
from presence.roster.channel_names import feed_of, room
from presence.roster.messages import Event
from presence.roster.people import ServerMember, is_anonymous
from presence.snapshots import Record, is_hidden, read_channel, record_of
from presence.transport.log_lines import line_logger

__all__ = ["PresenceManager", "broadcast", "forget_member", "left_flag"]

logger = line_logger("presence.manager")

REMEMBERED: Final = 3600.0
"""Seconds for which the store knows that a source took its member back."""


class PresenceManager:
    """Members of the presence key `doc:42`, which is the channel `presence:doc:42`.

    A record is a dict: the metadata flat (`record["color"]`) and under `meta`, with `id` and
    `user_id` (strings), `name`, and `joined_at` (seconds since 1970 by the store's clock; None for
    a member by websocket alone). One user is one record, however many sources say that the user is
    here; a source takes back only what it said itself.

    Every method raises ValueError, and stores nothing, for an argument that it cannot take: a
    `user_id` is a string of 1 to 200 characters, a `source` one of at most 64, `meta` a dict of
    JSON; none has control characters. Of a `meta` of more than 4096 bytes the largest parts are
    left out, which is logged. Every method that reads or writes the store raises StoreError where
    it cannot. Methods that begin with an `a` are for async code.
    """

    @staticmethod
    def join_presence(
        presence_key: str, user_id: str, meta: dict[str, Any] | None = None, *, source: str = ""
    ) -> Record:
        """Add a user until they leave or PRESENCE_TIMEOUT passes without a heartbeat.

        Returns the record. The same source again replaces what it said before. The channel is
        due from now on: pages show it after the next look, else after the next tick.
        """
        channel, user = room(presence_key), validation.check_user_id(user_id)
        origin = validation.check_source(source)
        given = validation.encode_member_meta(hooks.fit_meta("join_presence", user, meta))
        member = services.tracker().save_member(
            channel, user, source=origin, meta=given, timeout=conf.PRESENCE_TIMEOUT
        )
        return record_of(member)

    @staticmethod
    def leave_presence(presence_key: str, user_id: str, *, source: str = "") -> Record | None:
        """Take back what a source said of a user. Returns the record; None where there is none.

        The user stays while another source, or a websocket, says that they are here.
        """
        channel, user = room(presence_key), validation.check_user_id(user_id)
        origin = validation.check_source(source)
        if origin:
            # Before they leave: a page of theirs may be about to say that they are here.
            services.tracker().set_flag(left_flag(channel, user, origin), seconds=REMEMBERED)
        member = forget_member(channel, user, origin)
        return record_of(member) if member else None

    @staticmethod
    def list_presences(presence_key: str) -> list[Record]:
        """Return one record per person, in one round trip: connected users as of the last tick, the
        others as of now. Visitors who are only counted are left out."""
        return read_channel(room(presence_key))

    @staticmethod
    def presence_count(presence_key: str) -> int:
        """Return the number of records of list_presences."""
        return len(PresenceManager.list_presences(presence_key))

    @staticmethod
    def update_heartbeat(presence_key: str, user_id: str, *, source: str = "") -> bool:
        """Keep a user for another PRESENCE_TIMEOUT seconds. Returns False, and does nothing, where
        that source never added the user, took them back, or let the time pass."""
        channel, user = room(presence_key), validation.check_user_id(user_id)
        return services.tracker().touch_member(
            channel, user, source=validation.check_source(source), timeout=conf.PRESENCE_TIMEOUT
        )

    @staticmethod
    def presence_group_name(presence_key: str) -> str:
        """Return the channel of the key, `presence:doc:42` for `doc:42`, as templates take it."""
        return room(presence_key)

    ajoin_presence = staticmethod(in_thread(join_presence, thread_sensitive=False))
    aleave_presence = staticmethod(in_thread(leave_presence, thread_sensitive=False))
    alist_presences = staticmethod(in_thread(list_presences, thread_sensitive=False))
    apresence_count = staticmethod(in_thread(presence_count, thread_sensitive=False))
    aupdate_heartbeat = staticmethod(in_thread(update_heartbeat, thread_sensitive=False))


def broadcast(channel: str, event: str, payload: dict[str, Any] | None = None) -> None:
    """Publish an event to every page that shows or watches `channel`. Nobody gets it later.

    `event` is a string of 1 to 100 characters, `payload` a dict of JSON; together they must fit
    into messages.MAX_PUBLICATION (8 KiB). Raises ValueError where they do not, CentrifugoError
    where Centrifugo did not take it: then none of the pages may have got it, or some.
    """
    name = validation.check_event(event)
    given = validation.encode_json_dict("payload", payload, limit=messages.MAX_PUBLICATION)
    data = messages.encode(Event(name, msgspec.json.decode(given) if given else {}))
    if len(data) > messages.MAX_PUBLICATION:
        raise ValueError(
            f"The event has {len(data)} bytes: with its payload it must have at most "
            f"{messages.MAX_PUBLICATION}"
        )
    (error,) = services.gateway().send([(feed_of(channel), msgspec.Raw(data))])
    if error:
        raise error


def forget_member(channel: str, user: str, source: str) -> ServerMember | None:
    """Delete what a source said of a user, and note when the user was last seen.

    Returns the stored member; None where there was none. Raises StoreError: the user may be here
    still. A note that cannot be taken is logged, as the user has left.
    """
    tracker, timeout = services.tracker(), conf.PRESENCE_TIMEOUT
    member = tracker.delete_member(channel, user, source=source, timeout=timeout)
    if member is None:
        return None
    # Ticks note users who leave a roster. A user who comes and goes between two ticks is in none.
    try:
        if not is_anonymous(user) and not is_hidden(channel, user):
            services.store().write(Writes(last_seen={user: member.beat}))
    except StoreError:
        logger.exception("last-seen=not-noted channel=%s", channel)
    return member


def left_flag(channel: str, user: str, source: str) -> str:
    """Return the flag that the store keeps for REMEMBERED seconds after a source leaves."""
    return f"left:{channel}:{user}:{source}"
