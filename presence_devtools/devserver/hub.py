"""Connections, subscriptions and presence of the whole server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from .wire import ClientInfo, PresenceStatsResult, Raw, escape

if TYPE_CHECKING:
    from .session import Session


class Presence:
    """Clients that are present in each channel.

    The API's reply for a channel is encoded once and kept until a client joins or leaves, because
    a sync polls a thousand channels and mostly reads the same bytes again.
    """

    def __init__(self) -> None:
        self._channels: dict[str, dict[str, ClientInfo]] = {}
        self._encoded: dict[str, Raw] = {}

    def add(self, channel: str, info: ClientInfo) -> None:
        members = self._channels.setdefault(channel, {})
        if members.get(info.client) != info:
            members[info.client] = info
            self._encoded.pop(channel, None)

    def remove(self, channel: str, client: str) -> None:
        members = self._channels.get(channel, {})
        if members.pop(client, None) is not None:
            self._encoded.pop(channel, None)
            if not members:
                del self._channels[channel]

    def of(self, channel: str) -> dict[str, ClientInfo]:
        """Return the info of each client, by its id."""
        return self._channels.get(channel, {})

    def encoded(self, channel: str) -> Raw:
        """Return `{"presence":{…}}`, sorted by client id, as Centrifugo's API writes it."""
        if channel not in self._channels:
            return Raw(b'{"presence":{}}')
        if channel not in self._encoded:
            members = dict(sorted(self.of(channel).items()))
            self._encoded[channel] = Raw(escape(msgspec.json.encode({"presence": members})))
        return self._encoded[channel]

    def stats(self, channel: str) -> PresenceStatsResult:
        members = self.of(channel)
        users = {info.user for info in members.values()}
        return PresenceStatsResult(num_clients=len(members), num_users=len(users))


class Hub:
    """All connections that have sent `connect`, and their subscriptions."""

    def __init__(self) -> None:
        self.clients: dict[str, Session] = {}
        self.subscribers: dict[str, dict[str, Session]] = {}
        self.presence = Presence()
        self._users: dict[str, dict[str, Session]] = {}

    def add(self, client: Session) -> None:
        self.clients[client.id] = client
        self._users.setdefault(client.user, {})[client.id] = client

    def remove(self, client: Session) -> None:
        self.clients.pop(client.id, None)
        connections = self._users.get(client.user, {})
        connections.pop(client.id, None)
        if not connections:
            self._users.pop(client.user, None)

    def subscribe(self, channel: str, client: Session) -> None:
        self.subscribers.setdefault(channel, {})[client.id] = client

    def unsubscribe(self, channel: str, client: Session) -> None:
        subscribers = self.subscribers.get(channel, {})
        subscribers.pop(client.id, None)
        if not subscribers:
            self.subscribers.pop(channel, None)

    def subscribers_of(self, channel: str) -> list[Session]:
        return list(self.subscribers.get(channel, {}).values())

    def connections(self, user: str, *, client: str = "") -> Iterable[Session]:
        """Return the connections of `user`, or the one named."""
        found = list(self._users.get(user, {}).values())
        return [each for each in found if each.id == client] if client else found

    @property
    def user_count(self) -> int:
        return len(self._users)
