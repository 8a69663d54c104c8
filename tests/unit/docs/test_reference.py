"""The examples of the reference: their code with only the imports changed, on plain views."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from django.views import View
from django.views.generic import TemplateView

from presence import cursors, manager, mixins
from presence.cursors import CURSOR_TIMEOUT, CursorTracker
from presence.manager import PresenceManager
from presence.mixins import LiveCursorMixin, PresenceMixin
from presence.testing import FakePresence
from presence.web.heartbeat import heartbeat_for

DOCUMENT = """
<div class="presence-bar">
{{ presence_count }} users online
{% for p in presences %}
<span class="avatar" style="background: {{ p.color }}">
{{ p.name.0 }}
</span>
{% endfor %}
</div>
"""
CHAT = """
<aside class="sidebar">
<h3>Online ({{ online_count }})</h3>
<ul class="user-list">
{% for user in online_users %}
<li>
<img src="{{ user.avatar }}" alt="{{ user.name }}">
<span>{{ user.name }}</span>
</li>
{% endfor %}
</ul>
</aside>
"""
WHITEBOARD = "{% for id, c in cursors.items %}{{ id }}: {{ c.x }}, {{ c.y }}{% endfor %}"
TEMPLATES = {"document.html": DOCUMENT, "chat.html": CHAT, "whiteboard.html": WHITEBOARD}


class DocumentView(PresenceMixin, TemplateView):
    template_name = "document.html"
    presence_key = "document:{doc_id}"  # Group key with format variable

    def mount(self, request, **kwargs):
        self.doc_id = kwargs.get("doc_id")
        # Start tracking this user's presence
        self.track_presence(
            meta={
                "name": request.user.username,
                "color": "#6c63ff",
            }
        )

    def get_context_data(self, **kwargs):
        ctx = super().get_context_data(**kwargs)
        ctx["presences"] = self.list_presences()
        ctx["presence_count"] = self.presence_count()
        return ctx

    def handle_presence_join(self, presence):
        """Called when a user joins the presence group."""
        self.push_event("flash", {"message": f"{presence['name']} joined"})

    def handle_presence_leave(self, presence):
        """Called when a user leaves the presence group."""
        self.push_event("flash", {"message": f"{presence['name']} left"})


class RoomView(PresenceMixin, TemplateView):
    template_name = "whiteboard.html"

    def mount(self, request, **kwargs):
        self.room_id = kwargs.get("room_id")
        self.track_presence()

    def get_presence_key(self):
        return f"room:{self.room_id}"


class ChatView(PresenceMixin, TemplateView):
    template_name = "chat.html"
    presence_key = "chat:{room_id}"

    def mount(self, request, **kwargs):
        self.room_id = kwargs.get("room_id")
        self.track_presence(
            meta={
                "name": request.user.username,
                "avatar": request.user.profile.avatar_url,
            }
        )

    def get_context_data(self, **kwargs):
        ctx = super().get_context_data(**kwargs)
        ctx["online_users"] = self.list_presences()
        ctx["online_count"] = self.presence_count()
        return ctx


class WhiteboardView(LiveCursorMixin, TemplateView):
    template_name = "whiteboard.html"
    presence_key = "whiteboard:{board_id}"

    def mount(self, request, **kwargs):
        self.board_id = kwargs.get("board_id")
        self.track_presence(
            meta={
                "name": request.user.username,
                "color": self.assign_color(),
            }
        )

    def cursor_move(self, x=0, y=0, **kwargs):
        self.handle_cursor_move(int(x), int(y))

    def get_context_data(self, **kwargs):
        ctx = super().get_context_data(**kwargs)
        ctx["cursors"] = self.get_cursors()
        return ctx

    def assign_color(self):
        colors = ["#e74c3c", "#3498db", "#2ecc71", "#f39c12", "#9b59b6"]
        count = self.presence_count()
        return colors[count % len(colors)]


class CursorMoveView(LiveCursorMixin, View):
    """The event handler of a plain site. Without `mount`, it tracks no visitor."""

    presence_key = "whiteboard:{board_id}"

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        self.handle_cursor_move(int(request.POST["x"]), int(request.POST["y"]))
        return HttpResponse(status=204)


def with_profile(get_response: Any) -> Any:
    """Give users the profile that the reference expects."""

    def answer(request: HttpRequest) -> Any:
        url = f"/{request.user.username}.png"
        request.user.profile = SimpleNamespace(avatar_url=url)  # type: ignore[union-attr]
        return get_response(request)

    return answer


class Urls:
    urlpatterns = (
        path("doc/<int:doc_id>/", DocumentView.as_view()),
        path("room/<int:room_id>/", RoomView.as_view()),
        path("chat/<slug:room_id>/", ChatView.as_view()),
        path("board/<int:board_id>/", WhiteboardView.as_view()),
        path("board/<int:board_id>/cursor/", CursorMoveView.as_view()),
        path("presence/", include("presence.urls")),
    )


@pytest.fixture(autouse=True)
def site(settings: Any) -> Iterator[FakePresence]:
    settings.PRESENCE_USER_INFO = None
    settings.ROOT_URLCONF = Urls
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        f"{__name__}.with_profile",
    ]
    loader = ("django.template.loaders.locmem.Loader", TEMPLATES)
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"loaders": [loader]},
        }
    ]
    with FakePresence() as site:
        yield site


@pytest.fixture
def as_ada(as_ada: Client) -> Client:
    as_ada.handler.enforce_csrf_checks = False
    return as_ada


@pytest.fixture
def as_grace(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create(username="grace"))
    return client


def text(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


class TestExamples:
    def test_quick_start_example_lists_the_user(self, as_ada: Client, as_grace: Client) -> None:
        page = text(as_ada, "/doc/42/")
        assert "1 users online" in page
        assert '<span class="avatar" style="background: #6c63ff"> a </span>' in page
        page = text(as_grace, "/doc/42/")
        assert "2 users online" in page
        assert "> a </span> <span" in page
        assert "> g </span>" in page
        assert "1 users online" in text(as_grace, "/doc/43/")

    def test_online_users_example_includes_connected_users(
        self, as_ada: Client, site: FakePresence
    ) -> None:
        site.connect("presence:document:42", User(pk=99, username="Zoe"))
        site.tick()
        page = text(as_ada, "/doc/42/")
        assert "2 users online" in page
        assert "> Z </span>" in page

    def test_visitor_who_is_not_signed_in_is_listed_after_a_heartbeat(self, db: None) -> None:
        client = Client()
        assert "> A </span>" not in text(client, "/doc/42/")
        # Of the request, as the template of the example has no heartbeat.
        request = client.get("/doc/42/").wsgi_request
        tokens = heartbeat_for(request).lifelines
        assert client.post("/presence/heartbeat/", {"tokens": tokens}, "application/json").json()
        assert "> A </span>" in text(client, "/doc/42/")

    def test_events_example_publishes_joins_and_leaves(
        self, as_ada: Client, ada: User, site: FakePresence, rf: Any
    ) -> None:
        as_ada.get("/doc/42/")
        view = DocumentView()
        view.setup(rf.get("/"), doc_id=42)
        view.request.user = ada
        view.mount(view.request, doc_id=42)
        view.untrack_presence()
        sent = [event["payload"] for event in site.centrifugo.published("presence:document:42")]
        joined, left = {"message": "ada joined"}, {"message": "ada left"}
        assert sent == [joined, joined, left]
        assert PresenceManager.presence_count("document:42") == 1, "the page is still there"

    def test_presence_key_example_uses_the_key(self, as_ada: Client) -> None:
        text(as_ada, "/room/5/")
        assert PresenceManager.presence_count("room:5") == 1

    def test_users_online_example_counts_the_users(self, as_ada: Client, as_grace: Client) -> None:
        text(as_ada, "/chat/lobby/")
        page = text(as_grace, "/chat/lobby/")
        assert "<h3>Online (2)</h3>" in page
        assert '<img src="/ada.png" alt="ada"> <span>ada</span>' in page
        assert '<img src="/grace.png" alt="grace"> <span>grace</span>' in page

    def test_cursors_example_stores_and_shows_cursors(
        self, as_ada: Client, ada: User, as_grace: Client
    ) -> None:
        text(as_ada, "/board/1/")
        assert as_ada.post("/board/1/cursor/", {"x": "12", "y": "34"}).status_code == 204
        assert f"{ada.pk}: 12, 34" in text(as_grace, "/board/1/")
        (cursor,) = CursorTracker.get_cursors("whiteboard:1").values()
        assert cursor["meta"]["color"] == "#e74c3c", "as it was tracked by the page"
        colors = [record["color"] for record in PresenceManager.list_presences("whiteboard:1")]
        assert colors == ["#e74c3c", "#3498db"]

    def test_cursor_event_handler_example_stores_the_position(self, ada: User, rf: Any) -> None:
        view = WhiteboardView()
        view.setup(rf.get("/"), board_id=1)
        view.request.user = ada
        view.mount(view.request, board_id=1)
        view.cursor_move("3", y="4")
        assert view.get_cursors()[str(ada.pk)]["x"] == 3
        view.untrack_presence()
        assert view.get_cursors() == {}


REFERENCE = [
    (PresenceMixin, "track_presence", {"meta": None}),
    (PresenceMixin, "untrack_presence", {}),
    (PresenceMixin, "list_presences", {}),
    (PresenceMixin, "presence_count", {}),
    (PresenceMixin, "update_presence_heartbeat", {}),
    (PresenceMixin, "get_presence_key", {}),
    (PresenceMixin, "get_presence_user_id", {}),
    (PresenceMixin, "broadcast_to_presence", {"event": ..., "payload": None}),
    (PresenceMixin, "handle_presence_join", {"presence": ...}),
    (PresenceMixin, "handle_presence_leave", {"presence": ...}),
    (LiveCursorMixin, "update_cursor_position", {"x": ..., "y": ...}),
    (LiveCursorMixin, "get_cursors", {}),
    (LiveCursorMixin, "handle_cursor_move", {"x": ..., "y": ...}),
    (PresenceManager, "leave_presence", {"presence_key": ..., "user_id": ...}),
    (PresenceManager, "list_presences", {"presence_key": ...}),
    (PresenceManager, "presence_count", {"presence_key": ...}),
    (PresenceManager, "update_heartbeat", {"presence_key": ..., "user_id": ...}),
    (PresenceManager, "presence_group_name", {"presence_key": ...}),
    (CursorTracker, "get_cursors", {"presence_key": ...}),
    (CursorTracker, "remove_cursor", {"presence_key": ..., "user_id": ...}),
    (
        CursorTracker,
        "update_cursor",
        {"presence_key": ..., "user_id": ..., "x": ..., "y": ..., "meta": None},
    ),
]


class TestSignatures:
    @pytest.mark.parametrize(("owner", "name", "wanted"), REFERENCE)
    def test_public_signature_has_the_documented_parameters(
        self, owner: type, name: str, wanted: dict[str, Any]
    ) -> None:
        taken = {
            parameter.name: ... if parameter.default is parameter.empty else parameter.default
            for parameter in inspect.signature(getattr(owner, name)).parameters.values()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.name != "self"
        }
        assert list(taken.items()) == list(wanted.items())

    def test_join_presence_takes_optional_metadata(self) -> None:
        parameters = inspect.signature(PresenceManager.join_presence).parameters
        assert list(parameters)[:3] == ["presence_key", "user_id", "meta"]
        assert parameters["meta"].default is None

    def test_public_constants_have_the_documented_values(self) -> None:
        assert CURSOR_TIMEOUT == 10
        assert PresenceMixin.presence_key is None
        assert issubclass(LiveCursorMixin, PresenceMixin)

    @pytest.mark.parametrize("module", [manager, mixins, cursors])
    def test_public_name_has_a_docstring(self, module: Any) -> None:
        for name in module.__all__:
            public = getattr(module, name)
            assert not inspect.isclass(public) or public.__doc__
            for method in vars(public) if inspect.isclass(public) else ():
                if callable(getattr(public, method)) and not method.startswith("_"):
                    assert getattr(public, method).__doc__, method
