"""Live cursors from Python: where they are, and moving them.

Browsers send theirs to one another through Centrifugo, and Django hears nothing of it: they are
among these only where PRESENCE_CURSOR_TRACK is on and Centrifugo asks the publish proxy.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from presence import services
from presence.conf import conf
from presence.roster import moves, validation
from presence.roster.channel_names import cursor_channel
from presence.roster.moves import Move

__all__ = ["CURSOR_TIMEOUT", "Cursor", "CursorTracker", "Cursors"]

logger = logging.getLogger("presence.cursors")

CURSOR_TIMEOUT: Final = 10
"""Seconds after which a cursor without a sign is gone, unless PRESENCE_CURSOR_TIMEOUT says so."""

Cursor = tuple[float, float] | tuple[float, float, dict[str, Any] | None] | Mapping[str, Any]
"""x, y and, if there is one, meta; a mapping has them by name."""
Cursors = Mapping[str, Cursor] | Iterable[Sequence[Any]]
"""Cursors by user id; or user id, x, y and, if there is one, meta of each."""


class CursorTracker:
    """The cursors of a presence key: `doc:42` for those on the channel `cursors:doc:42`.

    `x` and `y` are in the unit of the surface: fractions of it (0 to 1), or pixels. `meta` is what
    browsers show of the user, as JSON: `name`, `color`. Every method raises ValueError, and does
    nothing, where an argument is not what it must be; StoreError where Redis cannot be reached.
    """

    @staticmethod
    def update_cursor(
        presence_key: str, user_id: str, x: float, y: float, meta: dict[str, Any] | None = None
    ) -> None:
        """Store where a cursor is, and have it published.

        A thread publishes what gathers, every 10 ms at most and only the last position of each
        user; what Centrifugo does not take is logged.
        """
        channel, move = cursor_channel(presence_key), moves.make_move(user_id, x, y, meta)
        _store(channel, [move])
        services.outbox.put((channel, move.user), moves.publication(move))

    @staticmethod
    def update_cursors(presence_key: str, cursors: Cursors) -> None:
        """Store where many cursors are in one step, and publish them in one batch.

        `cursors` maps user ids to (x, y), to (x, y, meta) or to what get_cursors gives; or it goes
        through (user id, x, y) or (user id, x, y, meta), of which the last of a user counts.
        Raises CentrifugoError where they were stored, but not all could be published.
        """
        channel = cursor_channel(presence_key)
        made = {move.user: move for move in _moves(cursors)}
        if made:
            _store(channel, made.values())
            services.outbox.send(
                {(channel, user): moves.publication(move) for user, move in made.items()}
            )

    @staticmethod
    def get_cursors(presence_key: str) -> dict[str, dict[str, Any]]:
        """user id -> `x` and `y` as they were given, `timestamp` and `meta` ({} if none was given).

        The timestamp is when it was stored, in seconds since 1970 by the clock of the store. Those
        stored more than PRESENCE_CURSOR_TIMEOUT seconds ago are cleared away. What cannot be read
        is logged and left out.
        """
        channel = cursor_channel(presence_key)
        found = services.tracker().cursors(channel, timeout=conf.PRESENCE_CURSOR_TIMEOUT)
        cursors = {}
        for user, (at, kept) in found.items():
            try:
                cursors[user] = moves.shown(kept, at)
            except ValueError as error:
                logger.error("cursor=unreadable channel=%s user=%r error=%s", channel, user, error)
        return cursors

    @staticmethod
    def remove_cursor(presence_key: str, user_id: str) -> bool:
        """Forget a cursor, and have it published that it went; whether one was stored.

        Pages take away every cursor of that user, those of their browsers, too.
        """
        channel, user = cursor_channel(presence_key), validation.user_of(user_id)
        stored = services.tracker().remove(channel, user)
        services.outbox.put((channel, user), moves.publication_gone(user))
        return stored


def _store(channel: str, made: Iterable[Move]) -> None:
    kept = {move.user: moves.kept(move) for move in made}
    services.tracker().move(channel, kept, timeout=conf.PRESENCE_CURSOR_TIMEOUT)


def _moves(cursors: object) -> Iterator[Move]:
    if isinstance(cursors, Mapping):
        for user, cursor in cursors.items():
            yield _of(user, cursor)
    elif isinstance(cursors, Iterable) and not isinstance(cursors, str | bytes):
        for one in cursors:
            if not isinstance(one, list | tuple) or len(one) not in (3, 4):
                raise ValueError(
                    f"A cursor is {one!r:.80}: it must be (user_id, x, y) or (user_id, x, y, meta)"
                )
            yield moves.make_move(*one)
    else:
        raise ValueError(
            f"cursors is {cursors!r:.80}: it must map user ids to (x, y), or go through "
            "(user_id, x, y)"
        )


def _of(user: object, cursor: object) -> Move:
    if isinstance(cursor, Mapping) and "x" in cursor and "y" in cursor:
        return moves.make_move(user, cursor["x"], cursor["y"], cursor.get("meta"))
    if isinstance(cursor, list | tuple) and len(cursor) in (2, 3):
        return moves.make_move(user, *cursor)
    raise ValueError(
        f"The cursor of {user!r:.80} is {cursor!r:.80}: it must be (x, y), (x, y, meta) or a dict "
        'with "x" and "y"'
    )
