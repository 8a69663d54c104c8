"""The eight steps of a tick, for one batch of channels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from presence import naming, wire
from presence.backends.base import Loaded, RosterStore
from presence.centrifugo import Gateway, Survey
from presence.delivery import Delivery, new_epoch
from presence.exceptions import CentrifugoAnswerError, CentrifugoError, CommandError, PresenceError
from presence.plan import Commit, Rules, State, plan
from presence.reading import AnonymousMode, digest, read_presence
from presence.replies import Reply
from presence.report import Report
from presence.roster import Position, Roster

__all__ = ["Batch"]

logger = logging.getLogger("presence.sync")


class _Seen(NamedTuple):
    """A presence reply, its digest (empty: it is partial), and the nodes that there were."""

    raw: bytes
    digest: bytes
    nodes: frozenset[str]


class Polled:
    """What was read of some channels, or the `error` that kept it from being read whole.

    Channels with something pending are loaded, but have no reply. Seconds are those spent.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        self.channels = channels
        self.loaded: Loaded | None = None
        self.replies: dict[str, Reply] = {}
        self.nodes: frozenset[str] = frozenset()
        self.error: PresenceError | None = None
        self.store_s = 0.0
        self.read_s = 0.0


class Batch:
    """Takes batches of channels through the steps, and counts into one report."""

    def __init__(
        self,
        store: RosterStore,
        gateway: Gateway,
        delivery: Delivery,
        report: Report,
        *,
        survey: Survey,
        believe: bool,
        rules: Rules,
        anonymous: AnonymousMode,
        fingerprint: str,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._delivery = delivery
        self._report = report
        self._survey = survey
        self._believe = believe
        self._rules = rules
        self._anonymous = anonymous
        self._fingerprint = fingerprint
        self._clock = clock

    def read(self, channels: Sequence[str]) -> Polled:
        """State first, presence second. Safe in a thread: counts nothing, writes nothing."""
        polled = Polled(channels)
        started = self._clock()
        try:
            polled.loaded = loaded = self._store.load(channels)
            loaded_at = self._clock()
            polled.store_s = loaded_at - started
            free = [c for c, state in loaded.states.items() if not state.pending]
            replies, polled.nodes = self._gateway.poll(free)
            polled.replies = dict(zip(free, replies, strict=True))
            polled.read_s = self._clock() - loaded_at
        except PresenceError as error:
            polled.error = error
        return polled

    def work(self, polled: Polled, *, again: bool = True) -> None:
        """Commit and publish what changed; what fails is counted, for one channel or for all."""
        self._report.seconds.store += polled.store_s
        self._report.seconds.read += polled.read_s
        if again:
            self._report.channels += len(polled.channels)
        try:
            if polled.error:
                raise polled.error
            assert polled.loaded is not None
            self._delivery.signal_left_overs(polled.loaded)
            self._compare(polled.loaded, polled.replies, polled.nodes)
            left = [state for state in polled.loaded.states.values() if state.pending]
            if left and again:
                self._recover(left, polled.loaded.now)
            else:
                self._report.refused += len(left)
        except PresenceError as error:
            names = ",".join(polled.channels[:3])
            self._report.failed(error, names, count=len(polled.channels))

    def _recover(self, left: list[State], now: float) -> None:
        """Publish what a crash left pending, then read those channels, once more."""
        self._delivery.deliver([(state.channel, state.pending) for state in left], now)
        self._delivery.settle()
        self.work(self.read([state.channel for state in left]), again=False)

    def _compare(
        self,
        loaded: Loaded,
        replies: dict[str, Reply],
        nodes: frozenset[str],
    ) -> None:
        good: list[str] = []
        different: dict[str, _Seen] = {}
        for channel, reply in replies.items():
            if isinstance(reply, CentrifugoError):
                self._report.failed(reply, channel)
                continue
            raw = bytes(reply)
            state, seen = loaded.states[channel], digest(raw, self._fingerprint)
            if state.digest == seen and state.run == loaded.run and not state.leaving:
                good.append(channel)
                self._count(state)
            else:
                different[channel] = _Seen(raw, seen, nodes)
        commits = self._plan(loaded, different) if different else []
        self._commit(loaded, good, commits)

    def _plan(self, loaded: Loaded, different: dict[str, _Seen]) -> list[Commit]:
        with self._report.timed("store", self._clock):
            rosters = self._store.rosters(list(different))
        commits: list[Commit] = []
        for channel, seen in different.items():
            state = loaded.states[channel]
            rev, stored = rosters.get(channel, (0, b""))
            if rev != state.rev:
                self._report.refused += 1
                continue
            try:
                commit = self._plan_one(loaded, state, stored, seen)
            except PresenceError as error:
                self._report.failed(error, channel)
            except Exception as error:
                logger.exception("channel=failed name=%s", channel)
                self._report.fail(f"{channel}: {type(error).__name__}: {error}")
            else:
                commits += [commit] if commit else []
        return self._with_positions(loaded, commits)

    def _plan_one(self, loaded: Loaded, state: State, stored: bytes, seen: _Seen) -> Commit | None:
        roster, connections = read_presence(seen.raw, anonymous=self._anonymous)
        if connections < self._survey.clients.get(state.channel, 0):
            seen = self._read_again(state.channel)
            roster, _ = read_presence(seen.raw, anonymous=self._anonymous)
        watched = naming.feed_of(state.channel) in self._survey.clients
        if not state.rev and not roster.occupied and not watched:
            return None
        return plan(
            state,
            wire.decode(stored, Roster) if stored else Roster(),
            roster,
            digest=seen.digest,
            run=loaded.run,
            now=loaded.now,
            rules=self._rules,
            believe=self._believe and bool(seen.digest) and seen.nodes == self._survey.nodes,
            new_epoch=new_epoch,
        )

    def _read_again(self, channel: str) -> _Seen:
        """What is shown now; partial is what shows fewer clients than Centrifugo counts.

        Both are asked anew, together: since the survey somebody may have left, or a partial
        answer may have become whole.
        """
        with self._report.timed("read", self._clock):
            raw, survey = self._gateway.recount(channel)
        _, connections = read_presence(raw, anonymous=self._anonymous)
        counted = survey.clients.get(channel, 0)
        if connections >= counted:
            return _Seen(raw, digest(raw, self._fingerprint), survey.nodes)
        error = CentrifugoAnswerError(
            f"a partial answer: {connections} clients shown, {counted} counted; nobody is taken "
            "for gone"
        )
        self._report.failed(error, channel)
        return _Seen(raw, b"", survey.nodes)

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

    def _commit(self, loaded: Loaded, good: list[str], planned: list[Commit]) -> None:
        polled = [*good, *(commit.channel for commit in planned)]
        commits = []
        for commit in planned:
            if commit.repeats(loaded.states[commit.channel]):
                self._count_commit(commit)
            else:
                commits.append(commit)
        with self._report.timed("store", self._clock):
            taken = self._store.commit(commits, polled=polled, now=loaded.now)
        written = [commit for commit, done in zip(commits, taken, strict=True) if done]
        self._report.refused += len(commits) - len(written)
        for commit in written:
            self._count_commit(commit)
        pending = [(commit.channel, commit.pending) for commit in written if commit.pending]
        self._delivery.deliver(pending, loaded.now)

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
