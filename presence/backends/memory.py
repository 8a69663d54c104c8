"""Rosters, and live cursors, in the memory of one process: for development and for tests."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from presence.backends.base import (
    Acknowledgement,
    BatchState,
    RosterStore,
    StoredRoster,
    StoredSnapshot,
    WriteResult,
    Writes,
)
from presence.backends.memory_base import put_right
from presence.backends.memory_ledger import MemoryLedger
from presence.backends.memory_tracker import MemoryTracker
from presence.backends.tracker import AHEAD
from presence.roster.commit import Commit, State, mark_damaged, restart
from presence.roster.messages import Position

__all__ = ["MemoryStore"]

_STATE_FIELDS = (
    *("epoch", "version", "run", "digest", "leaving", "position"),
    *("listed", "total", "anonymous"),
)


class MemoryStore(MemoryTracker, MemoryLedger, RosterStore):
    """The contracts of RosterStore and Tracker under one lock. `clock` gives seconds since 1970."""

    shared = False

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self._run = uuid.uuid4().hex
        self._states: dict[str, State] = {}
        self._snapshots: dict[str, bytes] = {}
        self._suspects: dict[str, str] = {}
        self._polled: dict[str, float] = {}
        self._nodes: tuple[frozenset[str], float | None] | None = None
        self._claims: dict[tuple[str, int], tuple[float, float]] = {}

    def load_states(
        self,
        channels: Sequence[str],
        *,
        rosters: Sequence[str] = (),
        whole: Sequence[str] = (),
    ) -> BatchState:
        with self._lock:
            return BatchState(
                now=self._clock(),
                run=self._run,
                states={c: self._state(c) for c in channels},
                rosters={c: self._whole(c)[:2] for c in rosters if c in self._states},
                whole={c: self._whole(c) for c in whole},
            )

    def _state(self, channel: str) -> State:
        state = self._states.get(channel, State(channel=channel))
        reason = state.damage.reason if state.damage else ""
        if field := self._suspects.get(channel):
            reason = reason or f"a reader could not read its {field}"
        if not reason:
            return state
        # BatchState again: it may have been acknowledged since.
        return mark_damaged(msgspec.structs.replace(state, damage=None), reason)

    def _whole(self, channel: str) -> StoredRoster:
        rev = self._states[channel].rev if channel in self._states else 0
        return StoredRoster(rev, self._rosters.get(channel, b""), self._snapshots.get(channel, b""))

    def load_snapshots(self, channels: Sequence[str]) -> dict[str, StoredSnapshot]:
        with self._lock:
            return {c: self._stored(c) for c in channels}

    def _stored(self, channel: str) -> StoredSnapshot:
        state = self._states.get(channel)
        return StoredSnapshot(
            snapshot=self._snapshots.get(channel, b"") if state else None,
            position=state.position if state else None,
            polled=self._polled.get(channel),
            now=self._clock(),
            epoch=state.epoch if state else "",
            version=state.version if state else 0,
            damage=state.damage.reason if state and state.damage else "",
        )

    def write(self, writes: Writes) -> WriteResult:
        with self._lock:
            for one in writes.signalled:
                self._signalled(*one)
            acknowledged = [
                self._acknowledge(one, to_signal=writes.to_signal)
                for one in writes.acknowledgements
            ]
            for channel in writes.polled:
                self._polled[channel] = max(writes.now, self._polled.get(channel, 0.0))
            committed = [self._commit(commit) for commit in writes.commits]
            return WriteResult(acknowledged=acknowledged, committed=committed)

    @contextmanager
    def _whole_or_not_at_all(self, channel: str) -> Iterator[None]:
        """Undo what the block wrote of a channel if an exception, of a signal, too, ends it."""
        kept: list[dict[str, Any]] = [self._states, self._rosters, self._snapshots]
        kept += [self._polled, self._suspects]
        before = [values.get(channel) for values in kept]
        try:
            yield
        except BaseException:
            for values, value in zip(kept, before, strict=True):
                if value is None:
                    values.pop(channel, None)
                else:
                    values[channel] = value
            raise

    def _commit(self, commit: Commit) -> bool:
        with self._whole_or_not_at_all(commit.channel):
            return self._commit_whole(commit)

    def _commit_whole(self, commit: Commit) -> bool:
        state = self._states.get(commit.channel, State(channel=commit.channel))
        if state.pending and state.pending == commit.pending:
            return True
        if commit.replaces:
            if _marks(state) != commit.replaces[1:]:
                return False
            state = State(channel=commit.channel, unsignalled=commit.unsignalled)
            kept: dict[str, Any]
            for kept in (self._rosters, self._snapshots, self._suspects):
                kept.pop(commit.channel, None)
        elif state.pending or state.rev != commit.rev:
            return False
        self._states[commit.channel] = msgspec.structs.replace(
            state,
            rev=commit.rev + 1,
            pending=commit.pending,
            damage=None,
            **{name: getattr(commit, name) for name in _STATE_FIELDS},
        )
        if commit.roster is not None:
            self._rosters[commit.channel] = commit.roster
        if commit.snapshot is not None:
            self._snapshots[commit.channel] = commit.snapshot
        return True

    def _acknowledge(self, done: Acknowledgement, *, to_signal: bool) -> bool:
        state = self._states.get(done.channel)
        if state is None or not state.pending or state.pending != done.pending:
            return False
        self._states[done.channel] = msgspec.structs.replace(
            state,
            rev=state.rev + 1,
            pending=b"",
            position=_later(state.position, done.position),
            unsignalled=(*state.unsignalled, *([(done.now, done.pending)] if to_signal else [])),
        )
        return True

    def _signalled(self, channel: str, pending: bytes) -> None:
        if state := self._states.get(channel):
            left = tuple(one for one in state.unsignalled if one[1] != pending)
            self._states[channel] = msgspec.structs.replace(state, unsignalled=left)

    def drop(self, channel: str, pending: bytes, *, epoch: str, now: float) -> bool:
        with self._lock, self._whole_or_not_at_all(channel):
            if not self._acknowledge(Acknowledgement(channel, pending, None, now), to_signal=True):
                return False
            state = self._states[channel]
            self._states[channel] = msgspec.structs.replace(state, epoch=epoch, version=1)
            self._snapshots[channel] = restart(self._snapshots.get(channel, b""), epoch)
            return True

    def suspect(self, channel: str, field: str, found: bytes) -> None:
        kept = {"roster": self._rosters, "snapshot": self._snapshots}[field]
        with self._lock:
            state = self._states.get(channel)
            if state and kept.get(channel, b"") == found:
                self._suspects[channel] = field

    def known_channels(self) -> Mapping[str, float]:
        with self._lock:
            put_right(self._polled, self._clock())
            return dict(self._polled)

    def sweep_channels(self, channels: Mapping[str, float]) -> list[str]:
        with self._lock:
            swept = []
            for channel, polled in channels.items():
                with self._whole_or_not_at_all(channel):
                    if self._sweep(channel, polled):
                        swept.append(channel)
            return swept

    def _sweep(self, channel: str, polled: float) -> bool:
        state = self._states.get(channel, State(channel=channel))
        if state.occupied or self._polled.get(channel) != polled:
            return False
        kept: dict[str, Any]
        for kept in (self._states, self._rosters, self._snapshots, self._polled, self._suspects):
            kept.pop(channel, None)
        return True

    def note_nodes(self, uids: frozenset[str]) -> float | None:
        with self._lock:
            now = self._clock()
            if self._nodes is None:
                self._nodes = (uids, None)
            elif self._nodes[0] != uids:
                self._nodes = (uids, now)
            since = self._nodes[1]
            if since is not None and since > now:  # the clock was set back
                self._nodes, since = (uids, now), now
            return None if since is None else now - since

    def claim_slot(self, channel: str, slot: int, *, seconds: float) -> bool:
        with self._lock:
            now = self._clock()
            self._claims = {
                claim: (at, ends)
                for claim, (at, ends) in self._claims.items()
                if ends > now and at <= now + AHEAD
            }
            if (channel, slot) in self._claims:
                return False
            self._claims[channel, slot] = (now, now + seconds)
            return True


def _marks(state: State) -> tuple[bytes, bytes]:
    """By what a writer knows that nobody has written since."""
    return (b"%d" % state.rev if state.rev else b""), state.pending


def _later(known: Position | None, new: Position | None) -> Position | None:
    if new is None:
        return known
    if known is not None and known.epoch == new.epoch and new.offset < known.offset:
        return known
    return new
