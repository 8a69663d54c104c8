"""Members from Python on a real Redis, seen through a real Centrifugo (or the devserver)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import cent
import pytest
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.views import View

from presence import services
from presence.exceptions import CentrifugoUnreachable, CommandError, StoreError
from presence.manager import PresenceManager
from presence.mixins import LiveCursorMixin
from presence.snapshots import read_records, read_snapshot
from presence_devtools import servers
from presence_devtools.servers import free_port
from tests.websocket_clients import Recorder, Swarm

META = {"name": "Zoë", "color": "#4363d8"}
SHOWN = {"id": "bot-7", "name": "Zoë", "info": {"color": "#4363d8"}}


@pytest.fixture
def online(online: Any) -> Any:
    online.PRESENCE_USER_INFO = None
    online.PRESENCE_LEAVE_GRACE = 600
    return online


@pytest.fixture
def key() -> str:
    return f"doc:{uuid.uuid4().hex}"


@pytest.fixture
def channel(key: str) -> str:
    return PresenceManager.presence_group_name(key)


@pytest.fixture
def seen(online: Any, swarm: Swarm, channel: str) -> Recorder:
    """Return the recorder of a page in the room, after the first tick."""
    recorder = swarm.subscribe("watcher", channel)
    tick()
    servers.wait_until(lambda: bool(recorder.publications), "the diff of the watcher")
    recorder.publications.clear()
    return recorder


class Whiteboard(LiveCursorMixin, View):
    presence_key = "{key}"


@pytest.fixture
def view(online: Any, key: str) -> Whiteboard:
    request = RequestFactory().get("/")
    request.user = User(pk=42, username="ada")
    view = Whiteboard()
    view.setup(request, key=key)
    return view


def tick() -> None:
    report = services.sync().tick(interval=1e-9)
    assert report.failures == []


def received(seen: Recorder, number: int = 1) -> list[dict[str, Any]]:
    servers.wait_until(lambda: len(seen.publications) >= number, f"{number} publications")
    return seen.publications


def ids(key: str) -> list[str]:
    return sorted(record["id"] for record in PresenceManager.list_presences(key))


def test_member_from_python_is_in_list_snapshot_and_diff_until_leave(
    seen: Recorder, key: str, channel: str
) -> None:
    record = PresenceManager.join_presence(key, "bot-7", META)
    assert ids(key) == ["bot-7", "watcher"]
    tick()
    (diff,) = received(seen)
    assert (diff["joins"], diff["leaves"], diff["total"]) == ([SHOWN], [], 2)
    assert {member.id for member in read_snapshot(channel).members} == {"bot-7", "watcher"}
    assert record in PresenceManager.list_presences(key)
    assert PresenceManager.leave_presence(key, "bot-7") == record
    assert ids(key) == ["watcher"]
    tick()
    assert received(seen, 2)[1]["leaves"] == ["bot-7"]
    assert [member.id for member in read_snapshot(channel).members] == ["watcher"]


def test_member_from_python_and_websocket_stays_until_both_leave(
    seen: Recorder, swarm: Swarm, online: Any, key: str
) -> None:
    online.PRESENCE_LEAVE_GRACE = 0
    swarm.connect("7", PresenceManager.presence_group_name(key), name="Zoë")
    PresenceManager.join_presence(key, "7", META)
    PresenceManager.join_presence(key, "7", META, source="other")
    tick()
    assert ids(key) == ["7", "watcher"]
    swarm.disconnect("7")
    PresenceManager.leave_presence(key, "7")
    tick()
    assert ids(key) == ["7", "watcher"]
    PresenceManager.leave_presence(key, "7", source="other")
    tick()
    assert ids(key) == ["watcher"]
    changes = [(len(diff["joins"]), diff["leaves"]) for diff in received(seen, 2)]
    assert changes == [(1, []), (0, ["7"])]


def test_event_reaches_subscribers_and_is_not_kept(
    seen: Recorder, view: Whiteboard, channel: str, centrifugo: servers.Centrifugo
) -> None:
    view.broadcast_to_presence("saved", {"by": "Zoë", "at": 3})
    view.broadcast_to_presence("saved")
    api = cent.Client(centrifugo.api_url, servers.API_KEY)
    history = api.history(cent.HistoryRequest(channel=channel, limit=100))
    assert [publication.data["type"] for publication in history.publications] == ["presence.diff"]
    assert received(seen, 2) == [
        {"type": "presence.event", "event": "saved", "payload": {"by": "Zoë", "at": 3}},
        {"type": "presence.event", "event": "saved", "payload": {}},
    ]


def test_event_of_maximum_size_reaches_subscribers(seen: Recorder, view: Whiteboard) -> None:
    frame = len('{"type":"presence.event","event":"e","payload":{"a":""}}')
    view.broadcast_to_presence("e", {"a": "x" * (8192 - frame)})
    (event,) = received(seen)
    assert len(event["payload"]["a"]) == 8192 - frame


def test_event_that_cannot_be_sent_raises(
    online: Any, view: Whiteboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("presence.manager.feed_of", lambda channel: f"nonsense:{channel}")
        with pytest.raises(CommandError, match=r"channel\.namespaces"):
            view.broadcast_to_presence("saved")
    online.CENTRIFUGO_API_URL = f"http://127.0.0.1:{free_port()}/api"
    with pytest.raises(CentrifugoUnreachable):
        view.broadcast_to_presence("saved")


def test_view_joins_moves_a_cursor_and_leaves(
    seen: Recorder, view: Whiteboard, swarm: Swarm, key: str
) -> None:
    cursors = swarm.subscribe("watcher", f"cursors:{key}")
    view.track_presence({"color": "#4363d8"})
    view.update_cursor_position(0.25, 0.5)
    assert view.update_presence_heartbeat() is True
    assert services.outbox.flush(10)
    tick()
    view.untrack_presence()
    tick()
    came, went = received(seen, 2)
    assert came["joins"] == [{"id": "42", "name": "ada", "info": {"color": "#4363d8"}}]
    assert went["leaves"] == ["42"]
    meta = {"name": "ada", "user_id": "42", "color": "#4363d8"}
    assert received(cursors, 2) == [
        {"x": 0.25, "y": 0.5, "user": "42", "meta": meta},
        {"gone": True, "user": "42"},
    ]


@pytest.mark.usefixtures("online")
class TestRoundTrips:
    @pytest.mark.parametrize(
        ("call", "trips"),
        [
            (lambda key: PresenceManager.join_presence(key, "8", META), 1),
            (lambda key: PresenceManager.update_heartbeat(key, "7"), 1),
            (lambda key: PresenceManager.leave_presence(key, "7"), 3),
            (lambda key: PresenceManager.list_presences(key), 1),
            (lambda key: PresenceManager.presence_count(key), 1),
            (lambda key: read_records([f"presence:{key}:{n}" for n in range(50)]), 1),
            (lambda key: read_records([]), 0),
        ],
    )
    def test_manager_calls_take_the_documented_round_trips(
        self, key: str, round_trips: list[object], call: Callable[[str], object], trips: int
    ) -> None:
        PresenceManager.join_presence(key, "7", META)
        PresenceManager.list_presences(key)
        round_trips.clear()
        call(key)
        assert len(round_trips) == trips


def test_manager_calls_without_redis_raise_store_error(
    online: Any, view: Whiteboard, key: str
) -> None:
    online.PRESENCE_REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    for call in (
        lambda: PresenceManager.join_presence(key, "7"),
        lambda: PresenceManager.leave_presence(key, "7"),
        lambda: PresenceManager.update_heartbeat(key, "7"),
        lambda: PresenceManager.list_presences(key),
        view.track_presence,
        view.get_cursors,
    ):
        with pytest.raises(StoreError):
            call()
