"""Ticks on a store in memory with a fake Centrifugo."""

from __future__ import annotations

import json
from typing import Any

import pytest

from presence.backends.base import Writes
from presence.exceptions import CommandError
from presence.roster.channel_names import PULSE
from presence.roster.messages import Position
from presence.roster.names import MAX_NAME
from presence.sync.context import Options
from presence.sync.tick import NODES_SETTLE
from tests.unit.fakes import ROOM, Site

CHAT = "chat:lobby"


@pytest.fixture
def site() -> Site:
    """A site with Ada in a room at version 1."""
    site = Site()
    site.centrifugo.enter(ROOM, "c1", "ada", "Ada")
    assert site.tick().errors == 0
    return site


class TestTick:
    def test_tick_with_first_join_commits_version_one_of_new_epoch(self, site: Site) -> None:
        (diff,) = site.diffs()
        assert (diff["base"], diff["version"], diff["total"]) == (0, 1, 1)
        assert diff["joins"] == [{"id": "ada", "name": "Ada", "info": {}}]
        assert site.snapshot()["epoch"] == diff["epoch"] != ""

    def test_tick_with_joins_and_leaves_reports_them(self, site: Site) -> None:
        site.centrifugo.enter(ROOM, "c2", "alan", "Alan")
        site.centrifugo.enter(ROOM, "c3", "")
        report = site.tick(1)
        assert (report.channels, report.changed, report.published) == (1, 1, 1)
        assert (report.members, report.joins, report.anonymous) == (2, 1, 1)
        assert (report.leaves, report.updates, report.held, report.errors) == (0, 0, 0, 0)

    def test_tick_without_changes_decodes_and_writes_nothing(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rev = site.store.load_states([ROOM]).states[ROOM].rev
        monkeypatch.setattr("presence.sync.batch.read_presence", None)
        monkeypatch.setattr("presence.sync.poll.CHECKED_CHANNELS", 1e-9)  # none are checked
        monkeypatch.setattr(site.store, "_whole", None)
        report = site.tick(1)
        assert (report.changed, report.published, report.members) == (0, 0, 1)
        assert site.store.load_states([ROOM]).states[ROOM].rev == rev
        assert site.store.known_channels().polled[ROOM] == site.clock(), (
            "it was polled all the same"
        )

    def test_tick_after_reconnect_publishes_nothing(self, site: Site) -> None:
        site.centrifugo.quit(ROOM, "c1")
        site.centrifugo.enter(ROOM, "c9", "ada", "Ada")
        assert site.tick(1).changed == 0
        assert len(site.diffs()) == 1

    def test_tick_of_many_channels_polls_them_in_batches(self) -> None:
        site = Site(batch_size=3)
        for n in range(10):
            site.centrifugo.enter(f"presence:{n}", "c", f"u{n}", "x")
        seen: list[tuple[int, int]] = []
        report = site.sync.tick(progress=lambda done, total: seen.append((done, total)))
        assert (report.channels, report.members, report.published) == (10, 10, 10)
        assert seen == [(3, 10), (6, 10), (9, 10), (10, 10)]
        assert site.centrifugo.requests.count("poll") == 4

    def test_tick_of_named_channels_polls_only_those(self, site: Site) -> None:
        site.centrifugo.enter("presence:other", "c", "alan", "Alan")
        assert site.tick(only=["presence:other"]).channels == 1
        assert site.ids("presence:other") == ["alan"]

    def test_tick_of_named_empty_channel_stores_nothing(self) -> None:
        site = Site()
        report = site.tick(only=["presence:nobody"])
        assert (report.channels, report.errors, site.snapshot("presence:nobody")) == (1, 0, {})
        assert site.store.known_channels().polled == {}

    def test_tick_of_empty_site_has_no_error(self) -> None:
        report = Site().tick().as_dict()
        del report["seconds"]
        assert set(report.values()) == {0}

    def test_tick_past_its_deadline_starts_no_further_batch(self, site: Site) -> None:
        site.configure(batch_size=1, interval=60.0)
        for n in range(9):
            site.centrifugo.enter(f"presence:{n}", "c", "ada", "Ada")
        site.centrifugo.before["poll"] = lambda: site.clock.advance(25)
        report = site.tick()
        assert report.channels + report.errors == 10
        assert report.errors >= 5  # two more may be under way when the time is over
        assert "deadline" in report.failures[0]
        site.centrifugo.before.clear()
        assert (site.tick().channels, site.ids("presence:8")) == (10, ["ada"])

    def test_tick_of_ten_thousand_members_commits_them_all(self) -> None:
        site = Site()
        for n in range(10_000):
            site.centrifugo.enter(ROOM, f"c{n:05}", f"u{n:05}", f"User {n}", iat=1.0)
        report = site.tick()
        assert (report.members, report.joins, report.errors) == (10_000, 10_000, 0)
        snapshot = site.snapshot()
        assert (snapshot["listed"], snapshot["members"], snapshot["total"]) == (False, [], 10_000)
        assert len(json.dumps(site.diffs()[0])) < 200
        assert len(site.announced[0][2].joins) == 10_000

    @pytest.mark.parametrize("name", ["<script>", "\U0001f600", "x" * 10_000])
    def test_tick_with_unusual_names_keeps_them(self, site: Site, name: str) -> None:
        site.centrifugo.enter(ROOM, "c2", "eve", name)
        assert site.tick(1).errors == 0
        assert site.snapshot()["members"][1]["name"] == name[:MAX_NAME]
        assert site.diffs()[-1]["type"] == "presence.diff"

    def test_tick_with_member_larger_than_a_publication_publishes_reload(self, site: Site) -> None:
        site.centrifugo.enter(ROOM, "c2", "eve", "Eve", about="x" * 10_000)
        assert site.tick(1).errors == 0
        assert site.snapshot()["members"][1]["info"]["about"] == "x" * 10_000
        assert site.diffs()[-1]["type"] == "presence.reload"


class TestLeaving:
    def test_tick_after_leave_holds_it_for_the_grace(self, site: Site) -> None:
        site.centrifugo.quit(ROOM, "c1")
        held = site.tick(1)
        assert (held.held, held.leaves, held.members, held.again) == (1, 0, 1, {})
        assert site.tick(9.9).leaves == 0
        gone = site.tick(0.1)
        assert (gone.held, gone.leaves, gone.members, gone.again) == (0, 1, 0, {})
        assert site.diffs()[-1]["leaves"] == ["ada"]
        assert site.tick(60).channels == 0, "an empty room is not polled any more"

    def test_tick_after_page_reload_publishes_no_leave(self, site: Site) -> None:
        for n in range(1, 10):
            site.centrifugo.quit(ROOM, f"c{n}")
            assert site.tick(3).held == 1
            site.centrifugo.enter(ROOM, f"c{n + 1}", "ada", "Ada")
            assert site.tick(8).held == 0
        assert len(site.diffs()) == 1

    def test_tick_without_grace_publishes_leave_at_once(self, site: Site) -> None:
        site.configure(grace=0.0)
        site.centrifugo.quit(ROOM, "c1")
        assert site.tick(1).leaves == 1

    def test_tick_after_restart_of_centrifugo_publishes_no_leave(self, site: Site) -> None:
        site.configure(grace=0.0)
        site.centrifugo.restart()
        assert site.tick(1).leaves == 0
        site.centrifugo.enter(ROOM, "d1", "ada", "Ada")
        site.tick(4)
        assert (site.ids(), len(site.diffs())) == (["ada"], 1)

    def test_tick_with_restart_between_survey_and_poll_publishes_no_leave(self, site: Site) -> None:
        site.configure(grace=0.0)

        def restart() -> None:
            del site.centrifugo.before["poll"]
            site.centrifugo.restart()

        site.centrifugo.before["poll"] = restart
        assert site.tick(1).leaves == 0
        site.centrifugo.enter(ROOM, "d1", "ada", "Ada")
        site.tick(1)
        assert len(site.diffs()) == 1

    def test_tick_after_nodes_settled_publishes_leave_of_missing_member(self, site: Site) -> None:
        site.centrifugo.restart()
        assert site.tick(1).held == 1
        assert site.tick(NODES_SETTLE - 1).held == 1
        assert site.tick(1).leaves == 1, "the grace began at the restart"

    def test_first_tick_has_no_nodes_to_compare(self, site: Site) -> None:
        assert site.store.write(Writes(nodes=frozenset({"node-1"}))).nodes_changed is None

    def test_tick_with_partial_answer_publishes_no_leave(self, site: Site) -> None:
        site.configure(grace=0.0)
        site.centrifugo.enter(ROOM, "c2", "alan", "Alan")
        site.tick(1)
        site.centrifugo.counted[ROOM] = 2
        entries = site.centrifugo.rooms[ROOM]
        ada = entries.pop("c1")
        report = site.tick(1)
        assert (report.leaves, report.errors, report.held) == (0, 1, 1)
        assert "partial" in report.failures[0]
        assert site.tick(100).leaves == 0
        entries["c1"] = ada
        assert site.tick(1).errors == 0
        assert (site.ids(), len(site.diffs())) == (["ada", "alan"], 2)

    def test_tick_with_partial_answers_does_not_run_the_grace(self, site: Site) -> None:
        site.centrifugo.counted[ROOM] = 1
        site.centrifugo.quit(ROOM, "c1")
        site.tick(1)
        site.tick(60)
        site.centrifugo.counted.clear()
        assert site.tick(1).leaves == 0, "the first whole answer that misses her"
        assert site.tick(10).leaves == 1

    def test_tick_with_answer_that_became_complete_takes_it(self, site: Site) -> None:
        site.configure(grace=0.0)
        ada = site.centrifugo.rooms[ROOM].pop("c1")
        site.centrifugo.counted[ROOM] = 1
        site.centrifugo.before["recount"] = lambda: site.centrifugo.rooms[ROOM].update(c1=ada)
        report = site.tick(1)
        assert (report.leaves, report.errors) == (0, 0)
        assert site.ids() == ["ada"]

    def test_tick_with_several_partial_answers_recounts_once(self) -> None:
        site = Site(grace=0.0)
        rooms = [f"presence:{n}" for n in range(5)]
        for room in rooms:
            site.centrifugo.enter(room, "c1", "ada", "Ada")
            site.centrifugo.enter(room, "c2", "alan", "Alan")
        site.tick()
        for room in rooms[1:]:
            site.centrifugo.quit(room, "c2")
            site.centrifugo.counted[room] = 2
        site.centrifugo.counted[rooms[1]] = 0
        site.centrifugo.after["survey"] = lambda: site.centrifugo.counted.pop(rooms[2], None)
        site.centrifugo.after["poll"] = lambda: site.centrifugo.errors.update(
            {("presence", rooms[3]): CommandError(100, "internal server error")}
        )
        report = site.tick(1)
        assert site.centrifugo.requests.count("recount") == 1
        assert (report.leaves, report.errors, report.held) == (2, 2, 1)

    def test_tick_with_leave_between_survey_and_poll_is_not_partial(self, site: Site) -> None:
        site.configure(grace=0.0)
        site.centrifugo.after["survey"] = lambda: site.centrifugo.rooms[ROOM].clear()
        report = site.tick(1)
        assert (report.leaves, report.errors) == (1, 0)

    def test_tick_after_anonymous_visitor_left_holds_the_count(self, site: Site) -> None:
        site.centrifugo.enter(ROOM, "v1", "")
        site.centrifugo.enter(ROOM, "v2", "")
        site.tick(1)
        site.centrifugo.quit(ROOM, "v1")
        held = site.tick(1)
        assert (held.anonymous, held.held) == (2, 0)
        assert site.tick(10).anonymous == 1
        assert site.diffs()[-1]["anonymous"] == 1


class TestWhichChannels:
    def test_tick_with_patterns_polls_matching_channels(self) -> None:
        site = Site(patterns=("chat:*",))
        site.centrifugo.enter(CHAT, "c", "ada", "Ada")
        site.centrifugo.enter(ROOM, "c", "ada", "Ada")
        assert site.tick().channels == 1
        assert site.diffs(f"roster:{CHAT}")[0]["total"] == 1
        assert site.centrifugo.delivered.keys() - {PULSE} == {f"roster:{CHAT}"}

    def test_tick_of_watched_empty_room_stores_it_with_the_first_member(self) -> None:
        site = Site(patterns=("chat:*",))
        site.centrifugo.watchers[f"roster:{CHAT}"] = 1
        for _ in range(2):
            report = site.tick(1)
            assert (report.channels, report.errors) == (1, 0)
        assert (site.snapshot(CHAT), site.store.known_channels().polled) == ({}, {})
        assert site.centrifugo.streams == {}
        site.centrifugo.enter(CHAT, "c", "ada", "Ada")
        site.tick(1)
        assert [diff["version"] for diff in site.diffs(f"roster:{CHAT}")] == [1]

    def test_tick_of_room_without_clients_sees_the_last_leave(self, site: Site) -> None:
        site.centrifugo.rooms.clear()
        assert site.tick(1).channels == 1

    @pytest.mark.parametrize("name", ["presence:a b", "presence:é", "presence:" + "x" * 300])
    def test_tick_with_invalid_channel_name_skips_it(
        self, site: Site, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        site.centrifugo.enter(name, "c", "eve", "Eve")
        report = site.tick(1)
        assert (report.channels, report.errors) == (1, 0)
        assert "channel=skipped" in caplog.text

    def test_tick_of_long_empty_channel_forgets_it(self, site: Site) -> None:
        site.centrifugo.quit(ROOM, "c1")
        site.tick(1)
        site.tick(10)
        assert site.snapshot()["total"] == 0
        site.tick(599)
        assert ROOM in site.store.known_channels().polled
        site.tick(2)
        assert (site.store.known_channels().polled, site.snapshot()) == ({}, {})

    def test_tick_of_forgotten_channel_starts_a_new_epoch(self, site: Site) -> None:
        first = site.snapshot()["epoch"]
        site.centrifugo.quit(ROOM, "c1")
        site.tick(1)
        site.tick(10)
        site.tick(601)
        site.centrifugo.enter(ROOM, "c1", "ada", "Ada")
        site.tick(1)
        assert (site.snapshot()["epoch"] != first, site.snapshot()["version"]) == (True, 1)


class TestPositions:
    def position(self, site: Site) -> Position | None:
        return site.store.load_states([ROOM]).states[ROOM].position

    def test_position_of_first_commit_is_asked_for_before_it(self, site: Site) -> None:
        calls = site.centrifugo.requests
        assert calls.index("positions") < calls.index("publish")
        assert self.position(site) == site.centrifugo.stream(ROOM).top

    def test_position_after_a_diff_is_that_of_the_diff(self, site: Site) -> None:
        site.centrifugo.enter(ROOM, "c2", "alan", "Alan")
        site.tick(1)
        assert self.position(site) == Position(2, site.centrifugo.stream(ROOM).epoch)

    def test_position_after_restart_of_centrifugo_is_renewed(self, site: Site) -> None:
        site.centrifugo.restart()
        site.centrifugo.enter(ROOM, "d1", "ada", "Ada")
        site.tick(5)
        assert self.position(site) == Position(0, site.centrifugo.stream(ROOM).epoch)
        assert len(site.diffs()) == 1

    def test_position_of_room_without_history_is_none(self, site: Site) -> None:
        site.centrifugo.errors["history", "presence:b"] = CommandError(108, "not available")
        site.centrifugo.enter("presence:b", "c", "ada", "Ada")
        assert site.tick(1).errors == 0
        assert site.ids("presence:b") == ["ada"]


class TestOtherSettings:
    def test_tick_with_other_list_limit_applies_it(self, site: Site) -> None:
        site.centrifugo.enter(ROOM, "c2", "alan", "Alan")
        site.tick(1)
        site.configure(list_limit=1)
        report = site.tick(1)
        assert (report.changed, report.published) == (0, 1)
        assert site.snapshot()["listed"] is False
        assert site.diffs()[-1]["type"] == "presence.reload"
        assert site.tick(1).published == 0

    def test_tick_in_list_mode_lists_anonymous_visitors(self, site: Site) -> None:
        site.centrifugo.enter(ROOM, "v1", "")
        site.tick(1)
        site.configure(anonymous="list")
        site.tick(1)
        assert site.ids() == ["ada", "anon_v1"]

    def test_options_of_any_interval_have_sensible_limits(self) -> None:
        assert Options(interval=0.2).deadline == 30.0
        assert Options(interval=90.0).deadline == 90.0
        assert Options(interval=600.0).sweep_after == 6000.0


class TestAnotherLifeOfTheStore:
    def test_tick_after_restart_of_store_publishes_one_reload(self, site: Site) -> None:
        first = site.snapshot()["epoch"]
        site.store._run = "another"
        report = site.tick(1)
        assert (report.published, report.changed, report.leaves) == (1, 0, 0)
        reload = site.diffs()[-1]
        assert (reload["type"], reload["version"]) == ("presence.reload", 1)
        assert reload["epoch"] == site.snapshot()["epoch"] != first
        assert site.ids() == ["ada"]
        assert site.tick(1).published == 0

    def test_tick_after_flush_of_store_fills_it_again(self, site: Site) -> None:
        first = site.snapshot()["epoch"]
        site.store._rooms.clear()
        site.store._polled.clear()
        assert site.tick(1).joins == 1
        assert site.snapshot()["epoch"] != first


def test_tick_with_broken_channel_polls_the_others(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import presence.sync.batch

    real = presence.sync.batch.make_commit

    def make_commit(state: Any, *arguments: Any, **options: Any) -> Any:
        if state.channel == "presence:odd":
            raise ZeroDivisionError("nobody thought of it")
        return real(state, *arguments, **options)

    monkeypatch.setattr(presence.sync.batch, "make_commit", make_commit)
    site.centrifugo.enter("presence:odd", "c", "ada", "Ada")
    site.centrifugo.enter("presence:zzz", "c", "ada", "Ada")
    report = site.tick(1)
    assert (report.errors, site.ids("presence:zzz")) == (1, ["ada"])
    assert report.failures == ["presence:odd: ZeroDivisionError: nobody thought of it"]
    assert "Traceback" in caplog.text
