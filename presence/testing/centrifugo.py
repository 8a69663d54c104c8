"""A Centrifugo in the memory of a test: the transport of the gateway, with no server behind it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from presence.centrifugo.gateway import Command, Reply
from presence.exceptions import CentrifugoError
from presence.roster import channel_names
from presence.roster.people import UserClaims, anonymous_id

__all__ = ["Client", "FakeCentrifugo"]


class Client(msgspec.Struct, frozen=True):
    """One subscription to a channel. `user` is "" for whoever is not signed in; `signed` is what
    their tokens say of them."""

    id: str
    user: str
    signed: UserClaims

    @property
    def member_id(self) -> str:
        """The id that a room lists them under."""
        return self.user or self.signed.anonymous or anonymous_id(self.id)


class FakeCentrifugo:
    """Knows who is connected and what was published, and answers the commands of the gateway.

    While `error` is set, every command fails with it: Centrifugo is down. Without regard to
    configuration: every channel has presence and a history.
    """

    def __init__(self) -> None:
        self.error: CentrifugoError | None = None
        self._lock = threading.Lock()
        self._clients: dict[str, dict[str, Client]] = defaultdict(dict)
        self._published: dict[str, list[Any]] = defaultdict(list)
        self._offsets: dict[str, int] = defaultdict(int)
        self._taken: set[str] = set()

    def enter(self, channel: str, client: Client) -> None:
        """Subscribe a client to a channel."""
        with self._lock:
            self._clients[channel][client.id] = client

    def quit(self, channel: str, client: str) -> None:
        """End the subscription of a client; nothing where there is none."""
        with self._lock:
            self._clients[channel].pop(client, None)

    def clients(self, channel: str) -> list[Client]:
        """Who is subscribed to `channel` at this moment, ticks aside."""
        with self._lock:
            return list(self._clients[channel].values())

    def channels(self) -> list[str]:
        """Where somebody is subscribed."""
        with self._lock:
            return sorted(channel for channel, clients in self._clients.items() if clients)

    def published(self, channel: str) -> list[Any]:
        """What was published on `channel`, as JSON has it, oldest first; the channel itself, so
        that the diffs of a room are on its feed."""
        with self._lock:
            return list(self._published[channel])

    def clear(self) -> None:
        """Forget what was published, for what comes next to stand out."""
        with self._lock:
            self._published.clear()

    def batch(
        self, commands: Sequence[Command], *, parallel: bool = False, once: bool = False
    ) -> list[Reply]:
        """Answer commands, as presence.centrifugo.gateway.Transport does."""
        if self.error:
            raise self.error
        replies: list[Reply] = []
        with self._lock:
            for method, parameters in commands:
                answer = getattr(self, f"_answer_{method}", None)
                if answer is None:
                    raise NotImplementedError(
                        f"presence.testing has no answer to Centrifugo's {method!r}"
                    )
                replies.append(msgspec.Raw(msgspec.json.encode(answer(**parameters))))
        return replies

    def _answer_info(self) -> dict[str, Any]:
        return {"nodes": [{"uid": "fake", "version": "6.0.0"}]}

    def _answer_channels(self, *, pattern: str) -> dict[str, Any]:
        active = {
            channel: {"num_clients": len(clients)}
            for channel, clients in self._clients.items()
            if clients and channel_names.matches(pattern, channel)
        }
        return {"channels": active}

    def _answer_presence(self, *, channel: str) -> dict[str, Any]:
        shown = {
            key: {
                "client": key,
                "user": client.user,
                "conn_info": client.signed,
                "chan_info": client.signed,
            }
            for key, client in sorted(self._clients[channel].items())
        }
        return {"presence": shown}

    def _answer_history(self, *, channel: str, **_: object) -> dict[str, Any]:
        return {"offset": self._offsets[channel], "epoch": "fake"}

    def _answer_publish(
        self,
        *,
        channel: str,
        data: msgspec.Raw,
        idempotency_key: str = "",
        skip_history: bool = False,
        **_: object,
    ) -> dict[str, Any]:
        if not idempotency_key or idempotency_key not in self._taken:
            self._taken.add(idempotency_key)
            self._published[channel].append(msgspec.json.decode(data))
            self._offsets[channel] += not skip_history
        return {"offset": self._offsets[channel], "epoch": "fake"}
