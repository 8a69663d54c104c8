"""Visitors of the simulator: tabs with a connection to Centrifugo, and what their pages show."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from presence.backends.base import Suspect, Writes
from presence.exceptions import InvalidMessage
from presence.roster.channel_names import PULSE, session_channel
from presence.roster.messages import Position, Snapshot
from presence.snapshots import _serve

if TYPE_CHECKING:
    from tests.simulation.world import World

PING_TIMEOUT = 14.0
"""Seconds after which Centrifugo ends the connection of a page that does not answer."""


@dataclass
class Visit:
    """What a visitor's tokens say: signed once, when the page is opened."""

    user: str
    session: str
    name: str
    signed_at: float


@dataclass
class Tab:
    """One open page. It holds at most one connection, `client`; "" while it has none."""

    world: World
    number: int
    channel: str
    visit: Visit
    client: str = ""
    shows: dict[str, Any] = field(default_factory=dict)
    is_frozen: bool = False
    is_open: bool = True
    applied: set[tuple[str, int]] = field(default_factory=set)
    version: tuple[str, int] = ("", 0)
    position: Position | None = None
    inbox: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    arrives: float = 0.0
    wakes: float = 0.0

    # The page

    def open(self) -> None:
        """Render the page, and let it connect a little later."""
        world = self.world
        snapshot = self._read() or Snapshot()
        user = self.visit.user
        shown = {"id": user, "name": self.visit.name, "info": {}} if user else None
        position = snapshot.position
        self.version = snapshot.epoch, snapshot.version
        report = world.browser.order(
            "open",
            self.number,
            now=world.clock(),
            seed=world.random.randrange(2**31),
            channel=self.channel,
            shown=msgspec.to_builtins(snapshot),
            position=position and {"offset": position.offset, "epoch": position.epoch},
            user=shown,
        )
        since = report["since"]
        self.position = Position(since["offset"], since["epoch"]) if since else None
        self._note(report)
        world.after(world.random.uniform(0.02, 0.4), "connect", self.connect)

    def close(self) -> None:
        """Close the page, and its connection with it."""
        self.disconnect()
        self.vanish()

    def vanish(self) -> None:
        """End the page. Centrifugo does not notice."""
        self.is_open = False
        self.world.tabs.remove(self)
        self.world.browser.order("close", self.number, now=self.world.clock())

    def order(self, op: str, **order: Any) -> None:
        """Give the page an order, or keep it while the page is frozen."""
        if self.is_frozen:
            self.inbox.append((op, order))
        elif self.is_open:
            self._note(self.world.browser.order(op, self.number, now=self.world.clock(), **order))

    def thaw(self) -> None:
        """Let a frozen page go on: it finds all that has come in the meantime."""
        self.is_frozen = False
        inbox, self.inbox = self.inbox, []
        for op, order in inbox:
            self.order(op, **order)
        self.order("pass")
        if not self.client:
            self._reconnect()

    def _note(self, report: dict[str, Any]) -> None:
        world = self.world
        before = self.shows
        self.shows = report
        world.judge.page(self, report)
        for request in report["requests"]:
            world.after(self._latency(), "request", partial(self._answer, request))
        if report["reports"]:
            world.after(self._latency(), "self-check", self._check)
        if report["next"] is not None and report["next"] / 1000 != self.wakes:
            self.wakes = report["next"] / 1000
            world.at(self.wakes, "timer", lambda: self._wake(report["next"] / 1000))
        keys = ("phase", "epoch", "version", "view")
        if any(before.get(key) != report[key] for key in keys):
            world.trace(f"page {self.number} {[report[key] for key in keys]}")

    def _wake(self, due: float) -> None:
        if self.wakes == due:
            self.wakes = 0.0
            self.order("pass")

    # Requests to Django

    def _latency(self) -> float:
        return self.world.random.choice((0.01, 0.05, 0.2, 1.5))

    def _answer(self, request: int) -> None:
        world, status, body = self.world, 503, None
        if world.random.random() < world.failing_requests:
            world.count("failed-snapshot")
        elif snapshot := self._read():
            status, body = 200, {**msgspec.to_builtins(snapshot), "channel": self.channel}
        answer = {"request": request, "status": status, "body": body}
        world.after(self._latency(), "answer", lambda: self.order("answer", **answer))

    def _read(self) -> Snapshot | None:
        store = self.world.store
        if store.down:
            return None
        stored = store.load_snapshots([self.channel])[self.channel]
        try:
            if stored.damage:
                raise InvalidMessage(stored.damage)
            return _serve(stored)
        except InvalidMessage:
            suspect = Suspect(self.channel, "snapshot", stored.snapshot or b"")
            store.write(Writes(suspects=[suspect]))
            return None

    def _check(self) -> None:
        self.world.count("self-check")
        if not self.world.store.down:
            self.world.store.write(Writes(due={self.channel: 0.0}))

    # The connection

    def connect(self) -> None:
        """Connect to a node, and subscribe from the last position."""
        world, visit = self.world, self.visit
        if not self.is_open or self.client or self.is_frozen:
            return
        if self.shows.get("refusal"):
            return
        if world.centrifugo.error:
            world.after(world.random.uniform(0.2, 5), "reconnect", self.connect)
            return
        self.client = world.new_client(self)
        recovered, missed = world.centrifugo.recover(self.channel, self.position)
        self.position = world.centrifugo.stream(self.channel).top
        world.trace(f"page {self.number} connects as {self.client} recovered={recovered}")
        world.count("recovered" if recovered else "not-recovered")
        options = {"user": visit.user, "name": visit.name, "iat": visit.signed_at}
        channels = {self.channel: options}
        if visit.user:
            channels[session_channel(visit.user, visit.session)] = options
        world.centrifugo.connect(self.client, world.random.choice(world.centrifugo.nodes), channels)
        publications = [msgspec.json.decode(data) for data in missed]
        self.order("subscribed", recovered=recovered, publications=publications)

    def disconnect(self) -> None:
        """End the connection, from the side of the page."""
        if self.client:
            self.world.centrifugo.leave(self.client)
            self.world.clients.pop(self.client, None)
            self.client = ""

    def lose_connection(self) -> None:
        """End the connection without the page's will. It connects again within five seconds."""
        self.disconnect()
        self.order("interrupted")
        self._reconnect()

    def end(self, code: int) -> None:
        """End the connection for good."""
        self.disconnect()
        self.order("ended", code=code)

    def _reconnect(self) -> None:
        if self.is_open and not self.is_frozen:
            delay = self.world.random.uniform(0.2, 5)
            self.world.after(delay, "reconnect", self.connect)

    def receive(self, feed: str, offset: int, data: bytes) -> None:
        """Take a publication on its way: in order, and only while the connection stands."""
        world, client = self.world, self.client
        self.arrives = max(self.arrives, world.clock() + world.random.choice((0.0, 0.01, 0.3)))

        def arrive() -> None:
            if self.client != client:
                return
            if feed == PULSE:
                self.order("pulse", data=msgspec.json.decode(data))
                return
            if not self.is_frozen:
                self.position = Position(offset, world.centrifugo.stream(feed).epoch)
            self.order("publication", data=msgspec.json.decode(data))

        world.at(self.arrives, "publication", arrive)
