"""Pages of other sites, which a visitor of ours opens: they can send, and read nothing."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import websockets.exceptions
from django.contrib.auth.models import User
from django.test import Client

from presence import services
from presence.centrifugo.tokens import make_grant
from presence.urls import urlpatterns
from project.people import PEOPLE
from tests.attacks.conftest import SECRET_ROOM, VICTIM, Connect

pytestmark = pytest.mark.django_db

EVIL = "https://evil.example"
PATHS = [f"/presence/{pattern.name}/" for pattern in urlpatterns]
SIMPLE = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
"""Content types that a page of another site may send without asking first."""


def cross_site(kind: str = "cors") -> dict[str, str]:
    return {"Origin": EVIL, "Referer": f"{EVIL}/", "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": kind}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["get", "post", "options"])
def test_request_of_another_site_gets_no_answer_that_its_page_may_read(
    secret_room: str, as_mallory: Client, mallory: User, path: str, method: str
):
    grant = make_grant(SECRET_ROOM, str(mallory.pk), now=time.time())
    ask = {"Access-Control-Request-Method": "POST"} if method == "options" else {}
    body = {"data": json.dumps({"grants": [grant]}), "content_type": "text/plain"}
    sent = {"query_params": {"grant": grant}} if method == "get" else body
    answer = getattr(as_mallory, method)(path, headers={**cross_site(), **ask}, **sent)
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    # As a script or a picture it is of no use either.
    assert answer["Content-Type"] == "application/json" or not answer.content
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize("content_type", SIMPLE)
def test_form_of_another_site_without_a_grant_of_the_visitor_does_nothing(
    secret_room: str, as_mallory: Client, content_type: str
):
    """The attacker's page can read grants of the attacker, never those of its visitor."""
    grant = make_grant(SECRET_ROOM, "4711", now=time.time())
    for path in PATHS:
        for body in (b"", json.dumps({"grants": [grant], "tokens": [grant]}).encode()):
            answer = as_mallory.generic(
                "POST", path, body, content_type=content_type, headers=cross_site("no-cors")
            )
            assert 400 <= answer.status_code < 500
            assert VICTIM.encode() not in answer.content
            assert not answer.cookies
    look = services.store().begin_look("look", lease=30.0, limit=100)
    assert look is not None
    assert [*look.due] == []


def test_session_cookie_is_not_sent_with_requests_of_other_sites(site: Any):
    """Nor may scripts read it: ours never need to."""
    client = Client()
    client.post(f"/sign-in/{next(iter(PEOPLE))}/")
    cookie = client.cookies[site.SESSION_COOKIE_NAME]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


@pytest.mark.parametrize(
    "origin", [EVIL, "null", "http://localhost.evil.example", "https://127.0.0.1.evil.example",
               "http://evil.example:8000", "file://", "http://user@evil.example"]
)  # fmt: skip
def test_websocket_of_another_site_is_refused(site: Any, connect: Connect, origin: str):
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        connect(origin=origin)
    assert refused.value.response.status_code == 403


def test_websocket_of_the_site_itself_is_let_in(site: Any, connect: Connect):
    connect(origin="http://127.0.0.1:8000")
