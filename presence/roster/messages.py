"""The messages of the wire and of the store <-> bytes of JSON."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from presence.exceptions import InvalidMessage
from presence.roster.grace import Leaving
from presence.roster.types import (
    Change,
    Diff,
    Event,
    Member,
    Position,
    Publication,
    Reload,
    Roster,
    Snapshot,
)

__all__ = [
    *("MAX_PUBLICATION", "UNREADABLE", "Pending"),
    *("decode", "decode_publication", "encode", "serve"),
]

MAX_PUBLICATION = 8 * 1024
"""Bytes of the largest diff or event that is published; a larger diff becomes a reload.

100 of these (a feed's history_size) stay under Centrifugo's 1 MiB queue of one connection, so
that a client which recovers is not cut off as slow.
"""


class Pending(msgspec.Struct, frozen=True):
    """What a commit leaves to be published, and to be signalled after that."""

    epoch: str
    version: int
    publication: msgspec.Raw
    change: Change


class _Kind(msgspec.Struct):
    type: str


UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""Errors of decoders for bytes that they cannot read, too deep nesting included."""

Message = Change | Diff | Event | Leaving | Member | Pending | Position | Reload | Roster
T = TypeVar("T", bound=Message | Snapshot)

_encoder = msgspec.json.Encoder()
_decoders: dict[type, msgspec.json.Decoder[object]] = {}
_kind = msgspec.json.Decoder(_Kind)
_publication: msgspec.json.Decoder[Publication] = msgspec.json.Decoder(Diff | Reload | Event)
_TYPES = frozenset({"presence.diff", "presence.reload", "presence.event"})


def encode(message: Message | Snapshot) -> bytes:
    """JSON of one message, UTF-8, without a line break in it.

    Of a Snapshot: the part that is the same for every reader. `age`, `every` and `position` are
    left to `serve`.
    """
    if isinstance(message, Snapshot):
        return _encoder.encode(
            {
                name: getattr(message, name)
                for name in ("epoch", "version", "members", "listed", "total", "anonymous")
            }
        )
    return _encoder.encode(message)


def decode(data: bytes, kind: type[T]) -> T:
    """The message of that kind in `data`; unknown fields are ignored.

    Raises InvalidMessage for anything else.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(data)  # type: ignore[return-value]
    except UNREADABLE as error:
        raise InvalidMessage(f"Not a {kind.__name__}: {error}") from error


def decode_publication(data: bytes) -> Publication | None:
    """The publication in `data`, or None where its type is not known to this version.

    Raises InvalidMessage for what is no publication at all.
    """
    try:
        kind = _kind.decode(data)
        if kind.type not in _TYPES:
            return None
        return _publication.decode(data)
    except UNREADABLE as error:
        raise InvalidMessage(f"Not a publication: {error}") from error


def serve(
    snapshot: bytes | None, *, age: float | None, every: float, position: Position | None
) -> Snapshot:
    """The stored `snapshot` (None: the channel was never committed) as a reader gets it.

    `age` and `every` are in seconds. Raises InvalidMessage when the stored bytes are not one.
    """
    base = Snapshot() if snapshot is None else decode(snapshot, Snapshot)
    return msgspec.structs.replace(base, age=age, every=every, position=position)
