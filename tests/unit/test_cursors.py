"""CursorTracker on a store in memory, with what it publishes looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils.safestring import mark_safe
from hypothesis import given
from hypothesis import strategies as st

from presence import services
from presence.backends.base import RosterStore
from presence.backends.memory import MemoryStore
from presence.centrifugo.coalescer import Coalescer
from presence.conf import conf
from presence.cursors import CURSOR_TIMEOUT, CursorTracker, decode_move, encode_move, make_move
from presence.exceptions import CommandError, InvalidChannel, StoreError
from tests.unit.fakes import Clock

WIRE = Path(__file__).parents[1] / "fixtures" / "wire"
KEY = "doc:42"
CHANNEL = "cursors:doc:42"
META = {"name": "Ada Lovelace", "color": "#4363d8", "tags": ["a", None, 1.5, {"ü": True}]}


def nested(depth: int) -> Any:
    """Lists in lists, `depth` of them."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def nested_dicts(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


class Site:
    """Batches that were published, and how Centrifugo answers the next ones."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(clock=self.clock)
        self.batches: list[list[tuple[str, dict[str, Any]]]] = []
        self.answer: CommandError | None = None
        self.outbox = Coalescer(self.send, start=lambda run: None)

    def send(self, messages: Sequence[tuple[str, msgspec.Raw]]) -> list[CommandError | None]:
        self.batches.append([(channel, json.loads(bytes(data))) for channel, data in messages])
        return [None] * (len(messages) - 1) + [self.answer]

    @property
    def published(self) -> list[dict[str, Any]]:
        """Everything, with what waited; all of it on CHANNEL."""
        self.outbox.step()
        every = [move for batch in self.batches for move in batch]
        assert all(channel == CHANNEL for channel, _ in every)
        return [data for _, data in every]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site()
    monkeypatch.setattr(services, "store", cache(lambda: site.store))
    monkeypatch.setattr(services, "outbox", site.outbox)
    return site


class TestOne:
    def test_update_cursor_stores_and_publishes(self, site: Site) -> None:
        CursorTracker.update_cursor(KEY, "7", 0.4125, 0.7301, META)
        kept = {"x": 0.4125, "y": 0.7301, "timestamp": site.clock.now, "meta": META}
        assert CursorTracker.get_cursors(KEY) == {"7": kept}
        assert site.published == [{"x": 0.4125, "y": 0.7301, "user": "7", "meta": META}]

    def test_update_cursor_publishes_the_wire_example(self, site: Site) -> None:
        example = json.loads((WIRE / "cursor-server.json").read_text())
        CursorTracker.update_cursor(KEY, "42", 0.5, 0.25, {"tool": "pen"})
        assert site.published == [example]

    @pytest.mark.parametrize("meta", [None, {}])
    def test_update_cursor_without_meta_publishes_none(
        self, site: Site, meta: dict[str, Any] | None
    ) -> None:
        CursorTracker.update_cursor(KEY, "7", 1, 2, meta)
        assert CursorTracker.get_cursors(KEY)["7"]["meta"] == {}
        assert site.published == [{"x": 1, "y": 2, "user": "7"}]

    @given(
        *2 * [st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9, allow_nan=False)],
    )
    def test_move_keeps_numbers_as_given(self, x: float, y: float) -> None:
        move = make_move("7", x, y)
        back = decode_move(encode_move(move), 1.0)
        assert [repr(back[name]) for name in "xy"] == [repr(x), repr(y)]

    def test_move_turns_number_subclasses_into_plain_numbers(self) -> None:
        class Place(IntEnum):
            LEFT = 3

        class Length(float): ...

        move = make_move("7", Place.LEFT, Length(1.5))
        assert encode_move(move) == b'{"x":3,"y":1.5}'

    def test_update_cursor_takes_ids_that_are_marked_safe(self, site: Site) -> None:
        CursorTracker.update_cursor(mark_safe(KEY), mark_safe("7"), 1, 2)
        CursorTracker.remove_cursor(KEY, mark_safe("8"))
        assert [data["user"] for data in site.published] == ["7", "8"]

    @pytest.mark.parametrize(
        ("meta", "shown"),
        [
            ({"name": "\u202eAda\nKing", "color": "#fff"}, {"name": "Ada King", "color": "#fff"}),
            ({"name": "\u3164", "color": "#fff"}, {"color": "#fff"}),
            ({"name": "\u200b"}, {}),
            ({"name": 7}, {"name": 7}),
        ],
    )
    def test_update_cursor_cleans_the_name_in_meta(
        self, site: Site, meta: dict[str, Any], shown: dict[str, Any]
    ) -> None:
        CursorTracker.update_cursor(KEY, "42", 0.5, 0.5, meta)
        assert CursorTracker.get_cursors(KEY)["42"]["meta"] == shown

    def test_update_cursor_publishes_the_last_position_alone(self, site: Site) -> None:
        for x in range(5):
            CursorTracker.update_cursor(KEY, "7", x, 0)
        CursorTracker.update_cursor(KEY, "8", 9, 0)
        assert [(data["user"], data["x"]) for data in site.published] == [("7", 4), ("8", 9)]
        assert len(site.batches) == 1

    def test_remove_cursor_deletes_and_publishes(self, site: Site) -> None:
        CursorTracker.update_cursor(KEY, "7", 1, 2)
        assert CursorTracker.remove_cursor(KEY, "7") is True
        assert CursorTracker.get_cursors(KEY) == {}
        assert site.published == [{"gone": True, "user": "7"}], "what waited is of no use now"

    def test_remove_cursor_of_no_cursor_publishes_all_the_same(self, site: Site) -> None:
        assert CursorTracker.remove_cursor(KEY, "7") is False
        assert site.published == [{"gone": True, "user": "7"}], "a page may still draw it"


class TestUnreadable:
    @pytest.mark.parametrize(
        "kept",
        [
            b"",
            b"nonsense",
            b"[]",
            b"{}",
            b'{"x":1}',
            b'{"x":"1","y":2}',
            b'{"x":1,"y":2,"meta":null}',
            b'{"x":1,"y":2,"meta":{"a":"\xff"}}',
            b'{"x":1,"y":2,"meta":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}",
        ],
        ids=lambda kept: repr(kept[:30]),
    )
    def test_get_cursors_logs_an_unreadable_one_and_returns_the_others(
        self, site: Site, kept: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        site.store.save_cursors(CHANNEL, {"6": kept}, timeout=10)
        CursorTracker.update_cursor(KEY, "7", 1, 2)
        assert list(CursorTracker.get_cursors(KEY)) == ["7"]
        assert f"cursor=unreadable channel={CHANNEL} user='6' error=" in caplog.text


class TestMany:
    @pytest.mark.parametrize(
        "given",
        [
            {"7": (1, 2.5), "8": (3, 4, META)},
            {"7": [1, 2.5], "8": {"x": 3, "y": 4, "meta": META, "timestamp": 7.0}},
            {"7": {"x": 1, "y": 2.5}, "8": (3, 4, META)},
            [("7", 1, 2.5), ("8", 3, 4, META)],
            [("7", 0, 0), ["7", 1, 2.5, None], ("8", 3, 4, META)],
            (("7", 1, 2.5, {}) if user == "7" else ("8", 3, 4, META) for user in "78"),
        ],
    )
    def test_update_cursors_takes_every_documented_form(self, site: Site, given: Any) -> None:
        CursorTracker.update_cursors(KEY, given)
        first = {"x": 1, "y": 2.5, "timestamp": site.clock.now, "meta": {}}
        second = {"x": 3, "y": 4, "timestamp": site.clock.now, "meta": META}
        assert CursorTracker.get_cursors(KEY) == {"7": first, "8": second}
        assert site.batches == [
            [
                (CHANNEL, {"x": 1, "y": 2.5, "user": "7"}),
                (CHANNEL, {"x": 3, "y": 4, "user": "8", "meta": META}),
            ]
        ]

    def test_update_cursors_takes_what_get_cursors_returns(self, site: Site) -> None:
        CursorTracker.update_cursors(KEY, {"7": (1, 2.5), "8": (3, 4, META)})
        before = CursorTracker.get_cursors(KEY)
        CursorTracker.update_cursors(KEY, before)
        assert CursorTracker.get_cursors(KEY) == before

    def test_update_cursors_of_none_does_nothing(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(site.store, "save_cursors", None)
        CursorTracker.update_cursors(KEY, {})
        CursorTracker.update_cursors(KEY, [])
        assert site.batches == []

    def test_update_cursors_replaces_a_waiting_position(self, site: Site) -> None:
        CursorTracker.update_cursor(KEY, "7", 1, 1)
        CursorTracker.update_cursors(KEY, {"7": (2, 2)})
        assert [data["x"] for data in site.published] == [2]

    def test_update_cursors_raises_errors_of_centrifugo(self, site: Site) -> None:
        site.answer = CommandError(102, "unknown channel")
        with pytest.raises(CommandError, match="namespace is missing"):
            CursorTracker.update_cursors(KEY, {"7": (1, 2), "8": (3, 4)})
        assert len(CursorTracker.get_cursors(KEY)) == 2, "they are stored"


BAD_MOVES = [
    (7, 1, 2, None, "user_id is 7"),
    (None, 1, 2, None, "user_id is None"),
    (b"7", 1, 2, None, "str.request.user.pk."),
    ("", 1, 2, None, "0 characters"),
    ("x" * 201, 1, 2, None, "201 characters"),
    *[(f"a{c}", 1, 2, None, "control") for c in "\n\x00\x7f\x85\ud800"],
    ("7", "1", 2, None, "x is '1'"),
    ("7", True, 2, None, "x is True"),
    ("7", None, 2, None, "x is None"),
    ("7", 1, 2j, None, "y is 2j"),
    ("7", float("nan"), 2, None, "x is nan"),
    ("7", 1, float("inf"), None, "y is inf"),
    ("7", 1, -1.1e9, None, "between -1e.09 and 1e.09"),
    ("7", 10**400, 1, None, "x is 1000"),
    ("7", 1, 2, "Ada", "meta is 'Ada'"),
    ("7", 1, 2, [], "meta is"),
    ("7", 1, 2, 0, "meta is 0"),
    ("7", 1, 2, {"a": object()}, "not JSON"),
    ("7", 1, 2, {"a": float("nan")}, "not JSON"),
    ("7", 1, 2, {"a": "\ud800"}, "not JSON"),
    ("7", 1, 2, {("a",): 1}, "not JSON"),
    ("7", 1, 2, {"a": nested(20)}, "nested more than 20 deep"),
    ("7", 1, 2, nested_dicts(21), "nested more than 20 deep"),
    ("7", 1, 2, {"a": nested(900)}, "nested more than 20 deep"),
    ("7", 1, 2, {"a": "x" * 4089}, "4097 bytes"),
    ("7", 1, 2, {"a": "é" * 2045}, "4098 bytes"),
]


@pytest.mark.parametrize(("user", "x", "y", "meta", "says"), BAD_MOVES)
class TestBadMoves:
    def test_update_cursor_of_a_bad_move_raises_and_does_nothing(
        self, site: Site, user: Any, x: Any, y: Any, meta: Any, says: str
    ) -> None:
        with pytest.raises(ValueError, match=says) as caught:
            CursorTracker.update_cursor(KEY, user, x, y, meta)
        assert len(str(caught.value)) < 250
        assert (CursorTracker.get_cursors(KEY), site.published) == ({}, [])

    def test_update_cursors_with_one_bad_move_does_nothing(
        self, site: Site, user: Any, x: Any, y: Any, meta: Any, says: str
    ) -> None:
        for form in ([("8", 1, 2), (user, x, y, meta)], {"8": (1, 2), user: (x, y, meta)}):
            with pytest.raises(ValueError, match=says):
                CursorTracker.update_cursors(KEY, form)
        assert (CursorTracker.get_cursors(KEY), site.published) == ({}, [])


def test_update_cursor_takes_the_largest_values(site: Site) -> None:
    meta = {"a": "x" * 4088}
    CursorTracker.update_cursor(KEY, "é" * 200, -1e9, 10**9, meta)
    assert CursorTracker.get_cursors(KEY)["é" * 200]["meta"] == meta
    for deep in ({"a": nested(19)}, nested_dicts(20)):
        CursorTracker.update_cursor(KEY, "7", 1, 2, deep)
        assert CursorTracker.get_cursors(KEY)["7"]["meta"] == deep


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "must map user ids"),
        (7, "must map user ids"),
        ("789", "must map user ids"),
        (["789"], "A cursor is '789'"),
        ([("7", 1)], "A cursor is"),
        ([("7", 1, 2, {}, 5)], "A cursor is"),
        ([{"user": "7"}], "A cursor is"),
        ({"7": None}, "The cursor of '7' is None"),
        ({"7": (1,)}, "The cursor of '7'"),
        ({"7": (1, 2, {}, 4)}, "The cursor of '7'"),
        ({"7": {"x": 1}}, "The cursor of '7'"),
        ({"7": "12"}, "The cursor of '7'"),
    ],
)
def test_update_cursors_of_another_shape_raises(site: Site, given: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CursorTracker.update_cursors(KEY, given)
    assert site.batches == []


@pytest.mark.parametrize("key", ["", "a b", None, 7, "x" * 240])
@pytest.mark.parametrize(
    "call",
    [
        lambda key: CursorTracker.update_cursor(key, "7", 1, 2),
        lambda key: CursorTracker.update_cursors(key, {"7": (1, 2)}),
        lambda key: CursorTracker.update_cursors(key, {}),
        lambda key: CursorTracker.get_cursors(key),
        lambda key: CursorTracker.remove_cursor(key, "7"),
    ],
)
def test_cursor_calls_with_an_invalid_key_raise(
    site: Site, key: Any, call: Callable[[Any], object]
) -> None:
    with pytest.raises(InvalidChannel):
        call(key)
    assert site.published == []


def test_remove_cursor_of_an_invalid_user_raises(site: Site) -> None:
    with pytest.raises(ValueError, match="user_id is 7"):
        CursorTracker.remove_cursor(KEY, 7)  # type: ignore[arg-type]
    assert site.published == []


class TestTimeOut:
    def test_cursor_timeout_is_ten_seconds_by_default(self, site: Site) -> None:
        assert conf.PRESENCE_CURSOR_TIMEOUT == CURSOR_TIMEOUT == 10
        CursorTracker.update_cursor(KEY, "7", 1, 2)
        site.clock.advance(CURSOR_TIMEOUT)
        assert list(CursorTracker.get_cursors(KEY)) == ["7"]
        site.clock.advance(0.1)
        assert CursorTracker.get_cursors(KEY) == {}

    def test_cursor_timeout_can_be_set(self, site: Site, settings: Any) -> None:
        settings.PRESENCE_CURSOR_TIMEOUT = 60
        CursorTracker.update_cursor(KEY, "7", 1, 2)
        site.clock.advance(59)
        assert list(CursorTracker.get_cursors(KEY)) == ["7"]


class TestStores:
    def test_update_cursor_while_the_store_is_down_publishes_nothing(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def down(*_: Any, **__: Any) -> float:
            raise StoreError("down")

        monkeypatch.setattr(site.store, "save_cursors", down)
        monkeypatch.setattr(site.store, "delete_cursor", down)
        for call in (
            lambda: CursorTracker.update_cursor(KEY, "7", 1, 2),
            lambda: CursorTracker.update_cursors(KEY, {"7": (1, 2)}),
            lambda: CursorTracker.remove_cursor(KEY, "7"),
        ):
            with pytest.raises(StoreError):
                call()
        assert site.published == []

    def test_get_cursors_of_a_store_without_cursors_raises(
        self, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        settings.PRESENCE_BACKEND = f"{__name__}.Plain"
        with pytest.raises(ImproperlyConfigured, match=r"Plain.*keeps neither cursors.*Tracker"):
            CursorTracker.get_cursors(KEY)


# The contract of RosterStore and nothing more, in which nothing works.
Plain = type(
    "Plain",
    (RosterStore,),
    {name: lambda *_: None for name in RosterStore.__abstractmethods__}
    | {"__init__": lambda self, **_: None},
)
