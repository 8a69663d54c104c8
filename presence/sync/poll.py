"""Reads batches of channels ahead of those who work on them."""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import msgspec

from presence.backends.base import Loaded, RosterStore
from presence.backends.tracker import Tracker
from presence.centrifugo.gateway import Gateway
from presence.exceptions import CentrifugoError, PresenceError, StoreError
from presence.roster.commit import damaged, find_flaw, verify
from presence.roster.merge import digest
from presence.roster.tracked import Tracked, fingerprint
from presence.roster.types import Roster
from presence.sync.cache import Known
from presence.sync.executors import MakeExecutor

__all__ = ["IN_FLIGHT", "Polled", "Polls", "Seen", "TrackedIn"]

_PLAIN = re.compile(r"[A-Za-z0-9_.@+-]+")

IN_FLIGHT = 2
"""Batches that are read while one is worked on."""

CHECKED_CHANNELS = 20
"""Channels of a shard whose roster and snapshot are loaded and checked, whatever changed: all of
a small site. Of 1,000 rooms with 100 members each, 100 took 20 ms of a tick of 130 ms."""
CHECKED_CLIENTS = 1000
"""Clients of a channel above which it is checked less often."""


class Seen(NamedTuple):
    """A presence reply, its digest (empty: it is partial), the nodes that there were, and who was
    tracked."""

    raw: bytes
    digest: bytes
    nodes: frozenset[str]
    tracked: Sequence[Tracked] = ()


class Polled:
    """What was read of some channels, or the `error` that kept it from being read whole.

    A channel with something `pending` was loaded, but not read, unless its state is damaged. Each
    other one is `unchanged` (its state says all there is to know), `different` or `failed`. The
    roster of a different one is in `known`, or in `rosters`, with its `rev` and as it is stored.
    `tracked` are the members without a websocket, read after the states. `loaded.now` is the time
    when the reading began, `loaded_at` when the states were there, by this process's clock.
    Seconds are those spent.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        self.channels = channels
        self.loaded = Loaded(now=0.0, run="", states={})
        self.loaded_at = 0.0
        self.tracked: dict[str, list[Tracked]] = {}
        self.unchanged: list[str] = []
        self.different: dict[str, Seen] = {}
        self.failed: dict[str, CentrifugoError] = {}
        self.known: dict[str, Roster] = {}
        self.rosters: dict[str, tuple[int, bytes]] = {}
        self.error: PresenceError | None = None
        self.store_s = 0.0
        self.read_s = 0.0

    @property
    def pending(self) -> list[str]:
        states = self.loaded.states.items()
        return [channel for channel, state in states if state.pending and not state.damage]


class TrackedIn(NamedTuple):
    """Where members without a websocket are, who keeps them, and how long without a beat."""

    tracker: Tracker
    channels: Collection[str]
    timeout: float

    def members(self, channels: Iterable[str]) -> dict[str, list[Tracked]]:
        """Those of the channels. Raises StoreError."""
        some = [channel for channel in channels if channel in self.channels]
        return self.tracker.members(some, timeout=self.timeout) if some else {}


class Polls:
    """Takes state first, presence second: never is an older reading compared with a newer state.

    Presence is asked for in threads, which write nothing. The store is asked by the caller's
    thread: for the rosters that differ and the states of the batch to be read next in one round
    trip. A channel with one of the `news` in it, ids of users of whom something was made known, is
    different whatever its digest; so is one whose state is damaged. With the states of a batch come
    the rosters and snapshots of a few of all the `channels`, chosen by chance and by `clients`, to
    be checked.
    """

    def __init__(
        self,
        store: RosterStore,
        gateway: Gateway,
        known: Known,
        *,
        tracked: TrackedIn | None,
        news: Collection[str],
        clients: Mapping[str, int],
        channels: int,
        fingerprint: str,
        clock: Callable[[], float],
        executor: MakeExecutor,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._known = known
        self._tracked = tracked
        self._news = frozenset(news)
        self._named = _pattern(news)
        self._clients = clients
        self._rarely = channels / CHECKED_CHANNELS
        self._fingerprint = fingerprint
        self._clock = clock
        self._executor = executor

    def one(self, channels: Sequence[str]) -> Polled:
        """Poll one batch, now."""
        polled = Polled(channels)
        self._load(polled)
        self._read(polled)
        self._load(Polled(()), polled)
        return polled

    def ahead(self, batches: Iterable[Sequence[str]]) -> Generator[Polled, None, None]:
        """Poll each batch, in order, IN_FLIGHT of them at a time.

        The states of one more are loaded: reading it begins the moment that another one is read.
        Closing the iterator waits for what is under way, and drops it.
        """
        source = iter(batches)
        pool = self._executor(IN_FLIGHT)
        reading: deque[Future[Polled]] = deque()

        def following(done: Polled | None = None) -> Polled:
            batch = Polled(next(source, ()))
            self._load(batch, done)
            return batch

        def read(batch: Polled) -> None:
            if batch.channels:
                reading.append(pool.submit(self._read, batch))

        try:
            for _ in range(IN_FLIGHT):
                read(following())
            loaded = following()
            while reading:
                done = reading.popleft().result()
                read(loaded)
                loaded = following(done)
                yield done
        finally:
            pool.shutdown(cancel_futures=True)

    def _load(self, following: Polled, done: Polled | None = None) -> None:
        """Load the states of `following`, and the rosters of what is different in `done`."""
        unknown = self._find(done) if done else []
        if not following.channels and not unknown:
            return
        started = self._clock()
        try:
            checked = self._choose(following.channels)
            loaded = self._store.load(following.channels, rosters=unknown, whole=checked)
            if self._tracked:
                following.tracked = self._tracked.members(following.channels)
        except StoreError as error:
            following.error = error
            if done and unknown:
                done.error = error
        else:
            following.loaded, following.loaded_at = _verified(loaded), self._clock()
            if done:
                done.rosters = loaded.rosters
        following.store_s += self._clock() - started

    def _choose(self, channels: Sequence[str]) -> list[str]:
        """The channels to check: all of them, where there are few people in few rooms."""

        def once_in(channel: str) -> float:
            return max(self._rarely, self._clients.get(channel, 0) / CHECKED_CLIENTS)

        # Chance has no secret to keep.
        return [c for c in channels if random.random() * once_in(c) < 1]  # noqa: S311

    def _find(self, polled: Polled) -> list[str]:
        """Note the rosters that are known; what is different and unknown.

        Of a state that another life of the store left nothing is known: writes may have been
        lost, and a worker that knew nothing of it may have written others in their place. Nor is
        anything known of a damaged one.
        """
        for channel in polled.different:
            state = polled.loaded.states[channel]
            if state.damage or (state.rev and state.run != polled.loaded.run):
                continue
            roster = self._known.roster(state)
            if roster is not None:
                polled.known[channel] = roster
        return [channel for channel in polled.different if channel not in polled.known]

    def _read(self, polled: Polled) -> Polled:
        """Ask who is on the channels, and tell the unchanged ones from the others."""
        if polled.error:
            return polled
        pending = set(polled.pending)
        free = [channel for channel in polled.loaded.states if channel not in pending]
        started = self._clock()
        # Loaded states wait for their turn. Nobody is missing from before they were looked for.
        now = polled.loaded.now + started - polled.loaded_at
        polled.loaded = msgspec.structs.replace(polled.loaded, now=now)
        try:
            replies, nodes = self._gateway.poll(free)
        except PresenceError as error:
            polled.error = error
            return polled
        finally:
            polled.read_s += self._clock() - started
        run = polled.loaded.run
        for channel, reply in zip(free, replies, strict=True):
            if isinstance(reply, CentrifugoError):
                polled.failed[channel] = reply
                continue
            raw, state = bytes(reply), polled.loaded.states[channel]
            tracked = polled.tracked.get(channel, ())
            seen = digest(raw, self._fingerprint, fingerprint(tracked))
            settled = state.run == run and not (state.leaving or state.damage)
            if settled and state.digest == seen and not self._is_news(raw, tracked):
                polled.unchanged.append(channel)
            else:
                polled.different[channel] = Seen(raw, seen, nodes, tracked)
        return polled

    def _is_news(self, raw: bytes, tracked: Sequence[Tracked]) -> bool:
        if not self._named:
            return False
        return bool(self._named.search(raw)) or any(one.user in self._news for one in tracked)


def _verified(loaded: Loaded) -> Loaded:
    """Return `loaded` with the damage of each state that cannot be used."""
    states = {channel: verify(state) for channel, state in loaded.states.items()}
    for channel, (rev, roster, snapshot) in loaded.whole.items():
        state = states[channel]
        if state.rev and rev == state.rev and (flaw := find_flaw(state, roster, snapshot)):
            states[channel] = damaged(state, flaw)
    return msgspec.structs.replace(loaded, states=states)


def _pattern(users: Collection[str]) -> re.Pattern[bytes] | None:
    """What a presence reply with one of the users in it matches, whoever wrote it."""
    if not users:
        return None
    if not all(_PLAIN.fullmatch(user) for user in users):
        return re.compile(b"")  # JSON has several ways to write the others
    ids = "|".join(map(re.escape, users))
    return re.compile(f'"user":\\s*"(?:{ids})"'.encode())
