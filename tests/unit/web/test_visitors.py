"""The visitor of a request, and the signed claims."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import RequestFactory, override_settings
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy

from presence.conf import hooks
from presence.roster.names import MAX_NAME
from presence.roster.people import UserClaims
from presence.web.visitors import Visitor, describe, person_as, visitor_as, visitor_of
from tests.unit.http_requests import request_of

KEY = "a-session-key-of-32-characters--"


def described(user: User, user_info: Any = None) -> UserClaims:
    with override_settings(PRESENCE_USER_INFO=user_info):
        return describe(Visitor(id=str(user.pk), user=user), now=5.0)


def test_visitor_of_a_user_has_the_primary_key_as_string():
    user = User(pk=42, username="ada")
    assert visitor_of(request_of(user, KEY)) == Visitor(id="42", user=user)


def test_visitor_with_a_session_has_an_id_that_hides_the_key():
    visitor = visitor_of(request_of(session_key=KEY))
    assert visitor.id == ""
    assert visitor.anonymous.startswith("anon_")
    assert len(visitor.anonymous) == len("anon_") + 16
    assert KEY not in visitor.anonymous
    assert visitor == visitor_of(request_of(session_key=KEY))
    assert visitor != visitor_of(request_of(session_key=KEY[::-1]))


@pytest.mark.parametrize(
    "request_",
    [
        RequestFactory().get("/"),
        request_of(),
        request_of(SimpleNamespace(is_authenticated=True, pk=None)),
        request_of(SimpleNamespace(is_authenticated=True)),
    ],
    ids=["no middleware", "no session", "user without a key", "no primary key at all"],
)
def test_visitor_of_an_unknown_user_is_anonymous(request_: HttpRequest):
    assert visitor_of(request_) == Visitor()


def test_describe_of_a_visitor_signs_the_id_alone():
    assert describe(Visitor(anonymous="anon_1"), now=5.0) == UserClaims(iat=5.0, anonymous="anon_1")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"first_name": "Ada", "last_name": "Lovelace"}, "Ada Lovelace"),
        ({}, "ada"),
        ({"username": "ada@example.org"}, "User 42"),
        ({"username": "a" * 8 + "\u200b@example.org"}, "User 42"),
        ({"first_name": "\u3164", "last_name": "\u200b"}, "ada"),
        ({"first_name": "\u202eAda"}, "Ada"),
        ({"username": "\u2800"}, "User 42"),
        (
            {"first_name": "x" * 149 + " ", "last_name": "y" * 49 + "e\u0301"},
            "x" * 149 + " " + "y" * 49,
        ),
        ({"first_name": "ada@example.org"}, "User 42"),
        ({"username": ""}, "User 42"),
        ({"first_name": " Ada\n", "last_name": "\tKing  Noel"}, "Ada King Noel"),
        ({"first_name": "<script>alert(1)</script>"}, "<script>alert(1)</script>"),
    ],
)
def test_describe_without_user_info_cleans_the_default_name(fields: dict[str, str], name: str):
    user = User(**{"pk": 42, "username": "ada", **fields})
    assert described(user) == UserClaims(name=name, iat=5.0)


def test_describe_of_a_user_without_names_uses_the_id():
    visitor = Visitor(id="7", user=SimpleNamespace())
    assert describe(visitor, now=5.0).name == "User 7"


def test_describe_with_user_info_takes_name_and_info():
    info = {"name": "@ada", "avatar": "/a/42.png", "tags": ("x",), "role": gettext_lazy("Yes")}
    signed = described(User(pk=42), lambda user: info)
    rest = {"avatar": "/a/42.png", "tags": ["x"], "role": "Yes"}
    assert signed == UserClaims(name="@ada", info=rest, iat=5.0)
    assert "name" in info, "what the site gave is left alone"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"pk": "0e9e8cf8-1a2b-4c3d-8e4f-5a6b7c8d3f2a"}, "User 3f2a"),
        ({"pk": 12345678}, "User 12345678"),
        ({"first_name": None, "last_name": None, "name": "Ada"}, "Ada"),
        ({"first_name": None, "last_name": None}, "ada"),
        ({"first_name": None, "last_name": None, "name": "ada@example.org"}, "User 42"),
        ({"name": None}, "ada"),
        ({"name": lambda: "Ada"}, "ada"),
    ],
)
def test_describe_of_other_user_models_finds_a_name(fields: dict[str, Any], name: str):
    """Django's get_full_name says "None None" of a model that has set both its fields to None."""
    user = User(username="ada")
    vars(user).update({"id": 42} | fields)
    if "pk" in fields:
        user = SimpleNamespace(pk=fields["pk"], get_username=lambda: "ada@example.org")
    assert described(user).name == name


@pytest.mark.parametrize("name", [None, "", "  ", "\u200b", "\x07", "\ud800", "\ue000"])
def test_describe_with_user_info_without_a_name_keeps_the_default(name: str | None):
    signed = described(User(pk=42, username="ada"), lambda user: {"name": name, "color": "#fff"})
    assert (signed.name, signed.info) == ("ada", {"color": "#fff"})


def test_describe_cuts_a_long_name():
    assert described(User(pk=42), lambda user: {"name": "x" * 10_000}).name == "x" * MAX_NAME


def test_describe_replaces_half_a_character():
    signed = described(User(pk=42), lambda user: {"name": "A\ud800da", "is": ["\udfff"]})
    assert signed == UserClaims(name="A?da", info={"is": ["?"]}, iat=5.0)


class TestASession:
    """Tools with which staff act as a user mark the user of the request."""

    @pytest.fixture(autouse=True)
    def site(self, settings: Any) -> None:
        settings.PRESENCE_VISIBLE = lambda user: (
            user.username != "ghost" and not getattr(user, "is_hijacked", False)
        )

    def hijacked(self, **fields: Any) -> User:
        user = User(**{"pk": 42, "username": "ada", **fields})
        user.is_hijacked = True  # type: ignore[attr-defined]
        return user

    @pytest.mark.parametrize("lazy", [False, True])
    def test_describe_of_marked_user_hides_the_session_alone(self, lazy: bool):
        user: Any = self.hijacked()
        user = SimpleLazyObject(lambda made=user: made) if lazy else user
        visitor = visitor_as(user)
        assert visitor.hidden
        assert describe(visitor, now=5.0) == UserClaims(iat=5.0, hidden=True, session=True)
        assert not person_as(user).hidden

    def test_describe_of_marked_user_who_is_hidden_hides_the_person(self):
        user = self.hijacked(username="ghost")
        assert describe(visitor_as(user), now=5.0) == UserClaims(iat=5.0, hidden=True)
        assert person_as(user).hidden

    def test_describe_asks_nothing_of_the_database(self):
        """Of deferred fields, neither."""
        user = User.from_db(None, ["id", "username"], [42, "ada"])
        user.is_hijacked = True
        assert describe(visitor_as(user), now=5.0).session

    def test_describe_with_hook_that_needs_more_than_fields_hides_the_person(self, settings: Any):
        settings.PRESENCE_VISIBLE = lambda user: not user.is_incognito
        user: Any = User(pk=42)
        user.is_incognito = True  # as an annotation of the manager of users
        assert describe(visitor_as(user), now=5.0) == UserClaims(iat=5.0, hidden=True)

    def test_describe_of_user_that_is_no_model_hides_the_person(self):
        user = SimpleNamespace(pk=42, username="ada", is_hijacked=True)
        assert describe(visitor_as(user), now=5.0) == UserClaims(iat=5.0, hidden=True)


@pytest.mark.parametrize("info", [object(), ["name"], None, "Ada"])
def test_describe_with_user_info_that_is_not_a_dict_keeps_the_default(
    info: object, caplog: pytest.LogCaptureFixture
):
    signed = described(User(pk=42, username="ada"), lambda user: info)
    assert (signed.name, signed.info) == ("ada", {})
    assert "PRESENCE_USER_INFO failed" in caplog.text


@pytest.mark.parametrize("bad", [{"when": object()}, {"ratio": float("nan")}, {("a", "b"): 1}])
def test_describe_leaves_out_parts_that_are_not_json(bad: Any, caplog: pytest.LogCaptureFixture):
    hooks._logged.clear()
    signed = described(User(pk=42), lambda user: {**bad, "name": "Ada", "color": "#fff"})
    assert (signed.name, signed.info) == ("Ada", {"color": "#fff"})
    assert "source=PRESENCE_USER_INFO user=42" in caplog.text
