"""The tick: which channels, in which batches, until when."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import takewhile

import msgspec

from presence import naming
from presence.backends.base import RosterStore
from presence.batch import Batch
from presence.centrifugo import Gateway, Survey
from presence.delivery import Announce, Delivery
from presence.exceptions import InvalidChannel, PresenceError
from presence.pipeline import MakeExecutor, ahead, threads
from presence.plan import Rules
from presence.reading import AnonymousMode
from presence.report import Report

__all__ = ["Options", "Sync"]

logger = logging.getLogger("presence.sync")

NODES_SETTLE = 40.0
"""Seconds after a change of Centrifugo's nodes in which no leave is believed: clients come back
within the reconnect delay, an engine's presence is whole again within 27 s."""


IN_FLIGHT = 2
"""Batches that are read while one is worked on."""

BATCH_CLIENTS = 20_000
"""Clients in a batch of several channels: some 4 MB of reply, which bounds a worker's memory."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a tick. Times in seconds."""

    patterns: tuple[str, ...] = ("presence:*",)
    interval: float = 60.0
    batch_size: int = 100
    anonymous: AnonymousMode = "count"
    rules: Rules = Rules()

    @property
    def deadline(self) -> float:
        """Seconds after which a tick stops beginning new batches."""
        return max(self.interval, 30.0)

    @property
    def sweep_after(self) -> float:
        """Seconds without a poll after which an empty channel is forgotten."""
        return max(10 * self.interval, 600.0)

    @property
    def fingerprint(self) -> str:
        """What else decides a roster, beside Centrifugo's reply."""
        return f"{naming.SCHEMA}:{self.anonymous}:{self.rules.list_limit}"


class Sync:
    """Runs ticks. Any number may run at once, in any number of processes: it costs work only.

    `announce` is called with (channel, version, change) for each change, once it is published.
    """

    def __init__(
        self,
        store: RosterStore,
        gateway: Gateway,
        options: Options,
        *,
        announce: Announce,
        clock: Callable[[], float] = time.monotonic,
        executor: MakeExecutor = threads,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._options = options
        self._announce = announce
        self._clock = clock
        self._executor = executor

    def tick(
        self,
        only: Sequence[str] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Report:
        """Poll every channel, or `only` those given, and publish what changed.

        Never raises for what goes wrong with Centrifugo, the store or a channel: that is counted
        in the report. `progress` is called with (channels done, channels in all).
        """
        report = Report()
        with report.timed("total", self._clock):
            try:
                self._tick(report, only, progress)
            except PresenceError as error:
                logger.error("tick=failed error=%r", str(error))
                report.fail(error)
        logger.info("tick=done %s", report.line())
        return report

    def _tick(
        self,
        report: Report,
        only: Sequence[str] | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        ends = self._clock() + self._options.deadline
        with report.timed("read", self._clock):
            survey = self._gateway.survey(_survey_patterns(only, self._options.patterns))
        with report.timed("store", self._clock):
            changed = self._store.nodes(survey.nodes)
            channels = list(only) if only is not None else self._discover(survey)
        delivered = Report()
        delivery = Delivery(
            self._store,
            self._gateway,
            self._announce,
            delivered,
            clock=self._clock,
            executor=self._executor,
        )
        batch = Batch(
            self._store,
            self._gateway,
            delivery,
            report,
            survey=survey,
            believe=changed is None or abs(changed) >= NODES_SETTLE,  # abs: a clock set back
            rules=self._options.rules,
            anonymous=self._options.anonymous,
            fingerprint=self._options.fingerprint,
            clock=self._clock,
        )
        batches = _weighed(channels, survey.clients, self._options.batch_size)
        done = 0
        in_time = self._in_time(batches, ends)
        reading = ahead(batch.read, in_time, depth=IN_FLIGHT, executor=self._executor)
        with delivery, closing(reading) as read:
            for polled in read:
                batch.work(polled)
                done += len(polled.channels)
                if progress:
                    progress(done, len(channels))
        report.absorb(delivered)
        if left := len(channels) - done:
            report.fail(f"the tick's deadline passed: {left} channels not polled", count=left)

    def _in_time(self, batches: Iterator[Sequence[str]], ends: float) -> Iterator[Sequence[str]]:
        """The batches that are begun before the deadline."""
        return takewhile(lambda _: self._clock() <= ends, batches)

    def _discover(self, survey: Survey) -> list[str]:
        """The active channels, and the known ones that are not empty; forgets old empty ones."""
        active = set(_rooms(survey.clients))
        quiet = {c: at for c, at in self._store.known().items() if c not in active}
        occupied: list[str] = []
        for _, names in _batches(sorted(quiet), 1000):
            loaded = self._store.load(names)
            occupied += [c for c in names if loaded.states[c].occupied]
            old = loaded.now - self._options.sweep_after
            empty = {c: quiet[c] for c in names if not loaded.states[c].occupied and quiet[c] < old}
            for channel in self._store.sweep(empty):
                logger.info("channel=closed name=%s", channel)
        return sorted(active.union(occupied))


def _survey_patterns(only: Sequence[str] | None, patterns: Sequence[str]) -> list[str]:
    if only is not None:
        patterns = [naming.escape(channel) for channel in only]
    feeds = [feed for feed in map(naming.feed_pattern, patterns) if feed]
    return [*patterns, *feeds]


def _rooms(clients: dict[str, int]) -> Iterator[str]:
    """The channels that are active, themselves or through their feed."""
    for name in clients:
        channel = naming.channel_of_feed(name)
        try:
            yield naming.validate_channel(channel)
        except InvalidChannel as error:
            logger.warning("channel=skipped reason=%r", str(error))


def _weighed(
    channels: Sequence[str], clients: Mapping[str, int], size: int
) -> Iterator[Sequence[str]]:
    """The channels in batches of at most `size`, and of BATCH_CLIENTS clients or one channel."""
    batch: list[str] = []
    weight = 0
    for channel in channels:
        heavy = clients.get(channel, 0)
        if batch and (len(batch) >= size or weight + heavy > BATCH_CLIENTS):
            yield batch
            batch, weight = [], 0
        batch.append(channel)
        weight += heavy
    if batch:
        yield batch


def _batches(items: Sequence[str], size: int) -> Iterator[tuple[int, Sequence[str]]]:
    for start in range(0, len(items), size):
        yield start, items[start : start + size]
