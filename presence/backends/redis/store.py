"""Rosters in Redis: one hash per channel, one script per atomic step, one key per script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any

from presence.backends.base import BatchState, RosterStore, StoredSnapshot, WriteResult, Writes
from presence.backends.redis import fields
from presence.backends.redis.connection import Call, milliseconds
from presence.backends.redis.cursors import RedisTracker
from presence.backends.redis.ledger import RedisLedger
from presence.roster.commit import Commit, restart

__all__ = ["RedisStore"]


class RedisStore(RedisTracker, RedisLedger, RosterStore):
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
                pipe.hmget(self._keys.channel(channel), *fields.NAMES)
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
        if not writes:
            return WriteResult()
        done: list[Call] = [("signalled", c, [pending]) for c, pending in writes.signalled]
        acknowledged: list[Call] = [
            (
                "acknowledge",
                one.channel,
                [one.pending, fields.text(one.position), one.now if writes.to_signal else ""],
            )
            for one in writes.acknowledgements
        ]
        committed = [_committing(commit) for commit in writes.commits]
        polled = dict.fromkeys(writes.polled, writes.now)
        taken = self._run([*done, *acknowledged, *committed], polled=polled)[len(done) :]
        return WriteResult(
            acknowledged=taken[: len(acknowledged)], committed=taken[len(acknowledged) :]
        )

    def drop(self, channel: str, pending: bytes, *, epoch: str, now: float) -> bool:
        stored = self.load_snapshots([channel])[channel].snapshot or b""
        arguments = [pending, "", now, epoch, restart(stored, epoch)]
        return self._run([("acknowledge", channel, arguments)])[0]

    def suspect(self, channel: str, field: str, found: bytes) -> None:
        self._run([("suspect", channel, [field, found])])

    def known_channels(self) -> Mapping[str, float]:
        (rows,) = self._evaluate([("known", self._keys.channels, [self._moment()])])
        times = dict(zip(rows[::2], map(float, rows[1::2]), strict=True))
        return {c: times[c.encode()] for c in self._channels(self._keys.channels, times)}

    def sweep_channels(self, channels: Mapping[str, float]) -> list[str]:
        empty = self._run([("sweep", c, []) for c in channels])
        closed = [c for c, done in zip(channels, empty, strict=True) if done]
        calls = [("forget", self._keys.channels, [c, repr(channels[c])]) for c in closed]
        gone = self._evaluate(calls)
        return [c for c, done in zip(closed, gone, strict=True) if done]

    def note_nodes(self, uids: frozenset[str]) -> float | None:
        with self._guarded():
            moment: Any = self._client.time()
        now = self._time(moment)
        arguments = [" ".join(sorted(uids)), repr(now)]
        changed = float(self._evaluate([("nodes", self._keys.nodes, arguments)])[0])
        return now - changed if changed else None

    def claim_slot(self, channel: str, slot: int, *, seconds: float) -> bool:
        given = [self._moment(), slot, milliseconds(seconds)]
        (done,) = self._evaluate([("claim", self._keys.slots(channel), given)], once=True)
        return bool(done)

    def _run(
        self,
        calls: Sequence[Call],
        *,
        polled: Mapping[str, float] = MappingProxyType({}),
    ) -> list[bool]:
        """Run scripts on the hashes of channels: (script, channel, arguments)."""
        keyed = [(name, self._keys.channel(channel), given) for name, channel, given in calls]
        return [done == 1 for done in self._evaluate(keyed, polled)]


def _committing(commit: Commit) -> Call:
    written = fields.commit_fields(commit)
    if (damage := commit.replaces) is None:
        given = [commit.rev, commit.pending, *fields.pairs(written)]
        return "commit", commit.channel, given
    written |= {"rev": commit.rev + 1, "unsignalled": fields.unsignalled(commit.unsignalled)}
    given = [damage.rev, damage.pending, commit.pending, *fields.pairs(written)]
    return "replace", commit.channel, given
