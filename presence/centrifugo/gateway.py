"""The gateway to Centrifugo's server API: the requests of this app, and the parsing of answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from presence.exceptions import CentrifugoAnswerError, CentrifugoError, CommandError
from presence.roster import channel_names
from presence.roster.messages import Position

Command = tuple[str, dict[str, Any]]
"""A method of the server API and its parameters; raw JSON in these is sent unchanged."""

Reply = msgspec.Raw | CentrifugoError
"""The raw reply to a command, or its error."""

T = TypeVar("T")

REVOKED: Final = {"code": 4501, "reason": "revoked"}
"""With this code, clients do not connect again."""
_INFO: Command = ("info", {})


class Transport(Protocol):
    """Sends commands to Centrifugo: presence.centrifugo.http.HttpTransport, or a test's own."""

    def batch(
        self, commands: Sequence[Command], *, parallel: bool = False, once: bool = False
    ) -> list[Reply]:
        """Send at least one command; return the raw reply or the error of each.

        With `parallel`, Centrifugo may execute them in any order. With `once`, they are not sent
        again after the connection failed. Raises CentrifugoError.
        """


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """Data to publish on `feed` at most once, as `version` of `epoch`."""

    feed: str
    data: msgspec.Raw
    channel: str
    epoch: str
    version: int


class Connected(NamedTuple):
    """A connection, by its id in Centrifugo, and the channels that it is to leave (none: it is to
    be closed)."""

    user: str
    client: str
    channels: Sequence[str] = ()


class Survey(msgspec.Struct, frozen=True):
    """Centrifugo's nodes by uid, and the number of clients of each active channel."""

    nodes: frozenset[str]
    clients: dict[str, int]


class Gateway:
    """Requests to Centrifugo. Connects at the first call.

    Every method may raise a CentrifugoError; a returned list has the error of a single command in
    its place. After the connection failed, which may only show when it is used again, a request is
    repeated once on a new one in the time that is left; `send` is not, as it would deliver twice.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def survey(self, patterns: Sequence[str]) -> Survey:
        """Return the nodes, and the active channels that match any of the `patterns`."""
        asked: list[Command] = [_INFO, *(("channels", {"pattern": p}) for p in patterns)]
        info, *listings = self._transport.batch(asked, parallel=True)
        return Survey(_nodes_of(info), _clients_of(listings))

    def versions(self) -> list[str]:
        """Return the version of each node."""
        (info,) = self._transport.batch([_INFO])
        return [node.version for node in decode_reply(result_of(info), _Info).nodes]

    def presence(self, channels: Sequence[str]) -> list[Reply]:
        """Return the raw presence reply of each channel."""
        return self.poll(channels)[0]

    def poll(self, channels: Sequence[str]) -> tuple[list[Reply], frozenset[str]]:
        """Return the raw presence reply of each channel, and the nodes at the same moment."""
        if not channels:
            return [], frozenset()
        asked: list[Command] = [("presence", {"channel": channel}) for channel in channels]
        *shown, info = self._transport.batch([*asked, _INFO], parallel=True)
        return shown, _nodes_of(info)

    def recount(self, channels: Sequence[str]) -> tuple[list[Reply], Survey]:
        """Return the raw presence reply of each channel, and their survey at the same moment.

        The survey has the lower of the counts before and after: while many clients join or leave,
        Centrifugo counts clients that it does not show yet, or no longer shows.
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

    def end(self, connections: Sequence[Connected]) -> None:
        """End connections, or their subscriptions in some channels. Raises the first error, but not
        that of a subscription whose namespace is not configured, which nobody has."""
        asked: list[Command] = []
        for each in connections:
            who = {"user": each.user, "client": each.client}
            if each.channels:
                asked += [("unsubscribe", {**who, "channel": c}) for c in each.channels]
            else:
                asked.append(("disconnect", {**who, "disconnect": REVOKED}))
        answers = self._transport.batch(asked, parallel=True) if asked else []
        for (method, _), answer in zip(asked, answers, strict=True):
            missing = isinstance(answer, CommandError) and answer.permanent
            if not (missing and method == "unsubscribe"):
                result_of(answer)

    def positions(self, feeds: Sequence[str]) -> list[Position | CentrifugoError]:
        """Return the top of each feed's stream; this creates a stream if there is none."""
        asked: list[Command] = [("history", {"channel": feed, "limit": 0}) for feed in feeds]
        answers = self._transport.batch(asked, parallel=True) if asked else []
        return [read_position(answer) for answer in answers]

    def publish(self, publications: Sequence[Publication]) -> list[Position | CentrifugoError]:
        """Publish on several feeds, once on each; return the position of each publication.

        A repeated version is neither stored nor delivered. The idempotency key ensures this for
        five minutes, `version` and `version_epoch` for ever.
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
        answers = self._transport.batch(asked, parallel=True) if asked else []
        return [read_position(answer) for answer in answers]

    def send(self, messages: Sequence[tuple[str, msgspec.Raw]]) -> list[CentrifugoError | None]:
        """Publish data on channels, in order; return an error or None for each.

        Only current subscribers get it: it is in no history. A repeated call delivers it again.
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


_batch = msgspec.json.Decoder(_Batch)


def read_batch(content: bytes | bytearray, methods: Sequence[str]) -> list[Reply]:
    """Return the raw reply to each of the `methods` of a batch.

    Raises CentrifugoAnswerError if the whole answer cannot be read.
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
    """Decode the answer with another character in place of what is not Unicode: a
    user's name must not cost the batch."""
    try:
        content.isascii() or content.decode()
        return _batch.decode(content)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Half a surrogate pair is valid JSON for Centrifugo and for Python's own, slower decoder.
        text = json.dumps(json.loads(content.decode("utf-8", "replace")), ensure_ascii=False)
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
    """Return a reply; raise it if it is an error."""
    if isinstance(reply, CentrifugoError):
        raise reply
    return reply


def _clients_of(listings: Iterable[Reply]) -> dict[str, int]:
    """Return the client counts of replies to `channels`. Raises CentrifugoError."""
    counted: dict[str, int] = {}
    for listing in listings:
        found = decode_reply(result_of(listing), _Channels).channels
        counted |= {channel: entry.num_clients for channel, entry in found.items()}
    return counted


def _nodes_of(info: Reply) -> frozenset[str]:
    """Return the uids of the nodes in a reply to `info`. Raises CentrifugoError."""
    return frozenset(node.uid for node in decode_reply(result_of(info), _Info).nodes)


def read_position(reply: Reply) -> Position | CentrifugoError:
    """Return the stream position in a reply, or its error."""
    try:
        return decode_reply(result_of(reply), Position)
    except CentrifugoError as error:
        return error


def decode_reply(raw: msgspec.Raw, kind: type[T]) -> T:
    """Return a reply as an object of that type. Raises CentrifugoAnswerError."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CentrifugoAnswerError(
            f"Centrifugo's answer is not a {kind.__name__.strip('_').lower()} ({error})"
        ) from error
