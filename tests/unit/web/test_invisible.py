"""Users that PRESENCE_VISIBLE hides: their pages, and their absence everywhere else."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import SynchronousOnlyOperation
from django.template import RequestContext, Template
from django.test import Client

from presence import services
from presence.centrifugo.tokens import make_grant
from presence.roster.messages import Member
from presence.roster.people import UserClaims
from presence.web import page
from presence.web.cursor_surface import Surface, surface_for
from presence.web.heartbeat import heartbeat_for
from presence.web.visitors import Visitor, describe, is_visible, visitor_as, visitor_of
from presence.web.widget import Widget, widget_for
from tests.stored_rooms import fill
from tests.unit.http_requests import request_of

ROOM, CHAT, CURSORS = "presence:doc:42", "chat:7", "cursors:doc:42"
SECRET = "a-secret-of-thirty-two-bytes-or-more"
TOKENS = "/presence/tokens/"


def but_ada(user: User) -> bool:
    return user.username != "ada"


async def late(user: User) -> bool:
    return False


def broken(user: User) -> bool:
    raise RuntimeError("the table of profiles is gone")


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.PRESENCE_CHANNELS = ["presence:*", "chat:*"]
    settings.PRESENCE_VISIBLE = but_ada
    settings.CENTRIFUGO_TOKEN_SECRET = SECRET
    page.warn_once.cache_clear()


ADA, GRACE = (
    User(pk=42, username="ada", first_name="Ada", last_name="Lovelace"),
    User(pk=17, username="grace"),
)


class TestTheHook:
    def test_visible_decides_by_user(self):
        assert not is_visible(ADA)
        assert is_visible(GRACE)
        assert visitor_as(ADA) == Visitor(id="42", user=ADA, hidden=True)
        assert visitor_of(request_of(GRACE)) == Visitor(id="17", user=GRACE)

    def test_visible_is_called_once_for_a_page_and_user(self, settings: Any):
        asked: list[str] = []
        settings.PRESENCE_VISIBLE = lambda user: asked.append(user.username) is not None
        request = request_of(ADA)
        for channel in (ROOM, CHAT):
            widget_for(channel, request)
        assert not surface_for(CURSORS, request).live
        page.page_state(request).members = [(ROOM, "bot-7", "", b"{}")]
        assert heartbeat_for(request).lifelines
        assert asked == ["ada"]
        request.user = GRACE
        assert widget_for(ROOM, request).user_id == "17"
        request.user = AnonymousUser()
        assert widget_for(ROOM, request).user_id == ""
        assert asked == ["ada", "grace"]

    def test_visible_is_not_called_for_visitors(self, settings: Any):
        settings.PRESENCE_VISIBLE = broken
        assert not visitor_of(request_of(AnonymousUser())).hidden

    def test_visible_unset_shows_everybody(self, settings: Any):
        del settings.PRESENCE_VISIBLE
        assert is_visible(ADA)

    @pytest.mark.parametrize("answer", [0, "", []])
    def test_visible_with_a_false_answer_hides_and_none_is_a_failure(
        self, settings: Any, answer: object, caplog: pytest.LogCaptureFixture
    ):
        settings.PRESENCE_VISIBLE = lambda user: answer
        assert not is_visible(GRACE)
        assert caplog.records == []
        settings.PRESENCE_VISIBLE = lambda user: None
        assert not is_visible(GRACE)
        assert "PRESENCE_VISIBLE failed: TypeError: it returned None: return True" in caplog.text

    @pytest.mark.filterwarnings("ignore:coroutine 'late' was never awaited")
    def test_visible_as_an_async_function_hides_and_is_logged(
        self, settings: Any, caplog: pytest.LogCaptureFixture
    ):
        settings.PRESENCE_VISIBLE = late
        assert not is_visible(GRACE)
        assert "it is an async function" in caplog.text

    def test_visible_that_fails_hides_and_is_logged(
        self, settings: Any, caplog: pytest.LogCaptureFixture
    ):
        settings.PRESENCE_VISIBLE = broken
        found = widget_for(ROOM, request_of(GRACE))
        assert (found.live, found.self_id) == (True, "")
        assert "PRESENCE_VISIBLE failed: RuntimeError: the table of profiles" in caplog.text

    def test_visible_that_queries_in_an_async_view_leaves_the_page_static(self, settings: Any):
        def queries(user: User) -> bool:
            raise SynchronousOnlyOperation

        settings.PRESENCE_VISIBLE = queries
        found = widget_for(ROOM, request_of(GRACE))
        assert (found.live, found.grant, found.error) == (False, "", page.NOT_LOADED)


def test_describe_of_a_hidden_user_signs_nothing_else(settings: Any):
    settings.PRESENCE_USER_INFO = broken
    assert describe(visitor_as(ADA), now=5.0) == UserClaims(iat=5.0, hidden=True)


class TestTheirPage:
    @pytest.fixture(autouse=True)
    def grace_is_there(self) -> None:
        fill(services.store(), ROOM, Member("17", "Grace"))

    def state(self, user: Any) -> Widget:
        return widget_for(ROOM, request_of(user))

    def test_page_of_a_hidden_user_shows_the_others(self):
        found = self.state(ADA)
        assert [member.id for member in found.members] == ["17"]
        assert found.live
        assert found.grant

    def test_page_of_a_hidden_user_has_no_check(self):
        assert self.state(ADA).check_url == ""
        assert self.state(GRACE).check_url != ""

    def test_page_of_a_hidden_user_has_no_self(self):
        assert self.state(ADA).self_id == ""
        assert self.state(GRACE).self_id == "17"

    def test_page_of_a_hidden_user_never_names_them(self):
        source = '{% load presence_tags %}{% include "presence/widget.html" %}'
        html = Template(source).render(RequestContext(request_of(ADA), {"channel": ROOM}))
        assert "Grace" in html
        for word in (
            "Ada",
            "Lovelace",
            'data-presence-member="42"',
            'self-id="42"',
            "presence-check=",
        ):
            assert word not in html

    def test_page_of_a_hidden_user_has_no_cursors(self):
        assert surface_for(CURSORS, request_of(GRACE)).live
        assert (
            surface_for(CURSORS, request_of(ADA))
            == Surface(
                channel=CURSORS,
                interval_ms=50,
                timeout_ms=10_000,
                limit=30,
                user_id="42",  # as the pages of everybody know for whom they were made
                **{name: f"/presence/{name[:-4]}/" for name in ("tokens_url", "snapshot_url")},
            )
        )


@pytest.mark.django_db
class TestTheirTokens:
    def exchange(self, client: Client, *channels: str, user: User) -> tuple[int, Any]:
        grants = [make_grant(channel, str(user.pk), now=time.time()) for channel in channels]
        answer = client.post(TOKENS, {"grants": grants}, content_type="application/json")
        return answer.status_code, answer.json()

    def claims(self, token: str) -> dict[str, Any]:
        read: dict[str, Any] = jwt.decode(token, SECRET, ["HS256"])
        return read

    def test_tokens_of_a_hidden_user_say_only_that_they_are_hidden(self, as_ada: Client, ada: User):
        _, answer = self.exchange(as_ada, ROOM, CHAT, user=ada)
        key = str(ada.pk)
        assert (answer["id"], answer["user"]) == (key, None)
        assert [each["shown"] for each in answer["channels"].values()] == [False, False]
        assert [each["self"] for each in answer["channels"].values()] == ["", ""]
        connection = self.claims(answer["connection"])
        assert connection["sub"] == key
        assert connection["info"].keys() == {"iat", "hidden"}
        assert connection["meta"] == {"hidden": True}
        for each in answer["channels"].values():
            made = self.claims(each["token"])
            assert (made["sub"], made["channel"]) == (key, each["feed"])
            assert made["info"] == connection["info"]
            assert made["override"] == {"join_leave": {"value": False}}
        assert "Lovelace" not in json.dumps(answer)

    def test_tokens_of_a_visible_user_are_unchanged(self, as_ada: Client, ada: User, settings: Any):
        settings.PRESENCE_VISIBLE = is_visible_to_all
        _, answer = self.exchange(as_ada, ROOM, CURSORS, user=ada)
        assert answer["user"]["name"] == "Ada Lovelace"
        assert answer["channels"][ROOM]["shown"] is True
        tokens = [answer["connection"], *(each["token"] for each in answer["channels"].values())]
        for token in tokens:
            assert not {"meta", "override"} & self.claims(token).keys()
            assert "hidden" not in self.claims(token)["info"]

    @pytest.mark.parametrize("tracked", [False, True])
    def test_tokens_of_a_hidden_user_open_no_cursor_channel(
        self, as_ada: Client, ada: User, settings: Any, tracked: bool
    ):
        """The token may be from a page that was made before the user was hidden."""
        settings.PRESENCE_CURSOR_TRACK = tracked
        status, answer = self.exchange(as_ada, ROOM, CURSORS, user=ada)
        assert status == 200
        assert list(answer["channels"]) == [ROOM]
        assert "PRESENCE_VISIBLE" in answer["refused"][CURSORS]
        assert self.exchange(as_ada, CURSORS, user=ada)[0] == 403

    def test_snapshot_is_readable_for_a_hidden_user(self, as_ada: Client, ada: User):
        fill(services.store(), ROOM, Member("17", "Grace"))
        grant = make_grant(ROOM, str(ada.pk), now=time.time())
        answer = as_ada.get("/presence/snapshot/", {"grant": grant}).json()
        assert [member["id"] for member in answer["members"]] == ["17"]


def is_visible_to_all(user: User) -> bool:
    return True


def test_publish_proxy_refuses_moves_of_a_hidden_user(
    settings: Any, monkeypatch: pytest.MonkeyPatch
):
    def nobody() -> None:
        raise AssertionError("nothing is asked or kept")

    settings.CENTRIFUGO_API_KEY = "the-key-of-the-api"
    monkeypatch.setattr(services, "tracker", nobody)
    asked = {
        **{"client": "c", "user": "42", "channel": CURSORS, "data": {"x": 0.1, "y": 0.2}},
        "meta": {"hidden": True},
    }
    answer = Client().post(
        "/presence/publish/",
        asked,
        content_type="application/json",
        headers={"X-API-Key": "the-key-of-the-api"},
    )
    assert answer.json() == {
        "error": {"code": 403, "message": "the anonymous and the invisible have no cursor"}
    }
