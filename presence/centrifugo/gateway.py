"""The gateway: what this app asks of Centrifugo's server API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from presence.centrifugo import replies
from presence.centrifugo.replies import Reply
from presence.exceptions import CentrifugoError
from presence.roster import channel_names
from presence.roster.types import Position

__all__ = ["Command", "Gateway", "Publication", "Survey", "Transport"]

Command = tuple[str, dict[str, Any]]
"""A method of the server API and its parameters; raw JSON in them is sent as it is."""

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
        info, *listings = self._batch(asked, parallel=True)
        return Survey(replies.nodes(info), replies.clients(listings))

    def versions(self) -> list[str]:
        """The version of each node."""
        (info,) = self._batch([_INFO])
        return [node.version for node in replies.decode(replies.result(info), replies.Info).nodes]

    def presence(self, channels: Sequence[str]) -> list[Reply]:
        """The raw presence reply of each channel."""
        return self.poll(channels)[0]

    def poll(self, channels: Sequence[str]) -> tuple[list[Reply], frozenset[str]]:
        """The raw presence reply of each channel, and the nodes at the same moment."""
        if not channels:
            return [], frozenset()
        asked: list[Command] = [("presence", {"channel": channel}) for channel in channels]
        *shown, info = self._batch([*asked, _INFO], parallel=True)
        return shown, replies.nodes(info)

    def recount(self, channels: Sequence[str]) -> tuple[list[Reply], Survey]:
        """The raw presence reply of each channel, and the survey of them at the same moment.

        Counted before and after, the lower count holds: while many join or leave, Centrifugo
        counts clients that it does not show yet, or any more.
        """
        counted: list[Command] = [
            ("channels", {"pattern": p}) for p in channel_names.cover(channels)
        ]
        shown: list[Command] = [("presence", {"channel": c}) for c in channels]
        info, *answers = self._batch([_INFO, *counted, *shown, *counted])
        first, last = len(counted), len(counted) + len(shown)
        before, after = replies.clients(answers[:first]), replies.clients(answers[last:])
        clients = {c: min(before.get(c, 0), after.get(c, 0)) for c in channels}
        return answers[first:last], Survey(replies.nodes(info), clients)

    def positions(self, feeds: Sequence[str]) -> list[Position | CentrifugoError]:
        """The top of each feed's stream; asking creates the stream where there is none."""
        asked: list[Command] = [("history", {"channel": feed, "limit": 0}) for feed in feeds]
        return [replies.position(reply) for reply in self._batch(asked, parallel=True)]

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
        return [replies.position(reply) for reply in self._batch(asked, parallel=True)]

    def send(self, messages: Sequence[tuple[str, msgspec.Raw]]) -> list[CentrifugoError | None]:
        """Publish data on channels, in order, for whoever listens now: an error, or None, each.

        Publishing it again delivers it again. It is in no history: nobody recovers it later.
        """
        asked: list[Command] = [
            ("publish", {"channel": c, "data": data, "skip_history": True}) for c, data in messages
        ]
        answers = self._batch(asked, once=True)
        return [answer if isinstance(answer, CentrifugoError) else None for answer in answers]

    def _batch(
        self, commands: Sequence[Command], *, parallel: bool = False, once: bool = False
    ) -> list[Reply]:
        if not commands:
            return []
        return self._transport.batch(commands, parallel=parallel, once=once)
