"""The tick: every channel, here or handed out in shards, until a deadline."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import dropwhile

from presence.backends.base import RosterStore
from presence.backends.tracker import Standing, Tracker
from presence.centrifugo.gateway import Gateway
from presence.exceptions import PresenceError
from presence.sync import statistics
from presence.sync.cache import Known
from presence.sync.channels import Surveyor
from presence.sync.executors import MakeExecutor, threads
from presence.sync.options import Options
from presence.sync.publish import Announce
from presence.sync.report import Report
from presence.sync.rounds import Progress, Rounds
from presence.sync.shards import HandOut, Shard, split
from presence.sync.statistics import Opened

__all__ = ["Options", "Sync"]

logger = logging.getLogger("presence.sync")

NODES_SETTLE = 40.0
"""Seconds after a change of Centrifugo's nodes in which no leave is believed: clients come back
within the reconnect delay, an engine's presence is whole again within 27 s."""


class Sync:
    """Runs ticks. Any number may run at once, in any number of processes: it costs work only.

    `announce` is called with (channel, version, change, epoch) for each change, once it is
    published; None: nobody listens. `known` may be shared by syncs on one store. A store that is a
    Tracker, too, brings the members without a websocket.
    """

    def __init__(
        self,
        store: RosterStore,
        gateway: Gateway,
        options: Options,
        *,
        announce: Announce | None,
        known: Known | None = None,
        clock: Callable[[], float] = time.monotonic,
        executor: MakeExecutor = threads,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._options = options
        self._clock = clock
        self._rounds = Rounds(
            store,
            store if isinstance(store, Tracker) else None,
            gateway,
            options,
            announce,
            known or Known(),
            clock=clock,
            executor=executor,
        )
        self._surveyor = Surveyor(
            store,
            gateway,
            mode=options.discovery,
            patterns=options.patterns,
            registered_within=options.registered_within,
            sweep_after=options.sweep_after,
        )

    def tick(
        self,
        only: Sequence[str] | None = None,
        *,
        every: float | None = None,
        progress: Progress | None = None,
        hand_out: HandOut | None = None,
    ) -> Report:
        """Poll every channel, or `only` those given, and publish what changed.

        Never raises for what goes wrong with Centrifugo, the store or a channel: that is counted
        in the report. A tick over every channel is recorded in the statistics, as one of those
        that come `every` so many seconds (the interval, if None). With `hand_out`, more than a
        shard of channels are handed out, and the report tells of what was done here alone.
        """
        report = Report()
        with report.timed("total", self._clock), _caught(report):
            if only is None:
                self._tick(report, every or self._options.interval, progress, hand_out)
            else:
                standing = self._rounds.standing()
                (shard,) = self._shards(report, standing, only=only)
                ends = self._clock() + self._options.deadline
                self._rounds.run(shard, standing, report, ends, progress)
        if only is not None:
            logger.info("tick=done %s", report.line())
        return report

    def shard(self, shard: Shard) -> Report:
        """Poll the channels of a shard that was handed out, and add its part to the tick.

        Nothing is done after the deadline of the tick. Never raises, as `tick`.
        """
        report = Report()
        with report.timed("total", self._clock), _caught(report):
            waited = max(0.0, self._store.load([]).now - shard.opened.started)
            left = self._options.deadline - waited
            if left < 0:
                logger.warning("shard=late tick=%s number=%d", shard.opened.id, shard.number)
                return report
            with _caught(report):
                standing = self._rounds.standing()
                self._rounds.run(shard, standing, report, self._clock() + left)
            self._add(shard.opened, shard.number, report, of=1 + shard.of)
        return report

    def _tick(
        self,
        report: Report,
        every: float,
        progress: Progress | None,
        hand_out: HandOut | None,
    ) -> None:
        ends = self._clock() + self._options.deadline
        opened = statistics.begin(self._store, every=every, deadline=self._options.deadline)
        shards: list[Shard] = []
        with _caught(report):
            standing = self._rounds.standing()
            size = self._options.shard_size if hand_out else None
            shards = self._shards(report, standing, opened=opened, size=size)
        if hand_out and len(shards) > 1:
            self._hand_out(shards, report, opened, hand_out)
            return
        for shard in shards:
            with _caught(report):
                self._rounds.run(shard, standing, report, ends, progress)
        self._add(opened, 0, report, of=1)

    def _hand_out(
        self, shards: Sequence[Shard], report: Report, opened: Opened, hand_out: HandOut
    ) -> None:
        """Hand the shards out; what cannot be is done here. The survey is part 0 of the tick."""
        here = list(dropwhile(hand_out, shards))
        logger.info("tick=handed-out id=%s shards=%d here=%d", opened.id, len(shards), len(here))
        self._add(opened, 0, report, of=1 + len(shards))
        for shard in here:
            report.absorb(self.shard(shard))

    def _shards(
        self,
        report: Report,
        standing: Standing,
        *,
        only: Sequence[str] | None = None,
        opened: Opened | None = None,
        size: int | None = None,
    ) -> list[Shard]:
        """Survey, and split what there is to poll in shards of `size`, or in one."""
        with report.timed("read", self._clock):
            survey = self._surveyor.survey(only)
        with report.timed("store", self._clock):
            changed = self._store.nodes(survey.nodes)
            channels, polled = only, dict[str, float]()
            if channels is None:
                survey, channels, polled = self._surveyor.discover(survey, standing.channels)
        return split(
            channels,
            survey,
            size=size,
            opened=opened or Opened(),
            believe=changed is None or abs(changed) >= NODES_SETTLE,  # abs: a clock set back
            tracked=standing.channels,
            polled=polled,
        )

    def _add(self, opened: Opened, number: int, report: Report, *, of: int) -> None:
        """Add what was done here to the tick; log the tick, if that was the last of it."""
        if record := statistics.add(self._store, opened, number, report, of=of):
            logger.info(
                "tick=done id=%s shards=%d %s", record.id, record.shards, record.report.line()
            )


@contextmanager
def _caught(report: Report) -> Iterator[None]:
    """Count what goes wrong with Centrifugo or the store, and go on."""
    try:
        yield
    except PresenceError as error:
        logger.error("tick=failed error=%r", str(error))
        report.fail(error)
