"""Writes commits, publishes their diffs, acknowledges these, and sends signals."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from types import MappingProxyType
from typing import NamedTuple, Self

from presence.backends.base import Acknowledgement, Restart, Writes
from presence.centrifugo.gateway import Publication
from presence.exceptions import CentrifugoError, CommandError
from presence.roster import messages
from presence.roster.channel_names import feed_of
from presence.roster.commit import Commit, new_epoch, restart
from presence.roster.messages import Position
from presence.roster.people import is_anonymous
from presence.sync.context import TickContext
from presence.sync.poll import PollResult
from presence.sync.statistics import Report

logger = logging.getLogger("presence.sync")

SIGNAL_PATIENCE = 30.0
"""Seconds after which a change without its signal counts as left behind by a crash."""

Pending = tuple[str, bytes]
"""A channel, and the bytes of its roster.messages.Pending."""


class _Outcome(NamedTuple):
    """Result of publishing: a report, the acknowledgements, and the dropped changes, which are
    signalled as well."""

    report: Report
    published: list[Acknowledgement]
    dropped: list[Pending]


class Publisher:
    """Publishes commits, and changes that a crash left pending.

    A thread publishes. The caller's thread sends signals: receivers may use its database
    connection. Publications are acknowledged together with the next commits, in one round trip.
    Their signals are sent while the next batch is published, as receivers may be slow. As a context
    manager, it waits at its end until all of that is done.
    """

    def __init__(self, ctx: TickContext) -> None:
        self._ctx = ctx
        self._thread = ctx.executor(1)
        self._under_way: deque[Future[_Outcome]] = deque()
        self._published: list[Acknowledgement] = []
        self._acknowledged: list[Pending] = []
        self._signalled: list[Pending] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.settle()
        finally:
            self._thread.shutdown()

    def recover(self, polled: PollResult) -> None:
        """Publish and signal the changes that a crash left behind."""
        loaded = polled.loaded
        self._signal(
            (state.channel, pending)
            for state in loaded.states.values()
            for acknowledged, pending in state.unsignalled
            # abs: the clock may have been set back since the acknowledgement
            if abs(loaded.now - acknowledged) > SIGNAL_PATIENCE
        )
        self._publish([(c, loaded.states[c].pending) for c in polled.pending], loaded.now)

    def commit_and_publish(self, polled: PollResult, planned: Sequence[Commit]) -> None:
        """Write the commits of a batch, and publish their changes without waiting.

        Raises StoreError; then nothing of the batch is published.
        """
        states, report, now = polled.loaded.states, self._ctx.report, polled.loaded.now
        for channel in polled.unchanged:
            report.count(states[channel])
        commits = [commit for commit in planned if not commit.repeats(states[commit.channel])]
        for commit in planned:
            if commit.repeats(states[commit.channel]):
                report.count_commit(commit)
        good = [*polled.unchanged, *(commit.channel for commit in planned)]
        # The store writes these before the commits, so that a crash between them loses nothing.
        gone = {member.id for commit in commits for member in commit.change.leaves}
        last_seen = {user: now for user in gone if not is_anonymous(user)}
        taken = self._write(commits, polled=good, now=now, last_seen=last_seen)
        written = [commit for commit, done in zip(commits, taken, strict=True) if done]
        report.refused += len(commits) - len(written)
        for commit in written:
            self._ctx.cache.keep(commit)
            report.count_commit(commit)
        self._publish([(c.channel, c.pending) for c in written if c.pending], now)
        self._signal_acknowledged()

    def settle(self) -> None:
        """Wait for all publications, and acknowledge and signal them. Raises StoreError."""
        while self._under_way:
            self._finish()
        while self._published or self._acknowledged or self._signalled:
            self._write()
            self._signal_acknowledged()

    def _write(
        self,
        commits: Sequence[Commit] = (),
        *,
        polled: Sequence[str] = (),
        now: float = 0.0,
        last_seen: Mapping[str, float] = MappingProxyType({}),
    ) -> list[bool]:
        """Write commits, and with them all acknowledgements and sent signals until now.

        Returns whether each commit was taken. Raises StoreError; then publications stay pending and
        are published again, which readers do not notice.
        """
        while self._under_way and self._under_way[0].done():
            self._finish()
        announced = self._ctx.announce is not None
        writes = Writes(
            last_seen=last_seen,
            signalled=self._signalled,
            acknowledgements=self._published,
            to_signal=announced,
            commits=commits,
            polled=polled,
            now=now,
        )
        self._published, self._signalled = [], []
        with self._ctx.report.timed("store", self._ctx.clock):
            written = self._ctx.store.write(writes)
        if announced:
            acknowledged = zip(writes.acknowledgements, written.acknowledged, strict=True)
            self._acknowledged += [(a.channel, a.pending) for a, ours in acknowledged if ours]
        return written.committed

    def _publish(self, pending: list[Pending], now: float) -> None:
        """Publish at most one change per channel in the thread. A change that fails stays pending.

        Waits if two batches are under way, to limit the memory.
        """
        if pending:
            self._under_way.append(self._thread.submit(self._publish_batch, pending, now))
        if len(self._under_way) > 2:
            self._finish()

    def _publish_batch(self, pending: list[Pending], now: float) -> _Outcome:
        """Publish changes; runs in the thread. After an error of the whole batch it is unknown what
        was published: the same versions go out again, and Centrifugo drops repeats."""
        outcome = _Outcome(Report(), [], [])
        report = outcome.report
        with report.catching(*(channel for channel, _ in pending)):
            with report.timed("publish", self._ctx.clock):
                results = self._ctx.gateway.publish([_publication(*change) for change in pending])
            for (channel, raw), result in zip(pending, results, strict=True):
                if isinstance(result, Position):
                    outcome.published.append(Acknowledgement(channel, raw, result, now))
                    continue
                report.failed(result, channel)
                with report.timed("store", self._ctx.clock):
                    if self._dropped(channel, raw, result, now):
                        outcome.dropped.append((channel, raw))
            report.published += len(outcome.published)
        return outcome

    def _dropped(self, channel: str, raw: bytes, error: CentrifugoError, now: float) -> bool:
        """Drop a change that Centrifugo will never accept. Returns whether it was still pending."""
        if not (isinstance(error, CommandError) and error.permanent):
            return False
        stored = self._ctx.store.load_snapshots([channel])[channel].snapshot or b""
        epoch = new_epoch()
        given_up = Acknowledgement(channel, raw, None, now, Restart(epoch, restart(stored, epoch)))
        return self._ctx.store.write(Writes(acknowledgements=[given_up])).acknowledged[0]

    def _finish(self) -> None:
        outcome = self._under_way.popleft().result()
        self._ctx.report.absorb(outcome.report)
        self._published += outcome.published
        self._signal(outcome.dropped)

    def _signal_acknowledged(self) -> None:
        acknowledged, self._acknowledged = self._acknowledged, []
        self._signal(acknowledged)

    def _signal(self, changes: Iterable[Pending]) -> None:
        """Send the signals of changes. The next write records that they were sent."""
        for channel, raw in changes:
            if self._ctx.announce:
                pending = messages.decode(raw, messages.Pending)
                self._ctx.announce(channel, pending.version, pending.change, pending.epoch)
            self._signalled.append((channel, raw))


def _publication(channel: str, pending: bytes) -> Publication:
    change = messages.decode(pending, messages.Pending)
    return Publication(
        feed=feed_of(channel),
        data=change.publication,
        channel=channel,
        epoch=change.epoch,
        version=change.version,
    )
