"""Members without a websocket, and who was seen when, in Redis: one hash per channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from presence.backends.redis import fields
from presence.backends.redis.connection import milliseconds, script
from presence.backends.redis.server import Command
from presence.backends.redis.watch import RedisWatch
from presence.backends.tracker import (
    MANY,
    MemberKey,
    MemberStore,
    StoredPresence,
    TrackerState,
    in_order,
)
from presence.roster.messages import UNREADABLE
from presence.roster.people import ServerMember
from presence.transport.log_lines import line_logger

logger = line_logger("presence.redis")

SCRIPT_FIELDS: Final = 500
"""Members that one run of a script touches: it keeps all others waiting."""

NO_ROSTER: fields.Row = [None for _ in fields.ROSTER]


class RedisMembers(RedisWatch, MemberStore):
    """The contract of MemberStore.

    There is a field for each user and source: both as a JSON array, so that they may hold any
    text. It has the last sign of life, the time of joining, that at which the metadata was said,
    and the metadata, with spaces between. A hash in which nobody joins or beats for the time-out
    is gone whole.
    """

    def save_member(
        self, channel: str, user: str, *, source: str, meta: bytes, timeout: float
    ) -> ServerMember:
        # The channel first: one that is polled in vain costs less than one that never is.
        noting = [self._on_channel(channel, timeout), self._mark_due({channel: 0.0})]
        begins = msgspec.json.encode((user,))[:-1] + b","
        joining = self._on_member("join", channel, user, source, timeout, meta, begins, MANY)
        *_, (now, joined, said) = self._run([*noting, joining])
        return ServerMember(user, source, float(joined), float(now), meta, float(said))

    def delete_member(
        self, channel: str, user: str, *, source: str, timeout: float
    ) -> ServerMember | None:
        leaving = self._on_member("leave", channel, user, source, timeout)
        _, value = self._run([self._mark_due({channel: 0.0}), leaving], once=True)
        return None if value is None else _record(channel, _field(user, source), value)

    def touch_members(self, members: Sequence[MemberKey], *, timeout: float) -> list[bool]:
        if not members:
            return []
        places: dict[str, list[int]] = {}
        for place, (channel, _, _) in enumerate(members):
            places.setdefault(channel, []).append(place)
        parts = [
            (channel, found[start : start + SCRIPT_FIELDS])
            for channel, found in places.items()
            for start in range(0, len(found), SCRIPT_FIELDS)
        ]
        lasting = milliseconds(timeout)
        noting = self._timed("register", self._keys.tracked, lasting, *places)
        beating = []
        for channel, part in parts:
            touched = [_field(*members[place][1:]) for place in part]
            beating.append(self._timed("beat", self._keys.members(channel), lasting, *touched))
        _, *replies = self._run([noting, *beating])
        beaten = [False] * len(members)
        for (_, part), reply in zip(parts, replies, strict=True):
            for place, is_there in zip(part, reply, strict=True):
                beaten[place] = bool(is_there)
        return beaten

    def load_members(
        self, channels: Sequence[str], *, timeout: float, rosters: bool = False
    ) -> dict[str, StoredPresence]:
        members = [("HGETALL", self._keys.members(channel)) for channel in channels]
        others = [("HMGET", self._keys.channel(channel), *fields.ROSTER) for channel in channels]
        *replies, moment = self._run([*members, *(others if rosters else ()), ("TIME",)])
        rows = replies[len(channels) :] if rosters else [NO_ROSTER for _ in channels]
        fresh = self._fresh(channels, replies[: len(channels)], self._time(moment), timeout)
        return {
            channel: fields.found(row, fresh[channel])
            for channel, row in zip(channels, rows, strict=True)
        }

    def load_tracker_state(self, *, timeout: float) -> TrackerState:
        (now, *channels), noted = self._run(
            [
                self._timed("standing", self._keys.tracked, milliseconds(timeout)),
                self._timed("profiles", self._keys.profiles),
            ]
        )
        profiles, passed = {}, []
        for user, value in zip(noted[::2], noted[1::2], strict=True):
            if profile := _profile(user, value, float(now)):
                profiles[user.decode()] = profile
            else:
                passed += [user, value]
        if passed:
            self._run([script("retire", self._keys.profiles, *passed)])
        return TrackerState(frozenset(self._channels(self._keys.tracked, channels)), profiles)

    def save_profile(self, user: str, shown: bytes, *, seconds: float) -> float:
        key, life = self._keys.profiles, milliseconds(seconds)
        (now,) = self._run([self._timed("profile", key, life, user, shown)])
        return float(now)

    def last_seen(self, users: Sequence[str]) -> dict[str, float]:
        if not users:
            return {}
        (times,) = self._run([self._timed("seen", self._keys.seen, *users)])
        return {u: float(at) for u, at in zip(users, times, strict=True) if at is not None}

    def _on_channel(self, channel: str, timeout: float) -> Command:
        return self._timed("register", self._keys.tracked, milliseconds(timeout), channel)

    def _on_member(
        self, name: str, channel: str, user: str, source: str, timeout: float, *more: bytes | int
    ) -> Command:
        key, field = self._keys.members(channel), _field(user, source)
        return self._timed(name, key, milliseconds(timeout), field, *more)

    def _fresh(
        self, channels: Sequence[str], hashes: Sequence[Any], now: float, timeout: float
    ) -> dict[str, list[ServerMember]]:
        """Return the fresh records of each hash; delete each stale record if it is still as it was
        read: a member who was written meanwhile is back."""
        found: dict[str, list[ServerMember]] = {}
        stale: list[Command] = []
        for channel, kept in zip(channels, hashes, strict=True):
            records = {field: _record(channel, field, kept[field]) for field in kept}
            fresh = {
                field: record
                for field, record in records.items()
                # One who beat before the clock was set back stays, but not for ever.
                if record and abs(now - record.beat) <= timeout
            }
            found[channel] = in_order(fresh.values(), now)
            if gone := [part for field in kept.keys() - fresh for part in (field, kept[field])]:
                stale.append(script("retire", self._keys.members(channel), *gone))
        self._run(stale)
        return found


_pair = msgspec.json.Decoder(tuple[str, str])


def _field(user: str, source: str) -> bytes:
    return msgspec.json.encode((user, source))


def _record(channel: str, field: bytes, value: bytes) -> ServerMember | None:
    """None, and an entry in the log, for what this app never wrote."""
    try:
        user, source = _pair.decode(field)
        beat, joined, said, meta = value.split(b" ", 3)
        times = [fields.seconds(at) for at in (joined, beat, said)]
        return ServerMember(user, source, times[0], times[1], meta, times[2])
    except UNREADABLE as error:
        logger.error("member=unreadable channel=%s field=%r error=%s", channel, field, error)
        return None


def _profile(user: bytes, value: bytes, now: float) -> tuple[float, bytes] | None:
    """Return the time and the bytes of a profile; None for an expired or (logged) invalid one."""
    try:
        user.decode()
        at, ends, shown = value.split(b" ", 2)
        noted, over = fields.seconds(at), fields.seconds(ends)
        return (min(noted, now), shown) if over > now else None
    except ValueError as error:
        logger.error("profile=unreadable user=%r error=%s", user, error)
        return None
