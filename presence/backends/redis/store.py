"""Rosters in Redis: one hash per channel, one script per atomic step, one key per script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from presence.backends.base import (
    Acknowledgement,
    BatchState,
    RosterStore,
    StoredSnapshot,
    WriteResult,
    Writes,
)
from presence.backends.redis import fields
from presence.backends.redis.connection import Call
from presence.backends.redis.cursors import RedisCursors, RedisLimits
from presence.backends.redis.ledger import RedisLedger
from presence.backends.redis.members import RedisMembers
from presence.backends.redis.server import Packed
from presence.backends.tracker import Tracker
from presence.roster.commit import Commit

_STATE = Packed.of(*fields.NAMES)


class RedisStore(RedisMembers, RedisCursors, RedisLimits, RedisLedger, Tracker, RosterStore):
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
        with self._pipeline() as pipe:
            pipe.time()
            pipe.execute_command("INFO", "server")
            for channel in channels:
                pipe.execute_command("HMGET", self._keys.channel(channel), _STATE)
            for channel in rosters:
                pipe.hmget(self._keys.channel(channel), "rev", "roster")
            for channel in whole:
                pipe.hmget(self._keys.channel(channel), "rev", "roster", "snapshot")
            moment, server, *rows = self._execute(pipe)
        replies = iter(rows)
        states = dict(zip(channels, islice(replies, len(channels)), strict=True))
        found = dict(zip(rosters, islice(replies, len(rosters)), strict=True))
        return BatchState(
            now=self._time(moment),
            run=str(server["run_id"]),
            states={c: fields.state(c, row) for c, row in states.items()},
            rosters={c: fields.roster(row) for c, row in found.items() if fields.is_there(row)},
            whole={c: fields.whole(row) for c, row in zip(whole, replies, strict=True)},
        )

    def load_snapshots(self, channels: Sequence[str]) -> dict[str, StoredSnapshot]:
        with self._pipeline() as pipe:
            pipe.time()
            for channel in channels:
                pipe.hmget(self._keys.channel(channel), *fields.SHOWN)
                pipe.zscore(self._keys.channels, channel)
            moment, *rows = self._execute(pipe)
        now = self._time(moment)
        return {
            channel: fields.stored(row, polled=polled, now=now)
            for channel, row, polled in zip(channels, rows[::2], rows[1::2], strict=True)
        }

    def write(self, writes: Writes) -> WriteResult:
        before, now = self._unanswered(writes), repr(writes.now)
        acknowledging = [_acknowledging(done, writes.to_signal) for done in writes.acknowledgements]
        committing = [_committing(commit) for commit in writes.commits]
        suspecting = [("suspect", s.channel, [s.field, s.found]) for s in writes.suspects]
        on_channels = [
            (script, self._keys.channel(channel), given)
            for script, channel, given in [*acknowledging, *committing, *suspecting]
        ]
        polled = [part for channel in writes.polled for part in (now, channel)]
        replies = self._evaluate([*before, *on_channels], polled)[len(before) :]
        taken = [reply == 1 for reply in replies]
        acknowledged = len(acknowledging)
        return WriteResult(
            acknowledged=taken[:acknowledged],
            committed=taken[acknowledged : acknowledged + len(committing)],
            swept=self._sweep(writes.sweep),
        )

    def _unanswered(self, writes: Writes) -> list[Call]:
        """Return the calls that come first, and whose replies tell nothing."""
        calls: list[Call] = []
        if writes.last_seen:
            times = [part for user, at in writes.last_seen.items() for part in (user, repr(at))]
            calls.append(("saw", self._keys.seen, [self._moment(), *times]))
        return calls + [
            ("signalled", self._keys.channel(channel), [pending])
            for channel, pending in writes.signalled
        ]

    def _sweep(self, channels: Mapping[str, float]) -> list[str]:
        empty = self._evaluate([("sweep", self._keys.channel(c), []) for c in channels])
        closed = [c for c, done in zip(channels, empty, strict=True) if done == 1]
        gone = self._evaluate(
            [("forget", self._keys.channels, [c, repr(channels[c])]) for c in closed]
        )
        return [c for c, done in zip(closed, gone, strict=True) if done]

    def note_nodes(self, uids: frozenset[str]) -> float | None:
        with self._guarded():
            moment: Any = self._client.time()
        now = self._time(moment)
        arguments = [" ".join(sorted(uids)), repr(now)]
        changed = float(self._evaluate([("nodes", self._keys.nodes, arguments)])[0])
        return now - changed if changed else None


def _acknowledging(done: Acknowledgement, to_signal: bool) -> Call:
    given = [done.pending, fields.text(done.position), done.now if to_signal else ""]
    return "acknowledge", done.channel, [*given, *(done.restart or ())]


def _committing(commit: Commit) -> Call:
    written = fields.commit_fields(commit)
    if (damage := commit.replaces) is None:
        given = [commit.rev, commit.pending, *fields.pairs(written)]
        return "commit", commit.channel, given
    written |= {"rev": commit.rev + 1, "unsignalled": fields.unsignalled(commit.unsignalled)}
    given = [damage.rev, damage.pending, commit.pending, *fields.pairs(written)]
    return "replace", commit.channel, given
