"""From what was polled of a batch of channels to what is committed and published."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from presence.backends.base import Loaded
from presence.backends.tracker import Tracker
from presence.centrifugo.gateway import Gateway, Survey
from presence.exceptions import CommandError, PresenceError, StoreDamaged
from presence.roster import channel_names
from presence.roster.commit import Commit, Rules, State, plan
from presence.roster.people import is_anonymous
from presence.roster.types import Position, Roster
from presence.sync.cache import Known
from presence.sync.poll import Polled, Polls
from presence.sync.publish import Delivery, new_epoch
from presence.sync.readings import Reading, Readings
from presence.sync.report import Report

__all__ = ["Batch"]


class Batch:
    """Takes batches of channels through the steps, and counts into one report."""

    def __init__(
        self,
        gateway: Gateway,
        polls: Polls,
        delivery: Delivery,
        known: Known,
        readings: Readings,
        tracker: Tracker | None,
        report: Report,
        *,
        survey: Survey,
        believe: bool,
        rules: Rules,
        clock: Callable[[], float],
    ) -> None:
        self._gateway = gateway
        self._polls = polls
        self._delivery = delivery
        self._known = known
        self._readings = readings
        self._tracker = tracker
        self._report = report
        self._survey = survey
        self._crowd = sum(survey.clients.values())
        self._believe = believe
        self._rules = rules
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
        """The commits for all that is different."""
        commits: list[Commit] = []
        for channel, reading in self._readings.of(polled):
            with self._readings.failing(channel):
                commits += self._plan_one(polled, channel, reading)
        return self._with_positions(polled.loaded, commits)

    def _plan_one(self, polled: Polled, channel: str, reading: Reading) -> list[Commit]:
        state = reading.state
        roster = reading.roster
        # An empty room that never had anybody in it is not stored: anybody can make up its name.
        # Pages that watch it learn from the first diff that there is an epoch.
        if not (state.rev or state.damage or roster.occupied or roster.hidden):
            return []
        believe = self._believe and reading.whole and reading.seen.nodes == self._survey.nodes
        if state.damage:
            self._report.failed(StoreDamaged(f"damaged: {state.damage.reason}"), channel)
            if reading.old is None and not believe:
                return []  # Nobody would know who is only reconnecting.
        commit = plan(
            state,
            reading.old or Roster(),
            roster,
            digest=reading.digest,
            run=polled.loaded.run,
            now=polled.loaded.now,
            rules=self._rules,
            believe=believe,
            crowd=self._crowd,
            new_epoch=new_epoch,
        )
        return [commit]

    def _with_positions(self, loaded: Loaded, commits: list[Commit]) -> list[Commit]:
        """Ask for the stream's position where the commit publishes nothing that would tell it.

        And before a room's first commit: that creates the stream.
        """
        asking = [c for c in commits if not c.pending or not c.rev]
        asking = [c for c in asking if c.digest != loaded.states[c.channel].digest]
        with self._report.timed("read", self._clock):
            found = self._gateway.positions([channel_names.feed_of(c.channel) for c in asking])
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
        self._note_seen(commits, polled.loaded.now)
        taken = self._delivery.write(commits, polled=good, now=polled.loaded.now)
        written = [commit for commit, done in zip(commits, taken, strict=True) if done]
        self._report.refused += len(commits) - len(written)
        for commit in written:
            self._known.keep(commit)
            self._count_commit(commit)
        pending = [(commit.channel, commit.pending) for commit in written if commit.pending]
        self._delivery.deliver(pending, polled.loaded.now)

    def _note_seen(self, commits: list[Commit], now: float) -> None:
        """Note when those who leave were here: before they do, or a crash would forget it."""
        gone = {member.id: now for commit in commits for member in commit.change.leaves}
        users = {user: at for user, at in gone.items() if not is_anonymous(user)}
        if self._tracker and users:
            with self._report.timed("store", self._clock):
                self._tracker.saw(users)

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
