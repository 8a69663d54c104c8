"""Live cursors from Python: read them, and move them.

Browsers send their cursors to one another through Centrifugo, and Django hears nothing of it: they
are among these only where PRESENCE_CURSOR_TRACK is on and Centrifugo asks the publish proxy.

    stored     {"x": 0.4125, "y": 0.7301, "meta": {"name": "Ada"}}, and "client" of a browser's
    published  the same and "user": "42", or {"gone": true, "user": "42"}

Numbers stay as they were given; an empty `meta` is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from presence import services
from presence.conf import conf
from presence.roster import validation
from presence.roster.channel_names import cursor_channel
from presence.roster.names import clean_name
from presence.transport.log_lines import line_logger

__all__ = [
    "CURSOR_TIMEOUT",
    "Cursor",
    "CursorTracker",
    "Cursors",
    "Move",
    "decode_move",
    "encode_move",
    "make_move",
    "publication",
    "suffix_of",
]

logger = line_logger("presence.cursors")

CURSOR_TIMEOUT: Final = 10
"""Default of PRESENCE_CURSOR_TIMEOUT: seconds after its last move until a cursor is gone."""
MAX_COORDINATE: Final = 1e9
"""Largest distance of a coordinate from 0."""

Cursor = tuple[float, float] | tuple[float, float, dict[str, Any] | None] | Mapping[str, Any]
"""x, y and optionally meta; a mapping has them by name."""
Cursors = Mapping[str, Cursor] | Iterable[Sequence[Any]]
"""Cursors by user id; or sequences of user id, x, y and optionally meta."""


class CursorTracker:
    """The cursors of a presence key: `doc:42` for those on the channel `cursors:doc:42`.

    `x` and `y` are in the unit of the surface: fractions of it (0 to 1), or pixels. `meta` is what
    browsers show of the user, as JSON: `name`, `color`. Every method raises ValueError, and does
    nothing, for an argument that it cannot take; StoreError where Redis cannot be reached.
    """

    @staticmethod
    def update_cursor(
        presence_key: str, user_id: str, x: float, y: float, meta: dict[str, Any] | None = None
    ) -> None:
        """Store the position of a cursor, and have it published.

        A thread publishes in batches, at most every 10 ms and only the last position of each user.
        Moves that Centrifugo does not take are logged.
        """
        channel, move = cursor_channel(presence_key), make_move(user_id, x, y, meta)
        _store(channel, [move])
        services.outbox.put((channel, move.user), publication(move))

    @staticmethod
    def update_cursors(presence_key: str, cursors: Cursors) -> None:
        """Store the positions of many cursors in one step, and publish them in one batch.

        `cursors` maps user ids to (x, y), to (x, y, meta) or to the dicts of get_cursors; or it
        yields (user id, x, y) or (user id, x, y, meta), of which the last of a user counts.
        Raises CentrifugoError where they were stored, but not all of them published.
        """
        channel = cursor_channel(presence_key)
        moves = {move.user: move for move in _moves(cursors)}
        if moves:
            _store(channel, moves.values())
            services.outbox.send({(channel, user): publication(m) for user, m in moves.items()})

    @staticmethod
    def get_cursors(presence_key: str) -> dict[str, dict[str, Any]]:
        """Return a dict by user id: `x` and `y` as they were given, `timestamp`, and `meta` ({} if
        none was given).

        The timestamp is when it was stored, in seconds since 1970 by the clock of the store.
        Cursors stored more than PRESENCE_CURSOR_TIMEOUT seconds ago are deleted. One that cannot be
        read is logged and left out.
        """
        channel = cursor_channel(presence_key)
        stored = services.tracker().load_cursors(channel, timeout=conf.PRESENCE_CURSOR_TIMEOUT)
        cursors = {}
        for user, (timestamp, move) in stored.items():
            try:
                cursors[user] = decode_move(move, timestamp)
            except ValueError as error:
                logger.error("cursor=unreadable channel=%s user=%r error=%s", channel, user, error)
        return cursors

    @staticmethod
    def remove_cursor(presence_key: str, user_id: str) -> bool:
        """Delete a cursor, and have it published that it is gone. Returns whether one was stored.

        Pages remove every cursor of that user, those of their browsers as well.
        """
        channel, user = cursor_channel(presence_key), validation.check_user_id(user_id)
        stored = services.tracker().delete_cursor(channel, user)
        gone = msgspec.json.encode({"gone": True, "user": user})
        services.outbox.put((channel, user), msgspec.Raw(gone))
        return stored


class Move(msgspec.Struct, frozen=True, omit_defaults=True):
    """The position of the cursor of `user`; `client` is the connection that sent it."""

    x: int | float
    y: int | float
    meta: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    client: str = ""
    user: str = ""


class _StoredMove(msgspec.Struct):
    x: int | float
    y: int | float
    meta: dict[str, Any] = {}


def make_move(user: object, x: object, y: object, meta: object = None) -> Move:
    """Return the move, checked. Raises ValueError that says what is wrong and what is allowed."""
    name, place = validation.check_user_id(user), (_coordinate("x", x), _coordinate("y", y))
    shown = validation.encode_meta(_with_clean_name(meta))
    return Move(*place, msgspec.Raw(shown) if shown else msgspec.UNSET, user=name)


def encode_move(move: Move, client: str = "") -> bytes:
    """Return the JSON that the store keeps of a move, by user; `client` is the connection that sent
    it."""
    return msgspec.json.encode(msgspec.structs.replace(move, client=client, user=""))


def suffix_of(client: str) -> bytes:
    """Return the end of the JSON of every move that a connection sent, and of no other."""
    return msgspec.json.encode({"client": client})[1:]


def decode_move(stored: bytes, timestamp: float) -> dict[str, Any]:
    """Return a stored move as CursorTracker.get_cursors does. Raises ValueError if it is none."""
    try:
        move = msgspec.json.decode(stored, type=_StoredMove)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{stored!r:.80} is not a position: {error}") from error
    return {"x": move.x, "y": move.y, "timestamp": timestamp, "meta": move.meta}


def publication(move: Move) -> msgspec.Raw:
    """Return the data to publish for a move."""
    return msgspec.Raw(msgspec.json.encode(move))


def _store(channel: str, moves: Iterable[Move]) -> None:
    stored = {move.user: encode_move(move) for move in moves}
    services.tracker().save_cursors(channel, stored, timeout=conf.PRESENCE_CURSOR_TIMEOUT)


def _moves(cursors: object) -> Iterator[Move]:
    if isinstance(cursors, Mapping):
        for user, cursor in cursors.items():
            yield _move_of(user, cursor)
    elif isinstance(cursors, Iterable) and not isinstance(cursors, str | bytes):
        for cursor in cursors:
            if not isinstance(cursor, list | tuple) or len(cursor) not in (3, 4):
                raise ValueError(
                    f"A cursor is {cursor!r:.80}: it must be (user_id, x, y) or "
                    "(user_id, x, y, meta)"
                )
            yield make_move(*cursor)
    else:
        raise ValueError(
            f"cursors is {cursors!r:.80}: it must map user ids to (x, y), or go through "
            "(user_id, x, y)"
        )


def _move_of(user: object, cursor: object) -> Move:
    if isinstance(cursor, Mapping) and "x" in cursor and "y" in cursor:
        return make_move(user, cursor["x"], cursor["y"], cursor.get("meta"))
    if isinstance(cursor, list | tuple) and len(cursor) in (2, 3):
        return make_move(user, *cursor)
    raise ValueError(
        f"The cursor of {user!r:.80} is {cursor!r:.80}: it must be (x, y), (x, y, meta) or a dict "
        'with "x" and "y"'
    )


def _with_clean_name(meta: object) -> object:
    """Return `meta` with a name that may be shown; without one where that shows nothing."""
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
        return meta
    name = clean_name(meta["name"])
    others = {key: value for key, value in meta.items() if key != "name"}
    return {"name": name, **others} if name else others


def _coordinate(name: str, value: object) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r:.80}: it must be an int or a float")
    if not -MAX_COORDINATE <= value <= MAX_COORDINATE:  # rejects NaN too
        raise ValueError(
            f"{name} is {value!r:.80}: it must lie between {-MAX_COORDINATE:g} and "
            f"{MAX_COORDINATE:g}"
        )
    return int(value) if isinstance(value, int) else float(value)  # a plain number, of a subclass
