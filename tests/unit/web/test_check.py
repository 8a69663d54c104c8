"""The check of a page that its roster lacks: where pages have it, what it marks, its limits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django.template import Context, RequestContext, Template
from django.test import Client, RequestFactory

from presence import services
from presence.backends.base import Hit, LookState, Writes
from presence.backends.memory import MemoryStore
from presence.centrifugo.tokens import GRANT_LIFETIME, make_grant
from presence.exceptions import StoreError
from presence.roster.messages import Member
from presence.sync.context import threads
from presence.testing import Clock
from presence.web.views import CHECKS, SESSIONS
from presence.web.visitors import visitor_of
from tests.stored_rooms import fill

pytestmark = pytest.mark.django_db

CHECK = "/presence/check/"
ROOM, OTHER = "presence:doc:42", "presence:other"
CURSORS = "cursors:doc:42"


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.PRESENCE_ANONYMOUS = "list"


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    clock = Clock(1_000_000.0)
    store = MemoryStore(clock=clock)
    with services.replaced(store=store, gateway=services.gateway(), executor=threads, clock=clock):
        yield clock


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Writes]:
    """Return all that is written."""
    found: list[Writes] = []
    write = MemoryStore.write

    def noted(self: MemoryStore, writes: Writes) -> Any:
        found.append(writes)
        return write(self, writes)

    monkeypatch.setattr(MemoryStore, "write", noted)
    return found


def request_of(user: Any) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = user
    return request


def page(request: HttpRequest, channel: str = ROOM) -> str:
    tag = "{% load presence_tags %}{% presence_widget channel %}"
    return Template(tag).render(RequestContext(request, {"channel": channel}))


def grant(user: User | None, channel: str = ROOM, *, age: float = 0.0) -> str:
    return make_grant(channel, str(user.pk) if user else "", now=services.now() - age)


def send(client: Client, *grants: str) -> Any:
    return client.post(CHECK, json.dumps({"grants": grants}), content_type="text/plain")


def session_client() -> Client:
    """Return the client of an anonymous visitor who has a session."""
    client = Client()
    session = client.session
    session["basket"] = [1]
    session.save()
    return client


def marks() -> Mapping[str, float]:
    """Return the channels that the next look polls, with their marks."""
    store = services.store()
    look = store.begin_look("look", lease=30.0, limit=1000)
    assert look is not None
    store.write(Writes(look=LookState("look", rest=0.0)))
    return look.due


def due() -> list[str]:
    return list(marks())


def settle() -> None:
    """Poll the due channels."""
    services.store().write(Writes(settled=marks()))


def broken(*_: Any, **__: Any) -> Any:
    raise StoreError("Redis is down")


def only_staff(request: HttpRequest, channel: str) -> bool:
    return bool(request.user.is_staff)


# Pages that have it


def test_page_of_a_user_has_a_check(ada: User):
    assert f'data-presence-check="{CHECK}"' in page(request_of(ada))


@pytest.mark.parametrize(("mode", "listed"), [("count", False), ("list", True), ("ignore", False)])
def test_page_of_a_visitor_learns_whether_rosters_list_them(mode: str, listed: bool, settings: Any):
    settings.PRESENCE_ANONYMOUS = mode
    client = Client()
    session = client.session
    session["basket"] = [1]
    session.save()
    request = request_of(AnonymousUser())
    request.session = session
    request.COOKIES[settings.SESSION_COOKIE_NAME] = session.session_key
    anonymous = visitor_of(request).shown_as
    assert anonymous
    assert f'data-presence-check="{CHECK}"' in page(request), "for all who use it later"
    settings.CENTRIFUGO_TOKEN_SECRET = "a-secret-of-thirty-two-bytes-or-more"
    answer = client.post("/presence/tokens/", {"grants": [grant(None)]}, "application/json")
    assert answer.json()["channels"][ROOM]["self"] == (anonymous if listed else "")


def test_page_has_no_check_without_looks_for_the_hidden_and_where_it_is_static(
    ada: User, settings: Any
):
    settings.PRESENCE_WATCH = 0
    assert "data-presence-check" not in page(request_of(ada))
    settings.PRESENCE_WATCH = 1.0
    settings.PRESENCE_VISIBLE = lambda user: False
    assert "data-presence-check" not in page(request_of(ada))
    html = Template('{% load presence_tags %}{% presence_widget "presence:doc:42" %}')
    assert "data-presence-check" not in html.render(Context())


# What it marks


def test_check_without_a_csrf_token_marks_its_channels_due(
    as_ada: Client, ada: User, written: list[Writes]
):
    response = send(as_ada, grant(ada), grant(ada, OTHER), grant(ada))
    assert (response.status_code, response.content) == (204, b"")
    assert written == [Writes(due={ROOM: 0.0, OTHER: 0.0})]
    assert sorted(due()) == [ROOM, OTHER]


def test_check_adds_and_removes_nobody(as_ada: Client, ada: User):
    fill(services.store(), ROOM, Member("1000", "Grace"))
    before = services.store().load_states([ROOM]).states
    send(as_ada, grant(ada))
    assert services.store().load_states([ROOM]).states == before
    assert services.store().known_channels().registered == []


def test_check_leaves_out_cursor_channels(as_ada: Client, ada: User, written: list[Writes]):
    assert send(as_ada, grant(ada, CURSORS)).status_code == 204
    assert written == []
    assert send(as_ada, grant(ada, CURSORS), grant(ada)).status_code == 204
    assert written == [Writes(due={ROOM: 0.0})]


def test_check_leaves_out_feeds_and_visitors_whom_no_roster_lists(
    as_ada: Client, ada: User, settings: Any, written: list[Writes]
):
    settings.PRESENCE_CHANNELS = ["presence:*", "chat:*"]
    assert send(as_ada, grant(ada, "chat:7")).status_code == 204, "pages read roster:chat:7"
    assert send(Client(), grant(None)).status_code == 204, "without a session"
    settings.PRESENCE_ANONYMOUS = "count"
    assert send(session_client(), grant(None)).status_code == 204, "counted"
    settings.PRESENCE_VISIBLE = lambda user: False
    assert send(as_ada, grant(ada)).status_code == 204, "hidden"
    settings.PRESENCE_VISIBLE = None
    settings.PRESENCE_WATCH = 0
    assert send(as_ada, grant(ada)).status_code == 204, "nobody looks"
    assert written == []


def test_check_with_some_bad_grants_uses_the_good_ones(as_ada: Client, ada: User):
    assert send(as_ada, "forged", grant(None, OTHER), grant(ada)).status_code == 204
    assert due() == [ROOM]


@pytest.mark.parametrize("which", ["forged", "expired", "another's", "no permission", "unpolled"])
def test_check_with_bad_grants_alone_is_refused(
    which: str, as_ada: Client, ada: User, settings: Any, written: list[Writes]
):
    if which == "no permission":
        settings.PRESENCE_AUTHORIZE = only_staff
    given = {
        "forged": grant(ada)[:-1],
        "expired": grant(ada, age=GRANT_LIFETIME + 60),
        "another's": grant(None),
        "no permission": grant(ada),
        "unpolled": grant(ada, "chat:7"),
    }[which]
    response = send(as_ada, given)
    assert response.status_code == 403
    assert response["Content-Type"] == "application/json"
    assert written == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"grants": []}', b'{"grants": "x"}', b"\xff"])
def test_check_of_another_shape_is_a_bad_request(
    body: bytes, as_ada: Client, written: list[Writes]
):
    response = as_ada.post(CHECK, body, content_type="text/plain")
    assert (response.status_code, written) == (400, [])


def test_check_by_another_method_is_not_allowed(as_ada: Client):
    response = as_ada.get(CHECK)
    assert (response.status_code, response["Allow"]) == (405, "POST")


@pytest.mark.parametrize("method", ["check_limits", "write"])
def test_check_while_the_store_is_down_is_logged(
    method: str,
    as_ada: Client,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(MemoryStore, method, broken)
    assert send(as_ada, grant(ada)).status_code == 204
    (record,) = caplog.records
    assert record.name == "presence.views"
    assert ROOM in record.message
    assert record.exc_info


# Its limits


def test_check_of_a_channel_checked_within_a_second_is_due_a_second_later(
    as_ada: Client, ada: User, clock: Clock
):
    send(as_ada, grant(ada))
    assert due() == [ROOM]
    settle()
    clock.advance(0.5)
    send(session_client(), grant(None))
    assert due() == []
    clock.advance(0.9)
    send(as_ada, grant(ada))
    assert due() == [ROOM], "the window of the first check has ended"
    settle()
    clock.advance(0.2)
    send(session_client(), grant(None))
    clock.advance(1.0)
    assert due() == [ROOM], "no mark is lost to the limit"


def test_check_marks_thirty_channels_of_a_visitor_in_a_minute(
    as_ada: Client, ada: User, clock: Clock, written: list[Writes]
):
    rooms = [f"presence:{number}" for number in range(CHECKS + 10)]
    grants = [grant(ada, room) for room in rooms]
    assert send(as_ada, *grants[:20]).status_code == 204
    assert send(as_ada, *grants[20:]).status_code == 204
    assert send(as_ada, *grants).status_code == 204
    assert [list(writes.due) for writes in written] == [rooms[:20], rooms[20:CHECKS]]
    send(session_client(), grant(None))
    assert ROOM in due(), "another visitor has limits of their own"
    clock.advance(60.1)
    send(as_ada, grants[-1])
    assert rooms[-1] in due()


def test_check_by_many_sessions_of_one_address_has_a_limit_as_well(written: list[Writes]):
    marked = SESSIONS * CHECKS
    rooms = [f"presence:{number}" for number in range(CHECKS)]
    grants = [grant(None, room) for room in rooms]
    for _ in range(marked // CHECKS + 1):
        assert send(session_client(), *grants).status_code == 204
    assert sum(len(writes.due) for writes in written) == marked


def test_check_beyond_the_limit_of_a_session_takes_nothing_from_others_of_the_address(
    written: list[Writes],
):
    """Nor does it keep a room from the checks of others."""
    greedy = session_client()
    grants = [grant(None, f"presence:{number}") for number in range(CHECKS)]
    for _ in range(2 * SESSIONS):
        send(greedy, *grants)
    assert [list(writes.due) for writes in written] == [[f"presence:{n}" for n in range(CHECKS)]]
    del written[:]
    send(greedy, grant(None))
    send(session_client(), grant(None))
    assert written == [Writes(due={ROOM: 0.0})]


def test_check_takes_a_round_trip_for_each_limit_and_one_for_its_marks(
    as_ada: Client, ada: User, monkeypatch: pytest.MonkeyPatch, written: list[Writes]
):
    asked: list[Sequence[Hit]] = []
    check_limits = MemoryStore.check_limits

    def noted(self: MemoryStore, hits: Sequence[Hit], flags: Sequence[str] = ()) -> Any:
        asked.append(hits)
        return check_limits(self, hits, flags)

    monkeypatch.setattr(MemoryStore, "check_limits", noted)
    send(as_ada, *(grant(ada, f"presence:{number}") for number in range(5)))
    assert [len(hits) for hits in asked] == [1, 5]
    assert len(written) == 1
