"""What Centrifugo answers to a batch -> one raw reply, or one error, per command. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from presence.exceptions import CentrifugoAnswerError, CentrifugoError, CommandError
from presence.roster.types import Position

__all__ = ["Info", "Reply", "clients", "decode", "nodes", "position", "read_batch", "result"]

Reply = msgspec.Raw | CentrifugoError
T = TypeVar("T")


class _Error(msgspec.Struct):
    code: int
    message: str = ""


class _Batch(msgspec.Struct):
    replies: list[dict[str, msgspec.Raw]]


class _Node(msgspec.Struct):
    uid: str
    version: str = ""


class Info(msgspec.Struct):
    """Reply to `info`."""

    nodes: list[_Node]


class _Channel(msgspec.Struct):
    num_clients: int = 0


class _Channels(msgspec.Struct):
    channels: dict[str, _Channel]


class _Stream(msgspec.Struct):
    offset: int = 0
    epoch: str = ""


_batch = msgspec.json.Decoder(_Batch)


def read_batch(content: bytes | bytearray, methods: Sequence[str]) -> list[Reply]:
    """The reply to each of the `methods` of a batch, as it came.

    Raises CentrifugoAnswerError when the answer as a whole cannot be read.
    """
    try:
        answered = _decode_batch(content).replies
    except ValueError as error:  # msgspec's errors and those of Unicode are ValueErrors
        raise CentrifugoAnswerError(
            f"Centrifugo's answer to a batch cannot be read ({error}): check that "
            "CENTRIFUGO_API_URL is the /api of Centrifugo v5 or later"
        ) from error
    if len(answered) != len(methods):
        raise CentrifugoAnswerError(
            f"Centrifugo answered {len(answered)} of {len(methods)} commands of a batch"
        )
    return [_reply(reply, method) for reply, method in zip(answered, methods, strict=True)]


def _decode_batch(content: bytes | bytearray) -> _Batch:
    try:
        return _batch.decode(content)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # Half a surrogate pair, in the name of one user, is JSON for Centrifugo but not for
        # msgspec; it shall not cost the whole batch. Python's own decoder, slower, takes it.
        text = json.dumps(json.loads(content), ensure_ascii=False)
        return _batch.decode(text.encode("utf-8", "replace"))


def _reply(reply: dict[str, msgspec.Raw], method: str) -> Reply:
    if "error" in reply:
        try:
            error = decode(reply["error"], _Error)
        except CentrifugoAnswerError as unreadable:
            return unreadable
        return CommandError(error.code, error.message)
    if method not in reply:
        return CentrifugoAnswerError(f"Centrifugo's reply to {method!r} has no {method!r} in it")
    return reply[method]


def result(reply: Reply) -> msgspec.Raw:
    if isinstance(reply, CentrifugoError):
        raise reply
    return reply


def clients(listings: Iterable[Reply]) -> dict[str, int]:
    """The clients on each channel of replies to `channels`. Raises CentrifugoError."""
    counted: dict[str, int] = {}
    for listing in listings:
        found = decode(result(listing), _Channels).channels
        counted |= {channel: entry.num_clients for channel, entry in found.items()}
    return counted


def nodes(info: Reply) -> frozenset[str]:
    """The nodes of a reply to `info`, by uid. Raises CentrifugoError."""
    return frozenset(node.uid for node in decode(result(info), Info).nodes)


def position(reply: Reply) -> Position | CentrifugoError:
    if isinstance(reply, CentrifugoError):
        return reply
    try:
        stream = decode(reply, _Stream)
    except CentrifugoAnswerError as error:
        return error
    return Position(stream.offset, stream.epoch)


def decode(raw: msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CentrifugoAnswerError(
            f"Centrifugo's answer is not a {kind.__name__.strip('_').lower()} ({error})"
        ) from error
