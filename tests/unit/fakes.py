"""A Centrifugo in memory that can fail, and a site that syncs with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

import presence.testing
from presence.backends.memory import MemoryStore
from presence.centrifugo.gateway import Command, Gateway, Reply
from presence.exceptions import CentrifugoError
from presence.roster.channel_names import PULSE
from presence.roster.messages import Change
from presence.sync.context import Options
from presence.sync.statistics import Report
from presence.sync.tick import Sync
from presence.testing.clock import Clock, Inline

ROOM = "presence:room"


def connection(user: str, name: str = "", *, iat: float = 0.0, **info: Any) -> dict[str, Any]:
    """Return a presence entry with the claims of a token; without a name, without claims."""
    signed = {"name": name, "info": info, "iat": iat} if name else None
    return {"user": user, "client": "", "conn_info": signed}


class FakeCentrifugo(presence.testing.FakeCentrifugo):
    """The Centrifugo of presence.testing, with faults.

    `rooms` holds the presence entries of each channel by client. `errors[method, channel]` replaces
    the reply to that command, `raw[channel]` the presence reply. `counted[channel]` is the least
    that `channels` counts, and `watchers[feed]` the subscribers of a feed. `before` and `after` map
    a request, by the name of the gateway's method, to a function that is called around it and may
    raise. `requests` lists the requests so far.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock or Clock())
        self.rooms: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.watchers: dict[str, int] = {}
        self.counted: dict[str, int] = {}
        self.errors: dict[tuple[str, str], CentrifugoError] = {}
        self.raw: dict[str, bytes] = {}
        self.before: dict[str, Callable[[], None]] = {}
        self.after: dict[str, Callable[[], None]] = {}
        self.requests: list[str] = []

    @property
    def delivered(self) -> dict[str, list[Any]]:
        """Decoded publications by feed."""
        return self._published

    def enter(self, channel: str, client: str, user: str, name: str = "", **more: Any) -> None:
        self.rooms[channel][client] = {**connection(user, name, **more), "client": client}

    def quit(self, channel: str, client: str) -> None:
        del self.rooms[channel][client]

    def restart(self) -> None:
        super().restart()
        self.rooms.clear()

    def _answer_disconnect(self, *, client: str, **more: object) -> dict[str, Any]:
        for entries in self.rooms.values():
            entries.pop(client, None)
        return super()._answer_disconnect(client=client, **more)

    def _answer_unsubscribe(self, *, client: str, channel: str, **more: object) -> dict[str, Any]:
        self.rooms[channel].pop(client, None)
        return super()._answer_unsubscribe(client=client, channel=channel, **more)

    def batch(self, commands: Sequence[Command], **options: Any) -> list[Reply]:
        feeds = [given["channel"] for method, given in commands if method == "publish"]
        assert len(set(feeds)) == len(feeds), "two on one feed at once"
        request = _name(commands)
        self.requests.append(request)
        self.before.get(request, int)()
        replies = super().batch(commands, **options)
        self.after.get(request, int)()
        return replies

    def _reply(self, method: str, parameters: dict[str, Any]) -> Reply:
        channel = parameters.get("channel", "")
        if error := self.errors.get((method, channel)):
            return error
        if method == "presence" and channel in self.raw:
            return msgspec.Raw(self.raw[channel])
        return super()._reply(method, parameters)

    def _counts(self) -> Mapping[str, int]:
        clients = {channel: len(entries) for channel, entries in self.rooms.items()}
        for channel, counted in (*self.counted.items(), *self.watchers.items()):
            clients[channel] = max(counted, clients.get(channel, 0))
        return clients

    def _entries(self, channel: str) -> Mapping[str, Mapping[str, Any]]:
        return self.rooms.get(channel, {})


def _name(commands: Sequence[Command]) -> str:
    """Return the name of the gateway's method that sends these commands."""
    if any(given.get("channel") == PULSE for _, given in commands):
        return "pulse"
    methods = {method for method, _ in commands}
    if "channels" in methods and "presence" in methods:
        return "recount"
    if methods & {"disconnect", "unsubscribe"}:
        return "end"
    names = {"presence": "poll", "history": "positions", "publish": "publish"}
    return next((name for method, name in names.items() if method in methods), "survey")


class Site:
    """A sync on a MemoryStore and a FakeCentrifugo that share one clock."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.centrifugo = FakeCentrifugo(self.clock)
        self.gateway = Gateway(self.centrifugo)
        self.store = MemoryStore(clock=self.clock)
        self.announced: list[tuple[str, int, Change, str]] = []
        self.configure(**options)

    def configure(self, **options: Any) -> None:
        self.options = Options(**options)
        self.sync = self.make(self.options)

    def make(self, options: Options, *, store: Any = None, gateway: Any = None) -> Sync:
        return Sync(
            store or self.store,
            gateway or self.gateway,
            options,
            announce=lambda *change: self.announced.append(change),
            clock=self.clock,
            executor=Inline,
        )

    def tick(self, after: float = 0.0, only: Iterable[str] | None = None) -> Report:
        """Run a tick after `after` seconds."""
        self.clock.advance(after)
        return self.sync.tick(None if only is None else list(only))

    def snapshot(self, channel: str = ROOM) -> dict[str, Any]:
        """Return the stored snapshot; {} if there is none."""
        stored = self.store.load_snapshots([channel])[channel].snapshot
        return msgspec.json.decode(stored) if stored else {}

    def ids(self, channel: str = ROOM) -> list[str]:
        return [member["id"] for member in self.snapshot(channel).get("members", [])]

    def diffs(self, feed: str = ROOM) -> list[dict[str, Any]]:
        """Return what a permanent subscriber of the feed received."""
        return self.centrifugo.delivered[feed]
