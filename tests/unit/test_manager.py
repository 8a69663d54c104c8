"""PresenceManager: who is here by word of server code, and with those who are connected."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import hypothesis
import msgspec
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from hypothesis import given
from hypothesis import strategies as st

from presence.exceptions import InvalidChannel, StoreDamaged, StoreError
from presence.manager import PresenceManager
from presence.roster.channel_names import room
from presence.roster.merge import UserClaims
from presence.snapshots import read_records, read_snapshot
from presence.testing import FakePresence
from presence.users import last_seen

KEY = "document:42"
CHANNEL = "presence:document:42"
META = {"name": "Ada", "color": "#6c63ff"}

join, leave = PresenceManager.join_presence, PresenceManager.leave_presence
beat, people = PresenceManager.update_heartbeat, PresenceManager.list_presences


@pytest.fixture(autouse=True)
def site(settings: Any) -> Iterator[FakePresence]:
    settings.PRESENCE_USER_INFO = None
    with FakePresence() as site:
        yield site


def account(pk: int) -> User:
    return User(pk=pk, username=f"user {pk}")


def profile(site: FakePresence, user: str, signed: UserClaims) -> None:
    site.store.save_profile(user, msgspec.json.encode(signed), seconds=3600)


def lazily(text: str) -> Any:
    return SimpleLazyObject(lambda: text)


def ids(key: str = KEY) -> list[str]:
    found = people(key)
    assert PresenceManager.presence_count(key) == len(found)
    return [record["id"] for record in found]


class TestRecords:
    def test_join_presence_returns_the_record(self, site: FakePresence) -> None:
        before = site.clock()
        record = join(KEY, "7", META)
        assert record == {
            "id": "7",
            "user_id": "7",
            "name": "Ada",
            "color": "#6c63ff",
            "joined_at": record["joined_at"],
            "meta": META,
        }
        assert before < record["joined_at"] < site.clock()
        assert people(KEY) == [record]
        assert leave(KEY, "7") == record
        assert people(KEY) == []

    def test_record_fields_win_over_meta(self) -> None:
        meta = {"id": 1, "user_id": "x", "joined_at": "never", "meta": [], "name": ["Ada"]}
        record = join(KEY, "7", meta)
        assert (record["id"], record["user_id"], record["meta"]) == ("7", "7", meta)
        assert isinstance(record["joined_at"], float)
        assert record["name"] == "7", "what is no text is no name"
        assert people(KEY) == [record]

    @pytest.mark.parametrize(
        ("user", "meta", "name"),
        [
            ("7", None, "7"),
            ("7", {}, "7"),
            ("7", {"name": ""}, "7"),
            ("7", {"name": "\u200b\u3164"}, "7"),
            ("7", {"name": "\u202eAda\u2067"}, "Ada"),
            ("7", {"name": "x" * 199 + "e\u0301"}, "x" * 199),
            ("anon_1", None, "Anonymous"),
            ("anon_1", {"name": "\u2800"}, "Anonymous"),
            ("anon_1", {"name": "Guest"}, "Guest"),
        ],
    )
    def test_record_always_has_a_name(self, user: str, meta: Any, name: str) -> None:
        assert join(KEY, user, meta)["name"] == people(KEY)[0]["name"] == name

    def test_join_presence_adds_to_one_room(self) -> None:
        join(KEY, "7")
        join("document:43", "8")
        assert (ids(), ids("document:43"), ids("document:44")) == (["7"], ["8"], [])

    def test_list_presences_is_in_order_of_arrival(self, site: FakePresence) -> None:
        for user in ("9", "10", "8"):
            join(KEY, user)
            site.advance(1)
        assert ids() == ["9", "10", "8"]

    def test_join_presence_copies_the_meta(self) -> None:
        meta = {"tags": ["a"]}
        record = join(KEY, "7", meta)
        meta["tags"].append("b")
        record["meta"]["tags"].append("c")
        assert people(KEY)[0]["tags"] == ["a"]

    def test_join_presence_takes_strings_that_are_marked_safe(self) -> None:
        record = join(mark_safe(KEY), mark_safe("7"), {"name": mark_safe("Ada")})
        assert type(record["id"]) is str
        assert ids() == ["7"]

    def test_join_presence_takes_lazy_strings(self) -> None:
        user, source, bad = map(lazily, ("7", "a", "7\n"))
        record = join(KEY, user, source=source)
        assert type(record["id"]) is str
        assert leave(KEY, "7", source="a") == record
        with pytest.raises(ValueError, match="control"):
            join(KEY, bad)

    def test_join_presence_takes_string_enumerations(self) -> None:
        class Bot(StrEnum):
            HAL = "hal"

        assert join(KEY, Bot.HAL, source=Bot.HAL)["id"] == "hal"
        assert leave(KEY, "hal", source="hal") is not None

    def test_presence_group_name_is_the_channel(self) -> None:
        assert PresenceManager.presence_group_name(KEY) == CHANNEL


class TestSources:
    def test_join_presence_again_replaces_meta_and_keeps_the_time(self, site: FakePresence) -> None:
        first = join(KEY, "7", {"name": "Ada"})
        site.advance(5)
        second = join(KEY, "7", {"name": "Lady Lovelace"})
        assert second["joined_at"] == first["joined_at"]
        assert people(KEY) == [second]

    def test_list_presences_merges_the_sources_of_a_user(self, site: FakePresence) -> None:
        first = join(KEY, "7", {"name": "Ada"}, source="tab 1")
        site.advance(5)
        second = join(KEY, "7", {"name": "Ada L."}, source="tab 2")
        (both,) = people(KEY)
        assert both == second | {"joined_at": first["joined_at"]}, "newest words, first arrival"
        assert leave(KEY, "7", source="tab 2") == second
        assert people(KEY) == [first]
        assert leave(KEY, "7") is None, "nobody said so without a source"
        assert ids() == ["7"]
        assert leave(KEY, "7", source="tab 1") == first
        assert ids() == []

    def test_list_presences_prefers_a_source_with_a_name(self, site: FakePresence) -> None:
        join(KEY, "7", {"name": "Ada"}, source="page")
        site.advance(5)
        join(KEY, "7", {"state": "idle"}, source="bot")
        assert people(KEY)[0]["name"] == "Ada"

    def test_leave_presence_remembers_the_source(self, site: FakePresence) -> None:
        join(KEY, "7", source="page")
        assert not site.store.has_flag(f"left:{CHANNEL}:7:page")
        leave(KEY, "7", source="page")
        assert site.store.has_flag(f"left:{CHANNEL}:7:page")


class TestTime:
    def test_member_without_a_heartbeat_times_out(self, site: FakePresence) -> None:
        join(KEY, "7")
        site.advance(59.9)
        assert ids() == ["7"]
        site.advance(0.2)
        assert ids() == []
        assert leave(KEY, "7") is None

    def test_update_heartbeat_keeps_and_never_revives(self, site: FakePresence) -> None:
        assert beat(KEY, "7") is False, "never joined"
        record = join(KEY, "7", META)
        for _ in range(3):
            site.advance(50)
            assert beat(KEY, "7") is True
        assert people(KEY) == [record], "a beat is no news"
        assert beat(KEY, "7", source="other") is False
        site.advance(61)
        assert beat(KEY, "7") is False, "the time passed"
        join(KEY, "7")
        leave(KEY, "7")
        assert beat(KEY, "7") is False, "left"
        assert ids() == []

    def test_member_times_out_after_the_setting(self, site: FakePresence, settings: Any) -> None:
        settings.PRESENCE_TIMEOUT = 10
        join(KEY, "7")
        site.advance(11)
        assert ids() == []

    def test_join_presence_after_a_time_out_has_a_new_time(self, site: FakePresence) -> None:
        first = join(KEY, "7")["joined_at"]
        site.advance(61)
        assert join(KEY, "7")["joined_at"] > first + 60


class TestLastSeen:
    def test_leave_presence_notes_last_seen_without_a_tick(self, site: FakePresence) -> None:
        join(KEY, "7")
        site.advance(5)
        beat(KEY, "7")
        at = site.store.load_members([room(KEY)], timeout=60)[room(KEY)].members[0].beat
        site.advance(5)
        assert last_seen(["7"]) == {"7": None}
        leave(KEY, "7")
        assert last_seen(["7"]) == {"7": datetime.fromtimestamp(at, UTC)}

    def test_leave_presence_notes_no_visitor_no_hidden_user_and_nobody(
        self, site: FakePresence, settings: Any
    ) -> None:
        settings.PRESENCE_VISIBLE = lambda user: user.pk != 7
        site.connect(room(KEY), account(7))
        site.tick()
        for user in ("7", "anon_1"):
            join(KEY, user)
            leave(KEY, user)
        leave(KEY, "8")
        assert site.store.last_seen(["7", "8", "anon_1"]) == {}


class TestWithTheConnected:
    def test_list_presences_has_connected_and_tracked_members(self, site: FakePresence) -> None:
        site.connect(CHANNEL, account(3))
        site.connect(CHANNEL)
        site.tick()
        join(KEY, "7", META)
        assert people(KEY)[0] == {
            "id": "3",
            "user_id": "3",
            "name": "user 3",
            "joined_at": None,
            "meta": {"name": "user 3"},
        }
        assert ids() == ["3", "7"], "the anonymous are counted elsewhere"

    def test_tick_publishes_tracked_members(self, site: FakePresence) -> None:
        join(KEY, "7", META)
        site.tick()
        site.assert_present(CHANNEL, "7")
        (diff,) = site.centrifugo.published(CHANNEL)
        shown = {"id": "7", "name": "Ada", "info": {"color": "#6c63ff"}}
        assert diff["joins"] == [shown]
        leave(KEY, "7")
        site.tick()
        assert site.centrifugo.published(CHANNEL)[-1]["leaves"] == ["7"], "without the grace"

    def test_list_presences_after_a_tick_has_who_is_tracked_now(self, site: FakePresence) -> None:
        record = join(KEY, "7", META)
        site.tick()
        assert people(KEY) == [record]
        leave(KEY, "7")
        assert ids() == []
        other = join(KEY, "7", {"name": "Ada again"})
        assert people(KEY) == [other]

    def test_list_presences_shows_new_meta_at_once(self, site: FakePresence) -> None:
        join(KEY, "7", {"name": "Zoë"})
        site.connect(CHANNEL, account(8))
        site.tick()
        for name in ("Ada", "Zuse"):  # which sort before and after
            record = join(KEY, "7", {"name": name})
            assert record in people(KEY)
            site.tick()
            assert record in people(KEY)

    def test_list_presences_has_one_record_of_a_connected_and_tracked_user(
        self, site: FakePresence
    ) -> None:
        connection = site.connect(CHANNEL, account(7))
        site.tick()
        site.advance(1)
        record = join(KEY, "7", META)
        assert people(KEY) == [record], "said later than the token"
        leave(KEY, "7")
        assert people(KEY)[0]["joined_at"] is None
        join(KEY, "7", {"state": "idle"})
        assert people(KEY)[0]["meta"] == {"name": "user 7"}, "who tells no name gives way"
        connection.close()
        site.settle()
        (record,) = people(KEY)
        assert record["name"] == "user 7", "who they are is known"
        assert isinstance(record["joined_at"], float)

    def test_list_presences_shows_a_newer_profile(self, site: FakePresence) -> None:
        join(KEY, "7", META)
        site.advance(1)
        profile(site, "7", UserClaims("Ada King", {"team": "Blue"}, site.clock()))
        site.tick()
        (record,) = people(KEY)
        assert (record["name"], record["team"]) == ("Ada King", "Blue")
        assert "color" not in record
        site.advance(1)
        join(KEY, "7", {"name": "Ada Byron"}, source="page")
        assert people(KEY)[0]["name"] == "Ada Byron"

    def test_list_presences_leaves_out_hidden_users(self, site: FakePresence) -> None:
        join(KEY, "7", META)
        profile(site, "7", UserClaims(hidden=True, iat=site.clock() + 1))
        site.tick()
        assert ids() == []
        join(KEY, "7", META, source="page")
        assert ids() == [], "what is tracked brings back nobody who is hidden"
        site.tick()
        assert ids() == []

    def test_list_presences_has_fetched_metadata(self, site: FakePresence, settings: Any) -> None:
        settings.PRESENCE_FETCH = lambda ids: {user: {"name": "Fetched", "team": 5} for user in ids}
        site.connect(CHANNEL, account(3))
        join(KEY, "7", META | {"team": 1})
        site.tick()
        join(KEY, "7", META, source="page")
        by_id = {record["id"]: record for record in people(KEY)}
        assert set(by_id) == {"3", "7"}
        for record in by_id.values():
            assert (record["name"], record["team"]) == ("Fetched", 5)
            assert (record["meta"]["name"], record["meta"]["team"]) == ("Fetched", 5)
        assert by_id["7"]["color"] == "#6c63ff"

    def test_list_presences_of_a_counted_room_lists_everybody(
        self, site: FakePresence, settings: Any
    ) -> None:
        settings.PRESENCE_LIST_LIMIT = 2
        for user in range(5):
            site.connect(CHANNEL, account(user))
        join(KEY, "7")
        site.tick()
        assert len(ids()) == 6

    def test_read_records_reads_several_channels(self, site: FakePresence) -> None:
        join(KEY, "7")
        site.connect("presence:other", account(8))
        site.tick()
        found = read_records([CHANNEL, "presence:other", "presence:empty"])
        assert {channel: len(records) for channel, records in found.items()} == {
            CHANNEL: 1,
            "presence:other": 1,
            "presence:empty": 0,
        }
        assert read_records([]) == {}

    def test_list_presences_of_a_damaged_roster_raises_until_the_next_tick(
        self, site: FakePresence
    ) -> None:
        join(KEY, "7")
        site.tick()
        rooms = site.store._rooms
        rooms[CHANNEL] = rooms[CHANNEL]._replace(roster=b"nonsense")
        with pytest.raises(StoreDamaged, match=CHANNEL):
            people(KEY)
        site.tick(check=False)
        assert [record["id"] for record in people(KEY)] == ["7"]


class TestDue:
    def test_join_and_leave_make_the_channel_due(self, site: FakePresence) -> None:
        for call in (join, leave):
            site.store._due.clear()
            call(KEY, "7")
            assert list(site.store._due) == [CHANNEL]

    def test_heartbeats_and_reads_make_no_channel_due(self, site: FakePresence) -> None:
        join(KEY, "7")
        site.store._due.clear()
        beat(KEY, "7")
        people(KEY)
        assert site.store._due == {}


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = {"a": value}
    return value


BAD_KEYS: list[Any] = [None, "", 42, b"doc", "a b", "ä", "a\x00", "doc#1", "x" * 300]
BAD_USERS: list[Any] = [None, "", 42, b"7", "7\n", "\x00", "7\x7f", "7\x9f", "x" * 201, "\ud800"]
BAD_SOURCES: list[Any] = [None, 42, b"7", "7\n", "x" * 65]
BAD_META: list[Any] = [
    *(42, "name", [1], [("a", 1)], (), 0, False),
    {"name": ...},
    {"name": b"Ada"},
    {"name": {"a"}},
    {(1, 2): 3},
    *({1: "a"}, {None: "a"}, {"a": [{True: "b"}]}),
    {"x": float("nan")},
    {"x": float("inf")},
    {"name": "\ud800"},
    {"name": "A\x00a"},
    {"name": "two\nlines"},
    {"about": "a\x1bb"},
    {"a\nb": 1},
    {"a": [{"b": "\x00"}]},
    nested(21),
]


class TestWhatCannotBe:
    @pytest.fixture(autouse=True)
    def nothing_stored(self, site: FakePresence) -> Iterator[None]:
        yield
        assert site.store._members == {}
        assert site.store._flags == {}
        assert site.store._due == {}

    @pytest.mark.parametrize("key", BAD_KEYS, ids=repr)
    def test_manager_with_an_invalid_key_raises(self, key: Any) -> None:
        for call in (
            lambda: join(key, "7"),
            lambda: leave(key, "7"),
            lambda: leave(key, "7", source="a"),
            lambda: beat(key, "7"),
            lambda: people(key),
            lambda: PresenceManager.presence_count(key),
            lambda: PresenceManager.presence_group_name(key),
        ):
            with pytest.raises(InvalidChannel) as error:
                call()
            assert isinstance(error.value, ValueError)

    @pytest.mark.parametrize("user", BAD_USERS, ids=ascii)
    def test_manager_with_an_invalid_user_id_raises(self, user: Any) -> None:
        for call in (join, leave, beat):
            with pytest.raises(ValueError, match=r"user_id .*must"):
                call(KEY, user)
            with pytest.raises(ValueError, match=r"user_id .*must"):
                call(KEY, user, source="a")

    @pytest.mark.parametrize("source", BAD_SOURCES, ids=repr)
    def test_manager_with_an_invalid_source_raises(self, source: Any) -> None:
        for call in (join, leave, beat):
            with pytest.raises(ValueError, match=r"source .*must"):
                call(KEY, "7", source=source)

    @pytest.mark.parametrize("meta", BAD_META, ids=lambda meta: ascii(meta)[:40])
    def test_join_presence_with_an_invalid_meta_raises(self, meta: Any) -> None:
        with pytest.raises(ValueError, match=r"meta (.|\n)*(must|use strings)"):
            join(KEY, "7", meta)

    def test_join_presence_takes_the_largest_values(self, site: FakePresence) -> None:
        meta = {"name": "ü" * 200, "about": "two\nlines\tand\r\nmore", "deep": nested(19)}
        meta["rest"] = "x" * (4096 - len(msgspec.json.encode(meta | {"rest": ""})))
        user, source = "ü" * 200, "s" * 64
        assert join(KEY, user, meta, source=source)["meta"] == meta
        assert people(KEY)[0]["meta"] == meta
        assert leave(KEY, user, source=source) is not None
        site.store._due.clear()
        site.store._flags.clear()


class TestStore:
    def test_manager_while_the_store_is_down_raises(
        self, site: FakePresence, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def down(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        for name in ("save_member", "delete_member", "touch_member", "load_members"):
            monkeypatch.setattr(site.store, name, down)
        for call in (join, leave, beat):
            with pytest.raises(StoreError):
                call(KEY, "7")
        with pytest.raises(StoreError):
            people(KEY)


class TestAsync:
    def test_async_twins_do_the_same(self) -> None:
        async def story() -> None:
            record = await PresenceManager.ajoin_presence(KEY, "7", META, source="bot")
            assert await PresenceManager.alist_presences(KEY) == [record]
            assert await PresenceManager.apresence_count(KEY) == 1
            assert await PresenceManager.aupdate_heartbeat(KEY, "7", source="bot") is True
            assert await PresenceManager.aleave_presence(KEY, "7", source="bot") == record
            assert await PresenceManager.apresence_count(KEY) == 0

        async_to_sync(story)()

    @pytest.mark.parametrize(
        "name",
        [
            *("join_presence", "leave_presence", "list_presences"),
            *("presence_count", "update_heartbeat"),
        ],
    )
    def test_async_twins_have_the_same_signature(self, name: str) -> None:
        plain, awaited = getattr(PresenceManager, name), getattr(PresenceManager, f"a{name}")
        assert inspect.signature(plain) == inspect.signature(awaited)

    def test_manager_takes_positional_arguments_of_the_reference(self) -> None:
        assert PresenceManager.join_presence(KEY, "7", {"name": "Ada"})["name"] == "Ada"
        assert PresenceManager.update_heartbeat(KEY, "7") is True
        assert PresenceManager.leave_presence(KEY, "7")
        named = PresenceManager.join_presence(presence_key=KEY, user_id="7", meta=None)
        assert named["id"] == "7"


USERS, SOURCES = st.integers(1, 3), st.sampled_from(["", "a"])
STEPS = st.one_of(
    st.tuples(st.just("join"), USERS, SOURCES, st.sampled_from([None, "Ada", "Zoë"])),
    st.tuples(st.just("leave"), USERS, SOURCES),
    st.tuples(st.just("connect"), USERS),
    st.tuples(st.just("disconnect"), USERS),
    st.tuples(st.just("profile"), USERS, st.sampled_from(["Ada K.", "Zuse", ""])),
    st.tuples(st.just("advance"), st.sampled_from([1, 20, 61])),
    st.just(("tick",)),
)


class TestTheRule:
    """After a tick, Python and pages get the same data."""

    @hypothesis.settings(max_examples=150, deadline=None)
    @given(st.lists(STEPS, max_size=12))
    def test_list_presences_always_equals_the_roster_of_a_tick(self, steps: list[Any]) -> None:
        with FakePresence() as site:
            for name, *arguments in steps:
                getattr(self, f"_{name}")(site, *arguments)
            site.tick()
            shown = {
                member.id: {"name": member.name} | member.info
                for member in read_snapshot(CHANNEL).members
            }
            listed = {
                record["id"]: record["meta"] | {"name": record["name"]} for record in people(KEY)
            }
            assert listed == shown

    def _join(self, site: FakePresence, user: int, source: str, name: str | None) -> None:
        join(KEY, str(user), {"name": name, "from": name} if name else {"x": 1}, source=source)

    def _leave(self, site: FakePresence, user: int, source: str) -> None:
        leave(KEY, str(user), source=source)

    def _connect(self, site: FakePresence, user: int) -> None:
        site.connect(CHANNEL, account(user))

    def _disconnect(self, site: FakePresence, user: int) -> None:
        for client in site.centrifugo.clients(CHANNEL):
            if client.user == str(user):
                site.centrifugo.unsubscribe(CHANNEL, client.id)

    def _profile(self, site: FakePresence, user: int, name: str) -> None:
        profile(site, str(user), UserClaims(name, {}, site.clock(), hidden=not name))

    def _advance(self, site: FakePresence, seconds: int) -> None:
        site.advance(seconds)

    def _tick(self, site: FakePresence) -> None:
        site.tick()
