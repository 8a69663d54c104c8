"""From a pending publication to the end of its signals: publish, acknowledge, signal."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol, Self

from presence.backends.base import Acknowledgement, Loaded, RosterStore, Writes
from presence.centrifugo.gateway import Gateway, Publication
from presence.exceptions import CentrifugoError, CommandError, PresenceError
from presence.roster import channel_names, messages
from presence.roster.commit import Commit
from presence.roster.types import Change, Position
from presence.sync.executors import MakeExecutor
from presence.sync.report import Report

__all__ = ["Announce", "Delivery", "new_epoch"]

logger = logging.getLogger("presence.sync")

SIGNAL_PATIENCE = 30.0
"""Seconds after which a change that was published but not signalled counts as left by a crash."""


class Announce(Protocol):
    """Told of each change after it was published, at least once."""

    def __call__(self, channel: str, version: int, change: Change, epoch: str, /) -> None: ...


class _Outcome(NamedTuple):
    """What publishing did: what to count, what is to be acknowledged, and the changes that were
    given up: they are to be signalled as well."""

    report: Report
    published: list[Acknowledgement]
    dropped: list[tuple[str, bytes]]


class Delivery:
    """Brings what commits left pending to the readers, and counts into one report.

    A pending is the pair (channel, bytes of wire.Pending), at most one per channel. Publishing is
    done in a thread, signals are sent by the caller's: receivers may use its database connection.
    What was published is acknowledged together with what is committed next, in one round trip;
    its signals are sent once that is being published: receivers may be slow.
    With `announce` None nobody listens to signals.
    """

    def __init__(
        self,
        store: RosterStore,
        gateway: Gateway,
        announce: Announce | None,
        report: Report,
        *,
        clock: Callable[[], float],
        executor: MakeExecutor,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._announce = announce
        self._report = report
        self._clock = clock
        self._thread = executor(1)
        self._under_way: deque[Future[_Outcome]] = deque()
        self._published: list[Acknowledgement] = []
        self._acknowledged: list[tuple[str, bytes]] = []
        self._signalled: list[tuple[str, bytes]] = []

    def write(
        self, commits: Sequence[Commit] = (), *, polled: Sequence[str] = (), now: float = 0.0
    ) -> list[bool]:
        """Write commits, and with them what was published and signalled until now.

        Whether each commit was taken. Raises StoreError: what was published stays pending then,
        to be published again, which readers do not notice.
        """
        while self._under_way and self._under_way[0].done():
            self._finish()
        writes = Writes(
            signalled=self._signalled,
            acknowledgements=self._published,
            to_signal=self._announce is not None,
            commits=commits,
            polled=polled,
            now=now,
        )
        self._published, self._signalled = [], []
        with self._report.timed("store", self._clock):
            written = self._store.write(writes)
        if self._announce:
            acknowledged = zip(writes.acknowledgements, written.acknowledged, strict=True)
            self._acknowledged += [one[:2] for one, ours in acknowledged if ours]
        return written.committed

    def deliver(self, pending: list[tuple[str, bytes]], now: float) -> None:
        """Publish, without waiting, and send the signals of what is acknowledged by now.

        What fails stays pending. Waits only for the one before the last, so that no more than two
        are held in memory.
        """
        if pending:
            self._under_way.append(self._thread.submit(self._publish, pending, now))
        self._signal_acknowledged()
        if len(self._under_way) > 2:
            self._finish()

    def settle(self) -> None:
        """Wait for all that is under way, and write it. Raises StoreError."""
        while self._under_way:
            self._finish()
        while self._published or self._acknowledged or self._signalled:
            self.write()
            self._signal_acknowledged()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.settle()
        finally:
            self._thread.shutdown()

    def signal_left_overs(self, loaded: Loaded) -> None:
        """Send the signals that an earlier crash left unsent."""
        self._signal(
            (state.channel, pending)
            for state in loaded.states.values()
            for acknowledged, pending in state.unsignalled
            # Either way: what was acknowledged before the clock was set back waits no longer.
            if abs(loaded.now - acknowledged) > SIGNAL_PATIENCE
        )

    def _finish(self) -> None:
        outcome = self._under_way.popleft().result()
        self._report.absorb(outcome.report)
        self._published += outcome.published
        self._signal(outcome.dropped)

    def _publish(self, pending: list[tuple[str, bytes]], now: float) -> _Outcome:
        """In the thread. An error of the whole batch means unknown, not unpublished: the same
        versions go out again later, and Centrifugo drops those that it has."""
        outcome = _Outcome(Report(), [], [])
        try:
            self._publish_batch(pending, now, *outcome)
        except PresenceError as error:
            names = ",".join(channel for channel, _ in pending[:3])
            outcome.report.failed(error, names, count=len(pending))
        return outcome

    def _publish_batch(
        self,
        pending: list[tuple[str, bytes]],
        now: float,
        report: Report,
        published: list[Acknowledgement],
        dropped: list[tuple[str, bytes]],
    ) -> None:
        with report.timed("publish", self._clock):
            results = self._gateway.publish([_publication(*one) for one in pending])
        for (channel, raw), result in zip(pending, results, strict=True):
            if isinstance(result, Position):
                published.append(Acknowledgement(channel, raw, result, now))
                continue
            report.failed(result, channel)
            with report.timed("store", self._clock):
                if self._dropped(channel, raw, result, now):
                    dropped.append((channel, raw))
        report.published += len(published)

    def _dropped(self, channel: str, raw: bytes, error: CentrifugoError, now: float) -> bool:
        """Give up what Centrifugo will never take; whether it was ours to give up."""
        if not (isinstance(error, CommandError) and error.permanent):
            return False
        return self._store.drop(channel, raw, epoch=new_epoch(), now=now)

    def _signal_acknowledged(self) -> None:
        acknowledged, self._acknowledged = self._acknowledged, []
        self._signal(acknowledged)

    def _signal(self, changes: Iterable[tuple[str, bytes]]) -> None:
        """Send the signals of changes; that they were sent is noted by the next write."""
        for channel, raw in changes:
            if self._announce:
                pending = messages.decode(raw, messages.Pending)
                self._announce(channel, pending.version, pending.change, pending.epoch)
            self._signalled.append((channel, raw))


def new_epoch() -> str:
    """A name for one life of a version chain."""
    return secrets.token_hex(4)


def _publication(channel: str, pending: bytes) -> Publication:
    what = messages.decode(pending, messages.Pending)
    return Publication(
        feed=channel_names.feed_of(channel),
        data=what.publication,
        channel=channel,
        epoch=what.epoch,
        version=what.version,
    )
