"""The memory backend: rosters, members and cursors in one process, for development and tests."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from math import inf
from typing import NamedTuple

from msgspec.structs import replace

from presence.backends.base import (
    AGAIN,
    KEPT_DUE,
    KEPT_TICKS,
    Acknowledgement,
    BatchState,
    Counts,
    Hit,
    KnownChannels,
    LookStart,
    LookState,
    RosterStore,
    StoredRoster,
    StoredSnapshot,
    Suspect,
    TickHistory,
    TickParts,
    TickStart,
    WriteResult,
    Writes,
)
from presence.backends.revocations import AHEAD as REVOKED_AHEAD
from presence.backends.revocations import FRESH, KeptRevocation, KeptRevocations, Revocation
from presence.backends.tracker import (
    AHEAD,
    MANY,
    MemberKey,
    StoredPresence,
    Tracker,
    TrackerState,
    in_order,
    is_fresh,
)
from presence.roster.commit import Commit, State, mark_damaged
from presence.roster.messages import Position
from presence.roster.people import ServerMember

_STATE_FIELDS = (
    *("epoch", "version", "run", "digest", "leaving", "pending", "position"),
    *("listed", "total", "anonymous"),
)

Source = tuple[str, str]
"""User and source."""


class _Room(NamedTuple):
    """Everything that is stored of one channel, but for the time of its last poll.

    A change replaces the record in one step, so an exception, also one from a signal handler,
    leaves no half of a change.
    """

    state: State
    roster: bytes = b""
    snapshot: bytes = b""
    suspect: str = ""
    """The field that a reader could not read; "" if there is none."""


class _Window(NamedTuple):
    """The hits of a rate limit from `began` to `ends`."""

    began: float
    ends: float
    hits: int


class MemoryStore(Tracker, RosterStore):
    """The contracts of RosterStore and Tracker under one lock. `clock` gives seconds since 1970."""

    shared = False

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._run = uuid.uuid4().hex
        self._rooms: dict[str, _Room] = {}
        self._polled: dict[str, float] = {}
        self._nodes: tuple[frozenset[str], float | None] | None = None
        self._began: float | None = None
        self._open: dict[str, float] = {}
        self._parts: dict[str, tuple[int, dict[int, bytes]]] = {}
        self._records: deque[bytes] = deque(maxlen=KEPT_TICKS)
        self._registry: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._looking = ("", 0.0, 0.0)
        self._revoked: dict[KeptRevocation, float] = {}
        self._counts = Counts()
        self._members: dict[str, dict[Source, ServerMember]] = {}
        self._profiles: dict[str, tuple[float, float, bytes]] = {}
        self._seen: dict[str, float] = {}
        self._cursors: dict[str, dict[str, tuple[float, bytes]]] = {}
        self._windows: dict[str, _Window] = {}
        self._flags: dict[str, tuple[float, float]] = {}

    # Rosters

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
                rosters={c: self._whole(c)[:2] for c in rosters if c in self._rooms},
                whole={c: self._whole(c) for c in whole},
            )

    def _room(self, channel: str) -> _Room:
        return self._rooms.get(channel) or _Room(State(channel=channel))

    def _state(self, channel: str) -> State:
        state, *_, suspect = self._room(channel)
        if state.damage:
            # Marked again: it may have been acknowledged since.
            return mark_damaged(replace(state, damage=None), state.damage.reason)
        return mark_damaged(state, f"a reader could not read its {suspect}") if suspect else state

    def _whole(self, channel: str) -> StoredRoster:
        state, roster, snapshot, _ = self._room(channel)
        return StoredRoster(state.rev, roster, snapshot)

    def load_snapshots(self, channels: Sequence[str]) -> dict[str, StoredSnapshot]:
        with self._lock:
            return {channel: self._stored(channel) for channel in channels}

    def _stored(self, channel: str) -> StoredSnapshot:
        state, _, snapshot, _ = self._room(channel)
        return StoredSnapshot(
            snapshot=snapshot if state.version or state.damage else None,
            position=state.position,
            polled=self._polled.get(channel),
            now=self._clock(),
            epoch=state.epoch,
            version=state.version,
            damage=state.damage.reason if state.damage else "",
        )

    def write(self, writes: Writes) -> WriteResult:
        with self._lock:
            self._note_last_seen(writes.last_seen)
            due = {c: after for c, after in writes.due.items() if c not in writes.settled}
            marked = self._mark_due(due) if due else None
            for channel, pending in writes.signalled:
                self._signalled(channel, pending)
            acknowledged = [
                self._acknowledge(done, to_signal=writes.to_signal)
                for done in writes.acknowledgements
            ]
            for channel in writes.polled:
                self._polled[channel] = max(writes.now, self._polled.get(channel, 0.0))
            committed = [self._commit(commit) for commit in writes.commits]
            for suspect in writes.suspects:
                self._suspect(suspect)
            for channel, mark in writes.settled.items():
                if self._due.get(channel) == mark:
                    del self._due[channel]
            self._mark_due({c: writes.due[c] for c in writes.settled if c in writes.due})
            if writes.look:
                self._look(writes.look)
            return WriteResult(
                acknowledged=acknowledged,
                committed=committed,
                nodes_changed=None if writes.nodes is None else self._note_nodes(writes.nodes),
                marked=marked,
                swept=[c for c, polled in writes.sweep.items() if self._sweep(c, polled)],
            )

    def _commit(self, commit: Commit) -> bool:
        room = self._room(commit.channel)
        if room.state.pending and room.state.pending == commit.pending:
            return True
        if damage := commit.replaces:
            rev = b"%d" % room.state.rev if room.state.rev else b""
            if (rev, room.state.pending) != (damage.rev, damage.pending):
                return False
            room = _Room(State(channel=commit.channel, unsignalled=commit.unsignalled))
        elif room.state.pending or room.state.rev != commit.rev:
            return False
        fields = {name: getattr(commit, name) for name in _STATE_FIELDS}
        self._rooms[commit.channel] = room._replace(
            state=replace(room.state, rev=commit.rev + 1, damage=None, **fields),
            roster=room.roster if commit.roster is None else commit.roster,
            snapshot=room.snapshot if commit.snapshot is None else commit.snapshot,
        )
        return True

    def _acknowledge(self, done: Acknowledgement, *, to_signal: bool) -> bool:
        room = self._room(done.channel)
        state = room.state
        if not state.pending or state.pending != done.pending:
            return False
        unsignalled = [(done.now, done.pending)] if to_signal else []
        state = replace(
            state,
            rev=state.rev + 1,
            pending=b"",
            position=_later(state.position, done.position),
            unsignalled=(*state.unsignalled, *unsignalled),
        )
        if done.restart:
            state = replace(state, epoch=done.restart.epoch, version=1)
            room = room._replace(snapshot=done.restart.snapshot)
        self._rooms[done.channel] = room._replace(state=state)
        return True

    def _signalled(self, channel: str, pending: bytes) -> None:
        if room := self._rooms.get(channel):
            left = tuple(change for change in room.state.unsignalled if change[1] != pending)
            self._rooms[channel] = room._replace(state=replace(room.state, unsignalled=left))

    def _suspect(self, suspect: Suspect) -> None:
        room = self._rooms.get(suspect.channel)
        if room and getattr(room, suspect.field) == suspect.found:
            self._rooms[suspect.channel] = room._replace(suspect=suspect.field)

    def _sweep(self, channel: str, polled: float) -> bool:
        if self._room(channel).state.occupied or self._polled.get(channel) != polled:
            return False
        self._rooms.pop(channel, None)
        del self._polled[channel]
        return True

    def _note_nodes(self, uids: frozenset[str]) -> float | None:
        now = self._clock()
        before, changed = self._nodes or (uids, None)
        # A change that is yet to come was before the clock was set back.
        if before != uids or (changed is not None and changed > now):
            changed = now
        self._nodes = (uids, changed)
        return None if changed is None else now - changed

    # Ticks and the registry

    def begin_tick(self, tick: str) -> TickStart:
        with self._lock:
            now, began, others = self._clock(), self._began, dict(self._open)
            self._due = {c: at for c, at in self._due.items() if at > now - KEPT_DUE}
            self._began = self._open[tick] = now
            since = None if began is None or began > now else now - began
            return TickStart(now=now, since=since, open=others)

    def add_part(self, tick: str, number: int, part: bytes, *, of: int) -> TickParts | None:
        with self._lock:
            _, parts = self._parts.setdefault(tick, (of, {}))
            parts[number] = part
            return self._parts_of(tick) if len(parts) >= of else None

    def _parts_of(self, tick: str) -> TickParts:
        of, parts = self._parts.get(tick, (0, {}))
        return TickParts(now=self._clock(), of=of, parts=[parts[n] for n in sorted(parts)])

    def close_tick(self, tick: str, record: bytes) -> bool:
        with self._lock:
            if self._open.pop(tick, None) is None:
                return False
            self._parts.pop(tick, None)
            self._records.appendleft(record)
            return True

    def load_ticks(self, *, records: bool = True, parts: bool = False) -> TickHistory:
        with self._lock:
            now = self._clock()
            return TickHistory(
                now=now,
                began=None if self._began is None else min(self._began, now),
                open=dict(self._open),
                records=list(self._records) if records else [],
                parts={tick: self._parts_of(tick) for tick in self._open} if parts else {},
                looked=self._looked(now) if records else None,
            )

    def _looked(self, now: float) -> float | None:
        _, ends, length = self._looking
        return min(ends - length, now) if ends else None

    def register_channels(self, channels: Sequence[str]) -> None:
        with self._lock:
            self._registry |= dict.fromkeys(channels, self._clock())

    def known_channels(self, *, registered_within: float | None = None) -> KnownChannels:
        with self._lock:
            now = self._clock()
            _put_right(self._polled, now)
            registered: list[str] = []
            if registered_within is not None:
                _put_right(self._registry, now)
                since = now - registered_within
                self._registry = {c: at for c, at in self._registry.items() if at >= since}
                registered = list(self._registry)
            return KnownChannels(dict(self._polled), registered)

    # The watch

    def begin_look(
        self, holder: str, *, lease: float, limit: int, known: str = ""
    ) -> LookStart | None:
        with self._lock:
            now = self._clock()
            other, ends, length = self._looking
            if other != holder and now < ends <= now + length:
                return None
            self._looking = (holder, now + lease, lease)
            due = sorted((at, channel) for channel, at in self._due.items() if at <= now)
            counts = self._counts
            counts = counts._replace(data=b"") if counts.token == known else counts
            return LookStart(counts, {channel: at for at, channel in due[:limit]})

    def _look(self, look: LookState) -> None:
        if self._looking[0] != look.holder:
            return
        self._counts = look.counts or self._counts
        if look.rest is not None:
            self._looking = ("", self._clock() + look.rest, look.rest)

    def _mark_due(self, due: Mapping[str, float]) -> float:
        now = self._clock()
        self._due = {c: at for c, at in self._due.items() if at > now - KEPT_DUE}
        for channel, after in due.items():
            at = self._due.get(channel, inf)
            self._due[channel] = at - AGAIN if at <= now else min(at, now + after)
        return now

    # Revocations

    def revoke(self, revocations: Sequence[Revocation], *, seconds: float) -> None:
        with self._lock:
            now = self._clock()
            new = (KeptRevocation(r, now, now + seconds, True) for r in revocations)
            self._revoked |= dict.fromkeys(new, 0.0)

    def load_revocations(self, *, limit: int) -> KeptRevocations:
        with self._lock:
            now = self._clock()
            self._revoked = {
                kept: enforced
                for kept, enforced in self._revoked.items()
                if kept.ends > now and kept.at - now <= REVOKED_AHEAD
            }
            order = sorted(self._revoked.items(), key=lambda item: (item[1], item[0].at))
            kept = [each._replace(is_new=not enforced) for each, enforced in order[:limit]]
            fresh = [
                each._replace(is_new=False) for each, at in order if at and now - each.at < FRESH
            ]
            return KeptRevocations(now, kept, fresh)

    def note_enforced(self, enforced: Sequence[KeptRevocation]) -> None:
        with self._lock:
            for each in (kept._replace(is_new=True) for kept in enforced):
                if each in self._revoked:
                    self._revoked[each] = self._clock()

    # Members

    def save_member(
        self, channel: str, user: str, *, source: str, meta: bytes, timeout: float
    ) -> ServerMember:
        with self._lock:
            now = self._clock()
            self._mark_due({channel: 0.0})
            fresh = self._fresh(channel, timeout)
            before = fresh.get((user, source))
            before = before and before.by(now)
            joined = before.joined if before else now
            said = before.said if before and before.meta == meta else now
            record = ServerMember(user, source, joined, now, meta, said)
            others = {key: kept for key, kept in fresh.items() if key != (user, source)}
            own = [key for key in others if key[0] == user]
            if len(others) >= MANY and len(own) > len(others) / 2:
                del others[min(own, key=lambda key: others[key].beat)]
            self._members[channel] = others | {(user, source): record}
            return record

    def touch_members(self, members: Sequence[MemberKey], *, timeout: float) -> list[bool]:
        with self._lock:
            return [self._touch(channel, (user, src), timeout) for channel, user, src in members]

    def _touch(self, channel: str, member: tuple[str, str], timeout: float) -> bool:
        fresh = self._fresh(channel, timeout)
        if (record := fresh.get(member)) is None:
            return False
        now = self._clock()
        fresh[member] = replace(record.by(now), beat=now)
        return True

    def delete_member(
        self, channel: str, user: str, *, source: str, timeout: float
    ) -> ServerMember | None:
        with self._lock:
            self._mark_due({channel: 0.0})
            fresh = self._fresh(channel, timeout)
            record = fresh.pop((user, source), None)
            if not fresh:
                self._members.pop(channel, None)
            return record

    def load_members(
        self, channels: Sequence[str], *, timeout: float, rosters: bool = False
    ) -> dict[str, StoredPresence]:
        with self._lock:
            return {
                channel: StoredPresence(
                    self._room(channel).roster if rosters else b"",
                    in_order(self._fresh(channel, timeout).values(), self._clock()),
                )
                for channel in channels
            }

    def load_tracker_state(self, *, timeout: float) -> TrackerState:
        with self._lock:
            now = self._clock()
            channels = frozenset(c for c in list(self._members) if self._fresh(c, timeout))
            self._profiles = {
                # One that was noted before the clock was set back is of now, once.
                user: (min(at, now), min(ends, now + ends - at), shown)
                for user, (at, ends, shown) in self._profiles.items()
                if ends > now
            }
            profiles = {user: (at, shown) for user, (at, _, shown) in self._profiles.items()}
            return TrackerState(channels, profiles)

    def save_profile(self, user: str, shown: bytes, *, seconds: float) -> float:
        with self._lock:
            now = self._clock()
            self._profiles[user] = (now, now + seconds, shown)
            return now

    def _note_last_seen(self, users: Mapping[str, float]) -> None:
        now = self._clock()
        _put_right(self._seen, now)
        for user, at in users.items():
            at = min(at, now)
            self._seen[user] = max(at, self._seen.get(user, at))

    def last_seen(self, users: Sequence[str]) -> dict[str, float]:
        with self._lock:
            _put_right(self._seen, self._clock())
            return {user: self._seen[user] for user in users if user in self._seen}

    def _fresh(self, channel: str, timeout: float) -> dict[Source, ServerMember]:
        """Delete the stale members of a channel. Returns the others, as they are stored."""
        now = self._clock()
        members = self._members.get(channel, {})
        # A member who beat before the clock was set back stays, but not for ever.
        fresh = {key: m for key, m in members.items() if abs(now - m.beat) <= timeout}
        if fresh:
            self._members[channel] = fresh
        else:
            self._members.pop(channel, None)
        return fresh

    # Cursors

    def save_cursors(self, channel: str, cursors: Mapping[str, bytes], *, timeout: float) -> float:
        with self._lock:
            now = self._clock()
            # Two channels that were not looked at for longest: more than this call can add.
            for other in list(islice(self._cursors, 2)):
                self.load_cursors(other, timeout=timeout)
            fresh = self.load_cursors(channel, timeout=timeout)
            self._cursors[channel] = fresh | {u: (now, where) for u, where in cursors.items()}
            return now

    def load_cursors(self, channel: str, *, timeout: float) -> dict[str, tuple[float, bytes]]:
        with self._lock:
            now = self._clock()
            cursors = self._cursors.pop(channel, {})
            fresh = {
                user: (at, where)
                for user, (at, where) in cursors.items()
                if is_fresh(at, now=now, timeout=timeout)
            }
            if fresh:
                self._cursors[channel] = fresh
            return dict(fresh)

    def delete_cursor(self, channel: str, user: str, *, ending: bytes = b"") -> bool:
        with self._lock:
            cursors = self._cursors.get(channel, {})
            if user not in cursors or not cursors[user][1].endswith(ending):
                return False
            del cursors[user]
            if not cursors:
                del self._cursors[channel]
            return True

    # Limits

    def check_limits(
        self, hits: Sequence[Hit], flags: Sequence[str] = ()
    ) -> tuple[list[int], list[bool]]:
        with self._lock:
            return [self._hit(hit) for hit in hits], [self._is_set(name) for name in flags]

    def _hit(self, hit: Hit) -> int:
        now = self._clock()
        # A window that begins in the future was made before the clock was set back.
        self._windows = {
            name: window
            for name, window in self._windows.items()
            if window.ends > now and window.began <= now + AHEAD
        }
        window = self._windows.get(hit.name, _Window(now, now + hit.seconds, 0))
        self._windows[hit.name] = window._replace(hits=window.hits + hit.times)
        return max(0, min(hit.times, hit.limit - window.hits))

    def set_flag(self, name: str, *, seconds: float) -> None:
        with self._lock:
            now = self._clock()
            self._flags = {n: flag for n, flag in self._flags.items() if flag[0] > now}
            self._flags[name] = (now + seconds, seconds)

    def _is_set(self, name: str) -> bool:
        now = self._clock()
        ends, seconds = self._flags.get(name, (0.0, 0.0))
        if ends > now + seconds:  # since the clock was set back
            self._flags[name] = (now + seconds, seconds)
        return ends > now


def _put_right(times: dict[str, float], now: float) -> None:
    """Set times that are more than a second ahead to `now`: the clock was set back."""
    for name, at in times.items():
        if at > now + AHEAD:
            times[name] = now


def _later(known: Position | None, new: Position | None) -> Position | None:
    if known and new and known.epoch == new.epoch:
        return max(known, new, key=lambda position: position.offset)
    return new or known
