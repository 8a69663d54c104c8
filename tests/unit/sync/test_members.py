"""Members without a websocket have the same rosters, diffs and counts in ticks as all others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from presence.backends.base import Writes
from presence.backends.memory import MemoryStore
from presence.exceptions import StoreError
from presence.roster import messages
from presence.roster.messages import Roster
from presence.roster.people import UserClaims
from presence.sync.statistics import Report
from tests.unit.fakes import ROOM, Site

TIMEOUT = 60.0


class Room:
    """One room of a site, with the calls of server code."""

    def __init__(self, **options: Any) -> None:
        self.site = Site(**options)

    def join(self, user: str, source: str = "", **meta: Any) -> None:
        encoded = msgspec.json.encode(meta)
        self.site.store.save_member(ROOM, user, source=source, meta=encoded, timeout=TIMEOUT)

    def leave(self, user: str, source: str = "") -> None:
        self.site.store.delete_member(ROOM, user, source=source, timeout=TIMEOUT)

    def beat(self, user: str, source: str = "") -> bool:
        return self.site.store.touch_member(ROOM, user, source=source, timeout=TIMEOUT)

    def connect(self, client: str, user: str, name: str = "", **more: Any) -> None:
        self.site.centrifugo.enter(ROOM, client, user, name, **more)

    def hide(self, client: str, user: str, *, iat: float) -> None:
        self.connect(client, user)
        entry = self.site.centrifugo.rooms[ROOM][client]
        entry["conn_info"] = msgspec.to_builtins(UserClaims(hidden=True, iat=iat))

    def tick(self, after: float = 0.0) -> Report:
        report = self.site.tick(after)
        assert report.errors == 0, report.failures
        return report

    @property
    def members(self) -> list[tuple[str, str]]:
        snapshot = self.site.snapshot()
        shown = [(member["id"], member["name"]) for member in snapshot.get("members", [])]
        assert len(shown) == snapshot.get("total", 0)
        return shown

    @property
    def roster(self) -> Roster:
        _, stored = self.site.store.load_states([ROOM], rosters=[ROOM]).rosters[ROOM]
        return messages.decode(stored, Roster)

    @property
    def diffs(self) -> list[dict[str, Any]]:
        return self.site.diffs()


@pytest.fixture
def room() -> Room:
    return Room()


class TestComingAndGoing:
    def test_tick_with_tracked_bot_alone_in_a_room_lists_it(self, room: Room) -> None:
        room.join("bot-7", name="Deploy bot", color="#3cb44b")
        report = room.tick()
        assert (report.channels, report.joins, report.members) == (1, 1, 1)
        (diff,) = room.diffs
        assert diff["joins"] == [
            {"id": "bot-7", "name": "Deploy bot", "info": {"color": "#3cb44b"}}
        ]

    def test_tick_without_changes_of_tracked_members_writes_nothing(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        room.join("bot")
        room.tick()
        monkeypatch.setattr("presence.sync.batch.read_presence", None)
        assert room.beat("bot")
        assert room.tick(30).changed == 0
        assert len(room.diffs) == 1

    def test_tick_after_tracked_member_left_removes_them_without_grace(self, room: Room) -> None:
        room.join("bot")
        room.connect("c1", "ada", "Ada")
        room.tick()
        room.leave("bot")
        report = room.tick(1)
        assert (report.leaves, report.held) == (1, 0)
        assert room.members == [("ada", "Ada")]

    def test_tick_after_missed_heartbeat_removes_tracked_member(self, room: Room) -> None:
        room.join("bot")
        room.tick()
        room.beat("bot")
        room.tick(TIMEOUT - 1)
        assert room.members == [("bot", "bot")]
        room.tick(2)
        assert room.members == []
        assert not room.beat("bot")
        room.tick(1)
        assert room.members == []

    def test_tick_after_last_tracked_member_left_forgets_the_room(self, room: Room) -> None:
        room.join("bot")
        room.tick()
        room.leave("bot")
        room.tick(1)
        room.tick(700)
        assert ROOM not in room.site.store.known_channels().polled

    def test_tick_with_several_sources_of_a_user_lists_one_member(self, room: Room) -> None:
        room.join("ada", source="tab-1", name="Ada")
        room.join("ada", source="tab-2", name="Ada")
        room.connect("c1", "ada", "Ada", iat=1.0)
        room.tick()
        assert room.members == [("ada", "Ada")]
        room.leave("ada", source="tab-1")
        room.tick(1)
        room.site.centrifugo.quit(ROOM, "c1")
        room.tick(20)
        room.tick(20)
        assert room.members == [("ada", "Ada")], "the second tab is still there"
        room.leave("ada", source="tab-2")
        room.tick(1)
        assert room.members == []
        assert [len(diff["leaves"]) for diff in room.diffs] == [0, 1]

    def test_tick_after_connection_of_tracked_member_closed_holds_the_leave(
        self, room: Room
    ) -> None:
        room.join("ada", name="Ada")
        room.connect("c1", "ada", "Ada")
        room.tick()
        room.leave("ada")
        room.site.centrifugo.quit(ROOM, "c1")
        assert room.tick(1).held == 1
        assert room.members == [("ada", "Ada")]

    def test_tick_with_partial_answer_keeps_connected_and_removes_tracked_members(
        self, room: Room
    ) -> None:
        room.join("bot")
        room.connect("c1", "ada", "Ada")
        room.tick()
        room.leave("bot")
        room.site.centrifugo.quit(ROOM, "c1")
        room.site.centrifugo.counted[ROOM] = 1
        assert room.site.tick(20).errors == 1
        assert room.members == [("ada", "Ada")]

    def test_tick_of_named_channel_lists_tracked_members(self, room: Room) -> None:
        room.join("bot")
        assert room.site.tick(only=[ROOM]).joins == 1

    def test_registry_tick_polls_channels_of_tracked_members(self) -> None:
        room = Room(discovery="registry")
        room.join("bot")
        room.tick()
        assert room.members == [("bot", "bot")]

    def test_tick_with_unreadable_tracker_removes_nobody(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        room.join("bot")
        room.tick()

        def broken(*_: object, **__: object) -> None:
            raise StoreError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(MemoryStore, "load_members", broken)
            assert room.site.tick(1).errors == 1
        assert room.members == [("bot", "bot")]


class TestWhoTheyAre:
    def test_tick_with_token_and_tracked_name_takes_the_newer(self, room: Room) -> None:
        now = room.site.clock()
        room.connect("c1", "ada", "Ada (token)", iat=now - 5)
        room.join("ada", name="Ada (tracked)")
        room.tick()
        assert room.members == [("ada", "Ada (tracked)")]
        room.connect("c2", "ada", "Ada (newer token)", iat=now + 5)
        room.tick(1)
        assert room.members == [("ada", "Ada (newer token)")]

    def test_tick_after_server_code_renamed_member_takes_that_name(self, room: Room) -> None:
        room.join("ada", name="Ada")
        room.site.clock.advance(1)
        room.connect("c1", "ada", "Ada (token)", iat=room.site.clock())
        room.tick(1)
        room.join("ada", name="Ada (away)")
        room.tick(1)
        assert room.members == [("ada", "Ada (away)")]

    def test_tick_with_tracked_member_without_name_takes_another_name(self, room: Room) -> None:
        room.connect("c1", "ada", "Ada", iat=5.0)
        room.join("ada", color="#fff")
        room.tick()
        assert room.members == [("ada", "Ada")]

    def test_tick_with_tracked_anonymous_visitor_lists_them_uncounted(self, room: Room) -> None:
        room.join("anon_1")
        room.connect("c1", "")
        entry = room.site.centrifugo.rooms[ROOM]["c1"]
        entry["conn_info"] = {"anonymous": "anon_1", "iat": 1.0}
        room.connect("c2", "")
        room.tick()
        assert room.members == [("anon_1", "Anonymous")]
        assert room.site.snapshot()["anonymous"] == 1


class TestHidden:
    def test_tick_with_hidden_user_publishes_and_counts_nothing_of_them(self, room: Room) -> None:
        room.connect("c1", "ada", "Ada")
        room.hide("c2", "grace", iat=5.0)
        report = room.tick()
        assert (report.members, report.anonymous) == (1, 0)
        assert room.members == [("ada", "Ada")]
        assert room.roster.hidden == ["grace"]
        assert "grace" not in str(room.diffs)

    def test_tick_after_member_hides_removes_them_without_grace(self, room: Room) -> None:
        room.connect("c1", "grace", "Grace", iat=1.0)
        room.tick()
        room.hide("c2", "grace", iat=2.0)
        report = room.tick(1)
        assert (report.leaves, report.held) == (1, 0)
        assert room.members == []

    def stored(self, room: Room) -> Any:
        return room.site.store.load_snapshots([ROOM])[ROOM]

    def test_tick_with_hidden_user_alone_leaves_what_pages_get_of_an_empty_room(
        self, room: Room
    ) -> None:
        room.hide("c1", "grace", iat=1.0)
        for _ in range(3):
            room.tick(1)
        assert room.roster.hidden == ["grace"]
        found = self.stored(room)
        assert (found.snapshot, found.epoch, found.version) == (None, "", 0)
        assert found.position is None
        assert room.site.centrifugo.streams == {}
        room.connect("c2", "ada", "Ada")
        room.tick(1)
        assert [(diff["base"], diff["version"]) for diff in room.diffs] == [(0, 1)]

    def test_tick_with_hidden_user_ends_an_empty_room_as_without_them(self, room: Room) -> None:
        room.connect("c1", "ada", "Ada")
        room.tick()
        room.site.centrifugo.quit(ROOM, "c1")
        room.tick(1)
        room.tick(11)
        polled = self.stored(room).polled
        room.hide("c2", "grace", iat=5.0)
        room.tick(60)
        found = self.stored(room)
        assert (found.polled, found.version) == (polled, 2)
        room.tick(600)
        assert self.stored(room).version == 0
        room.site.centrifugo.quit(ROOM, "c2")
        room.tick(1)
        room.tick(700)
        assert room.site.store.known_channels().polled == {}

    def test_tick_with_hidden_user_who_is_tracked_keeps_them_hidden(self, room: Room) -> None:
        room.hide("c1", "grace", iat=1.0)
        room.join("grace", name="Grace")
        room.tick()
        assert room.members == []

    def test_tick_after_user_stops_hiding_adds_them(self, room: Room) -> None:
        room.hide("c1", "grace", iat=1.0)
        room.tick()
        room.connect("c2", "grace", "Grace", iat=2.0)
        room.tick(1)
        assert room.members == [("grace", "Grace")]


class TestHiddenSession:
    def enter(self, room: Room, client: str, *, iat: float) -> None:
        room.connect(client, "ada")
        entry = room.site.centrifugo.rooms[ROOM][client]
        entry["conn_info"] = msgspec.to_builtins(UserClaims(hidden=True, session=True, iat=iat))

    def test_tick_with_hidden_session_of_user_keeps_their_visible_one(self, room: Room) -> None:
        self.enter(room, "staff", iat=5.0)
        room.tick()
        assert room.members == []
        assert "ada" not in str(room.diffs)
        room.connect("c1", "ada", "Ada", iat=1.0)
        room.tick(1)
        assert room.members == [("ada", "Ada")]
        room.site.centrifugo.quit(ROOM, "staff")
        assert room.tick(1).changed == 0

    def test_tick_with_hidden_session_of_user_keeps_grace(self, room: Room) -> None:
        room.connect("c1", "ada", "Ada", iat=1.0)
        self.enter(room, "staff", iat=5.0)
        room.tick()
        room.site.centrifugo.quit(ROOM, "c1")
        assert room.tick(1).held == 1, "it may be a reload"
        assert room.members == [("ada", "Ada")]
        room.tick(30)
        assert room.members == []
        assert room.site.store.last_seen(["ada"]) != {}

    def test_tick_with_hidden_session_of_user_keeps_what_is_tracked(self, room: Room) -> None:
        room.join("ada", name="Ada")
        self.enter(room, "staff", iat=5.0)
        room.tick()
        assert room.members == [("ada", "Ada")]
        room.leave("ada")
        room.tick(1)
        assert room.members == []


class TestProfiles:
    def know(self, room: Room, user: str, **shown: Any) -> None:
        signed = UserClaims(iat=room.site.clock(), **shown)
        room.site.store.save_profile(user, msgspec.json.encode(signed), seconds=3600.0)

    def test_tick_with_profile_of_new_name_publishes_an_update(self, room: Room) -> None:
        room.connect("c1", "42", "Ada")
        room.tick()
        room.site.clock.advance(5)
        self.know(room, "42", name="Countess Lovelace")
        assert room.tick(1).updates == 1
        assert room.members == [("42", "Countess Lovelace")]
        assert room.tick(300).changed == 0

    @pytest.mark.parametrize("user", ["42", "ada@example.com", 'a"b', "ü", "a.b", ".*"])
    def test_tick_with_profile_of_user_with_unusual_id_publishes_an_update(
        self, room: Room, user: str
    ) -> None:
        room.connect("c1", user, "Ada")
        room.tick()
        self.know(room, user, name="Grace")
        assert room.tick(1).updates == 1

    def test_tick_with_profile_of_absent_user_adds_nobody(self, room: Room) -> None:
        room.connect("c1", "42", "Ada")
        self.know(room, "43", name="Grace")
        room.tick()
        assert room.members == [("42", "Ada")]

    def test_tick_with_profiles_hides_and_shows_a_member(self, room: Room) -> None:
        room.connect("c1", "42", "Ada", iat=room.site.clock() - 10)
        room.tick()
        self.know(room, "42", hidden=True)
        room.tick(1)
        assert room.members == []
        self.know(room, "42", name="Ada")
        room.tick(1)
        assert room.members == [("42", "Ada")]

    def test_tick_after_outage_takes_older_profile(self, room: Room) -> None:
        room.connect("c1", "42", "Ada")
        room.tick()
        self.know(room, "42", name="Grace")
        room.tick(3000)
        assert room.members == [("42", "Grace")]

    def test_tick_after_outage_of_ticks_takes_profile_whose_channel_looks_polled(
        self, room: Room
    ) -> None:
        room.connect("c1", "42", "Ada")
        room.tick()
        self.know(room, "42", name="Grace")
        room.site.clock.advance(3000)
        room.site.store.write(Writes(due={ROOM: 0.0}))
        look = room.site.sync.look()
        assert look is not None
        assert look.channels == 1
        assert room.members == [("42", "Ada")], "looks have no news"
        room.tick(1)
        assert room.members == [("42", "Grace")]

    def test_tick_with_token_newer_than_profile_takes_the_token(self, room: Room) -> None:
        room.connect("c1", "42", "Ada")
        self.know(room, "42", name="Grace")
        room.tick()
        room.connect("c2", "42", "Edsger", iat=room.site.clock() + 1)
        room.tick(2)
        assert room.members == [("42", "Edsger")]

    def test_tick_with_profile_of_tracked_member_publishes_an_update(self, room: Room) -> None:
        room.join("42", name="Ada")
        room.tick()
        room.site.clock.advance(1)
        self.know(room, "42", name="Grace")
        room.tick(1)
        assert room.members == [("42", "Grace")]

    def test_tick_with_unreadable_profile_ignores_it(self, room: Room) -> None:
        room.connect("c1", "42", "Ada")
        room.site.store.save_profile("42", b"{", seconds=60.0)
        room.tick()
        assert room.members == [("42", "Ada")]


class TestLastSeen:
    def test_tick_that_believes_a_leave_stores_last_seen(self, room: Room) -> None:
        room.connect("c1", "42", "Ada")
        room.join("bot")
        room.connect("c2", "")
        room.tick()
        assert room.site.store.last_seen(["42", "bot"]) == {}
        room.leave("bot")
        room.site.centrifugo.quit(ROOM, "c1")
        room.tick(5)
        first = room.site.clock()
        room.tick(20)
        assert room.site.store.last_seen(["42", "bot", "43"]) == {"42": first + 20, "bot": first}

    def test_tick_after_visitor_left_stores_no_last_seen(self) -> None:
        room = Room(anonymous="list")
        room.join("anon_5")
        room.tick()
        room.leave("anon_5")
        room.tick(1)
        assert room.site.store.last_seen(["anon_5"]) == {}
