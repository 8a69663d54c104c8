"""The eight steps of a tick, for one batch of channels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from presence import naming, wire
from presence.backends.base import Loaded
from presence.centrifugo import Gateway, Survey
from presence.delivery import Delivery, new_epoch
from presence.exceptions import CentrifugoAnswerError, CentrifugoError, CommandError, PresenceError
from presence.known import Known
from presence.plan import Commit, Rules, State, plan
from presence.polling import Polled, Polls, Seen
from presence.reading import AnonymousMode, digest, read_presence
from presence.report import Report
from presence.roster import Position, Roster

__all__ = ["Batch"]

logger = logging.getLogger("presence.sync")


class Batch:
    """Takes batches of channels through the steps, and counts into one report."""

    def __init__(
        self,
        gateway: Gateway,
        polls: Polls,
        delivery: Delivery,
        known: Known,
        report: Report,
        *,
        survey: Survey,
        believe: bool,
        rules: Rules,
        anonymous: AnonymousMode,
        fingerprint: str,
        clock: Callable[[], float],
    ) -> None:
        self._gateway = gateway
        self._polls = polls
        self._delivery = delivery
        self._known = known
        self._report = report
        self._survey = survey
        self._crowd = sum(survey.clients.values())
        self._believe = believe
        self._rules = rules
        self._anonymous = anonymous
        self._fingerprint = fingerprint
        self._clock = clock

    def work(self, polled: Polled, *, again: bool = True) -> None:
        """Commit and publish what changed; what fails is counted, for one channel or for all."""
        self._report.seconds.store += polled.store_s
        self._report.seconds.read += polled.read_s
        if again:
            self._report.channels += len(polled.channels)
        try:
            if polled.error:
                raise polled.error
            self._delivery.signal_left_overs(polled.loaded)
            self._compare(polled)
            left = polled.pending
            if left and again:
                self._recover(left, polled.loaded)
            else:
                self._report.refused += len(left)
        except PresenceError as error:
            names = ",".join(polled.channels[:3])
            self._report.failed(error, names, count=len(polled.channels))

    def _recover(self, left: list[str], loaded: Loaded) -> None:
        """Publish what a crash left pending, then poll those channels, once more."""
        self._delivery.deliver([(c, loaded.states[c].pending) for c in left], loaded.now)
        self._delivery.settle()
        self.work(self._polls.one(left), again=False)

    def _compare(self, polled: Polled) -> None:
        for channel, error in polled.failed.items():
            self._report.failed(error, channel)
        for channel in polled.unchanged:
            self._count(polled.loaded.states[channel])
        commits = self._plan(polled) if polled.different else []
        self._commit(polled, commits)

    def _plan(self, polled: Polled) -> list[Commit]:
        """The commits for all that is different; those that seem to be partial come last."""
        commits: list[Commit] = []
        fewer: list[str] = []
        for channel, seen in polled.different.items():
            with self._failing(channel):
                roster, connections = read_presence(seen.raw, anonymous=self._anonymous)
                if connections < self._survey.clients.get(channel, 0):
                    fewer.append(channel)
                else:
                    commits += self._plan_one(polled, channel, seen, roster)
        for channel, (seen, roster) in self._read_again(fewer).items():
            with self._failing(channel):
                commits += self._plan_one(polled, channel, seen, roster)
        return self._with_positions(polled.loaded, commits)

    def _plan_one(self, polled: Polled, channel: str, seen: Seen, roster: Roster) -> list[Commit]:
        state, old = polled.loaded.states[channel], polled.known.get(channel)
        if old is None:
            rev, stored = polled.rosters.get(channel, (0, b""))
            if rev != state.rev:
                self._report.refused += 1
                return []
            old = wire.decode(stored, Roster)
        watched = naming.feed_of(channel) in self._survey.clients
        if not state.rev and not roster.occupied and not watched:
            return []
        commit = plan(
            state,
            old,
            roster,
            digest=seen.digest,
            run=polled.loaded.run,
            now=polled.loaded.now,
            rules=self._rules,
            believe=self._believe and bool(seen.digest) and seen.nodes == self._survey.nodes,
            crowd=self._crowd,
            new_epoch=new_epoch,
        )
        return [commit]

    def _read_again(self, channels: list[str]) -> dict[str, tuple[Seen, Roster]]:
        """What is shown now of channels that showed fewer clients than were counted.

        All are asked anew, together: since the survey somebody may have left, or a partial
        answer may have become whole. One that is still partial has no digest.
        """
        if not channels:
            return {}
        try:
            with self._report.timed("read", self._clock):
                replies, survey = self._gateway.recount(channels)
        except PresenceError as error:
            self._report.failed(error, ",".join(channels[:3]), count=len(channels))
            return {}
        again: dict[str, tuple[Seen, Roster]] = {}
        for channel, reply in zip(channels, replies, strict=True):
            if isinstance(reply, CentrifugoError):
                self._report.failed(reply, channel)
                continue
            raw, counted = bytes(reply), survey.clients.get(channel, 0)
            with self._failing(channel):
                roster, connections = read_presence(raw, anonymous=self._anonymous)
                whole = connections >= counted
                seen = digest(raw, self._fingerprint) if whole else b""
                again[channel] = Seen(raw, seen, survey.nodes), roster
                if not whole:
                    raise CentrifugoAnswerError(
                        f"a partial answer: {connections} clients shown, {counted} counted; "
                        "nobody is taken for gone"
                    )
        return again

    @contextmanager
    def _failing(self, channel: str) -> Iterator[None]:
        """Count what goes wrong with one channel, and go on."""
        try:
            yield
        except PresenceError as error:
            self._report.failed(error, channel)
        except Exception as error:
            logger.exception("channel=failed name=%s", channel)
            self._report.fail(f"{channel}: {type(error).__name__}: {error}")

    def _with_positions(self, loaded: Loaded, commits: list[Commit]) -> list[Commit]:
        """Ask for the stream's position where the commit publishes nothing that would tell it.

        And before a room's first commit: that creates the stream.
        """
        asking = [c for c in commits if not c.pending or not c.rev]
        asking = [c for c in asking if c.digest != loaded.states[c.channel].digest]
        with self._report.timed("read", self._clock):
            found = self._gateway.positions([naming.feed_of(c.channel) for c in asking])
        positions: dict[str, Position] = {}
        for commit, position in zip(asking, found, strict=True):
            if isinstance(position, Position):
                positions[commit.channel] = position
            elif not (isinstance(position, CommandError) and position.permanent):
                self._report.failed(position, commit.channel)
        return [
            msgspec.structs.replace(c, position=positions.get(c.channel, c.position))
            for c in commits
        ]

    def _commit(self, polled: Polled, planned: list[Commit]) -> None:
        good = [*polled.unchanged, *(commit.channel for commit in planned)]
        commits = []
        for commit in planned:
            if commit.repeats(polled.loaded.states[commit.channel]):
                self._count_commit(commit)
            else:
                commits.append(commit)
        taken = self._delivery.write(commits, polled=good, now=polled.loaded.now)
        written = [commit for commit, done in zip(commits, taken, strict=True) if done]
        self._report.refused += len(commits) - len(written)
        for commit in written:
            self._known.keep(commit)
            self._count_commit(commit)
        pending = [(commit.channel, commit.pending) for commit in written if commit.pending]
        self._delivery.deliver(pending, polled.loaded.now)

    def _count(self, state: State | Commit) -> None:
        self._report.members += state.total
        self._report.anonymous += state.anonymous

    def _count_commit(self, commit: Commit) -> None:
        self._count(commit)
        change = commit.change
        self._report.changed += bool(change)
        self._report.joins += len(change.joins)
        self._report.leaves += len(change.leaves)
        self._report.updates += len(change.updates)
        self._report.held += commit.held
        if commit.begins_to_leave:
            self._report.leaving.append(commit.channel)
