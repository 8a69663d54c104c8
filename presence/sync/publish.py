"""Writes commits, publishes their diffs, acknowledges these, and sends signals."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from math import inf
from typing import NamedTuple, Self

import msgspec

from presence.backends.base import Acknowledgement, Restart, Writes
from presence.centrifugo.gateway import Publication
from presence.exceptions import CommandError, PresenceError
from presence.roster import messages
from presence.roster.channel_names import feed_of
from presence.roster.commit import Commit, new_epoch, restart
from presence.roster.messages import Position
from presence.roster.people import is_anonymous
from presence.sync.channels import Shard
from presence.sync.context import TickContext
from presence.sync.poll import PollResult
from presence.sync.statistics import Report

SIGNAL_PATIENCE = 30.0
"""Seconds after which a change without its signal counts as left behind by a crash."""

Pending = tuple[str, bytes]
"""A channel, and the bytes of its roster.messages.Pending."""


class _Outcome(NamedTuple):
    """Result of publishing to channels: a report, the acknowledgements, and the dropped changes,
    which are signalled as well."""

    report: Report
    channels: list[str]
    published: list[Acknowledgement]
    dropped: list[Pending]


class _Marks(NamedTuple):
    """Marks that are written with the commits of a batch, for `due` and `settled` channels.

    A channel of `unpublished` is settled when its change is published. It has its mark, and the
    seconds after which it is due again (None: it is not).
    """

    due: dict[str, float]
    settled: dict[str, float]
    unpublished: dict[str, tuple[float, float | None]]


class Publisher:
    """Publishes commits, and changes that a crash left pending.

    A thread publishes. The caller's thread sends signals: receivers may use its database
    connection. Publications are acknowledged together with the next commits, in one round trip.
    Their signals are sent while the next batch is published, as receivers may be slow. The mark of
    a due channel is settled when its change is published: if the process ends in between, the next
    look publishes it. As a context manager, it waits at its end until all of that is done. After an
    interruption it does not, and changes stay pending.
    """

    def __init__(self, ctx: TickContext) -> None:
        self._ctx = ctx
        self._thread = ctx.executor(1)
        self._under_way: deque[Future[_Outcome]] = deque()
        self._published: list[Acknowledgement] = []
        self._signalled: list[Pending] = []
        self._unpublished: dict[str, tuple[float, float | None]] = {}
        self._settled: dict[str, float] = {}
        self._again: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        is_settled = False
        try:
            if kind is None or issubclass(kind, PresenceError):
                self.settle()
                is_settled = True
        finally:
            # An exception of a signal handler, such as a time limit of Celery, may have left the
            # lock of a future taken. Its thread waits for that, so nobody may wait for the thread.
            self._thread.shutdown(wait=is_settled, cancel_futures=not is_settled)

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

    def commit_and_publish(
        self,
        shard: Shard,
        polled: PollResult,
        planned: Sequence[Commit],
    ) -> None:
        """Write the commits of a batch, and publish their changes without waiting.

        The marks of `shard.due` that belong to channels of the batch are settled, now or after
        their change is published. Raises StoreError; then nothing of the batch is published.
        """
        states, report, now = polled.loaded.states, self._ctx.report, polled.loaded.now
        for channel in polled.unchanged:
            report.count(states[channel])
        commits = []
        for commit in planned:
            if commit.repeats(states[commit.channel]):
                report.count_commit(commit)
            else:
                commits.append(commit)
        marks = _marks_of(shard, polled, planned, commits, report)
        gone = {member.id for commit in commits for member in commit.change.leaves}
        taken, acknowledged = self._write(
            Writes(
                # Written before the commits, so that a crash between them loses nothing.
                last_seen={user: now for user in gone if not is_anonymous(user)},
                polled=_dated(polled, planned),
                now=now,
                due=marks.due,
                commits=commits,
                settled=marks.settled,
            )
        )
        report.polled += len(polled.unchanged) + len(planned)
        written = [commit for commit, done in zip(commits, taken, strict=True) if done]
        report.refuse(*(c.channel for c, done in zip(commits, taken, strict=True) if not done))
        for commit in written:
            self._ctx.cache.keep(commit)
            report.count_commit(commit)
            if commit.channel in marks.unpublished:
                self._unpublished[commit.channel] = marks.unpublished[commit.channel]
        self._publish([(c.channel, c.pending) for c in written if c.pending], now)
        self._signal(acknowledged)

    def settle(self) -> None:
        """Wait for all publications, and acknowledge and signal them. Raises StoreError."""
        while self._under_way:
            self._finish()
        while self._published or self._signalled or self._settled:
            _, acknowledged = self._write(Writes())
            self._signal(acknowledged)

    def _write(self, writes: Writes) -> tuple[list[bool], list[Pending]]:
        """Write commits, and with them all acknowledgements and sent signals until now.

        Returns whether each commit was taken, and the changes to signal. Raises StoreError; then
        publications stay pending and are published again, which readers do not notice.
        """
        while self._under_way and self._under_way[0].done():
            self._finish()
        announced = self._ctx.announce is not None
        writes = msgspec.structs.replace(
            writes,
            signalled=self._signalled,
            acknowledgements=self._published,
            to_signal=announced,
            settled={**writes.settled, **self._settled},
            due={**writes.due, **self._again},
        )
        self._published, self._signalled, self._settled, self._again = [], [], {}, {}
        with self._ctx.timed("store"):
            written = self._ctx.store.write(writes)
        acknowledged = zip(writes.acknowledgements, written.acknowledged, strict=True)
        ours = [(a.channel, a.pending) for a, taken in acknowledged if taken and announced]
        return written.committed, ours

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
        ctx = self._ctx.with_new_report()
        outcome = _Outcome(ctx.report, [channel for channel, _ in pending], [], [])
        with ctx.report.catching(*outcome.channels):
            with ctx.timed("publish"):
                results = ctx.gateway.publish([_publication(*change) for change in pending])
            for (channel, raw), result in zip(pending, results, strict=True):
                if isinstance(result, Position):
                    outcome.published.append(Acknowledgement(channel, raw, result, now))
                    continue
                ctx.report.failed(result, channel)
                if isinstance(result, CommandError) and result.permanent:
                    with ctx.timed("store"):
                        if _drop(ctx, channel, raw, now):
                            outcome.dropped.append((channel, raw))
            ctx.report.published += len(outcome.published)
        return outcome

    def _finish(self) -> None:
        outcome = self._under_way.popleft().result()
        self._ctx.report.absorb(outcome.report)
        self._published += outcome.published
        for channel in outcome.channels:
            if channel in self._unpublished:
                self._settled[channel], again = self._unpublished.pop(channel)
                again = outcome.report.again.get(channel, again)
                if again is not None:
                    self._again[channel] = again
        self._signal(outcome.dropped)

    def _signal(self, changes: Iterable[Pending]) -> None:
        """Send the signals of changes. The next write records that they were sent."""
        for channel, raw in changes:
            if self._ctx.announce:
                pending = messages.decode(raw, messages.Pending)
                self._ctx.announce(channel, pending.version, pending.change, pending.epoch)
            self._signalled.append((channel, raw))


def _dated(polled: PollResult, planned: Sequence[Commit]) -> list[str]:
    """Return the channels whose poll is noted: those with somebody to see, before or after it.

    A room that looks empty ages and ends, as one does that nobody is in. Otherwise its life would
    tell that a hidden user is there. A new entry is noted, so that it ends, too.
    """
    states = polled.loaded.states
    here = {c.channel for c in planned if c.pending or c.total or c.anonymous or not c.version}
    channels = [*polled.unchanged, *(commit.channel for commit in planned)]
    return [c for c in channels if c in here or states[c].occupied]


def _marks_of(
    shard: Shard,
    polled: PollResult,
    planned: Sequence[Commit],
    commits: Sequence[Commit],
    report: Report,
) -> _Marks:
    due = {c: report.again[c] for c in polled.channels if c in report.again}
    for commit in planned:
        if commit.due_in is not None:
            due[commit.channel] = min(commit.due_in, due.get(commit.channel, inf))
    if not shard.look:
        # A member who comes after a look, is seen by this tick, and leaves before the next look
        # does not change the count.
        due |= {commit.channel: 0.0 for commit in commits}
    settled = {c: shard.due[c] for c in polled.channels if c in shard.due}
    for channel in polled.pending:
        settled.pop(channel, None)
    unpublished = {
        c.channel: (settled.pop(c.channel), due.pop(c.channel, None))
        for c in commits
        if c.pending and c.channel in settled
    }
    return _Marks(due, settled, unpublished)


def _drop(ctx: TickContext, channel: str, raw: bytes, now: float) -> bool:
    """Drop a change that Centrifugo will never accept. Returns whether it was still pending."""
    stored = ctx.store.load_snapshots([channel])[channel].snapshot or b""
    epoch = new_epoch()
    given_up = Acknowledgement(channel, raw, None, now, Restart(epoch, restart(stored, epoch)))
    return ctx.store.write(Writes(acknowledgements=[given_up])).acknowledged[0]


def _publication(channel: str, pending: bytes) -> Publication:
    change = messages.decode(pending, messages.Pending)
    return Publication(
        feed=feed_of(channel),
        data=change.publication,
        channel=channel,
        epoch=change.epoch,
        version=change.version,
    )
