"""Backends with a mistake each; `found_by` is a test of the suite that finds it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from presence.backends.memory import MemoryStore
from presence.backends.tracker import StoredPresence
from presence.testing.contract import BackendContract, Clock


class Revives(MemoryStore):
    found_by = "test_a_beat_revives_nobody"

    def touch_member(self, channel, user, **said):
        if not super().touch_member(channel, user, **said):
            self.save_member(channel, user, meta=b"{}", **said)
        return True


class JoinsAnew(MemoryStore):
    found_by = "test_the_same_source_again_takes_the_place_of_the_first"

    def save_member(self, channel, user, **said):
        self.delete_member(channel, user, source=said["source"], timeout=said["timeout"])
        return super().save_member(channel, user, **said)


class KnowsNoSources(MemoryStore):
    found_by = "test_each_source_takes_back_what_it_said_alone"

    def save_member(self, channel, user, **said):
        return super().save_member(channel, user, **said | {"source": ""})


class ForgetsNobody(MemoryStore):
    found_by = "test_a_member_stays_for_the_time_out_and_no_longer"

    def load_members(self, channels, *, timeout, rosters=False):
        return super().load_members(channels, timeout=10 * timeout, rosters=rosters)


class ShowsOthersRosters(MemoryStore):
    found_by = "test_the_roster_comes_with_the_members"

    def load_members(self, channels, *, timeout, rosters=False):
        found = super().load_members(channels, timeout=timeout, rosters=rosters)
        roster = max((presence.roster for presence in found.values()), default=b"")
        return {c: StoredPresence(roster, presence.members) for c, presence in found.items()}


class StandsStill(MemoryStore):
    found_by = "test_beats_keep_them"

    def touch_member(self, channel, user, **said):
        found = self.load_members([channel], timeout=60)[channel]
        return said["source"] in [member.source for member in found.members]


class KeepsTheFirstProfile(MemoryStore):
    found_by = "test_the_last_profile_of_each_with_its_time"

    def save_profile(self, user, shown, *, seconds):
        if user in self._profiles:
            return self._clock()
        return super().save_profile(user, shown, seconds=seconds)


class SawLast(MemoryStore):
    found_by = "test_the_latest_time_of_each"

    def _note_last_seen(self, users):
        self._seen |= users


class TakesAnyRev(MemoryStore):
    found_by = "test_a_rev_that_no_longer_stands_is_refused"

    def write(self, writes):
        states = self.load_states([one.channel for one in writes.commits]).states
        commits = [
            msgspec.structs.replace(one, rev=states[one.channel].rev) for one in writes.commits
        ]
        return super().write(msgspec.structs.replace(writes, commits=commits))


class SweepsAll(MemoryStore):
    found_by = "test_a_channel_that_is_not_empty_stays"

    def _sweep(self, channel, polled):
        for field in (self._states, self._rosters, self._snapshots, self._polled):
            field.pop(channel, None)
        return True


class ClosesTwice(MemoryStore):
    found_by = "test_a_tick_is_closed_once"

    def close_tick(self, tick, record):
        super().close_tick(tick, record)
        return True


class TakesAlways(MemoryStore):
    found_by = "test_nothing_is_taken_more_often_than_the_most_in_a_window"

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
