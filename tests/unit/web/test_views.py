"""The endpoints `tokens` and `snapshot`: answers and refusals."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured, PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.test import Client
from django.urls import resolve, reverse

from presence import services
from presence.backends.memory import MemoryStore
from presence.centrifugo.tokens import GRANT_LIFETIME, make_grant, read_grant
from presence.exceptions import InvalidMessage, StoreError
from presence.roster.channel_names import PULSE
from presence.roster.messages import Member
from tests.stored_rooms import fill

pytestmark = pytest.mark.django_db

TOKENS, SNAPSHOT = "/presence/tokens/", "/presence/snapshot/"
SECRET = "a-secret-of-thirty-two-bytes-or-more"
CHECK = "/presence/check/"
ROOM, CURSORS = "presence:doc:42", "cursors:doc:42"


def names(user: User) -> dict[str, Any]:
    return {"name": user.get_full_name(), "color": "#4363d8"}


def only_staff(request: HttpRequest, channel: str) -> bool:
    return bool(request.user.is_staff)


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.PRESENCE_CHANNELS = ["presence:*", "chat:*"]
    settings.PRESENCE_USER_INFO = names
    settings.PRESENCE_TOKEN_LIFETIME = 600.0
    settings.CENTRIFUGO_TOKEN_SECRET = SECRET
    settings.CENTRIFUGO_WS_URL = "wss://live.example.org/connection/websocket"


def grant(channel: str = ROOM, user: User | None = None, *, age: float = 0.0) -> str:
    return make_grant(channel, str(user.pk) if user else "", now=time.time() - age)


def exchange(client: Client, *grants: str) -> Any:
    return client.post(TOKENS, {"grants": list(grants)}, content_type="application/json")


def claims(token: str) -> dict[str, Any]:
    read: dict[str, Any] = jwt.decode(token, SECRET, ["HS256"])
    return read


def assert_says_no(response: HttpResponse, status: int, why: str = "") -> None:
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-store"
    body = json.loads(response.content)
    assert why in body["error"] + str(body.get("refused", ""))


# What they give


def test_tokens_exchange_grants_for_tokens_and_feeds(as_ada: Client, ada: User):
    response = exchange(as_ada, grant(ROOM, ada), grant("chat:7", ada))
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    answer = response.json()
    assert answer.keys() == {"url", "connection", "subs", "id", "user", "channels", "refused"}
    assert answer["url"] == "wss://live.example.org/connection/websocket"
    info = {"color": "#4363d8"}
    assert answer["user"] == {"id": str(ada.pk), "name": "Ada Lovelace", "info": info}
    assert answer["refused"] == {}

    connection = claims(answer["connection"])
    assert connection["sub"] == str(ada.pk)
    assert 600 <= connection["exp"] - connection["iat"] <= 601
    assert connection["info"].pop("iat") == pytest.approx(connection["iat"], abs=1)
    assert connection["info"] == {"name": "Ada Lovelace", "info": info}
    pulse, session = answer["subs"]
    assert [*connection["subs"]] == [pulse, session]
    assert (pulse, session.partition(":")[0]) == (PULSE, "session")
    for channel, token in answer["subs"].items():
        made = claims(token)
        assert (made["channel"], made["sub"]) == (channel, connection["sub"])
        assert made["exp"] == connection["exp"]

    own, feed = answer["channels"][ROOM], answer["channels"]["chat:7"]
    assert own.keys() == {"feed", "token", "grant", "shown", "self"}
    assert (own["feed"], own["shown"], own["self"]) == (ROOM, True, str(ada.pk))
    assert (feed["feed"], feed["shown"], feed["self"]) == ("roster:chat:7", False, "")
    assert claims(own["token"])["channel"] == ROOM
    assert claims(feed["token"])["channel"] == "roster:chat:7"
    assert claims(feed["token"])["sub"] == str(ada.pk)


def test_tokens_renew_the_grant(as_ada: Client, ada: User):
    old = grant(ROOM, ada, age=GRANT_LIFETIME - 60)
    new = exchange(as_ada, old).json()["channels"][ROOM]["grant"]
    renewed = read_grant(new)
    assert (renewed.channel, renewed.user_id) == (ROOM, str(ada.pk))
    assert renewed.issued == pytest.approx(time.time(), abs=30)


def test_tokens_of_a_visitor_have_no_name_and_make_no_session():
    client = Client()
    response = exchange(client, grant())
    answer = response.json()
    assert answer["user"] is None
    assert answer["channels"][ROOM]["shown"] is False
    connection = claims(answer["connection"])
    assert connection["sub"] == ""
    assert connection["info"].keys() == {"iat"}
    assert [*connection["subs"], *answer["subs"]] == [PULSE, PULSE]
    assert not response.cookies
    assert not client.cookies


def test_tokens_of_a_visitor_with_a_session_carry_a_hash_of_its_key():
    client = Client()
    session = client.session
    session["basket"] = [1]
    session.save()
    response = exchange(client, grant())
    info = claims(response.json()["connection"])["info"]
    assert info["anonymous"].startswith("anon_")
    assert session.session_key not in response.content.decode()
    assert (
        claims(exchange(client, grant()).json()["connection"])["info"]["anonymous"]
        == (info["anonymous"])
    )


def test_tokens_of_a_cursor_channel_have_it_as_feed(as_ada: Client, ada: User):
    answer = exchange(as_ada, grant(CURSORS, ada), grant(ROOM, ada)).json()
    cursors = answer["channels"][CURSORS]
    assert (cursors["feed"], cursors["shown"], cursors["self"]) == (CURSORS, True, "")
    assert claims(cursors["token"])["channel"] == CURSORS
    assert read_grant(cursors["grant"]).channel == CURSORS
    assert list(answer["channels"]) == [CURSORS, ROOM]


def test_tokens_of_a_visitor_for_cursors_do_not_show_them():
    cursors = exchange(Client(), grant(CURSORS)).json()["channels"][CURSORS]
    assert cursors["shown"] is False
    assert claims(cursors["token"])["sub"] == ""


def test_tokens_of_cursors_register_no_channel(as_ada: Client, ada: User, settings: Any):
    settings.PRESENCE_DISCOVERY = "registry"
    exchange(as_ada, grant(CURSORS, ada))
    assert services.store().known_channels(registered_within=60).registered == []
    exchange(as_ada, grant(CURSORS, ada), grant(ROOM, ada))
    assert services.store().known_channels(registered_within=60).registered == [ROOM]


@pytest.mark.parametrize("tracked", [False, True])
def test_tokens_carry_meta_where_cursors_are_tracked(
    as_ada: Client, ada: User, settings: Any, tracked: bool
):
    settings.PRESENCE_CURSOR_TRACK = tracked
    found = claims(exchange(as_ada, grant(CURSORS, ada)).json()["connection"])
    shown = {"name": "Ada Lovelace", "info": {"color": "#4363d8"}}
    assert found.get("meta") == (shown if tracked else None)


def test_tokens_answer_a_name_with_markup_as_json(as_ada: Client, ada: User):
    ada.first_name = "<script>alert(1)</script>"
    ada.save()
    response = exchange(as_ada, grant(ROOM, ada))
    assert response["Content-Type"] == "application/json"
    assert response.json()["user"]["name"] == "<script>alert(1)</script> Lovelace"


def test_snapshot_answers_roster_and_position():
    fill(services.store(), ROOM, Member("42", "Ada", {"color": "#fff"}), anonymous=3)
    response = Client().get(SNAPSHOT, {"grant": grant()})
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    answer = response.json()
    assert answer.pop("age") == pytest.approx(0, abs=30)
    assert answer == {
        "channel": ROOM,
        "epoch": "e1",
        "version": 1,
        "members": [{"id": "42", "name": "Ada", "info": {"color": "#fff"}}],
        "listed": True,
        "total": 1,
        "anonymous": 3,
        "every": 5.0,
        "position": {"offset": 7, "epoch": "StBPPVJn"},
    }
    assert not response.cookies


def test_snapshot_of_a_room_never_polled_is_version_zero():
    answer = Client().get(SNAPSHOT, {"grant": grant()}).json()
    assert (answer["epoch"], answer["version"], answer["age"]) == ("", 0, None)
    assert (answer["members"], answer["total"], answer["position"]) == ([], 0, None)


def test_snapshot_of_a_counted_room_lists_nobody():
    people = [Member(str(n), f"User {n}") for n in range(11)]
    fill(services.store(), ROOM, *people, list_limit=10)
    answer = Client().get(SNAPSHOT, {"grant": grant()}).json()
    assert (answer["listed"], answer["members"], answer["total"]) == (False, [], 11)


# How they say no


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"grants=x",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b'{"grants": null}',
        b'{"grants": "x"}',
        b'{"grants": [1]}',
        b'{"grants": []}',
        b'{"grants": ["\xff"]}',
        b'{"grants": ["\\ud800"]}',
        b'{"grants": ' + b"[" * 60_000,
        b'{"other": ' + b"[" * 30_000 + b"]" * 30_000 + b', "grants": []}',
        json.dumps({"grants": ["x"] * 101}).encode(),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_tokens_body_of_another_shape_is_a_bad_request(body: bytes):
    response = Client().post(TOKENS, body, content_type="application/json")
    assert_says_no(response, 400, 'must be JSON such as {"grants"')


@pytest.mark.parametrize("size", [64 * 1024 + 1, 3 * 1024 * 1024])
def test_tokens_body_that_is_too_large_is_a_bad_request(size: int):
    body = b'{"grants": ["x"]}'.ljust(size)
    assert_says_no(Client().post(TOKENS, body, content_type="application/json"), 400, "65536 bytes")


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "head", "options"])
def test_tokens_by_another_method_are_not_allowed(method: str):
    response = getattr(Client(), method)(TOKENS)
    assert response.status_code == 405
    assert response["Allow"] == "POST"
    if method != "head":
        assert_says_no(response, 405, "use POST")


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch", "options"])
def test_snapshot_by_another_method_is_not_allowed(method: str):
    response = getattr(Client(), method)(SNAPSHOT)
    assert_says_no(response, 405, "use GET")
    assert response["Allow"] == "GET"


def test_tokens_with_some_bad_grants_open_the_others(as_ada: Client, ada: User):
    answer = exchange(
        as_ada, "forged", grant(ROOM, ada), grant("presence:x", ada, age=GRANT_LIFETIME + 9)
    ).json()
    assert list(answer["channels"]) == [ROOM]
    assert answer["refused"].keys() == {"#0", "presence:x"}
    assert "forged" in answer["refused"]["#0"]
    assert "expired" in answer["refused"]["presence:x"]


def test_tokens_with_two_grants_of_a_channel_refuse_none_if_one_opens(as_ada: Client, ada: User):
    answer = exchange(as_ada, grant(ROOM, ada), grant(ROOM)).json()
    assert list(answer["channels"]) == [ROOM]
    assert answer["refused"] == {}


class TestRefusedGrants:
    """At the exchange and at the snapshot alike: 403 as JSON, never a redirect."""

    def refused(self, client: Client, text: str, why: str) -> None:
        assert_says_no(exchange(client, text), 403, why)
        assert_says_no(client.get(SNAPSHOT, {"grant": text}), 403, why)

    def test_grant_that_is_forged_is_refused(self):
        self.refused(Client(), grant() + "x", "forged")

    def test_grant_signed_with_another_key_is_refused(self, settings: Any):
        text = grant()
        settings.SECRET_KEY = "another"
        self.refused(Client(), text, "forged")

    def test_grant_that_expired_is_refused(self):
        self.refused(Client(), grant(age=GRANT_LIFETIME + 60), "expired")

    def test_grant_of_another_user_is_refused(self, as_ada: Client):
        self.refused(as_ada, grant(ROOM, User(pk=987)), "another user")

    def test_grant_from_before_signing_in_is_refused(self, as_ada: Client):
        self.refused(as_ada, grant(), "another user")

    def test_grant_after_signing_out_is_refused(self, as_ada: Client, ada: User):
        as_ada.logout()
        self.refused(as_ada, grant(ROOM, ada), "another user")

    def test_grant_of_a_deactivated_user_is_refused(self, as_ada: Client, ada: User):
        ada.is_active = False
        ada.save()
        self.refused(as_ada, grant(ROOM, ada), "another user")

    def test_grant_that_the_site_denies_is_refused(self, as_ada: Client, ada: User, settings: Any):
        settings.PRESENCE_AUTHORIZE = only_staff
        self.refused(as_ada, grant(ROOM, ada), "may not see")
        ada.is_staff = True
        ada.save()
        assert exchange(as_ada, grant(ROOM, ada)).status_code == 200
        assert as_ada.get(SNAPSHOT, {"grant": grant(ROOM, ada)}).status_code == 200

    def test_grant_for_a_channel_no_longer_polled_is_refused(self, settings: Any):
        settings.PRESENCE_CHANNELS = ["chat:*"]
        self.refused(Client(), grant(), "PRESENCE_CHANNELS")

    @pytest.mark.parametrize("name", ["presence:a b", "presence:\x07", "presence:" + "x" * 291])
    def test_grant_for_an_invalid_channel_is_refused(self, name: str):
        self.refused(Client(), grant(name), "Channel")

    def test_grant_on_a_site_with_login_everywhere_is_answered_as_json(self, settings: Any):
        settings.MIDDLEWARE = [
            *settings.MIDDLEWARE,
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
        ]
        self.refused(Client(), "forged", "forged")
        assert exchange(Client(), grant()).status_code == 200


def test_tokens_of_cursors_ask_the_site_about_the_room(as_ada: Client, ada: User, settings: Any):
    asked: list[str] = []

    def deny(request: HttpRequest, channel: str) -> bool:
        asked.append(channel)
        return False

    settings.PRESENCE_AUTHORIZE = deny
    assert_says_no(exchange(as_ada, grant(CURSORS, ada)), 403, "may not see")
    assert asked == [ROOM]


def test_snapshot_of_cursors_is_a_bad_request(as_ada: Client, ada: User):
    answer = as_ada.get(SNAPSHOT, {"grant": grant(CURSORS, ada)})
    assert_says_no(answer, 400, "carries cursors and has no roster")


@pytest.mark.parametrize("query", [{}, {"grant": ""}])
def test_snapshot_without_a_grant_is_a_bad_request(query: dict[str, str]):
    assert_says_no(Client().get(SNAPSHOT, query), 400, "`grant` is missing")


def test_snapshot_while_the_store_is_down_answers_try_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def down(self: MemoryStore, channels: object) -> None:
        raise StoreError("Redis cannot be reached")

    monkeypatch.setattr(MemoryStore, "load_snapshots", down)
    assert_says_no(Client().get(SNAPSHOT, {"grant": grant()}), 503, "try again")
    ours = [record for record in caplog.records if record.name == "presence.views"]
    (record,) = ours
    assert record.exc_info
    assert ROOM in record.message


def test_snapshot_that_is_damaged_is_not_an_empty_room():
    store = services.store()
    fill(store, ROOM, Member("42", "Ada"))
    rooms = store._rooms  # type: ignore[attr-defined]
    rooms[ROOM] = rooms[ROOM]._replace(snapshot=b'{"members": 7')
    assert_says_no(Client().get(SNAPSHOT, {"grant": grant()}), 503)


def test_tokens_with_an_empty_secret_name_the_setting(settings: Any):
    settings.CENTRIFUGO_TOKEN_SECRET = ""
    with pytest.raises(ImproperlyConfigured, match="CENTRIFUGO_TOKEN_SECRET is empty"):
        exchange(Client(), grant())


# Whatever goes wrong


class Bug(Exception):
    """Of nobody's making."""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Bug(), 500),
        (ImproperlyConfigured(), 500),
        (OperationalError(), 503),
        (InvalidMessage(), 503),
        (StoreError(), 503),
        (SuspiciousOperation(), 400),
        (UnreadablePostError(), 400),
        (PermissionDenied(), 403),
        (Http404(), 404),
    ],
    ids=lambda given: str(given) or type(given).__name__,
)
@pytest.mark.parametrize("debug", [False, True])
class TestEveryPath:
    def test_view_that_raises_answers_json_and_is_logged(
        self,
        settings: Any,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        error: Exception,
        status: int,
        debug: bool,
    ):
        def fails(*_: object, **__: object) -> None:
            raise error

        settings.DEBUG, settings.CENTRIFUGO_API_KEY = debug, "key"
        monkeypatch.setattr("presence.web.views.visitor_of", fails)
        monkeypatch.setattr("presence.web.heartbeat.visitor_of", fails)
        monkeypatch.setattr("presence.web.publish_proxy._judge", fails)
        told: list[object] = []

        def tell(request: object, **_: object) -> None:
            told.append(request)

        got_request_exception.connect(tell)
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        try:
            answers = [
                exchange(client, grant()),
                client.get(SNAPSHOT, {"grant": grant()}),
                client.post(CHECK, {"grants": [grant()]}, content_type="application/json"),
                client.post("/presence/heartbeat/", b'{"tokens": ["x"]}', content_type="x/y"),
                client.post("/presence/publish/", b"{}", "x/y", headers={"X-API-Key": "key"}),
            ]
        finally:
            got_request_exception.disconnect(tell)
        for answer in answers:
            assert_says_no(answer, status)
        logged = [record for record in caplog.records if record.name == "django.request"]
        assert len(logged) == 5
        assert all(record.exc_info for record in logged)
        assert bool(told) == (status == 500 or isinstance(error, OperationalError))


@pytest.mark.parametrize("path", [TOKENS, SNAPSHOT, CHECK])
def test_view_by_another_method_is_refused_before_csrf(path: str):
    client = Client(enforce_csrf_checks=True)
    send = client.post if path == SNAPSHOT else client.put
    assert_says_no(send(path), 405, "use ")


def test_views_open_no_transaction(settings: Any):
    for name in ("tokens", "snapshot", "check", "heartbeat", "publish"):
        view = resolve(reverse(f"presence:{name}")).func
        assert view._non_atomic_requests == {"default"}  # type: ignore[attr-defined]


def test_tokens_of_many_widgets_with_much_info_fit_a_frame(
    as_ada: Client, ada: User, settings: Any
):
    settings.PRESENCE_USER_INFO = lambda user: {"name": "Ada", "about": "x" * 4000}
    rooms = [f"presence:doc:{number}" for number in range(40)]
    answer = exchange(as_ada, *(grant(room, ada) for room in rooms)).json()
    tokens = [each["token"] for each in answer["channels"].values()]
    assert sum(map(len, tokens)) < 32 * 1024
    assert [*claims(tokens[0])["info"]] == ["iat"]
    assert claims(answer["connection"])["info"]["info"] == {"about": "x" * 4000}
