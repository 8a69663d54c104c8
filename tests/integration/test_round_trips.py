"""Round trips to Redis: of a tick two for each batch, of a move one, of a heartbeat one."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
from django.test import RequestFactory

from presence import services
from presence.backends.redis.store import RedisStore
from presence.centrifugo.gateway import Gateway
from presence.mixins import PresenceMixin
from presence.roster.messages import Change
from presence.sync.context import Announce, Options
from presence.sync.tick import Sync
from presence.web.heartbeat import Lifeline, heartbeat, make_lifeline
from presence.web.process_heartbeat import ProcessHeartbeat
from presence.web.publish_proxy import publish
from tests.unit.fakes import FakeCentrifugo

ROOMS = [f"presence:{number}" for number in range(30)]
BATCHES = 10


def nobody(channel: str, version: int, change: Change, epoch: str) -> None:
    """Receiver of signals that does nothing."""


@pytest.fixture
def centrifugo() -> FakeCentrifugo:
    centrifugo = FakeCentrifugo()
    for room in ROOMS:
        centrifugo.enter(room, "c1", "ada", "Ada")
    return centrifugo


@pytest.fixture
def spent(
    redis_url: str, centrifugo: FakeCentrifugo, round_trips: list[object]
) -> Callable[[Announce | None, int], int]:
    """Run a tick over `ROOMS` in so many batches. Returns its round trips without those of the
    log."""
    store = RedisStore(redis_url)

    def tick(announce: Announce | None, batches: int) -> int:
        options = Options(batch_size=len(ROOMS) // batches, grace=0.0)
        sync = Sync(store, Gateway(centrifugo), options, announce=announce)
        rooms, before = ROOMS[: batches * options.batch_size], len(round_trips)
        assert sync.tick(rooms).errors == 0
        return len(round_trips) - before - books

    books = 0
    tick(nobody, 1)
    round_trips.clear()
    Sync(store, Gateway(centrifugo), Options(), announce=None).tick([])
    books = len(round_trips)
    return tick


@pytest.mark.parametrize("announce", [None, nobody], ids=["nobody listens", "somebody listens"])
def test_tick_takes_two_round_trips_for_each_batch(
    spent: Callable[[Announce | None, int], int],
    centrifugo: FakeCentrifugo,
    announce: Announce | None,
) -> None:
    """With changes, each batch that was read ahead takes one more, and the end one or two for
    the last acknowledgements and signals."""
    assert spent(announce, BATCHES) == 2 * BATCHES
    for room in ROOMS:
        centrifugo.enter(room, "c2", "alan", "Alan")
    ahead, end = 3, 1 if announce is None else 2
    assert spent(announce, BATCHES) <= 2 * BATCHES + ahead + end


@pytest.mark.parametrize(("announce", "trips"), [(None, 4), (nobody, 5)])
def test_tick_of_one_room_takes_few_round_trips(
    spent: Callable[[Announce | None, int], int],
    centrifugo: FakeCentrifugo,
    announce: Announce | None,
    trips: int,
) -> None:
    """State, roster, commit, acknowledgement, and the note that signals were sent."""
    assert spent(announce, 1) == 2
    centrifugo.enter(ROOMS[0], "c2", "alan", "Alan")
    assert spent(announce, 1) == trips


@pytest.mark.parametrize(("tracked", "trips"), [(False, 1), (True, 2)])
def test_proxy_takes_one_round_trip_for_a_move(
    settings: Any, redis_url: str, round_trips: list[object], tracked: bool, trips: int
) -> None:
    """The subscription of the client is known already."""
    settings.PRESENCE_REDIS_URL = redis_url
    settings.CENTRIFUGO_API_KEY = "key"
    settings.PRESENCE_CURSOR_TRACK = tracked
    services.tracker().set_flag("c1:cursors:doc:42", seconds=60)
    asked = {"client": "c1", "user": "42", "channel": "cursors:doc:42", "data": {"x": 1, "y": 2}}
    body = json.dumps(asked, separators=(",", ":"))
    round_trips.clear()
    response = publish(
        RequestFactory().post(
            "/", body, content_type="application/json", headers={"X-API-Key": "key"}
        )
    )
    assert json.loads(response.content) == {"result": {}}
    assert len(round_trips) == trips


def test_heartbeat_takes_one_round_trip(
    settings: Any, redis_url: str, round_trips: list[object]
) -> None:
    """A join or a leave takes a few more."""
    settings.PRESENCE_REDIS_URL = redis_url
    lifeline = Lifeline("presence:1", "", 0.0, "bot", "page-1", "{}")
    token = make_lifeline(lifeline, now=services.now())

    def trips(status: int, **said: bool) -> int:
        body = json.dumps({"tokens": [token], **said})
        round_trips.clear()
        response = heartbeat(RequestFactory().post("/", body, content_type="text/plain"))
        assert response.status_code == status
        return len(round_trips)

    trips(200)
    assert [trips(200) for _ in range(3)] == [1, 1, 1]
    assert trips(204, leave=True) == 4
    assert trips(200, back=True) == 3


def test_process_keeps_all_its_views_in_one_round_trip(
    redis_url: str, settings: Any, round_trips: list[object]
) -> None:
    settings.PRESENCE_REDIS_URL = redis_url
    views = [PresenceMixin() for _ in range(300)]
    for number, view in enumerate(views):
        view.presence_key = f"room:{number % 20}"
        view.track_presence()
    heartbeat = ProcessHeartbeat(lambda _: Event().wait() and None)
    for view in views:
        member = (f"presence:{view.presence_key}", view._presence.here.user, view._presence.source)
        heartbeat.keep(view, member, b"{}")
    round_trips.clear()
    assert heartbeat.beat()
    assert len(round_trips) == 1
    for view in views:
        view.untrack_presence()
