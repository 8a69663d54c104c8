"""A Centrifugo in the memory of a test: a transport of the gateway without a server."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from presence.centrifugo.gateway import Command, Reply
from presence.exceptions import CentrifugoError
from presence.roster import channel_names
from presence.roster.messages import Position
from presence.roster.people import UserClaims, anonymous_id

__all__ = ["Client", "Connection", "FakeCentrifugo", "Stream"]

KEY_LIFETIME: Final = 300.0
"""Seconds for which Centrifugo remembers an idempotency key."""


class Client(msgspec.Struct, frozen=True):
    """One subscription to a channel. `user` is "" for a visitor who is not signed in; `signed`
    holds the claims of the visitor's tokens."""

    id: str
    user: str
    signed: UserClaims

    @property
    def member_id(self) -> str:
        """The id of the visitor in a roster."""
        return self.user or self.signed.anonymous or anonymous_id(self.id)


@dataclass
class Stream:
    """The history of a channel, and what Centrifugo needs to recognise a repeated publication."""

    epoch: str
    log: list[bytes] = field(default_factory=list)
    version: tuple[str, int] = ("", 0)
    keys: dict[str, tuple[float, Position]] = field(default_factory=dict)

    @property
    def top(self) -> Position:
        return Position(len(self.log), self.epoch)


class FakeCentrifugo:
    """Keeps subscriptions and publications, and answers the commands of the gateway.

    While `error` is set, every command fails with it: Centrifugo is down. There is no
    configuration: every channel has presence and a history. `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.error: CentrifugoError | None = None
        self.streams: dict[str, Stream] = {}
        self._clock = clock
        self._lives = 1
        self._lock = threading.Lock()
        self._clients: dict[str, dict[str, Client]] = defaultdict(dict)
        self._published: dict[str, list[Any]] = defaultdict(list)

    def subscribe(self, channel: str, client: Client) -> None:
        """Subscribe a client to a channel."""
        with self._lock:
            self._clients[channel][client.id] = client

    def unsubscribe(self, channel: str, client_id: str) -> None:
        """End the subscription of a client, if there is one."""
        with self._lock:
            self._clients[channel].pop(client_id, None)

    def clients(self, channel: str) -> list[Client]:
        """Return the clients that are subscribed to `channel` now, whatever the last tick saw."""
        with self._lock:
            return list(self._clients[channel].values())

    def channels(self) -> list[str]:
        """Return the channels with a subscription."""
        with self._lock:
            return sorted(channel for channel, clients in self._clients.items() if clients)

    def published(self, channel: str) -> list[Any]:
        """Return the decoded publications on `channel` itself, oldest first; the diffs of a room
        are on its feed."""
        with self._lock:
            return list(self._published[channel])

    def clear(self) -> None:
        """Forget the publications so far. Histories keep them."""
        with self._lock:
            self._published.clear()

    def restart(self) -> None:
        """Lose all histories and subscriptions, as a server without an engine does."""
        with self._lock:
            self._lives += 1
            self.streams = {}
            self._clients.clear()

    def stream(self, channel: str) -> Stream:
        """Return the history of a channel; create it if there is none."""
        epoch = f"S{self._lives}{len(self.streams)}"
        return self.streams.setdefault(channel, Stream(epoch))

    def batch(
        self, commands: Sequence[Command], *, parallel: bool = False, once: bool = False
    ) -> list[Reply]:
        """Answer commands; see presence.centrifugo.gateway.Transport."""
        if self.error:
            raise self.error
        replies: list[Reply] = []
        with self._lock:
            for method, parameters in commands:
                replies.append(self._reply(method, parameters))
        return replies

    def _reply(self, method: str, parameters: dict[str, Any]) -> Reply:
        answer = getattr(self, f"_answer_{method}", None)
        if answer is None:
            raise NotImplementedError(f"presence.testing has no answer to Centrifugo's {method!r}")
        return msgspec.Raw(msgspec.json.encode(answer(**parameters)))

    def _counts(self) -> Mapping[str, int]:
        """Return the number of clients of each channel."""
        return {channel: len(clients) for channel, clients in self._clients.items()}

    def _entries(self, channel: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the presence entries of a channel by client id."""
        entries: dict[str, dict[str, Any]] = {}
        for key, client in self._clients[channel].items():
            claims = {"conn_info": client.signed, "chan_info": client.signed}
            entries[key] = {"client": key, "user": client.user, **claims}
        return entries

    def _answer_info(self) -> dict[str, Any]:
        return {"nodes": [{"uid": f"node-{self._lives}", "version": "6.0.0"}]}

    def _answer_channels(self, *, pattern: str) -> dict[str, Any]:
        active = {
            channel: {"num_clients": count}
            for channel, count in self._counts().items()
            if count and channel_names.matches(pattern, channel)
        }
        return {"channels": active}

    def _answer_presence(self, *, channel: str) -> dict[str, Any]:
        return {"presence": dict(sorted(self._entries(channel).items()))}

    def _answer_disconnect(self, *, client: str, **_: object) -> dict[str, Any]:
        for channel in list(self._clients):
            self._clients[channel].pop(client, None)
        return {}

    def _answer_unsubscribe(self, *, client: str, channel: str, **_: object) -> dict[str, Any]:
        self._clients[channel].pop(client, None)
        return {}

    def _answer_history(self, *, channel: str, **_: object) -> Position:
        return self.stream(channel).top

    def _answer_publish(
        self,
        *,
        channel: str,
        data: msgspec.Raw,
        idempotency_key: str = "",
        version: int = 0,
        version_epoch: str = "",
        skip_history: bool = False,
    ) -> Position:
        if skip_history:
            self._published[channel].append(msgspec.json.decode(data))
            return Position()
        stream, now = self.stream(channel), self._clock()
        at, position = stream.keys.get(idempotency_key, (float("-inf"), stream.top))
        if now - at < KEY_LIFETIME:
            return position
        newest_epoch, newest = stream.version
        if version and newest_epoch == version_epoch and newest >= version:
            return stream.top
        if version:
            stream.version = (version_epoch, version)
        stream.log.append(bytes(data))
        if idempotency_key:
            stream.keys[idempotency_key] = (now, stream.top)
        self._published[channel].append(msgspec.json.decode(data))
        return stream.top


class Connection:
    """Result of `connect`: open until `close` or the end of its `with` block.

    `member_id` is the id of the visitor in a roster. For anonymous visitors, it is used only if
    PRESENCE_ANONYMOUS is "list".
    """

    def __init__(self, centrifugo: FakeCentrifugo, channel: str, client: Client) -> None:
        self._centrifugo = centrifugo
        self._client = client
        self.channel = channel
        self.member_id = client.member_id
        centrifugo.subscribe(channel, client)

    def close(self) -> None:
        """Close the connection, as a closed page does. The next tick misses it. May be repeated."""
        self._centrifugo.unsubscribe(self.channel, self._client.id)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Connection of {self.member_id!r} to {self.channel!r}>"
