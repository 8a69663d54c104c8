"""The simulated site: a virtual clock, all parts, and the faults. One seed is one history."""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from unittest import mock

import greenlet

from presence.backends.revocations import Revocation
from presence.roster.channel_names import PULSE
from presence.roster.messages import Change
from presence.sync.channels import Shard
from presence.sync.context import Options
from tests.simulation.browser import Browser
from tests.simulation.centrifugo import Cluster
from tests.simulation.faults import PROFILES, Faults
from tests.simulation.judge import Judge
from tests.simulation.pages import Tab, Visit
from tests.simulation.store import FaultyStore
from tests.simulation.workers import Job, Process
from tests.unit.fakes import Clock

ROOMS = ("presence:room", "presence:quiet")
RESIDENTS = ("r1", "r2")
"""Users whose pages are never closed: if one leaves, an error was taken for an empty room."""
VISITORS = ("v1", "v2", "v3", "")
BOT = "bot"
INTERVAL = 60.0
SETTLE = 150.0
"""Seconds after the last fault in which all must be right: the longest bound of docs/freshness.md,
that of a killed node (its entries expire after 60 s, the interval, the grace), and a fetch."""
NODES_SETTLED = 45.0
"""Seconds after the start in which leaves are held: longer than the product's NODES_SETTLE."""
STEP = 0.004
"""Seconds that a call to Redis or Centrifugo takes at most while nothing is wrong."""


class World:
    """The state of one history. `trace` records what happened, `happened` counts each kind."""

    def __init__(self, seed: int, browser: Browser) -> None:
        self.seed, self.random = seed, random.Random(seed)
        self.profile = PROFILES[seed % len(PROFILES)]
        self.by_looks = self.profile == "looks"
        self.browser = browser
        self.clock = Clock()
        self.hub = greenlet.getcurrent()
        self.happened = Counter[str]()
        self.lines: list[str] = []
        self.announced: list[tuple[str, int, Change, str]] = []
        self.store = FaultyStore(self.clock)
        self.centrifugo = Cluster(self.clock)
        self.centrifugo.deliver, self.centrifugo.ended = self._deliver, self._ended
        self.options = Options(
            grace=10.0,
            interval=INTERVAL,
            list_limit=200 if self.by_looks else self.random.choice([3, 200]),
            timeout=1000.0,
            batch_size=self.random.choice([1, 100]),
            shard_size=self.random.choice([1, 1000]),
        )
        self.judge = Judge(self)
        self.centrifugo.moved, self.centrifugo.read = self.judge.moved, self.judge.read
        self.store.planned = self.judge.commit
        self.faults = Faults(self)
        self.processes = [Process(self, number) for number in range(3)]
        self.tabs: list[Tab] = []
        self.clients: dict[str, Tab] = {}
        self.revoked: set[str] = set()
        self.signed: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self.failing_requests = 0.0
        self.beats = 1
        self._made = Counter[str]()
        self._names = Counter[str]()
        self._queue: deque[tuple[str, Job]] = deque()
        self._events: list[tuple[float, int, str, Callable[[], object]]] = []

    # Time

    def trace(self, line: str) -> None:
        self.lines.append(f"{self.clock() - 1_700_000_000:.4f} {line}")

    def count(self, kind: str) -> None:
        self.happened[kind] += 1
        self.trace(kind)

    def at(self, when: float, name: str, run: Callable[[], object]) -> None:
        self._made["event"] += 1
        event = (max(when, self.clock()), self._made["event"], name, run)
        heapq.heappush(self._events, event)

    def after(self, seconds: float, name: str, run: Callable[[], object]) -> None:
        self.at(self.clock() + seconds, name, run)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with all that happens in it."""
        ends = self.clock() + seconds
        while self._events and self._events[0][0] <= ends:
            when, _, _, run = heapq.heappop(self._events)
            self.clock.now = when
            run()
        self.clock.now = ends

    # The history

    def run(self) -> None:
        """Run the whole history, and judge how it ends."""
        numbers = random.Random(self.seed)

        def token(size: int) -> str:
            return f"{numbers.getrandbits(8 * size):0{2 * size}x}"

        with (
            mock.patch("secrets.token_hex", token),
            mock.patch("presence.sync.poll.random", numbers),
        ):
            self.browser.order("reset")
            self._begin()
            for _ in range(self.random.choice((10, 30, 60))):
                self.random.choice((*[self.move] * 3, self.track, *[self.faults.strike] * 2))()
                self.pass_time(self.random.choice((0.0, 0.1, 0.7, 1.5, 3.0, 6.0, 12.0, 30.0)))
            self.faults.end()
            self.pass_time(SETTLE + INTERVAL * self.faults.without_looks)
            self.judge.end()

    def _begin(self) -> None:
        for channel in ROOMS:
            for resident in RESIDENTS:
                self._open(channel, resident)
        self.pass_time(1.0)
        self.at(self.clock(), "beat", self._beat_look)
        self.at(self.clock(), "beat", self._beat_tick)
        self.pass_time(NODES_SETTLED)

    # Beat and workers

    def _beat_tick(self) -> None:
        for _ in range(self.beats):
            if not self.faults.without_ticks:
                self._send("tick", lambda sync: sync.tick(hand_out=self._hand_out))
        self.after(INTERVAL, "beat", self._beat_tick)

    def _beat_look(self) -> None:
        for _ in range(self.beats):
            if not self.faults.without_looks and all(name != "look" for name, _ in self._queue):
                self._send("look", lambda sync: sync.look())
        self.after(1.0, "beat", self._beat_look)

    def _hand_out(self, shard: Shard) -> bool:
        fate = self.faults.of_shard()
        if fate == "refused":
            return False
        if fate != "lost":
            delay = 65.0 if fate == "late" else 0.01
            self.after(delay, "shard", lambda: self._send("shard", lambda s: s.shard(shard)))
        return True

    def _send(self, name: str, job: Job) -> None:
        self._queue.append((name, job))
        self._assign()

    def _assign(self) -> None:
        for process in self.processes:
            if process.is_free and self._queue:
                process.start(*self._queue.popleft())
                self._plan(process)

    def _plan(self, process: Process) -> None:
        """Let a process take its next step, unless a fault comes first."""
        if process.is_free:
            self.after(0.0, "assign", self._assign)
            return
        self.after(self.random.random() * STEP, "step", lambda: self._step(process))

    def _step(self, process: Process) -> None:
        if process not in self.processes or process.is_free:
            return
        self.faults.at_step(process)

    def go_on(self, process: Process, order: Exception | None = None) -> None:
        process.paused = False
        if process in self.processes and not process.is_free:
            process.step(order)
            self._plan(process)

    def replace(self, process: Process) -> None:
        """Kill a process, and start another one in its place, whose memory is empty."""
        process.kill()
        self._made["process"] += 1
        number = 100 + self._made["process"]
        self.processes[self.processes.index(process)] = Process(self, number)
        self.after(0.5, "assign", self._assign)

    # Visitors

    def move(self) -> None:
        """Let a visitor come, go, reload, freeze, sign out, or lose their connection."""
        tabs = [tab for tab in self.tabs if tab.visit.user not in RESIDENTS]
        if not tabs or self.random.random() < 0.3:
            channel = self.random.choice(ROOMS)
            if len(tabs) < 6:
                self._open(channel, self._visitor(channel))
            return
        tab = self.random.choice(tabs)
        actions = (
            *("close", "reload", "kill", "freeze", "thaw", "sign-out", "second-tab", "drop"),
            *("swap", "flicker"),
        )
        getattr(self, f"_{self.random.choice(actions).replace('-', '_')}")(tab)

    def track(self) -> None:
        """Let server code join or remove a member without a websocket."""
        channel, source = self.random.choice(ROOMS), self.random.choice(["", "tab"])
        if self.store.down:
            return
        self.count("tracked")
        timeout = self.options.timeout
        if self.random.random() < 0.5:
            self.store.delete_member(channel, BOT, source=source, timeout=timeout)
        else:
            meta = b'{"name":"Bot %s"}' % self.random.choice([b"A", b"B"])
            self.store.save_member(channel, BOT, source=source, meta=meta, timeout=timeout)

    def _open(self, channel: str, user: str, *, session: str = "") -> None:
        self._names[user] += self.random.random() < 0.2 and not self.by_looks
        self._made["tab"] += 1
        if not session or session in self.revoked:
            session = f"s{self._made['tab']}"
        name = f"{user}-{self._names[user]}" if user else ""
        visit = Visit(user, session, name, self.clock())
        self.signed[user].append((visit.signed_at, name))
        tab = Tab(self, self._made["tab"], channel, visit)
        self.tabs.append(tab)
        self.trace(f"page {tab.number} of {user!r} opens {channel}")
        tab.open()

    def _close(self, tab: Tab) -> None:
        self.count("close")
        tab.close()

    def _reload(self, tab: Tab) -> None:
        self.count("reload")
        tab.close()
        self._open(tab.channel, tab.visit.user, session=tab.visit.session)

    def _visitor(self, channel: str) -> str:
        """Return a visitor who may come. By looks alone, a page finds a swap of its own only: no
        second tab, nobody who is only counted."""
        here = {tab.visit.user for tab in self.tabs if tab.channel == channel}
        absent = [user for user in VISITORS if user and user not in here]
        if not self.by_looks:
            return self.random.choice(VISITORS)
        return self.random.choice(absent or [f"w{self._made['tab']}"])

    def _swap(self, tab: Tab) -> None:
        """Let one leave and another come between two looks: the count stays the same."""
        self.count("swap")
        self._open(tab.channel, self._visitor(tab.channel))
        self.after(self.random.uniform(0.0, 0.5), "close", lambda: tab.is_open and tab.close())

    def _flicker(self, tab: Tab) -> None:
        """Let a visitor come and go at once. A tick or a look may see them."""
        self.count("flicker")
        self._open(tab.channel, self._visitor(tab.channel))
        brief = self.tabs[-1]
        self.after(self.random.uniform(0.1, 2.0), "close", lambda: brief.is_open and brief.close())

    def _second_tab(self, tab: Tab) -> None:
        if self.by_looks:
            return
        self.count("second-tab")
        self._open(tab.channel, tab.visit.user, session=tab.visit.session)

    def _kill(self, tab: Tab) -> None:
        """Kill a browser. Its connection stays until no answer to a ping comes."""
        self.count("killed-browser")
        client = tab.client
        tab.vanish()
        self.clients.pop(client, None)
        self.after(14.0, "no pong", lambda: self.centrifugo.leave(client))

    def _freeze(self, tab: Tab) -> None:
        if tab.is_frozen:
            return
        self.count("frozen-page")
        tab.is_frozen = True
        client = tab.client

        def no_pong() -> None:
            if tab.is_frozen and tab.client == client and client:
                self.count("frozen-page-loses-connection")
                tab.lose_connection()

        self.after(14.0, "no pong", no_pong)

    def _thaw(self, tab: Tab) -> None:
        if tab.is_frozen:
            tab.thaw()

    def _drop(self, tab: Tab) -> None:
        if tab.client:
            self.count("dropped-connection")
            tab.lose_connection()

    def _sign_out(self, tab: Tab) -> None:
        if not tab.visit.user or self.store.down or self.profile == "jumps":
            return
        self.count("sign-out")
        self.revoked.add(tab.visit.session)
        self.judge.signed_out.add(tab.visit.user)
        self.store.revoke([Revocation(tab.visit.user, tab.visit.session)], seconds=3600.0)

    def new_client(self, tab: Tab) -> str:
        self._made["client"] += 1
        client = f"c{self._made['client']:04}"
        self.clients[client] = tab
        return client

    # Centrifugo's news

    def _deliver(self, feed: str, offset: int, data: bytes) -> None:
        if feed != PULSE:
            self.trace(f"published {feed} {offset} {data.decode()}")
        for tab in list(self.clients.values()):
            if feed in (PULSE, tab.channel):
                tab.receive(feed, offset, data)

    def _ended(self, client: str) -> None:
        if tab := self.clients.pop(client, None):
            self.trace(f"page {tab.number} is signed out")
            tab.end(4501)


def simulate(seed: int, browser: Browser) -> World:
    """Run the history of a seed. Raises AssertionError with the seed if something is wrong."""
    world = World(seed, browser)
    try:
        world.run()
    except BaseException as error:
        error.add_note(f"seed {seed}: make simulate SEED={seed} shows its trace")
        error.world = world  # type: ignore[attr-defined]
        raise
    return world
