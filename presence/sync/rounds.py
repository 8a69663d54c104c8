"""Takes the channels of a shard through the steps of a tick, until a deadline."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from itertools import takewhile

import msgspec

from presence.backends.base import RosterStore
from presence.backends.tracker import Standing, Tracker
from presence.centrifugo.gateway import Gateway
from presence.roster.grace import SKEW
from presence.roster.merge import Profiles
from presence.roster.messages import UNREADABLE
from presence.roster.people import Signed
from presence.sync.batch import Batch
from presence.sync.cache import Known
from presence.sync.executors import MakeExecutor
from presence.sync.options import Options
from presence.sync.poll import Polls, TrackedIn
from presence.sync.publish import Announce, Delivery
from presence.sync.readings import Readings
from presence.sync.report import Report
from presence.sync.shards import Shard, batches

__all__ = ["Progress", "Rounds"]

logger = logging.getLogger("presence.sync")

Progress = Callable[[int, int], None]
"""Told of (channels done, channels in all)."""

_signed = msgspec.json.Decoder(Signed)


class Rounds:
    """Polls shards. `tracker` is None where nobody is present without a websocket."""

    def __init__(
        self,
        store: RosterStore,
        tracker: Tracker | None,
        gateway: Gateway,
        options: Options,
        announce: Announce | None,
        known: Known,
        *,
        clock: Callable[[], float],
        executor: MakeExecutor,
    ) -> None:
        self._store = store
        self._tracker = tracker
        self._gateway = gateway
        self._options = options
        self._announce = announce
        self._known = known
        self._clock = clock
        self._executor = executor

    def standing(self) -> Standing:
        """What a tick has to know at its beginning. Raises StoreError."""
        timeout = self._options.timeout
        return self._tracker.standing(timeout=timeout) if self._tracker else Standing()

    def run(
        self,
        shard: Shard,
        standing: Standing,
        report: Report,
        ends: float,
        progress: Progress | None = None,
    ) -> None:
        """Poll the channels, in batches, and publish what changed; begin none after `ends`."""
        delivery = Delivery(
            self._store,
            self._gateway,
            self._announce,
            report,
            clock=self._clock,
            executor=self._executor,
        )
        polls = self._polls(shard, standing)
        batch = Batch(
            self._gateway,
            polls,
            delivery,
            self._known,
            self._readings(shard, standing, report),
            self._tracker,
            report,
            survey=shard.survey,
            believe=shard.believe,
            rules=self._options.rules,
            clock=self._clock,
        )
        parts = batches(shard.channels, shard.clients, self._options.batch_size)
        in_time = takewhile(lambda _: self._clock() <= ends, parts)
        done = 0
        with delivery, closing(polls.ahead(in_time)) as reading:
            for polled in reading:
                batch.work(polled)
                done += len(polled.channels)
                if progress:
                    progress(done, len(shard.channels))
        if left := len(shard.channels) - done:
            report.fail(f"the tick's deadline passed: {left} channels not polled", count=left)

    def _polls(self, shard: Shard, standing: Standing) -> Polls:
        tracked = None
        if self._tracker and shard.tracked:
            tracked = TrackedIn(self._tracker, frozenset(shard.tracked), self._options.timeout)
        return Polls(
            self._store,
            self._gateway,
            self._known,
            tracked=tracked,
            news=_news(standing, shard.since - 2 * self._options.deadline),
            clients=shard.clients,
            channels=len(shard.channels),
            fingerprint=self._options.fingerprint,
            clock=self._clock,
            executor=self._executor,
        )

    def _readings(self, shard: Shard, standing: Standing, report: Report) -> Readings:
        return Readings(
            self._gateway,
            report,
            survey=shard.survey,
            anonymous=self._options.anonymous,
            profiles=_profiles(standing),
            list_limit=self._options.rules.list_limit,
            fetch=self._options.fetch,
            fingerprint=self._options.fingerprint,
            clock=self._clock,
        )


def _news(standing: Standing, since: float) -> list[str]:
    """Of whom something was made known after `since`.

    A tick that began before it may have polled a channel after it: so a while longer ago counts.
    """
    return [user for user, (noted, _) in standing.profiles.items() if noted >= since]


def _profiles(standing: Standing) -> Profiles:
    profiles = {}
    for user, (noted, shown) in standing.profiles.items():
        try:
            signed = _signed.decode(shown)
            # By the clock of the store, where that of who signed it was far ahead.
            wrong = signed.iat > noted + SKEW
            profiles[user] = msgspec.structs.replace(signed, iat=noted) if wrong else signed
        except UNREADABLE as error:
            logger.error("profile=unreadable user=%s noted=%s error=%s", user, noted, error)
    return profiles
