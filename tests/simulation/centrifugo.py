"""Centrifugo of the simulator: several nodes that share one engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from presence.roster.messages import Position
from tests.unit.fakes import Clock, FakeCentrifugo

HISTORY_SIZE = 100
HISTORY_TTL = 600.0
ENTRY_EXPIRES = 59.0
"""Seconds after which the presence entries of a killed node are gone."""
ENTRY_WRITTEN = 27.0
"""Seconds within which a node writes the entry of each of its clients again."""


class Cluster(FakeCentrifugo):
    """Nodes with clients. `deliver(feed, offset, data)` is called for each publication,
    `ended(client)` for each client that the server API disconnects, `moved(channel, user, is_here)`
    when the first client of a user enters and the last one leaves, `read(channel)` for each reply.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.nodes = ["node-1", "node-2", "node-3"]
        self.deliver: Callable[[str, int, bytes], None] = lambda *_: None
        self.ended: Callable[[str], None] = lambda _: None
        self.home: dict[str, str] = {}
        self.moved: Callable[[str, str, bool], None] = lambda *_: None
        self.read: Callable[[str], None] = lambda _: None
        self.silent = ""
        """A node that answers no survey: its clients are not counted."""
        self.hidden: set[str] = set()
        """Clients that presence does not show, although they are counted."""
        self.logs: list[tuple[str, list[bytes]]] = []
        self._made = 3
        self._ghosts: dict[str, dict[str, tuple[float, dict[str, Any]]]] = defaultdict(dict)
        self._times: dict[str, list[float]] = defaultdict(list)

    def connect(self, client: str, node: str, channels: Mapping[str, dict[str, Any]]) -> None:
        """Let a client connect to a node and enter channels, with the options of `enter`."""
        self.home[client] = node
        for channel, options in channels.items():
            if options["user"] not in self._users(channel):
                self.moved(channel, options["user"], True)
            self.enter(channel, client, **options)

    def leave(self, client: str) -> None:
        """End a connection; does nothing if it has ended."""
        self.home.pop(client, None)
        for channel, entries in self.rooms.items():
            entry = entries.pop(client, None)
            if entry and entry["user"] not in self._users(channel):
                self.moved(channel, entry["user"], False)

    def _users(self, channel: str) -> set[str]:
        return {entry["user"] for entry in self.rooms[channel].values()}

    def kill(self, node: str) -> list[str]:
        """Kill a node, and start another. Counts fall at once; presence shows the clients until
        their entries expire. Returns these clients."""
        clients = [client for client, home in self.home.items() if home == node]
        for client in clients:
            for channel, entries in self.rooms.items():
                if client in entries and client not in self.hidden:
                    expires = self._clock() + ENTRY_EXPIRES
                    self._ghosts[channel][client] = (expires, entries[client])
            self.leave(client)
        self._made += 1
        self.nodes = [n for n in self.nodes if n != node] + [f"node-{self._made}"]
        return clients

    def lose_entries(self) -> list[str]:
        """Lose all presence entries, those of killed nodes as well. Returns the clients whose
        entries are to come again."""
        self._ghosts.clear()
        self.hidden = set(self.home)
        return sorted(self.hidden)

    def restart(self) -> None:
        self.keep_logs()
        for client in list(self.home):
            self.leave(client)
        super().restart()
        self.nodes = [f"node-{self._made + number}" for number in (1, 2, 3)]
        self._made += 3
        self.home.clear()
        self.hidden.clear()
        self._ghosts.clear()
        self._times.clear()

    def keep_logs(self) -> None:
        """Keep what was published in this life of the streams."""
        self.logs += [(feed, stream.log) for feed, stream in self.streams.items()]

    def recover(self, feed: str, since: Position | None) -> tuple[bool, list[bytes]]:
        """Return whether a reader misses nothing since a position, and the publications since."""
        stream = self.stream(feed)
        if since is None or since.epoch != stream.epoch or since.offset > stream.top.offset:
            return False, []
        fresh = sum(at > self._clock() - HISTORY_TTL for at in self._times[feed])
        missing = stream.top.offset - since.offset
        if missing > min(fresh, HISTORY_SIZE):
            return False, []
        return True, stream.log[since.offset :]

    def _entries(self, channel: str) -> Mapping[str, Mapping[str, Any]]:
        now = self._clock()
        self.read(channel)
        ghosts = {c: entry for c, (at, entry) in self._ghosts[channel].items() if at > now}
        shown = {**ghosts, **self.rooms.get(channel, {})}
        return {client: entry for client, entry in shown.items() if client not in self.hidden}

    def _counts(self) -> Mapping[str, int]:
        return {
            channel: sum(not self.silent or self.home.get(c) != self.silent for c in entries)
            for channel, entries in self.rooms.items()
        }

    def _answer_info(self) -> dict[str, Any]:
        heard = [node for node in self.nodes if node != self.silent]
        return {"nodes": [{"uid": uid, "version": "6.0.0"} for uid in heard]}

    def _answer_publish(self, *, channel: str, data: msgspec.Raw, **more: Any) -> Position:
        stream = self.stream(channel)
        before = len(stream.log)
        position = super()._answer_publish(channel=channel, data=data, **more)
        if more.get("skip_history"):
            self.deliver(channel, 0, bytes(data))
        elif len(stream.log) > before:
            self._times[channel].append(self._clock())
            self.deliver(channel, len(stream.log), bytes(data))
        return position

    def _answer_disconnect(self, *, client: str, **more: object) -> dict[str, Any]:
        self.leave(client)
        super()._answer_disconnect(client=client, **more)
        self.ended(client)
        return {}
