"""A Centrifugo in memory behind the gateway's methods, and calls that can fail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from presence.backends.memory import MemoryStore
from presence.centrifugo.gateway import Publication, Survey
from presence.exceptions import CentrifugoError
from presence.roster import channel_names
from presence.roster.commit import Rules
from presence.roster.messages import Change, Position
from presence.sync.statistics import Report
from presence.sync.tick import Options, Sync
from presence.testing.clock import Inline
from presence.testing.contract import Clock

ROOM = "presence:room"


def connection(user: str, name: str = "", *, iat: float = 0.0, **info: Any) -> dict[str, Any]:
    """A presence entry as Django's tokens make it; without a name, one that was given no info."""
    signed = {"name": name, "info": info, "iat": iat} if name else None
    return {"user": user, "client": "", "conn_info": signed}


class Stream:
    """What Centrifugo keeps of one feed."""

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.log: list[bytes] = []
        self.version: tuple[str, int] = ("", 0)
        self.keys: dict[str, tuple[float, Position]] = {}

    @property
    def top(self) -> Position:
        return Position(len(self.log), self.epoch)


class FakeCentrifugo:
    """Presence, streams and publishing with Centrifugo's rules for repeats.

    `errors[method, channel]` stands in the place of that command's reply; `counted[channel]` is
    what `channels` counts where it is not what presence shows; `before` and `after` map a method
    to what is called around it, which may raise.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.lives = 0
        self.rooms: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.watchers: dict[str, int] = {}
        self.counted: dict[str, int] = {}
        self.errors: dict[tuple[str, str], CentrifugoError] = {}
        self.before: dict[str, Callable[[], None]] = {}
        self.after: dict[str, Callable[[], None]] = {}
        self.raw: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.delivered: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.restart(keep_rooms=False)

    def restart(self, *, keep_rooms: bool = True) -> None:
        """Another life: streams and what it knows of repeats are gone, and so are the clients."""
        self.lives += 1
        self.streams: dict[str, Stream] = {}
        if not keep_rooms:
            self.rooms.clear()

    def enter(self, channel: str, client: str, user: str, name: str = "", **more: Any) -> None:
        self.rooms[channel][client] = {**connection(user, name, **more), "client": client}

    def quit(self, channel: str, client: str) -> None:
        del self.rooms[channel][client]

    def stream(self, feed: str) -> Stream:
        return self.streams.setdefault(feed, Stream(f"S{self.lives}{len(self.streams)}"))

    def survey(self, patterns: Sequence[str]) -> Survey:
        return self._around("survey", lambda: self._survey(patterns))

    def recount(
        self, channels: Sequence[str]
    ) -> tuple[list[msgspec.Raw | CentrifugoError], Survey]:
        def answer() -> tuple[list[msgspec.Raw | CentrifugoError], Survey]:
            counted = self._survey([channel_names.escape(channel) for channel in channels])
            return [self._presence(channel) for channel in channels], counted

        return self._around("recount", answer)

    def poll(
        self, channels: Sequence[str]
    ) -> tuple[list[msgspec.Raw | CentrifugoError], frozenset[str]]:
        return self._around("poll", lambda: ([self._presence(c) for c in channels], self._nodes()))

    def positions(self, feeds: Sequence[str]) -> list[Position | CentrifugoError]:
        return self._around(
            "positions",
            lambda: [self.errors.get(("positions", f)) or self.stream(f).top for f in feeds],
        )

    def publish(self, publications: Sequence[Publication]) -> list[Position | CentrifugoError]:
        assert len({p.feed for p in publications}) == len(publications), "two on one feed at once"
        return self._around("publish", lambda: [self._publish(p) for p in publications])

    def _around(self, method: str, answer: Callable[[], Any]) -> Any:
        self.calls.append(method)
        self.before.get(method, int)()
        result = answer()
        self.after.get(method, int)()
        return result

    def _survey(self, patterns: Sequence[str]) -> Survey:
        clients = {c: len(entries) for c, entries in self.rooms.items() if entries}
        for channel, counted in (*self.counted.items(), *self.watchers.items()):
            clients[channel] = max(counted, clients.get(channel, 0))
        active = {
            c: n
            for c, n in clients.items()
            if n and any(channel_names.matches(p, c) for p in patterns)
        }
        return Survey(self._nodes(), active)

    def _nodes(self) -> frozenset[str]:
        return frozenset({f"node-{self.lives}"})

    def _presence(self, channel: str) -> msgspec.Raw | CentrifugoError:
        if error := self.errors.get(("presence", channel)):
            return error
        shown = dict(sorted(self.rooms.get(channel, {}).items()))
        return msgspec.Raw(self.raw.get(channel) or msgspec.json.encode({"presence": shown}))

    def _publish(self, p: Publication) -> Position | CentrifugoError:
        if error := self.errors.get(("publish", p.channel)):
            return error
        stream, key = self.stream(p.feed), f"{p.channel}:{p.epoch}:{p.version}"
        at, position = stream.keys.get(key, (float("-inf"), stream.top))
        if self.clock() - at < 300:
            return position
        epoch, version = stream.version
        if (epoch, version) >= (p.epoch, p.version) and epoch == p.epoch:
            return stream.top
        stream.version = (p.epoch, p.version)
        stream.log.append(bytes(p.data))
        stream.keys[key] = (self.clock(), stream.top)
        self.delivered[p.feed].append(msgspec.json.decode(p.data))
        return stream.top


class Site:
    """A sync on a MemoryStore and a FakeCentrifugo that share one clock."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.centrifugo = FakeCentrifugo(self.clock)
        self.store = MemoryStore(clock=self.clock)
        self.announced: list[tuple[str, int, Change, str]] = []
        self.configure(**options)

    def configure(self, *, grace: float = 10.0, list_limit: int = 200, **options: Any) -> None:
        rules = Rules(grace=grace, list_limit=list_limit)
        self.options = Options(rules=rules, **options)
        self.sync = self.make(self.options)

    def make(self, options: Options, *, store: Any = None, gateway: Any = None) -> Sync:
        return Sync(
            store or self.store,
            gateway or self.centrifugo,
            options,
            announce=lambda *one: self.announced.append(one),
            clock=self.clock,
            executor=Inline,
        )

    def tick(self, after: float = 0.0, only: Iterable[str] | None = None) -> Report:
        """A tick `after` so many seconds."""
        self.clock.advance(after)
        return self.sync.tick(None if only is None else list(only))

    def snapshot(self, channel: str = ROOM) -> dict[str, Any]:
        """The snapshot as it is stored; {} where there is none."""
        stored = self.store.load_snapshots([channel])[channel].snapshot
        return msgspec.json.decode(stored) if stored else {}

    def ids(self, channel: str = ROOM) -> list[str]:
        return [member["id"] for member in self.snapshot(channel).get("members", [])]

    def diffs(self, feed: str = ROOM) -> list[dict[str, Any]]:
        """What a subscriber of the feed that was never away received."""
        return self.centrifugo.delivered[feed]
