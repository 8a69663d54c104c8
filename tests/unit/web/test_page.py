"""The state of a page: one attribute on its request, whatever the page includes."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.template import Context, RequestContext, engines
from django.test import RequestFactory

from presence.mixins import PresenceMixin
from presence.testing import FakePresence
from presence.web import page
from presence.web.page import PageState, look_up, page_state

ROOM = "presence:doc:42"
PAGE = """{% load presence_tags %}
    {% presence_widget "presence:doc:42" %}{% presence_list "presence:doc:42" as people %}
    {% presence_cursors "cursors:doc:42" %}{% presence_heartbeat %}"""


class View(PresenceMixin):
    presence_key = "doc:42"

    def __init__(self, request: HttpRequest) -> None:
        self.request = request


@pytest.fixture
def request_of_ada(ada: User, presence: FakePresence) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = ada
    return request


def test_page_with_every_element_keeps_one_attribute_on_its_request(
    request_of_ada: HttpRequest,
) -> None:
    before = set(vars(request_of_ada))
    View(request_of_ada).track_presence()
    template = engines["django"].from_string(PAGE)
    template.template.render(RequestContext(request_of_ada, {}))
    ours = {name for name in set(vars(request_of_ada)) - before if "presence" in name}
    assert ours == {"_presence_page"}
    state = page_state(request_of_ada)
    assert state.visitor is not None
    assert state.visitor.id == str(request_of_ada.user.pk)
    assert list(state.people) == [ROOM]
    assert [member[0] for member in state.members] == [ROOM]


def test_page_state_without_a_request_is_thrown_away() -> None:
    page_state(None).store_is_down = True
    assert page_state(None) == PageState()


def test_page_without_a_request_renders_each_element(presence: FakePresence) -> None:
    template = engines["django"].from_string(PAGE)
    assert "<presence-roster" in template.template.render(Context({}))


def test_look_up_asks_the_site_once_for_a_channel_of_a_page(
    request_of_ada: HttpRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(page, "authorise", lambda request, channel: asked.append(channel) or True)
    for _ in range(3):
        assert look_up([ROOM, ROOM], request_of_ada) == {ROOM: []}
    assert asked == [ROOM]
