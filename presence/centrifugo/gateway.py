"""The gateway: what this app asks of Centrifugo's server API, and how it reads the answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from presence.exceptions import CentrifugoAnswerError, CentrifugoError, CommandError
from presence.roster import channel_names
from presence.roster.messages import Position

__all__ = [
    *("Command", "Gateway", "Publication", "Reply", "Survey", "Transport", "decode_reply"),
    *("read_batch", "read_position", "result_of"),
]

Command = tuple[str, dict[str, Any]]
"""A method of the server API and its parameters; raw JSON in them is sent as it is."""

Reply = msgspec.Raw | CentrifugoError
"""The raw reply to a command, or its error."""

T = TypeVar("T")

_INFO: Command = ("info", {})


class Transport(Protocol):
    """The way to a Centrifugo: presence.centrifugo.http.HttpTransport, or one that a test made."""

    def batch(
        self, commands: Sequence[Command], *, parallel: bool = False, once: bool = False
    ) -> list[Reply]:
        """Send at least one command; the raw reply, or the error, of each.

        `parallel` lets Centrifugo answer them in any order. With `once` they are never sent again
        where the connection was no good. Raises CentrifugoError.
        """


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """Something to publish on `feed`: as `version` of `epoch`, at most once."""

    feed: str
    data: msgspec.Raw
    channel: str
    epoch: str
    version: int


class Survey(msgspec.Struct, frozen=True):
    """Centrifugo's nodes by uid, and the clients on each active channel."""

    nodes: frozenset[str]
    clients: dict[str, int]


class Gateway:
    """What the sync asks of Centrifugo. Connects at the first call; safe to make at import.

    Every method may raise a CentrifugoError; where a list is returned, an error of a single command
    stands in its place.

    Where a connection was no good, which may only show when it is used again, everything is asked
    once more on a new one in the time that is left: but for `send`, which would deliver twice.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def survey(self, patterns: Sequence[str]) -> Survey:
        """The nodes, and the active channels that match any of the `patterns`."""
        asked: list[Command] = [_INFO, *(("channels", {"pattern": p}) for p in patterns)]
        info, *listings = self._transport.batch(asked, parallel=True)
        return Survey(_nodes_of(info), _clients_of(listings))

    def versions(self) -> list[str]:
        """The version of each node."""
        (info,) = self._transport.batch([_INFO])
        return [node.version for node in decode_reply(result_of(info), _Info).nodes]

    def presence(self, channels: Sequence[str]) -> list[Reply]:
        """The raw presence reply of each channel."""
        return self.poll(channels)[0]

    def poll(self, channels: Sequence[str]) -> tuple[list[Reply], frozenset[str]]:
        """The raw presence reply of each channel, and the nodes at the same moment."""
        if not channels:
            return [], frozenset()
        asked: list[Command] = [("presence", {"channel": channel}) for channel in channels]
        *shown, info = self._transport.batch([*asked, _INFO], parallel=True)
        return shown, _nodes_of(info)

    def recount(self, channels: Sequence[str]) -> tuple[list[Reply], Survey]:
        """The raw presence reply of each channel, and the survey of them at the same moment.

        Counted before and after, the lower count holds: while many join or leave, Centrifugo
        counts clients that it does not show yet, or any more.
        """
        counted: list[Command] = [
            ("channels", {"pattern": p}) for p in channel_names.cover(channels)
        ]
        shown: list[Command] = [("presence", {"channel": c}) for c in channels]
        info, *answers = self._transport.batch([_INFO, *counted, *shown, *counted])
        first, last = len(counted), len(counted) + len(shown)
        before, after = _clients_of(answers[:first]), _clients_of(answers[last:])
        clients = {c: min(before.get(c, 0), after.get(c, 0)) for c in channels}
        return answers[first:last], Survey(_nodes_of(info), clients)

    def positions(self, feeds: Sequence[str]) -> list[Position | CentrifugoError]:
        """The top of each feed's stream; asking creates the stream where there is none."""
        asked: list[Command] = [("history", {"channel": feed, "limit": 0}) for feed in feeds]
        if not asked:
            return []
        return list(map(read_position, self._transport.batch(asked, parallel=True)))

    def publish(self, publications: Sequence[Publication]) -> list[Position | CentrifugoError]:
        """Publish one thing on each of several feeds; the position of each.

        Publishing the same version again is neither stored nor delivered: the idempotency key
        sees to it for five minutes, `version` and `version_epoch` for good.
        """
        asked: list[Command] = [
            (
                "publish",
                {
                    "channel": p.feed,
                    "data": p.data,
                    "idempotency_key": f"{p.channel}:{p.epoch}:{p.version}",
                    "version": p.version,
                    "version_epoch": p.epoch,
                },
            )
            for p in publications
        ]
        if not asked:
            return []
        return list(map(read_position, self._transport.batch(asked, parallel=True)))

    def send(self, messages: Sequence[tuple[str, msgspec.Raw]]) -> list[CentrifugoError | None]:
        """Publish data on channels, in order, for whoever listens now: an error, or None, each.

        Publishing it again delivers it again. It is in no history: nobody recovers it later.
        """
        asked: list[Command] = [
            ("publish", {"channel": c, "data": data, "skip_history": True}) for c, data in messages
        ]
        answers = self._transport.batch(asked, once=True) if asked else []
        return [answer if isinstance(answer, CentrifugoError) else None for answer in answers]


class _Error(msgspec.Struct):
    code: int
    message: str = ""


class _Batch(msgspec.Struct):
    replies: list[dict[str, msgspec.Raw]]


class _Node(msgspec.Struct):
    uid: str
    version: str = ""


class _Info(msgspec.Struct):
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
            error = decode_reply(reply["error"], _Error)
        except CentrifugoAnswerError as unreadable:
            return unreadable
        return CommandError(error.code, error.message)
    if method not in reply:
        return CentrifugoAnswerError(f"Centrifugo's reply to {method!r} has no {method!r} in it")
    return reply[method]


def result_of(reply: Reply) -> msgspec.Raw:
    if isinstance(reply, CentrifugoError):
        raise reply
    return reply


def _clients_of(listings: Iterable[Reply]) -> dict[str, int]:
    """The clients on each channel of replies to `channels`. Raises CentrifugoError."""
    counted: dict[str, int] = {}
    for listing in listings:
        found = decode_reply(result_of(listing), _Channels).channels
        counted |= {channel: entry.num_clients for channel, entry in found.items()}
    return counted


def _nodes_of(info: Reply) -> frozenset[str]:
    """The nodes of a reply to `info`, by uid. Raises CentrifugoError."""
    return frozenset(node.uid for node in decode_reply(result_of(info), _Info).nodes)


def read_position(reply: Reply) -> Position | CentrifugoError:
    if isinstance(reply, CentrifugoError):
        return reply
    try:
        stream = decode_reply(reply, _Stream)
    except CentrifugoAnswerError as error:
        return error
    return Position(stream.offset, stream.epoch)


def decode_reply(raw: msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CentrifugoAnswerError(
            f"Centrifugo's answer is not a {kind.__name__.strip('_').lower()} ({error})"
        ) from error
