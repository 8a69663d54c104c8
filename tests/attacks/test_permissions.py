"""A room that the visitor may not see, through every way to it.

The ways are listed by the code: a new endpoint, template tag or method without a case fails.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest
from django.template import RequestContext, Template
from django.test import Client, RequestFactory

from presence import services
from presence.admin import admin_channel
from presence.centrifugo.tokens import make_grant
from presence.roster.messages import Member
from presence.templatetags.presence_tags import register
from presence.urls import urlpatterns
from presence.web.heartbeat import Lifeline, make_lifeline
from project.documents.models import Document
from tests.attacks.conftest import SECRET_ROOM, VICTIM, Connect
from tests.attacks.sockets import is_refused
from tests.stored_rooms import fill

pytestmark = pytest.mark.django_db


def denies(request: HttpRequest, channel: str) -> bool:
    return "secret" not in channel and "admin" not in channel


@pytest.fixture(autouse=True)
def denied(site: Any, secret_room: str) -> None:
    """Deny everybody the room, although they hold a grant of it from before."""
    site.PRESENCE_AUTHORIZE = denies


def post(client: Client, name: str, body: dict[str, Any]) -> Any:
    return client.post(f"/presence/{name}/", json.dumps(body), content_type="application/json")


def heartbeat(client: Client, user: User, grant: str) -> Any:
    lifeline = Lifeline(SECRET_ROOM, str(user.pk), 0.0, str(user.pk), "s", "{}")
    return post(client, "heartbeat", {"tokens": [make_lifeline(lifeline, now=time.time())]})


def publish(client: Client, user: User, grant: str) -> Any:
    move = {"x": 0.5, "y": 0.5}
    asked = {"client": "c", "channel": "cursors:secret", "user": str(user.pk), "data": move}
    return post(client, "publish", asked)


ENDPOINTS: dict[str, Callable[[Client, User, str], Any]] = {
    "tokens": lambda client, user, grant: post(client, "tokens", {"grants": [grant]}),
    "snapshot": lambda client, user, grant: client.get("/presence/snapshot/", {"grant": grant}),
    "check": lambda client, user, grant: post(client, "check", {"grants": [grant]}),
    "heartbeat": heartbeat,
    "publish": publish,
}


def test_endpoints_all_have_a_case():
    assert {pattern.name for pattern in urlpatterns} == ENDPOINTS.keys()


@pytest.mark.parametrize("channel", [SECRET_ROOM, "cursors:secret"])
@pytest.mark.parametrize("name", ENDPOINTS)
def test_endpoint_with_a_room_that_is_denied_answers_403_and_does_nothing(
    as_mallory: Client, mallory: User, name: str, channel: str
):
    grant = make_grant(channel, str(mallory.pk), now=time.time())
    answer = ENDPOINTS[name](as_mallory, mallory, grant)
    assert answer.status_code == 403
    assert VICTIM.encode() not in answer.content
    assert b"eyJ" not in answer.content, "no token"
    tracked = services.tracker().load_members([SECRET_ROOM], timeout=60.0)
    assert tracked[SECRET_ROOM].members == []
    look = services.store().begin_look("look", lease=30.0, limit=100)
    assert look is not None
    assert [*look.due] == []


@pytest.mark.parametrize("name", ENDPOINTS)
def test_endpoint_answers_the_same_whether_somebody_is_in_a_denied_room(
    as_mallory: Client, mallory: User, name: str
):
    grant = make_grant(SECRET_ROOM, str(mallory.pk), now=time.time())
    occupied = ENDPOINTS[name](as_mallory, mallory, grant)
    with redis.Redis.from_url(settings.PRESENCE_REDIS_URL) as client:
        client.flushdb()
    empty = ENDPOINTS[name](as_mallory, mallory, grant)
    assert (occupied.content, occupied.headers) == (empty.content, empty.headers)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_endpoint_of_a_visitor_who_is_signed_out_answers_403(mallory: User, name: str):
    grant = make_grant(SECRET_ROOM, str(mallory.pk), now=time.time())
    assert ENDPOINTS[name](Client(), mallory, grant).status_code == 403


def test_one_granted_room_beside_a_denied_one_opens_only_the_granted_one(
    as_mallory: Client, mallory: User, connect: Connect
):
    rooms = ["presence:public", SECRET_ROOM]
    grants = [make_grant(room, str(mallory.pk), now=time.time()) for room in rooms]
    answer = post(as_mallory, "tokens", {"grants": grants}).json()
    assert [*answer["channels"]] == ["presence:public"]
    client = connect().connect(answer["connection"])
    token = answer["channels"]["presence:public"]["token"]
    assert not is_refused(client.ask("subscribe", channel="presence:public", token=token))
    for attempt in (token, answer["connection"], ""):
        assert is_refused(client.ask("subscribe", channel=SECRET_ROOM, token=attempt))


TAGS = {
    "presence_widget": f'{{% presence_widget "{SECRET_ROOM}" %}}',
    "presence_state": f'{{% presence_state "{SECRET_ROOM}" as state %}}{{{{ state }}}}',
    "presence_cursors": '{% presence_cursors "cursors:secret" %}',
    "presence_cursors_state": '{% presence_cursors_state "cursors:secret" as it %}{{ it.grant }}',
    "presence_count": f'{{% presence_count "{SECRET_ROOM}" %}}',
    "presence_list": f'{{% presence_list "{SECRET_ROOM}" as people %}}{{{{ people }}}}',
    "is_present": f'{{% is_present "77" "{SECRET_ROOM}" %}}',
}
SHOW_NO_ROOM = {"presence_heartbeat", "presence_heartbeat_state", "presence_nonce"}
"""Tags that name no room: they show what the page's own view tracked."""


def test_template_tags_all_have_a_case():
    assert {*register.tags} == {*TAGS, *SHOW_NO_ROOM}


@pytest.mark.parametrize("tag", TAGS)
def test_template_tag_of_a_room_that_is_denied_shows_nobody(mallory: User, tag: str):
    request = RequestFactory().get("/")
    request.user = mallory
    page = Template("{% load presence_tags %}" + TAGS[tag]).render(RequestContext(request))
    assert VICTIM not in page
    assert "77" not in page
    assert make_grant(SECRET_ROOM, str(mallory.pk), now=time.time())[:20] not in page
    if tag in ("presence_count", "is_present"):
        assert page in ("0", "False")


def test_admin_of_a_room_that_is_denied_shows_nobody(site: Any, as_mallory: Client, mallory: User):
    document = Document.objects.create(title="Plan")
    mallory.user_permissions.add(*Permission.objects.filter(content_type__model="document"))
    fill(services.store(), admin_channel(document), Member("78", VICTIM))
    pages = ["/admin/documents/document/", f"/admin/documents/document/{document.pk}/change/"]
    for page in pages:
        answer = as_mallory.get(page)
        assert answer.status_code == 200
        assert VICTIM.encode() not in answer.content
    site.PRESENCE_AUTHORIZE = None
    assert all(VICTIM.encode() in as_mallory.get(page).content for page in pages)


def test_authorize_that_fails_denies(site: Any, as_mallory: Client, mallory: User):
    def broken(request: HttpRequest, channel: str) -> bool:
        raise RuntimeError("a mistake of the site")

    site.PRESENCE_AUTHORIZE = broken
    for name, call in ENDPOINTS.items():
        grant = make_grant(SECRET_ROOM, str(mallory.pk), now=time.time())
        assert call(as_mallory, mallory, grant).status_code == 403, name
