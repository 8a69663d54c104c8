"""Backends with a mistake each; `found_by` is a test of the suite that finds it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from presence.backends.memory import MemoryStore
from presence.backends.tracker import StoredPresence
from presence.testing.contract import BackendContract, Clock


class Revives(MemoryStore):
    found_by = "test_beat_of_missing_or_stale_member_adds_nobody"

    def touch_members(self, members, *, timeout):
        found = super().touch_members(members, timeout=timeout)
        for (channel, user, source), is_there in zip(members, found, strict=True):
            if not is_there:
                self.save_member(channel, user, source=source, meta=b"{}", timeout=timeout)
        return [True for _ in found]


class JoinsAnew(MemoryStore):
    found_by = "test_join_with_same_source_replaces_the_record_and_keeps_joined"

    def save_member(self, channel, user, **said):
        self.delete_member(channel, user, source=said["source"], timeout=said["timeout"])
        return super().save_member(channel, user, **said)


class KnowsNoSources(MemoryStore):
    found_by = "test_leave_removes_only_the_record_of_its_source"

    def save_member(self, channel, user, **said):
        return super().save_member(channel, user, **said | {"source": ""})


class ForgetsNobody(MemoryStore):
    found_by = "test_member_is_listed_until_the_timeout"

    def load_members(self, channels, *, timeout, rosters=False):
        return super().load_members(channels, timeout=10 * timeout, rosters=rosters)


class ShowsOthersRosters(MemoryStore):
    found_by = "test_load_members_with_rosters_returns_roster_of_each_channel"

    def load_members(self, channels, *, timeout, rosters=False):
        found = super().load_members(channels, timeout=timeout, rosters=rosters)
        roster = max((presence.roster for presence in found.values()), default=b"")
        return {c: StoredPresence(roster, presence.members) for c, presence in found.items()}


class StandsStill(MemoryStore):
    found_by = "test_beat_keeps_only_the_member_of_its_source"

    def touch_members(self, members, *, timeout):
        found = self.load_members([channel for channel, *_ in members], timeout=60)
        return [
            (user, source) in [(member.user, member.source) for member in found[channel].members]
            for channel, user, source in members
        ]


class KeepsTheFirstProfile(MemoryStore):
    found_by = "test_save_profile_keeps_the_last_of_each_user_with_its_time"

    def save_profile(self, user, shown, *, seconds):
        if user in self._profiles:
            return self._clock()
        return super().save_profile(user, shown, seconds=seconds)


class SawLast(MemoryStore):
    found_by = "test_last_seen_keeps_the_latest_time_of_each_user"

    def _note_last_seen(self, users):
        self._seen |= users


class TakesAnyRev(MemoryStore):
    found_by = "test_commit_with_another_rev_is_refused"

    def write(self, writes):
        states = self.load_states([commit.channel for commit in writes.commits]).states
        commits = [
            msgspec.structs.replace(commit, rev=states[commit.channel].rev)
            for commit in writes.commits
        ]
        return super().write(msgspec.structs.replace(writes, commits=commits))


class SweepsAll(MemoryStore):
    found_by = "test_sweep_of_occupied_channel_keeps_it"

    def _sweep(self, channel, polled):
        del self._rooms[channel], self._polled[channel]
        return True


class ClosesTwice(MemoryStore):
    found_by = "test_close_tick_twice_succeeds_once"

    def close_tick(self, tick, record):
        super().close_tick(tick, record)
        return True


class LetsAllLook(MemoryStore):
    found_by = "test_begin_look_admits_one_holder_until_it_ends"

    def begin_look(self, holder, **options):
        self._looking = ("", 0.0, 0.0)
        return super().begin_look(holder, **options)


class SettlesLaterMarks(MemoryStore):
    found_by = "test_mark_that_was_made_since_is_not_settled"

    def write(self, writes):
        settled = {channel: self._due.get(channel, 0.0) for channel in writes.settled}
        return super().write(msgspec.structs.replace(writes, settled=settled))


class TakesAlways(MemoryStore):
    found_by = "test_hit_rate_limit_refuses_more_than_the_limit"

    def hit_rate_limit(self, name, *, limit, seconds):
        return True


KINDS = [kind for kind in MemoryStore.__subclasses__() if kind.__module__ == __name__]


class Suite(BackendContract):
    made: Any

    @pytest.fixture
    def backend(self, clock: Clock) -> MemoryStore:
        return self.made(clock=clock)


for kind in KINDS:
    name = f"Test{kind.__name__}"
    globals()[name] = type(name, (Suite,), {"made": kind})
