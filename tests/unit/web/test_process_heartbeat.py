"""The heartbeat of a process, and what it keeps: consumers and live views, not pages."""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.views.generic import View

from presence import mixins, services
from presence.exceptions import InvalidChannel, StoreError
from presence.manager import PresenceManager
from presence.mixins import PresenceMixin
from presence.testing import FakePresence
from presence.web.page import page_state
from presence.web.process_heartbeat import ProcessHeartbeat
from presence_devtools.servers import wait_until

KEY = "document:42"
CHANNEL = f"presence:{KEY}"
ADA = User(pk=7, username="ada")
GRACE = User(pk=8, username="grace")


class Beats:
    """Heartbeat whose thread waits until the test lets it go on."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.go = threading.Semaphore(0)
        self.heartbeat = ProcessHeartbeat(self.wait, lambda: sum(self.waits[: self.passed]))
        self.passed = 0

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.go.acquire()
        self.passed += 1


@pytest.fixture(autouse=True)
def site() -> Iterator[FakePresence]:
    with FakePresence() as site:
        yield site


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> Beats:
    beats = Beats()
    monkeypatch.setattr(mixins, "process_heartbeat", beats.heartbeat)
    return beats


class Consumer(PresenceMixin):
    presence_key = KEY

    def __init__(self, user: User = ADA) -> None:
        self.scope = {"type": "websocket", "user": user}


class LiveBase(View):
    """The base of a framework of live views."""

    def mount(self, request: Any, **kwargs: Any) -> None: ...

    def get(self, request: Any, **kwargs: Any) -> Any:
        self.mount(request, **kwargs)
        return SimpleNamespace(view=self)


class LiveDocument(PresenceMixin, LiveBase):
    presence_key = "document:{doc_id}"

    def mount(self, request: Any, **kwargs: Any) -> None:
        self.doc_id = kwargs["doc_id"]
        self.joined: list[Any] = []
        self.record = self.track_presence({"color": "red"})

    def handle_presence_join(self, presence: Any) -> None:
        self.joined.append(presence)


def request_of(user: User = ADA, *, routed: bool = False) -> Any:
    request: Any = RequestFactory().get("/")
    request.resolver_match = object() if routed else None
    request.user, request.session = user, SimpleNamespace(session_key=None)
    return request


def socket_view() -> LiveDocument:
    """Return a live view as its framework makes it for a socket, without a URL of Django."""
    view = LiveDocument()
    view.request = request_of()
    view.mount(view.request, doc_id=42)
    return view


def ids() -> list[str]:
    return [record["id"] for record in PresenceManager.list_presences(KEY)]


def down(*_: Any, **__: Any) -> Any:
    raise StoreError("down")


def test_beat_keeps_quiet_consumers_in_one_call(
    site: FakePresence, beats: Beats, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumers = [Consumer(user) for user in (ADA, GRACE, ADA)]
    for consumer in consumers:
        consumer.track_presence()
    calls: list[int] = []
    touch = site.store.touch_members

    def count(members: Any, **options: Any) -> list[bool]:
        calls.append(len(members))
        return touch(members, **options)

    monkeypatch.setattr(site.store, "touch_members", count)
    for _ in range(20):
        site.advance(30)
        assert beats.heartbeat.beat()
    assert ids() == ["7", "8"]
    assert calls == [3] * 20
    site.advance(61)
    assert ids() == [], "nobody stays when the process is gone"


def test_collected_instance_is_taken_back_at_once(site: FakePresence) -> None:
    consumer, other = Consumer(ADA), Consumer(GRACE)
    consumer.track_presence()
    other.track_presence()
    assert ids() == ["7", "8"]
    del consumer
    gc.collect()
    wait_until(lambda: ids() == ["8"], "the collected one is gone")
    other.untrack_presence()


def test_collected_instance_is_logged_when_the_store_is_down(
    site: FakePresence, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    consumer, other = Consumer(ADA), Consumer(GRACE)
    consumer.track_presence()
    other.track_presence()
    with monkeypatch.context() as patch:
        patch.setattr(site.store, "delete_member", down)
        del consumer
        gc.collect()
        wait_until(lambda: "presence=not-taken-back" in caplog.text, "it is logged")
    del other
    gc.collect()
    wait_until(lambda: ids() == ["7"], "the thread goes on")


def test_beat_keeps_nobody_who_untracked(site: FakePresence, beats: Beats) -> None:
    consumer = Consumer()
    consumer.track_presence()
    consumer.untrack_presence()
    beats.heartbeat.beat()
    assert ids() == []


def test_beat_joins_lost_members_again_with_their_meta(site: FakePresence, beats: Beats) -> None:
    consumer = Consumer()
    consumer.track_presence({"color": "red"})
    consumer.track_presence({"color": "blue"})
    site.advance(61)
    assert ids() == []
    beats.heartbeat.beat()
    assert [record["color"] for record in PresenceManager.list_presences(KEY)] == ["blue"]


def test_beat_keeps_nobody_of_a_store_that_was_replaced(beats: Beats) -> None:
    consumer = Consumer()
    consumer.track_presence()
    with FakePresence():
        assert beats.heartbeat.beat()
        assert ids() == []
    assert not beats.heartbeat._kept


def test_untrack_while_a_lost_member_joins_again_has_priority(
    site: FakePresence, beats: Beats, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = Consumer()
    consumer.track_presence()
    site.advance(61)
    save = site.store.save_member
    untracking = threading.Thread(target=consumer.untrack_presence)

    def untrack_first(*arguments: Any, **options: Any) -> Any:
        untracking.start()
        untracking.join(0.2)  # It waits until the member is saved.
        return save(*arguments, **options)

    monkeypatch.setattr(site.store, "save_member", untrack_first)
    beats.heartbeat.beat()
    untracking.join(10)
    assert ids() == []


def test_store_that_is_down_is_logged_once_and_retried_soon(
    site: FakePresence,
    beats: Beats,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    consumer = Consumer()
    consumer.track_presence()
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO, "presence.heartbeat"):
        patch.setattr(site.store, "touch_members", down)
        for beaten in range(3):
            beats.go.release()
            wait_until(lambda n=beaten + 2: len(beats.waits) == n, "the thread has beaten")
        assert not beats.heartbeat.beat()
    assert caplog.text.count("heartbeat=failed error=down") == 1
    with caplog.at_level(logging.INFO, "presence.heartbeat"):
        assert beats.heartbeat.beat()
    assert caplog.text.count("heartbeat=back") == 1
    assert beats.waits == [30.0, 6.0, 6.0, 6.0]


def test_thread_ends_with_the_last_member_and_starts_again(beats: Beats) -> None:
    consumer = Consumer()
    consumer.track_presence()
    thread = beats.heartbeat._thread
    assert thread is not None
    assert thread.daemon
    wait_until(lambda: bool(beats.waits), "the thread waits")
    consumer.untrack_presence()
    beats.go.release()
    thread.join(10)
    assert not thread.is_alive()
    consumer.track_presence()
    assert beats.heartbeat._thread not in (None, thread)


def test_forked_process_keeps_no_member_of_its_parent(site: FakePresence) -> None:
    consumer = Consumer()
    consumer.track_presence()
    assert mixins.process_heartbeat._kept
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, b"%d" % len(mixins.process_heartbeat._kept))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 10) == b"0"
    consumer.untrack_presence()


def test_page_is_not_kept_by_the_process(beats: Beats) -> None:
    class Page(PresenceMixin, View):
        presence_key = KEY

    view = Page()
    view.setup(request_of())
    view.track_presence()
    assert not beats.heartbeat._kept
    assert len(page_state(view.request).members) == 1


def test_live_view_that_renders_a_page_tracks_nobody(beats: Beats) -> None:
    response = LiveDocument.as_view()(request_of(routed=True), doc_id=42)
    assert (response.view.record, response.view.joined, ids()) == (None, [], [])
    assert page_state(response.view.request).members == []


def test_live_view_of_a_routed_request_tracks_nobody(beats: Beats) -> None:
    view = LiveDocument()  # a part of a page
    view.request = request_of(routed=True)
    view.mount(view.request, doc_id=42)
    assert (view.record, ids()) == (None, [])


def test_live_view_of_a_socket_joins_once_and_is_kept(site: FakePresence, beats: Beats) -> None:
    view = socket_view()
    assert view.joined == [view.record]
    assert page_state(view.request).members == []
    site.advance(50)
    beats.heartbeat.beat()
    site.advance(50)
    assert ids() == ["7"]


def test_live_view_that_leaves_its_socket_is_gone_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(
        LiveBase, "_cleanup_uploads", lambda self: calls.append(self), raising=False
    )
    view = socket_view()
    for _ in range(2):
        view._cleanup_uploads()
        wait_until(lambda: ids() == [], "the view is gone")
    assert len(calls) == 2


def restored(view: LiveDocument, doc_id: int = 42) -> LiveDocument:
    """Return the view that its framework makes with the state of `view`, without `mount`."""
    kept = {name: value for name, value in vars(view).items() if name == "_presence_meta"}
    again = LiveDocument()
    again.request, again.doc_id, again.joined = request_of(), doc_id, []
    again.kwargs = {"doc_id": doc_id}  # as `View.setup` left it in the state
    vars(again).update(json.loads(json.dumps(kept)))
    again._restore_presence()
    return again


def test_live_view_that_is_restored_tracks_as_its_mount_did(beats: Beats) -> None:
    page = LiveDocument.as_view()(request_of(routed=True), doc_id=42).view
    view = restored(page)
    (record,) = PresenceManager.list_presences(KEY)
    assert (record["color"], len(view.joined)) == ("red", 1)
    assert list(beats.heartbeat._kept) == [view._presence.source]


def test_live_view_that_moved_to_another_room_is_restored_there(beats: Beats) -> None:
    view = socket_view()
    view.doc_id = 43
    view.track_presence({"color": "blue"})
    view = restored(view, doc_id=43)
    assert [record["color"] for record in PresenceManager.list_presences("document:43")] == ["blue"]


def test_live_view_that_untracked_is_restored_without(beats: Beats) -> None:
    view = socket_view()
    view.untrack_presence()
    assert restored(view).joined == []
    assert ids() == []


def test_restoring_while_the_store_is_down_is_logged(
    site: FakePresence, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    page = LiveDocument.as_view()(request_of(routed=True), doc_id=42).view
    monkeypatch.setattr(site.store, "save_member", down)
    restored(page)
    assert "presence=not-restored view=LiveDocument error=down" in caplog.text


def test_live_view_before_mount_has_its_key_as_written() -> None:
    view = LiveDocument()
    assert view.get_presence_key() == "document:{doc_id}"
    view.request = request_of()
    for call in (view.track_presence, view.list_presences, view.presence_count):
        with pytest.raises(InvalidChannel, match=r"needs \{doc_id\}"):
            call()
    assert services.tracker().load_tracker_state(timeout=60).channels == frozenset()
