"""Rosters in Redis: one hash per channel, one script per atomic step, one key per script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, islice

from presence.backends.base import (
    Acknowledgement,
    BatchState,
    RosterStore,
    StoredSnapshot,
    WriteResult,
    Writes,
)
from presence.backends.redis import fields
from presence.backends.redis.connection import script
from presence.backends.redis.cursors import RedisCursors, RedisLimits
from presence.backends.redis.ledger import RedisLedger
from presence.backends.redis.members import RedisMembers
from presence.backends.redis.revocations import RedisRevocations
from presence.backends.redis.server import Command, Packed
from presence.backends.tracker import Tracker
from presence.roster.commit import Commit

_STATE = Packed.of(*fields.NAMES)


class RedisStore(
    RedisMembers,
    RedisCursors,
    RedisLimits,
    RedisLedger,
    RedisRevocations,
    Tracker,
    RosterStore,
):
    """The contracts of RosterStore and Tracker on the Redis at `url`, with keys under `prefix`.

    Nothing connects before the first call. Times are those of Redis's own clock unless `clock`
    (seconds since 1970) is given. `timeout` is in seconds, for a call as a whole.
    """

    def load_states(
        self,
        channels: Sequence[str],
        *,
        rosters: Sequence[str] = (),
        whole: Sequence[str] = (),
    ) -> BatchState:
        keys = self._keys
        moment, server, *rows = self._run(
            [
                ("TIME",),
                ("INFO", "server"),
                *(("HMGET", keys.channel(channel), _STATE) for channel in channels),
                *(("HMGET", keys.channel(channel), *fields.ROSTER) for channel in rosters),
                *(("HMGET", keys.channel(channel), *fields.WHOLE) for channel in whole),
            ]
        )
        replies = iter(rows)
        states = dict(zip(channels, islice(replies, len(channels)), strict=True))
        found = dict(zip(rosters, islice(replies, len(rosters)), strict=True))
        return BatchState(
            now=self._time(moment),
            run=str(server["run_id"]),
            states={c: fields.state(c, row) for c, row in states.items()},
            rosters={c: fields.whole(row)[:2] for c, row in found.items() if fields.is_there(row)},
            whole={c: fields.whole(row) for c, row in zip(whole, replies, strict=True)},
        )

    def load_snapshots(self, channels: Sequence[str]) -> dict[str, StoredSnapshot]:
        commands: list[Command] = [("TIME",)]
        for channel in channels:
            commands.append(("HMGET", self._keys.channel(channel), *fields.SHOWN))
            commands.append(("ZSCORE", self._keys.channels, channel))
        moment, *rows = self._run(commands)
        now = self._time(moment)
        return {
            channel: fields.stored(row, polled=polled, now=now)
            for channel, row, polled in zip(channels, rows[::2], rows[1::2], strict=True)
        }

    def write(self, writes: Writes) -> WriteResult:
        answered = self._answered(writes)
        before = [*answered.values(), *self._unanswered(writes)]
        acknowledging = [
            self._acknowledging(done, writes.to_signal) for done in writes.acknowledgements
        ]
        committing = [self._committing(commit) for commit in writes.commits]
        suspecting = [
            script("suspect", self._keys.channel(channel), field, found)
            for channel, field, found in writes.suspects
        ]
        commands = [*before, *acknowledging, *committing, *suspecting, *self._last(writes)]
        replies = self._run(commands)
        first = dict(zip(answered, replies, strict=False))
        taken = iter([reply == 1 for reply in replies[len(before) :]])
        return WriteResult(
            acknowledged=[*islice(taken, len(acknowledging))],
            committed=[*islice(taken, len(committing))],
            nodes_changed=_since(*first["nodes"]) if "nodes" in first else None,
            marked=float(first["due"]) if "due" in first else None,
            swept=self._sweep(writes.sweep),
        )

    def _answered(self, writes: Writes) -> dict[str, Command]:
        """Return the commands that come first, by a name for their replies."""
        commands: dict[str, Command] = {}
        if writes.nodes is not None:
            uids = " ".join(sorted(writes.nodes))
            commands["nodes"] = self._timed("nodes", self._keys.nodes, uids)
        if due := {c: after for c, after in writes.due.items() if c not in writes.settled}:
            # Before the commits: a mark too many costs a poll, a mark too few an interval.
            commands["due"] = self._mark_due(due)
        return commands

    def _unanswered(self, writes: Writes) -> list[Command]:
        """Return the commands that come next; their replies are ignored."""
        commands: list[Command] = []
        if writes.polled:
            now = repr(writes.now)  # once for all of them: redis-py would for each
            times = [part for channel in writes.polled for part in (now, channel)]
            commands.append(("ZADD", self._keys.channels, "GT", *times))
        if writes.last_seen:
            seen = chain.from_iterable(writes.last_seen.items())
            commands.append(self._timed("saw", self._keys.seen, *seen))
        return commands + [
            script("signalled", self._keys.channel(channel), pending)
            for channel, pending in writes.signalled
        ]

    def _last(self, writes: Writes) -> list[Command]:
        """Return the commands that come last; their replies are ignored."""
        commands = [self._settle_due(writes.settled, writes.due)] if writes.settled else []
        return commands + ([self._look(writes.look)] if writes.look else [])

    def _acknowledging(self, done: Acknowledgement, to_signal: bool) -> Command:
        given = [done.pending, fields.text(done.position), done.now if to_signal else ""]
        key = self._keys.channel(done.channel)
        return script("acknowledge", key, *given, *(done.restart or ()))

    def _committing(self, commit: Commit) -> Command:
        key, written = self._keys.channel(commit.channel), fields.commit_fields(commit)
        damage = commit.replaces
        if damage is None:
            return script("commit", key, commit.rev, commit.pending, *fields.pairs(written))
        written |= {"rev": commit.rev + 1, "unsignalled": fields.unsignalled(commit.unsignalled)}
        given = [damage.rev, damage.pending, commit.pending]
        return script("replace", key, *given, *fields.pairs(written))

    def _sweep(self, channels: Mapping[str, float]) -> list[str]:
        empty = self._run([script("sweep", self._keys.channel(channel)) for channel in channels])
        closed = [c for c, done in zip(channels, empty, strict=True) if done == 1]
        gone = self._run([script("forget", self._keys.channels, c, channels[c]) for c in closed])
        return [c for c, done in zip(closed, gone, strict=True) if done]


def _since(now: bytes, changed: bytes) -> float | None:
    return float(now) - float(changed) if float(changed) else None
