"""The publish proxy: moves that it allows, moves that it refuses, and its requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from presence import services
from presence.backends.memory import MemoryStore
from presence.centrifugo.gateway import Command, Gateway, Reply
from presence.cursors import CursorTracker, encode_move, make_move
from presence.exceptions import (
    CentrifugoError,
    CentrifugoUnreachable,
    CommandError,
    StoreError,
)
from tests.unit.fakes import Clock, FakeCentrifugo

KEY = "the-key-of-the-api"
CHANNEL, OTHER = "cursors:doc:42", "cursors:other"
ADA, GRACE, STRANGER = "client-of-ada", "client-of-grace", "client-of-a-stranger"
PLACE = {"x": 0.4125, "y": 0.7301}
META = {"name": "Ada Lovelace", "info": {"color": "#4363d8", "avatar": "/a/42.png"}}


class Asked(FakeCentrifugo):
    """Lists the channels whose presence it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[str] = []

    def batch(self, commands: Sequence[Command], **options: Any) -> list[Reply]:
        self.questions += [given["channel"] for method, given in commands if method == "presence"]
        return super().batch(commands, **options)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def centrifugo() -> Asked:
    centrifugo = Asked()
    for channel in (CHANNEL, OTHER):
        centrifugo.enter(channel, ADA, "42", "Ada")
        centrifugo.enter(channel, GRACE, "17", "Grace")
    return centrifugo


@pytest.fixture(autouse=True)
def site(settings: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock, centrifugo: Asked) -> None:
    store = MemoryStore(clock=clock)
    monkeypatch.setattr(services, "store", cache(lambda: store))
    monkeypatch.setattr(services, "gateway", cache(lambda: Gateway(centrifugo)))
    settings.CENTRIFUGO_API_KEY = KEY


def post(body: object, *, key: str | None = KEY, client: Client | None = None) -> HttpResponse:
    headers = {} if key is None else {"X-API-Key": key}
    raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    asking = client or Client(enforce_csrf_checks=True)
    return asking.post(
        reverse("presence:publish"), raw, content_type="application/json", headers=headers
    )


def question(data: Any = PLACE, **fields: Any) -> dict[str, Any]:
    """Return a request of Centrifugo."""
    return {
        **{"client": ADA, "transport": "websocket", "protocol": "json", "encoding": "json"},
        **{"user": "42", "channel": CHANNEL, "data": data},
        **fields,
    }


def ask(data: Any = PLACE, **fields: Any) -> Any:
    response = post(question(data, **fields))
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert not response.cookies
    return json.loads(response.content)


def assert_refused(answer: Any, code: int, why: str = "", *, temporary: bool = False) -> None:
    assert answer.keys() == {"error"}
    error = answer["error"]
    assert error["code"] == code
    assert why in error["message"]
    assert error.get("temporary", False) is temporary
    assert 400 <= code < 2000


# What passes


@pytest.mark.parametrize(
    "data",
    [PLACE, {"x": 0, "y": 1}, {"x": 0.0, "y": 1.0}, {"x": 100_000, "y": 99_999.5}, {"gone": True}],
)
def test_publish_of_a_subscribed_client_is_allowed(data: Any):
    assert ask(data) == {"result": {}}


@pytest.mark.parametrize(
    ("sent", "published"),
    [
        ({**PLACE, "user": "17", "meta": {"name": "Grace"}}, PLACE),
        ({"y": 0.5, "x": 0.25}, {"x": 0.25, "y": 0.5}),
        ({"gone": True, "user": "17"}, {"gone": True}),
        ({"gone": True, **PLACE}, {"gone": True}),
        ({"gone": False, **PLACE}, PLACE),
        ({**PLACE, "more": [{"a": None}]}, PLACE),
    ],
)
def test_publish_passes_on_only_known_fields(sent: Any, published: Any):
    assert ask(sent) == {"result": {"data": published}}


def test_publish_shortens_long_numbers():
    raw = json.dumps(question("DATA")).encode()
    data = b'{"x":0.' + b"3" * 500 + b',"x":1.0e-1,"y":2}'
    response = post(raw.replace(b'"DATA"', data))
    assert json.loads(response.content) == {"result": {"data": {"x": 0.1, "y": 2}}}


def test_publish_url_is_stable():
    assert reverse("presence:publish") == "/presence/publish/"


def test_publish_on_a_site_with_login_everywhere_is_answered(settings: Any):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    assert ask() == {"result": {}}


# Who calls


@pytest.mark.parametrize("key", [None, "", "another", KEY + " x", KEY.upper(), "clé"])
@pytest.mark.parametrize("configured", [KEY, ""])
def test_publish_without_the_api_key_is_refused(
    settings: Any, key: str | None, configured: str, centrifugo: Asked
):
    settings.CENTRIFUGO_API_KEY = configured
    response = post(question(), key=key)
    assert response.status_code == 403
    assert "X-API-Key" in json.loads(response.content)["error"]
    assert centrifugo.questions == []


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "head", "options"])
def test_publish_by_another_method_is_not_allowed(method: str):
    response = getattr(Client(), method)(reverse("presence:publish"))
    assert (response.status_code, response["Allow"]) == (405, "POST")


# What does not pass


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        None,
        7,
        "x",
        {"x": 0.5},
        {"y": 0.5},
        {"x": 0.5, "y": None},
        {"x": "0.5", "y": 0.5},
        {"x": True, "y": 0.5},
        {"x": -0.001, "y": 0.5},
        {"x": 0.5, "y": 100_000.5},
        {"x": 100_001, "y": 0},
        {"x": 10**400, "y": 0},
        {"gone": 1, **PLACE},
        {"gone": "true"},
        {"gone": False},
    ],
)
def test_publish_of_data_that_is_not_a_move_is_refused(data: Any, centrifugo: Asked):
    assert_refused(ask(data), 400, "not a move")
    assert centrifugo.questions == []


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"0x1", b"1e"])
def test_publish_of_an_invalid_number_is_refused(number: bytes):
    raw = json.dumps(question("DATA")).encode()
    response = post(raw.replace(b'"DATA"', b'{"x":%s,"y":1}' % number))
    assert_refused(json.loads(response.content), 400)


@pytest.mark.parametrize("size", [1025, 60_000])
def test_publish_of_a_move_beyond_the_limit_is_refused(size: int):
    padding = size - len(json.dumps({**PLACE, "p": ""}, separators=(",", ":")))
    assert_refused(ask({**PLACE, "p": "x" * padding}), 413, "1024 bytes")
    assert "result" in ask({**PLACE, "p": "x" * (padding - size + 1024)})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"client": "c"}',
        b'{"client": "", "channel": "cursors:a"}',
        b'{"client": 7, "channel": "cursors:a"}',
        b'{"client": "c", "channel": "cursors:a", "user": "\xff"}',
        b'{"client": "c", "data": ' + b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_publish_body_of_another_shape_is_refused(body: bytes):
    assert_refused(json.loads(post(body).content), 400, "not a publication")


def test_publish_body_that_is_too_large_is_refused():
    body = json.dumps(question()).encode().ljust(128 * 1024 + 1)
    assert_refused(json.loads(post(body).content), 413)


def test_publish_of_binary_data_is_refused():
    asked = question(b64data="eyJ4IjowfQ==")
    del asked["data"]
    assert_refused(json.loads(post(asked).content), 400)


@pytest.mark.parametrize(
    ("channel", "why"),
    [
        ("presence:doc:42", "is not a cursor channel"),
        ("chat:7", "is not a cursor channel"),
        ("cursors", "is not a cursor channel"),
        ("", "is not a cursor channel"),
        ("cursors:", "has no name"),
        ("cursors:#1", "user-limited"),
    ],
)
def test_publish_on_another_channel_is_refused(channel: str, why: str, centrifugo: Asked):
    centrifugo.enter(channel, ADA, "42", "Ada")
    assert_refused(ask(channel=channel), 403, why)
    assert centrifugo.questions == []


# Who may


@pytest.mark.parametrize("fields", [{"user": ""}, {"user": None}])
def test_publish_of_a_visitor_is_refused(fields: Any, centrifugo: Asked):
    asked = question(client=ADA, **fields)
    if asked["user"] is None:
        del asked["user"]
    assert_refused(json.loads(post(asked).content), 403, "anonymous")
    assert centrifugo.questions == []


def test_publish_of_an_unsubscribed_client_is_refused():
    assert_refused(ask(client=STRANGER), 403, "not subscribed")
    assert_refused(ask(channel="cursors:nobody"), 403, "not subscribed")


def test_publish_asks_centrifugo_once_a_minute_per_client_and_channel(
    centrifugo: Asked, clock: Clock
):
    for _ in range(5):
        assert ask() == {"result": {}}
    assert centrifugo.questions == [CHANNEL]
    ask(channel=OTHER)
    ask(client=GRACE, user="17")
    assert centrifugo.questions == [CHANNEL, OTHER, CHANNEL]
    clock.advance(59)
    ask()
    assert len(centrifugo.questions) == 3
    clock.advance(2)
    ask()
    assert len(centrifugo.questions) == 4


def test_publish_of_a_client_that_unsubscribed_ends_within_a_minute(
    centrifugo: Asked, clock: Clock
):
    assert ask() == {"result": {}}
    centrifugo.quit(CHANNEL, ADA)
    assert ask() == {"result": {}}
    clock.advance(61)
    assert_refused(ask(), 403, "not subscribed")


def test_publish_after_subscribing_is_allowed(centrifugo: Asked):
    assert_refused(ask(client=STRANGER), 403)
    centrifugo.enter(CHANNEL, STRANGER, "42", "Ada")
    assert ask(client=STRANGER) == {"result": {}}


def test_publish_of_many_strangers_asks_centrifugo_a_limited_number_of_times(
    centrifugo: Asked, clock: Clock
):
    for n in range(100):
        ask(client=f"{STRANGER}-{n}", user="66")
        clock.advance(0.1)
    assert len(centrifugo.questions) == 60, "however many connections they try it from"
    assert_refused(ask(client=STRANGER, user="66"), 429, "channels", temporary=True)
    assert ask() == {"result": {}}
    clock.advance(61)
    assert_refused(ask(client=STRANGER, user="66"), 403)


# How fast


@pytest.mark.parametrize(("interval", "most"), [(0.05, 30), (0.016, 95), (1.0, 2), (0.03, 51)])
def test_publish_beyond_the_rate_limit_is_refused_for_now(
    settings: Any, interval: float, most: int, clock: Clock
):
    settings.PRESENCE_CURSOR_INTERVAL = interval
    for _ in range(most):
        assert ask() == {"result": {}}
    assert_refused(ask(), 429, "too many moves", temporary=True)
    assert_refused(ask(channel=OTHER), 429, temporary=True)
    assert ask(client=GRACE, user="17") == {"result": {}}
    clock.advance(1.001)
    assert ask() == {"result": {}}


def test_publish_rate_limit_is_per_user(centrifugo: Asked, clock: Clock):
    clients = [f"{ADA}-{n}" for n in range(10)]
    for client in clients:
        centrifugo.enter(CHANNEL, client, "42", "Ada")
    answers = [ask(client=client) for client in clients for _ in range(30)]
    assert answers.count({"result": {}}) == 30
    assert_refused(answers[-1], 429, "too many moves", temporary=True)
    assert ask(client=GRACE, user="17") == {"result": {}}


def test_publish_at_the_interval_is_never_refused(clock: Clock):
    for _ in range(200):
        assert ask() == {"result": {}}
        clock.advance(0.05)


# While something is down


def test_publish_while_the_store_is_down_is_refused_for_now(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    assert ask() == {"result": {}}

    def down(*_: object, **__: object) -> None:
        raise StoreError("Redis: ConnectionError")

    monkeypatch.setattr(MemoryStore, "check_limits", down)
    assert_refused(ask(), 503, temporary=True)
    (record,) = (record for record in caplog.records if record.name == "presence.proxy")
    assert record.levelname == "ERROR"
    assert CHANNEL in record.message
    assert "ConnectionError" in record.message


@pytest.mark.parametrize(
    "error", [CentrifugoUnreachable("did not answer"), CommandError(108, "not available")]
)
def test_publish_while_centrifugo_fails_is_refused_for_now(
    centrifugo: Asked, caplog: pytest.LogCaptureFixture, error: CentrifugoError
):
    centrifugo.errors["presence", CHANNEL] = error
    assert_refused(ask(), 503, temporary=True)
    assert str(error) in caplog.text
    del centrifugo.errors["presence", CHANNEL]
    assert ask() == {"result": {}}
    centrifugo.errors["presence", CHANNEL] = error
    assert ask() == {"result": {}}, "what was found holds"


# Tracking


def nested(depth: int) -> Any:
    """Lists in lists, `depth` of them."""
    return [nested(depth - 1)] if depth > 1 else []


def cursors() -> dict[str, dict[str, Any]]:
    found = CursorTracker.get_cursors("doc:42")
    for cursor in found.values():
        del cursor["timestamp"]
    return found


def test_publish_without_tracking_stores_nothing():
    ask(meta=META)
    assert cursors() == {}


@pytest.fixture
def tracking(settings: Any) -> None:
    settings.PRESENCE_CURSOR_TRACK = True


@pytest.mark.usefixtures("tracking")
class TestTracking:
    def test_tracking_stores_allowed_moves(self, clock: Clock):
        assert ask(meta=META) == {"result": {}}
        ask({"x": 7, "y": 8}, client=GRACE, user="17")
        shown = {"name": "Ada Lovelace", "color": "#4363d8", "avatar": "/a/42.png"}
        assert cursors() == {
            "42": {**PLACE, "meta": shown},
            "17": {"x": 7, "y": 8, "meta": {}},
        }
        assert isinstance(cursors()["17"]["x"], int)
        clock.advance(10.5)
        assert cursors() == {}

    def test_tracking_deletes_a_cursor_that_is_gone(self):
        ask()
        assert ask({"gone": True}) == {"result": {}}
        assert cursors() == {}
        assert ask({"gone": True}) == {"result": {}}

    def test_tracking_of_a_leaving_tab_keeps_the_cursor_of_another(self, centrifugo: Asked):
        second = "another-tab-of-ada"
        centrifugo.enter(CHANNEL, second, "42", "Ada")
        ask(meta=META)
        ask({"x": 0.5, "y": 0.5}, client=second, meta=META)
        assert ask({"gone": True}) == {"result": {}}
        assert cursors()["42"]["x"] == 0.5, "the other tab still points"
        ask({"gone": True}, client=second)
        assert cursors() == {}

    def test_tracking_of_a_leaving_browser_keeps_moves_of_server_code(self):
        move = make_move("42", 1, 2, {"client": ADA})
        services.tracker().save_cursors(CHANNEL, {"42": encode_move(move)}, timeout=10)
        ask({"gone": True})
        assert cursors() == {"42": {"x": 1, "y": 2, "meta": {"client": ADA}}}

    def test_tracking_stores_no_refused_moves(self):
        ask(client=STRANGER, user="66")
        ask({"x": -1, "y": 0})
        assert cursors() == {}

    def test_tracking_ignores_claims_of_the_browser(self):
        ask({**PLACE, "user": "17", "meta": {"name": "Grace"}})
        assert cursors() == {"42": {**PLACE, "meta": {}}}

    @pytest.mark.parametrize(
        ("meta", "kept"),
        [
            (None, {}),
            ({}, {}),
            ([], {}),
            ({"role": "admin"}, {}),
            ({"name": 7}, {}),
            ({"info": {"name": "False"}, "name": "Ada"}, {"name": "Ada"}),
            ({"name": "x" * 300, "role": "admin"}, {"name": "x" * 200}),
            ({"name": "x" * 199 + "e\u0301"}, {"name": "x" * 199}),
            ({"name": "\u3164\u200b"}, {}),
            ({"name": "\u202eAda"}, {"name": "Ada"}),
            ({"name": "Ada", "info": {"avatar": "x" * 5000}}, {"name": "Ada"}),
            ({"info": {"avatar": "x" * 5000}}, {}),
            ({"name": "Ada", "info": {"a": nested(20)}}, {"name": "Ada"}),
        ],
    )
    def test_tracking_stores_the_meta_of_the_connection_that_fits(self, meta: Any, kept: Any):
        assert ask(meta=meta) == {"result": {}}
        assert cursors()["42"]["meta"] == kept

    def test_tracking_of_an_invalid_user_id_is_refused(self):
        assert_refused(ask(user="a\nb"), 403, "control characters")
        assert cursors() == {}

    def test_tracking_while_the_store_is_down_is_refused_for_now(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        def down(*_: object, **__: object) -> None:
            raise StoreError("Redis: ConnectionError")

        monkeypatch.setattr(MemoryStore, "save_cursors", down)
        assert_refused(ask(), 503, temporary=True)
