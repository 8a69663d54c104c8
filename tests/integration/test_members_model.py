"""Members compared with a model: calls in any order, with a clock that moves both ways."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from presence.backends.base import Writes
from presence.backends.memory import MemoryStore
from presence.backends.redis.store import RedisStore
from presence.backends.tracker import Tracker
from presence.roster.people import ServerMember
from presence.testing.contract import Clock
from presence.testing.contract.base import ROOM
from presence.testing.contract.members import OTHER

TIMEOUT = 60.0
CHANNELS = (ROOM, OTHER)
Key = tuple[str, str, str]

channels = st.sampled_from(CHANNELS)
users = st.sampled_from(["1", "2", "ada lovelace"])
sources = st.sampled_from(["", "tab", "1"])
metas = st.sampled_from([b"{}", b'{"name":"A B"}', b"", b" \x00 1 2"])
# Parts of a second that floats and milliseconds hold alike.
seconds = st.one_of(
    st.integers(0, 8 * 130).map(lambda n: n / 8),
    st.sampled_from([TIMEOUT, TIMEOUT + 1 / 8, TIMEOUT - 1 / 8]),
)


class Members(RuleBasedStateMachine):
    """Assert after every step that tracker and model agree."""

    def __init__(self, made: Any) -> None:
        super().__init__()
        self.clock = Clock()
        self.made = made

    @initialize()
    def begin(self) -> None:
        self.tracker: Tracker = self.made(self.clock)
        self.kept: dict[Key, ServerMember] = {}
        self.signs: dict[str, float] = {}
        self.profiles: dict[str, tuple[float, float, bytes]] = {}
        self.seen: dict[str, float] = {}

    def fresh(self, key: Key) -> ServerMember | None:
        record = self.kept.get(key)
        if record and abs(self.clock.now - record.beat) > TIMEOUT:
            del self.kept[key]
            return None
        return record

    def here(self, channel: str) -> list[ServerMember]:
        """Return the sorted members of a channel, with times in the future set to now."""
        records = [self.fresh(key) for key in list(self.kept) if key[0] == channel]
        found = [record.by(self.clock.now) for record in records if record]
        return sorted(found, key=lambda member: (member.joined, member.user, member.source))

    @rule(channel=channels, user=users, source=sources, meta=metas)
    def join(self, channel: str, user: str, source: str, meta: bytes) -> None:
        now, before = self.clock.now, self.fresh((channel, user, source))
        before = before.by(now) if before else None
        said = before.said if before and before.meta == meta else now
        record = ServerMember(user, source, before.joined if before else now, now, meta, said)
        self.kept[channel, user, source] = record
        self.signs[channel] = now
        told = self.tracker.save_member(channel, user, source=source, meta=meta, timeout=TIMEOUT)
        assert told == record

    @rule(channel=channels, user=users, source=sources)
    def leave(self, channel: str, user: str, source: str) -> None:
        record = self.fresh((channel, user, source))
        self.kept.pop((channel, user, source), None)
        assert self.tracker.delete_member(channel, user, source=source, timeout=TIMEOUT) == record

    @rule(channel=channels, user=users, source=sources)
    def beat(self, channel: str, user: str, source: str) -> None:
        now, record = self.clock.now, self.fresh((channel, user, source))
        if record:
            self.kept[channel, user, source] = msgspec.structs.replace(record.by(now), beat=now)
        self.signs[channel] = now
        told = self.tracker.touch_member(channel, user, source=source, timeout=TIMEOUT)
        assert told is (record is not None)

    @rule(seconds=seconds)
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([1 / 8, TIMEOUT / 2, TIMEOUT, TIMEOUT + 1 / 8, 3600.0]))
    def set_the_clock_back(self, seconds: float) -> None:
        """Delete all stale members before and after; otherwise some might return."""
        self.look()
        self.clock.advance(-seconds)
        self.look()

    @rule(asked=st.permutations(CHANNELS))
    def listing(self, asked: Sequence[str]) -> None:
        found = self.tracker.load_members(asked, timeout=TIMEOUT)
        assert {c: found[c].members for c in found} == {c: self.here(c) for c in asked}
        assert [*found] == [*asked]

    @rule()
    def count(self) -> None:
        """Assert that the list has each person once for each source."""
        present = self.tracker.load_members(CHANNELS, timeout=TIMEOUT, rosters=True)
        for channel, found in present.items():
            pairs = [(member.user, member.source) for member in found.members]
            assert len(pairs) == len(set(pairs)) == len(self.here(channel))
            assert {user for user, _ in pairs} == {member.user for member in self.here(channel)}

    @rule()
    def stand(self) -> None:
        now, standing = self.clock.now, self.tracker.load_tracker_state(timeout=TIMEOUT)
        occupied = {channel for channel in CHANNELS if self.here(channel)}
        # Forgotten then, and not remembered when the clock is set back.
        self.signs = {c: at for c, at in self.signs.items() if abs(now - at) <= TIMEOUT}
        lately = self.signs.keys()
        assert occupied & lately <= standing.channels <= occupied | lately
        self.profiles = {
            # Dated once, where the clock was set back since.
            user: (min(at, now), min(ends, now + ends - at), shown)
            for user, (at, ends, shown) in self.profiles.items()
            if ends > now
        }
        noted = {user: (at, shown) for user, (at, _, shown) in self.profiles.items()}
        assert standing.profiles == noted

    def look(self) -> None:
        self.listing(CHANNELS)
        self.stand()

    # Redis lets go of all profiles by its own clock, too: not while a history is under way.
    @rule(user=users, shown=metas, seconds=seconds.map(lambda n: TIMEOUT + n))
    def profile(self, user: str, shown: bytes, seconds: float) -> None:
        now = self.clock.now
        self.profiles[user] = (now, now + seconds, shown)
        assert self.tracker.save_profile(user, shown, seconds=seconds) == now

    @rule(users=st.dictionaries(users, seconds))
    def saw(self, users: dict[str, float]) -> None:
        self.tracker.write(Writes(last_seen=users))
        for user, at in users.items():
            self.seen[user] = max(at, self.seen.get(user, at))
        assert self.tracker.last_seen([*users, "nobody"]) == {
            user: self.seen[user] for user in users
        }

    def teardown(self) -> None:
        if hasattr(self, "tracker"):
            self.look()


def run(made: Any, *, examples: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Members(made),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_memory_backend_agrees_with_the_model() -> None:
    run(lambda clock: MemoryStore(clock=clock), examples=300)


def test_redis_backend_agrees_with_the_model(each_redis_url: str) -> None:
    """Each history has a prefix of its own."""
    number = itertools.count()
    run(
        lambda clock: RedisStore(each_redis_url, prefix=f"p{next(number)}", clock=clock),
        examples=100,
    )
