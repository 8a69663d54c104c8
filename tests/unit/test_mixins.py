"""PresenceMixin and LiveCursorMixin on class-based views, consumers and live views."""

from __future__ import annotations

import gc
import inspect
import logging
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine
from django.test import AsyncRequestFactory, RequestFactory
from django.utils.functional import SimpleLazyObject
from django.views.generic import TemplateView, View

from presence import services
from presence.cursors import CursorTracker
from presence.exceptions import CentrifugoUnreachable, InvalidChannel, StoreError
from presence.manager import PresenceManager
from presence.mixins import LiveCursorMixin, PresenceMixin
from presence.testing import FakePresence
from presence.web.page import page_state
from presence.web.visitors import visitor_of

KEY = "document:42"
CHANNEL = "presence:document:42"
SESSION = "a-session-key-of-32-characters--"
ADA = User(pk=7, username="ada", first_name="Ada", last_name="Lovelace")
GRACE = User(pk=8, username="grace")


@pytest.fixture(autouse=True)
def site(settings: Any) -> Iterator[FakePresence]:
    settings.PRESENCE_USER_INFO = None
    with FakePresence() as site:
        yield site


def request_of(user: Any = ADA, *, session_key: str | None = None, method: str = "get") -> Any:
    request = getattr(RequestFactory(), method)("/")
    request.user = user
    request.session = SimpleNamespace(session_key=session_key)
    return request


def scope_of(user: Any = ADA, *, session_key: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """Return a scope as Channels makes it."""
    session = SimpleNamespace(session_key=session_key)
    return {"user": user, "session": session, "url_route": {"args": (), "kwargs": kwargs}}


class Told:
    """Keeps what the callbacks are called with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.told: list[tuple[str, Any]] = []

    def handle_presence_join(self, presence: Any) -> None:
        self.told.append(("join", presence))

    def handle_presence_leave(self, presence: Any) -> None:
        self.told.append(("leave", presence))


class Page(Told, LiveCursorMixin, View):
    presence_key = "document:{doc_id}"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return HttpResponse(",".join(record["id"] for record in self.list_presences()))


def page(user: Any = ADA, kind: type = Page, **options: Any) -> Any:
    """A view that was set up for a request."""
    view = kind()
    view.setup(request_of(user, **options), doc_id=42)
    return view


def ids(key: str = KEY) -> list[str]:
    return [record["id"] for record in PresenceManager.list_presences(key)]


class TestKeys:
    def test_presence_key_takes_variables_from_the_url(self) -> None:
        assert page().get_presence_key() == KEY

    def test_presence_key_prefers_attributes_of_the_view(self) -> None:
        view = page()
        view.doc_id = "of the view".replace(" ", "-")
        assert view.get_presence_key() == "document:of-the-view"

    @pytest.mark.parametrize("empty", [None, ""])
    def test_presence_key_ignores_empty_attributes(self, empty: Any) -> None:
        view = page()
        view.doc_id = empty
        assert view.get_presence_key() == KEY

    def test_presence_key_ignores_methods(self) -> None:
        class Options(PresenceMixin, View):
            presence_key = "menu:{options}"

        view = Options()
        view.setup(request_of(), options="lunch")
        assert view.get_presence_key() == "menu:lunch"

    @pytest.mark.parametrize(
        ("key", "filled"),
        [
            ("plain", "plain"),
            ("a:{doc_id:05d}", "a:00042"),
            ("{doc_id}:{owner.pk}:{tags[0]}", "42:7:red"),
            ("zero:{zero}", "zero:0"),
            ("{{braces}}", "{braces}"),
        ],
    )
    def test_presence_key_is_formatted(self, key: str, filled: str) -> None:
        view = page()
        view.presence_key, view.owner, view.tags, view.zero = key, ADA, ["red"], 0
        assert view.get_presence_key() == filled

    @pytest.mark.parametrize(
        "key",
        [
            *("a:{nothing}", "{none}", "{empty}", "{user.pk}", "{owner.nothing}", "{tags[1]}"),
            *("{}", "{0}"),
        ],
    )
    def test_presence_key_without_a_variable_names_it(self, key: str) -> None:
        view = page()
        view.presence_key, view.none, view.empty, view.tags = key, None, "", []
        view.owner, view.user = ADA, AnonymousUser()
        variable = key.partition("{")[2].partition("}")[0]
        for call in (view.get_presence_key, view.track_presence, view.list_presences):
            with pytest.raises(InvalidChannel) as error:
                call()
            assert f"needs {{{variable or '0'}}}" in str(error.value)
            assert "Page" in str(error.value)
        assert isinstance(error.value, ValueError)

    @pytest.mark.parametrize("key", ["a{", "a}", "{doc_id:nonsense}", "{doc_id!x}", "{owner!}"])
    def test_presence_key_that_is_malformed_raises(self, key: str) -> None:
        view = page()
        view.presence_key = key
        with pytest.raises(InvalidChannel, match=r"Presence key .* cannot be filled in"):
            view.get_presence_key()

    def test_presence_key_fills_in_no_variables_of_the_url(self) -> None:
        view = Page()
        view.setup(request_of(), doc_id="{request}")
        assert view.get_presence_key() == "document:{request}"

    def test_presence_key_unset_is_the_class(self) -> None:
        class Plain(PresenceMixin): ...

        assert Plain().get_presence_key() == f"{__name__}.{Plain.__qualname__}"
        assert TemplateViewOnly().get_presence_key() == "tests.unit.test_mixins.TemplateViewOnly"
        plain = Plain()
        plain.track_presence()
        assert ids(Plain().get_presence_key())

    def test_presence_key_may_be_overridden(self) -> None:
        class Room(PresenceMixin, View):
            def get_presence_key(self) -> str:
                return f"room:{self.kwargs['doc_id']}"

        page(kind=Room).track_presence()
        assert ids("room:42") == ["7"]

    def test_presence_key_is_readable_in_templates(self) -> None:
        source = "{{ view.get_presence_key }} {{ view.get_presence_user_id }}"
        assert Engine().from_string(source).render(Context({"view": page()})) == "document:42 7"


class TemplateViewOnly(PresenceMixin, TemplateView): ...


class TestIds:
    def test_user_id_is_the_primary_key_as_string(self) -> None:
        assert page().get_presence_user_id() == "7"
        assert page(SimpleLazyObject(lambda: ADA)).get_presence_user_id() == "7"

    def test_user_id_of_a_visitor_is_that_of_their_session(self) -> None:
        key = "a-session-key-of-32-characters--"
        found = page(AnonymousUser(), session_key=key).get_presence_user_id()
        assert found == visitor_of(request_of(AnonymousUser(), session_key=key)).anonymous
        assert found.startswith("anon_")
        assert key not in found

    def test_user_id_of_a_visitor_without_a_session_is_per_instance(self) -> None:
        first, second = page(AnonymousUser()), page(AnonymousUser())
        assert first.get_presence_user_id().startswith("anon_")
        assert first.get_presence_user_id() == first.get_presence_user_id()
        assert first.get_presence_user_id() != second.get_presence_user_id()

    def test_user_id_makes_no_session(self) -> None:
        view = page(AnonymousUser())
        view.request.session = session = SessionStore()
        view.track_presence()
        assert session.session_key is None
        assert not session.modified

    def test_user_id_may_be_overridden(self) -> None:
        class Bot(PresenceMixin, View):
            presence_key = "document:{doc_id}"

            def get_presence_user_id(self) -> str:
                return "bot-1"

        page(kind=Bot).track_presence()
        assert ids() == ["bot-1"]

    def test_user_id_of_a_hidden_user_is_their_own(self, settings: Any) -> None:
        settings.PRESENCE_VISIBLE = lambda user: False
        assert page().get_presence_user_id() == "7"


class TestMeta:
    def test_track_presence_adds_name_and_user_id(self) -> None:
        record = page().track_presence()
        assert record["meta"] == {"name": "Ada Lovelace", "user_id": "7"}

    @pytest.mark.parametrize(
        ("username", "name"), [("ada@example.org", "User 7"), ("Ada\x00\x07 King", "Ada King")]
    )
    def test_track_presence_never_shows_an_address(self, username: str, name: str) -> None:
        assert page(User(pk=7, username=username)).track_presence()["name"] == name

    def test_track_presence_of_a_visitor_adds_no_meta(self) -> None:
        record = page(AnonymousUser(), session_key=SESSION).track_presence()
        assert (record["name"], record["meta"]) == ("Anonymous", {})

    def test_track_presence_prefers_given_meta(self) -> None:
        record = page().track_presence({"name": "ada", "color": "#6c63ff"})
        assert record["meta"] == {"name": "ada", "user_id": "7", "color": "#6c63ff"}
        visitor = page(AnonymousUser(), session_key=SESSION)
        assert visitor.track_presence({"color": "red"})["meta"] == {"color": "red"}

    @pytest.mark.parametrize("name", ["", None, "\u3164", "\u200b \u2800"])
    def test_track_presence_replaces_an_empty_name(self, name: Any) -> None:
        record = page().track_presence({"name": name, "color": "red"})
        assert (record["name"], record["meta"]["name"]) == ("Ada Lovelace", "Ada Lovelace")

    def test_track_presence_adds_user_info(self, settings: Any) -> None:
        settings.PRESENCE_USER_INFO = lambda user: {"name": "Ada K.", "avatar": "/a.png"}
        assert page().track_presence({"color": "red"})["meta"] == {
            "name": "Ada K.",
            "user_id": "7",
            "avatar": "/a.png",
            "color": "red",
        }

    def test_track_presence_leaves_out_user_info_without_room(self, settings: Any) -> None:
        settings.PRESENCE_USER_INFO = lambda user: {"name": "Ada K.", "about": "x" * 4000}
        record = page().track_presence({"more": "y" * 100})
        assert record["meta"] == {"name": "Ada K.", "user_id": "7", "more": "y" * 100}

    @pytest.mark.parametrize("meta", [42, "name", [1], {"a": object()}])
    def test_track_presence_with_an_invalid_meta_raises(self, meta: Any) -> None:
        view = page()
        with pytest.raises(ValueError, match="meta"):
            view.track_presence(meta)
        assert (ids(), view.told) == ([], [])


class TestTracking:
    def test_track_and_untrack_add_and_remove_the_member(self) -> None:
        view = page()
        record = view.track_presence(meta={"color": "red"})
        assert view.list_presences() == [record]
        assert view.presence_count() == 1
        assert view.untrack_presence() == record
        assert view.presence_count() == 0
        assert view.untrack_presence() is None
        assert view.told == [("join", record), ("leave", record)]

    def test_untrack_presence_takes_back_only_its_own_instance(self) -> None:
        first, second = page(), page()
        first.track_presence({"name": "one"})
        second.track_presence({"name": "other"})
        assert ids() == ["7"]
        second.untrack_presence()
        assert [record["name"] for record in first.list_presences()] == ["one"]

    def test_untrack_presence_without_tracking_removes_nobody(self) -> None:
        PresenceManager.join_presence(KEY, "7")
        view = page()
        assert view.untrack_presence() is None
        assert view.update_presence_heartbeat() is False
        assert (ids(), view.told) == (["7"], [])

    def test_track_presence_again_replaces_and_calls_no_handler(self) -> None:
        view = page()
        first = view.track_presence({"state": "reading"})
        again = view.track_presence({"state": "writing"})
        assert view.list_presences() == [again]
        assert view.told == [("join", first)]

    def test_track_presence_with_another_key_leaves_the_first_room(self) -> None:
        view = page()
        view.track_presence()
        view.doc_id = 43
        view.track_presence()
        assert (ids(), ids("document:43")) == ([], ["7"])
        assert [what for what, _ in view.told] == ["join", "leave", "join"]
        view.doc_id = 44
        view.untrack_presence()
        assert ids("document:43") == [], "where one was, not where the view is now"

    def test_update_presence_heartbeat_keeps_the_member(self, site: FakePresence) -> None:
        view = page()
        view.track_presence()
        site.advance(50)
        assert view.update_presence_heartbeat() is True
        site.advance(50)
        assert ids() == ["7"]
        site.advance(61)
        assert view.update_presence_heartbeat() is False
        assert view.untrack_presence() is None
        assert [what for what, _ in view.told] == ["join"], "they went before"

    def test_track_presence_of_a_hidden_user_tracks_nobody(self, settings: Any) -> None:
        settings.PRESENCE_VISIBLE = lambda user: user.pk != 7
        view = page()
        assert view.track_presence() is None
        view.update_cursor_position(1, 2)
        assert (ids(), view.told, view.get_cursors()) == ([], [], {})
        assert view.untrack_presence() is None
        page(GRACE).track_presence()
        assert ids() == ["8"]

    def test_track_presence_notes_the_member_on_the_request(self) -> None:
        view = page()
        view.track_presence({"color": "red"})
        (noted,) = page_state(view.request).members
        channel, user, source, meta = noted
        assert (channel, user) == (CHANNEL, "7")
        assert meta == b'{"name":"Ada Lovelace","user_id":"7","color":"red"}'
        assert PresenceManager.update_heartbeat(KEY, "7", source=source) is True
        view.track_presence({"color": "blue"})
        ((_, _, again, meta),) = page_state(view.request).members
        assert (again, meta.endswith(b'"blue"}')) == (source, True)
        view.untrack_presence()
        assert page_state(view.request).members == []

    def test_two_views_of_one_request_keep_two_members(self) -> None:
        view, other = page(), page()
        other.request = view.request
        view.track_presence()
        other.track_presence()
        assert len(page_state(view.request).members) == 2
        view.untrack_presence()
        assert len(page_state(view.request).members) == 1

    def test_track_presence_while_the_store_is_down_raises(
        self, site: FakePresence, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        view = page()
        monkeypatch.setattr(site.store, "save_member", down)
        with pytest.raises(StoreError):
            view.track_presence()
        assert view.told == []
        assert page_state(view.request).members == []


def down(*_: Any, **__: Any) -> Any:
    raise StoreError("down")


class Mounted(Page):
    def mount(self, request: HttpRequest, **kwargs: Any) -> None:
        self.mounted = [*getattr(self, "mounted", []), kwargs]
        self.track_presence()


class TestMount:
    def test_mount_is_called_before_the_handler(self) -> None:
        response = Mounted.as_view()(request_of(), doc_id=42)
        assert response.content == b"7"

    def test_mount_is_not_called_for_a_denied_visitor(self) -> None:
        class Members(LoginRequiredMixin, Mounted): ...

        assert Members.as_view()(request_of(AnonymousUser()), doc_id=42).status_code == 302
        assert ids() == []
        assert Members.as_view()(request_of(), doc_id=42).content == b"7"

    @pytest.mark.parametrize(("method", "status"), [("options", 200), ("post", 405)])
    def test_mount_is_not_called_for_a_method_without_a_page(
        self, method: str, status: int
    ) -> None:
        response = Mounted.as_view()(request_of(method=method), doc_id=42)
        assert (response.status_code, ids()) == (status, [])

    def test_mount_of_a_live_view_is_left_to_it(self) -> None:
        class LiveView(View):
            def mount(self, request: HttpRequest, **kwargs: Any) -> None: ...

            def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
                self.mount(request, **kwargs)
                return HttpResponse(str(self.mounted))

        class Live(PresenceMixin, LiveView):
            presence_key = "document:{doc_id}"

            def mount(self, request: HttpRequest, **kwargs: Any) -> None:
                self.mounted = [*getattr(self, "mounted", []), kwargs]

        assert Live.as_view()(request_of(), doc_id=42).content == b"[{'doc_id': 42}]"

    def test_mount_is_called_once_when_one_handler_calls_another(self) -> None:
        class Form(Mounted):
            def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
                return self.get(request, **kwargs)

            def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
                return HttpResponse(str(len(self.mounted)))

        for method in ("get", "post", "head"):
            assert Form.as_view()(request_of(method=method), doc_id=42).content == b"1"

    def test_view_that_was_mounted_is_freed_without_the_garbage_collector(self) -> None:
        view = Mounted()
        view.setup(request_of(), doc_id=42)
        view.dispatch(view.request, **view.kwargs)
        freed = weakref.ref(view)
        gc.disable()
        try:
            del view
            assert freed() is None
        finally:
            gc.enable()

    def test_mixin_overrides_no_method_that_only_http_calls(self) -> None:
        for kind in LiveCursorMixin.__mro__:
            assert not {"setup", "dispatch", "get", "post"} & set(vars(kind)), "djust warns"

    def test_dispatch_without_mount_calls_the_handler(self) -> None:
        assert Page.as_view()(request_of(), doc_id=42).content == b""


class AsyncPage(LiveCursorMixin, View):
    presence_key = "document:{doc_id}"

    async def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        record = await self.atrack_presence({"color": "red"})
        assert await self.alist_presences() == [record]
        assert await self.apresence_count() == 1
        assert await self.aupdate_presence_heartbeat() is True
        await self.abroadcast_to_presence("saved", {"by": "ada"})
        await self.aupdate_cursor_position(1, 2)
        assert list(await self.aget_cursors()) == ["7"]
        assert await self.auntrack_presence() == record
        return HttpResponse(str(await self.aget_cursors()))


def lazy_request() -> HttpRequest:
    """A request whose user is loaded from where an event loop may not be."""
    request = AsyncRequestFactory().get("/")

    def load() -> User:
        try:
            async_to_sync(nothing)()
        except RuntimeError as error:
            raise SynchronousOnlyOperation from error
        return ADA

    request.user = SimpleLazyObject(load)
    return request


async def nothing() -> None: ...


class TestAsyncViews:
    def test_async_view_can_use_every_twin(self, site: FakePresence) -> None:
        response = async_to_sync(AsyncPage.as_view())(lazy_request(), doc_id=42)
        assert response.content == b"{}"
        assert site.centrifugo.published(CHANNEL) == [
            {"type": "presence.event", "event": "saved", "payload": {"by": "ada"}}
        ]

    @pytest.mark.parametrize(
        "name",
        [
            *("track_presence", "untrack_presence", "list_presences", "presence_count"),
            *("update_presence_heartbeat", "broadcast_to_presence"),
            *("update_cursor_position", "get_cursors"),
        ],
    )
    def test_async_twins_have_the_same_signature(self, name: str) -> None:
        plain, awaited = getattr(LiveCursorMixin, name), getattr(LiveCursorMixin, f"a{name}")
        assert inspect.signature(plain) == inspect.signature(awaited)
        assert inspect.iscoroutinefunction(awaited)

    def test_sync_mount_of_an_async_view_runs_in_a_thread(self) -> None:
        class AsyncMounted(PresenceMixin, View):
            presence_key = "document:{doc_id}"

            def mount(self, request: HttpRequest, **kwargs: Any) -> None:
                self.track_presence()

            async def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
                return HttpResponse(str(await self.apresence_count()))

        view = async_to_sync(AsyncMounted.as_view())
        assert view(lazy_request(), doc_id=42).content == b"1"
        assert view(request_of(method="post"), doc_id=43).status_code == 405
        assert ids("document:43") == []

    def test_mount_and_handlers_may_be_async(self) -> None:
        told: list[str] = []

        class AllAsync(PresenceMixin, View):
            presence_key = "document:{doc_id}"

            async def mount(self, request: HttpRequest, **kwargs: Any) -> None:
                await self.atrack_presence()

            async def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
                await self.auntrack_presence()
                return HttpResponse(str(told))

            async def handle_presence_join(self, presence: Any) -> None:
                told.append(f"{presence['name']} joined")

            async def handle_presence_leave(self, presence: Any) -> None:
                told.append(f"{presence['name']} left")

        response = async_to_sync(AllAsync.as_view())(lazy_request(), doc_id=42)
        assert response.content == b"['Ada Lovelace joined', 'Ada Lovelace left']"

    def test_sync_methods_work_in_a_loop(self) -> None:
        async def story() -> None:
            view = page()
            record = view.track_presence()
            assert view.list_presences() == [record]
            view.untrack_presence()

        async_to_sync(story)()
        assert ids() == []


class TestEvents:
    def test_broadcast_reaches_the_feed_and_no_history(self, site: FakePresence) -> None:
        before = services.gateway().positions([CHANNEL])
        page().broadcast_to_presence("saved", {"version": 3})
        page().broadcast_to_presence("saved")
        assert site.centrifugo.published(CHANNEL) == [
            {"type": "presence.event", "event": "saved", "payload": {"version": 3}},
            {"type": "presence.event", "event": "saved", "payload": {}},
        ]
        assert services.gateway().positions([CHANNEL]) == before

    @pytest.mark.parametrize("event", [None, "", 5, "x" * 101, "a\nb", "\ud800"])
    def test_broadcast_of_an_invalid_event_raises(self, site: FakePresence, event: Any) -> None:
        with pytest.raises(ValueError, match=r"event .*must"):
            page().broadcast_to_presence(event)
        assert site.centrifugo.published(CHANNEL) == []

    @pytest.mark.parametrize(
        "payload", [5, "text", [1], {"a": object()}, {"a": float("nan")}, {"a": "x" * 8200}]
    )
    def test_broadcast_of_an_invalid_payload_raises(self, site: FakePresence, payload: Any) -> None:
        with pytest.raises(ValueError, match="payload"):
            page().broadcast_to_presence("saved", payload)
        assert site.centrifugo.published(CHANNEL) == []

    def test_broadcast_beyond_the_size_of_a_diff_raises(self, site: FakePresence) -> None:
        frame = len('{"type":"presence.event","event":"e","payload":{"a":""}}')
        page().broadcast_to_presence("e", {"a": "x" * (8192 - frame)})
        with pytest.raises(ValueError, match=r"8193 bytes.*8192"):
            page().broadcast_to_presence("e", {"a": "x" * (8193 - frame)})
        assert len(site.centrifugo.published(CHANNEL)) == 1

    def test_broadcast_while_centrifugo_is_down_raises_and_push_logs(
        self, site: FakePresence, caplog: pytest.LogCaptureFixture
    ) -> None:
        site.centrifugo.error = CentrifugoUnreachable("down")
        with pytest.raises(CentrifugoUnreachable):
            page().broadcast_to_presence("saved")
        with caplog.at_level(logging.ERROR, "presence.mixins"):
            page().push_event("saved", {})
        assert "event=not-sent event=saved error=down" in caplog.text

    def test_push_event_broadcasts_to_the_room(self, site: FakePresence) -> None:
        page().push_event("flash", {"message": "Ada joined"})
        (published,) = site.centrifugo.published(CHANNEL)
        assert published["payload"] == {"message": "Ada joined"}

    def test_push_event_of_a_live_view_is_left_to_it(self, site: FakePresence) -> None:
        class LiveView:
            def push_event(self, event: str, payload: Any = None) -> None:
                self.pushed = (event, payload)

        class Live(PresenceMixin, LiveView): ...

        view = Live()
        view.push_event("flash", {"message": "Ada joined"})
        assert view.pushed == ("flash", {"message": "Ada joined"})
        assert site.centrifugo.published(CHANNEL) == []


class StopConsumer(Exception): ...


class Consumer:
    """Consumer that ends as a WebsocketConsumer of Channels."""

    def __init__(self, scope: dict[str, Any]) -> None:
        super().__init__()
        self.scope = scope
        self.codes: list[int] = []

    def dispatch(self, message: dict[str, Any]) -> Any:
        return getattr(self, message["type"].replace(".", "_"))(message)

    def websocket_disconnect(self, message: dict[str, Any]) -> None:
        self.disconnect(message["code"])
        raise StopConsumer

    def disconnect(self, code: int) -> None:
        self.codes.append(code)


class AsyncConsumer(Consumer):
    async def dispatch(self, message: dict[str, Any]) -> Any:
        await getattr(self, message["type"].replace(".", "_"))(message)

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        await self.disconnect(message["code"])
        raise StopConsumer

    async def disconnect(self, code: int) -> None:
        self.codes.append(code)


GONE = {"type": "websocket.disconnect", "code": 1001}


class TestConsumers:
    def test_consumer_takes_user_and_variables_from_the_scope(self) -> None:
        class Document(PresenceMixin, Consumer):
            presence_key = "document:{doc_id}"

        ada = Document(scope_of(doc_id=42))
        assert ada.track_presence()["id"] == "7"
        key = "a-session-key-of-32-characters--"
        other = Document(scope_of(AnonymousUser(), session_key=key, doc_id=42))
        found = other.track_presence()
        assert found["id"] == visitor_of(request_of(AnonymousUser(), session_key=key)).anonymous
        assert PresenceManager.presence_count(KEY) == 2

    def test_consumer_with_an_empty_scope_tracks_a_visitor(self) -> None:
        class Anywhere(PresenceMixin, Consumer): ...

        assert Anywhere({}).track_presence()["id"].startswith("anon_")

    def test_consumer_that_is_disconnected_untracks(self) -> None:
        class Document(Told, PresenceMixin, Consumer):
            presence_key = "document:{doc_id}"

        consumer = Document(scope_of(doc_id=42))
        consumer.track_presence()
        with pytest.raises(StopConsumer):
            consumer.dispatch(GONE)
        assert (ids(), consumer.codes) == ([], [1001])
        assert [what for what, _ in consumer.told] == ["join", "leave"]

    def test_consumer_that_is_disconnected_leaves_nothing_in_the_store(
        self, site: FakePresence
    ) -> None:
        class Document(PresenceMixin, Consumer):
            presence_key = "document:{doc_id}"

        for _ in range(3):
            consumer = Document(scope_of(doc_id=42))
            consumer.track_presence()
            with pytest.raises(StopConsumer):
                consumer.dispatch(GONE)
        assert site.store._flags == {}

    def test_consumer_whose_disconnect_fails_untracks(self) -> None:
        class Document(PresenceMixin, Consumer):
            presence_key = "document:{doc_id}"

            def disconnect(self, code: int) -> None:
                raise RuntimeError("a mistake of the site")

        consumer = Document(scope_of(doc_id=42))
        consumer.track_presence()
        with pytest.raises(RuntimeError):
            consumer.dispatch(GONE)
        assert ids() == []

    def test_consumer_with_disconnect_alone_untracks(self) -> None:
        class Document(PresenceMixin, Consumer):
            presence_key = "document:{doc_id}"

        consumer = Document(scope_of(doc_id=42))
        consumer.track_presence()
        consumer.disconnect(1000)
        assert (ids(), consumer.codes) == ([], [1000])

    @pytest.mark.parametrize("own", [False, True])
    def test_async_consumer_that_is_disconnected_untracks(self, own: bool) -> None:
        class Document(PresenceMixin, AsyncConsumer):
            presence_key = "document:{doc_id}"

        class Own(Document):
            async def disconnect(self, code: int) -> None:
                self.codes.append(-code)

        kind = Own if own else Document

        async def story() -> None:
            user = SimpleLazyObject(lambda: ADA)
            consumer = kind(scope_of(user, doc_id=42))
            await consumer.atrack_presence()
            assert await PresenceManager.apresence_count(KEY) == 1
            with pytest.raises(StopConsumer):
                await consumer.dispatch(GONE)
            assert consumer.codes == [-1001 if own else 1001]

        async_to_sync(story)()
        assert ids() == []

    def test_consumer_that_tracked_nobody_disconnects(self) -> None:
        class Document(LiveCursorMixin, Consumer):
            presence_key = "document:{doc_id}"

        with pytest.raises(StopConsumer):
            Document(scope_of()).dispatch(GONE)

    def test_consumer_while_the_store_is_down_logs_and_raises_its_own_error(
        self,
        site: FakePresence,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        class Document(PresenceMixin, Consumer):
            presence_key = "document:{doc_id}"

        consumer = Document(scope_of(doc_id=42))
        consumer.track_presence()
        monkeypatch.setattr(site.store, "delete_member", down)
        with pytest.raises(StopConsumer), caplog.at_level(logging.ERROR, "presence.mixins"):
            consumer.dispatch(GONE)
        assert "presence=not-taken-back view=Document error=down" in caplog.text
        site.advance(61)
        assert ids() == []

    def test_disconnect_of_a_view_untracks(self) -> None:
        view = page()
        view.track_presence()
        view.disconnect()
        assert ids() == []


class TestCursors:
    def test_update_cursor_position_uses_the_tracked_meta(self) -> None:
        view = page()
        view.track_presence({"color": "red"})
        view.update_cursor_position(0.25, 0.5)
        cursor = view.get_cursors()["7"]
        assert (cursor["x"], cursor["y"]) == (0.25, 0.5)
        assert cursor["meta"] == {"name": "Ada Lovelace", "user_id": "7", "color": "red"}
        assert CursorTracker.get_cursors(KEY) == view.get_cursors()

    def test_update_cursor_position_without_tracking_has_a_name(self) -> None:
        page().update_cursor_position(1, 2)
        assert CursorTracker.get_cursors(KEY)["7"]["meta"]["name"] == "Ada Lovelace"

    def test_handle_cursor_move_moves_and_may_be_overridden(self) -> None:
        view = page()
        view.handle_cursor_move(3, 4)
        assert view.get_cursors()["7"]["x"] == 3

        class Coarse(Page):
            def handle_cursor_move(self, x: float, y: float) -> None:
                self.update_cursor_position(round(x), round(y))

        page(GRACE, Coarse).handle_cursor_move(3.3, 4.4)
        assert view.get_cursors()["8"]["x"] == 3

    @pytest.mark.parametrize("tracked", [True, False])
    def test_untrack_presence_removes_the_cursor(self, tracked: bool) -> None:
        view = page()
        if tracked:
            view.track_presence()
        view.update_cursor_position(1, 2)
        page(GRACE).update_cursor_position(1, 2)
        view.untrack_presence()
        assert list(view.get_cursors()) == ["8"]

    def test_untrack_presence_removes_a_cursor_of_another_request(self) -> None:
        view = page()
        view.track_presence()
        page().update_cursor_position(1, 2)
        view.untrack_presence()
        assert view.get_cursors() == {}

    @pytest.mark.parametrize("place", [("1", 2), (1, None), (float("nan"), 0)])
    def test_update_cursor_position_of_an_invalid_place_raises(self, place: Any) -> None:
        with pytest.raises(ValueError, match=r"must"):
            page().update_cursor_position(*place)


def test_async_twins_load_the_user_in_a_thread() -> None:
    """The twins run where a loop is not: the user of the request may be loaded there."""

    async def story() -> None:
        view = AsyncPage()
        view.setup(lazy_request(), doc_id=42)
        with pytest.raises(SynchronousOnlyOperation):
            view.track_presence()
        assert (await view.atrack_presence())["id"] == "7"
        await sync_to_async(view.untrack_presence)()

    async_to_sync(story)()
