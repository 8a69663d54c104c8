"""Moves through Centrifugo's publish proxy and our view, from end to end."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import cent
import pytest
import pytest_asyncio
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

from presence.centrifugo.tokens import Issuer
from presence.cursors import CURSOR_TIMEOUT, CursorTracker
from presence.roster.people import UserClaims
from presence_devtools import servers
from tests.contract.clients import Subscribed, Visitor

pytestmark = [pytest.mark.asyncio, pytest.mark.contract]

PLACE = {"x": 0.4125, "y": 0.7301}
ADA = UserClaims(name="Ada Lovelace", info={"color": "#4363d8"})
# Answers of our view, and the one for those it gives no answer to.
BAD, FORBIDDEN, TOO_LARGE, TOO_MANY, NO_ANSWER = 400, 403, 413, 429, 100

_numbers = itertools.count()


class Quiet(WSGIRequestHandler):
    # Otherwise every answer waits 40 ms, between its head and its body.
    disable_nagle_algorithm = True

    def log_message(self, *about: object) -> None: ...


@pytest.fixture(scope="module")
def django_url() -> Iterator[str]:
    """Serve the demo site in a thread of this process, with the `settings` of the test."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(WSGIHandler())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def proxying(
    django_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[servers.Centrifugo]:
    """Run a Centrifugo with the project's configuration that asks our view about moves."""
    proxy = "CENTRIFUGO_CHANNEL_PROXY_PUBLISH"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CENTRIFUGO_CHANNEL_NAMESPACES_CURSORS_PUBLISH_PROXY_ENABLED", "true")
        patch.setenv(f"{proxy}_ENDPOINT", f"{django_url}/presence/publish/")
        patch.setenv(f"{proxy}_TIMEOUT", "20s")
        patch.setenv(f"{proxy}_INCLUDE_CONNECTION_META", "true")
        headers = json.dumps({"X-API-Key": servers.API_KEY})
        patch.setenv(f"{proxy}_HTTP_STATIC_HEADERS", headers)
        with servers.centrifugo_server(tmp_path_factory.mktemp("proxying")) as server:
            yield server


@pytest.fixture(autouse=True)
def site(settings: Any, redis_url: str, proxying: servers.Centrifugo) -> Any:
    """Return the settings of the site on these parts."""
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    settings.PRESENCE_REDIS_URL = redis_url
    for name, value in proxying.environment.items():
        setattr(settings, name, value)
    return settings


@pytest.fixture
def key() -> str:
    """Return a presence key that no other test uses."""
    return f"doc:{next(_numbers)}"


class People:
    """Connections of people with our tokens, to the cursors of one room by default."""

    def __init__(self, url: str, key: str) -> None:
        self.cursors = f"cursors:{key}"
        self._url = url
        self._visitors: list[Visitor] = []

    async def connect(self, user: str = "42", *, tracked: bool = False) -> Visitor:
        visitor = Visitor(self._url, self._issuer(user, tracked).connection())
        self._visitors.append(visitor)
        return await visitor.connect()

    async def subscribe(self, visitor: Visitor, user: str = "42", cursors: str = "") -> Subscribed:
        cursors = cursors or self.cursors
        return await visitor.subscribe(cursors, self._issuer(user).subscription(cursors))

    async def watch(self) -> Subscribed:
        return await self.subscribe(await self.connect("7"), "7")

    async def move(self, visitor: Visitor, data: Any = PLACE) -> int:
        return await visitor.publish(self.cursors, data)

    async def leave(self) -> None:
        for visitor in self._visitors:
            await visitor.client.disconnect()

    @staticmethod
    def _issuer(user: str, tracked: bool = False) -> Issuer:
        return Issuer(
            secret=servers.TOKEN_SECRET,
            user_id=user,
            info=ADA if user == "42" else UserClaims(),
            now=time.time(),
            lifetime=3600.0,
            tracked=tracked,
        )


@pytest_asyncio.fixture
async def people(proxying: servers.Centrifugo, key: str) -> AsyncIterator[People]:
    people = People(proxying.ws_url, key)
    yield people
    await people.leave()


async def seen(watching: Subscribed) -> Any:
    return (await watching.events.next("publication")).pub


async def nothing_else(watching: Subscribed, people: People, server: servers.Centrifugo) -> None:
    """A publication of the server arrives after all earlier ones."""
    last = {"x": 1, "y": 1, "user": "server"}
    client = cent.Client(server.api_url, servers.API_KEY)
    client.publish(cent.PublishRequest(channel=people.cursors, data=last))
    assert (await seen(watching)).data == last


async def test_proxy_allows_moves_of_subscribers(people: People) -> None:
    watching, mover = await people.watch(), await people.connect()
    await people.subscribe(mover)
    for data in (PLACE, {"x": 0, "y": 1}, {"x": 812.5, "y": 99_999}, {"gone": True}):
        assert await people.move(mover, data) == 0
        publication = await seen(watching)
        assert publication.data == data
        assert (publication.info.user, publication.info.client) == ("42", mover.id)
        assert publication.info.conn_info["name"] == "Ada Lovelace"


async def test_proxy_removes_unknown_fields_of_a_move(people: People) -> None:
    watching, mover = await people.watch(), await people.connect()
    await people.subscribe(mover)
    more = {"user": "7", "meta": {"name": "Bob"}, "client": "x"}
    assert await people.move(mover, {**PLACE, **more}) == 0
    assert (await seen(watching)).data == PLACE
    assert await people.move(mover, {**PLACE, **more, "gone": True}) == 0
    assert (await seen(watching)).data == {"gone": True}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, BAD),
        ({"x": 0.5}, BAD),
        ({"x": "0.5", "y": 0.5}, BAD),
        ({"x": True, "y": 0.5}, BAD),
        ({"x": None, "y": 0.5}, BAD),
        ({"x": -0.1, "y": 0.5}, BAD),
        ({"x": 0.5, "y": 100_001}, BAD),
        ({"x": 0.5, "y": 1e300}, BAD),
        ({"gone": "yes"}, BAD),
        ({**PLACE, "more": "x" * 1024}, TOO_LARGE),
        ([PLACE], 107),
    ],
)
async def test_proxy_refuses_data_that_is_no_move(
    people: People, proxying: servers.Centrifugo, data: Any, code: int
) -> None:
    watching, mover = await people.watch(), await people.connect()
    await people.subscribe(mover)
    assert await people.move(mover, data) == code
    await nothing_else(watching, people, proxying)
    assert await people.move(mover) == 0


async def test_proxy_refuses_moves_without_subscription(
    people: People, proxying: servers.Centrifugo
) -> None:
    """Centrifugo allows every user that the site allows."""
    watching, mover = await people.watch(), await people.connect()
    assert await people.move(mover) == FORBIDDEN
    await people.subscribe(mover, cursors=f"{people.cursors}:other")
    assert await people.move(mover) == FORBIDDEN
    another_tab = await people.connect()
    await people.subscribe(another_tab)
    assert await people.move(mover) == FORBIDDEN
    await nothing_else(watching, people, proxying)
    await people.subscribe(mover)
    assert await people.move(mover) == 0


async def test_proxy_refuses_anonymous_visitors(
    people: People, proxying: servers.Centrifugo
) -> None:
    watching, nobody = await people.watch(), await people.connect("")
    await people.subscribe(nobody, "")
    assert await people.move(nobody) == FORBIDDEN
    await nothing_else(watching, people, proxying)


async def test_proxy_refuses_too_many_moves_only_for_their_client(
    people: People, site: Any
) -> None:
    site.PRESENCE_CURSOR_INTERVAL = 1.0
    movers, other = [await people.connect() for _ in range(10)], await people.connect("8")
    for mover in movers:
        await people.subscribe(mover)
    await people.subscribe(other, "8")
    codes = await asyncio.gather(*(people.move(mover) for mover in 2 * movers))
    assert set(codes) == {0, TOO_MANY}, "two of each connection are not two of a user"
    assert await people.move(other) == 0


async def test_proxy_with_wrong_key_fails_the_move(people: People, site: Any) -> None:
    mover = await people.connect()
    await people.subscribe(mover)
    site.CENTRIFUGO_API_KEY = "another"
    assert await people.move(mover) == NO_ANSWER


async def test_moves_at_the_rate_of_the_scripts_arrive_in_order(people: People, site: Any) -> None:
    site.PRESENCE_CURSOR_INTERVAL = 0.016
    watching, mover = await people.watch(), await people.connect()
    await people.subscribe(mover)
    moves = [{"x": n / 100, "y": 0.5} for n in range(60)]
    assert set(await asyncio.gather(*(people.move(mover, move) for move in moves))) == {0}
    assert [(await seen(watching)).data for _ in moves] == moves


async def test_moves_with_cursor_track_are_stored(people: People, site: Any, key: str) -> None:
    site.PRESENCE_CURSOR_TRACK = True
    ada, bob = await people.connect(tracked=True), await people.connect("8")
    await people.subscribe(ada)
    await people.subscribe(bob, "8")
    assert await people.move(ada, {"x": 0, "y": 0.5}) == 0
    assert await people.move(ada) == 0
    assert await people.move(bob, {"x": 12.5, "y": 800}) == 0
    found = CursorTracker.get_cursors(key)
    assert set(found) == {"42", "8"}
    assert {name: found["42"][name] for name in "xy"} == PLACE
    assert found["42"]["meta"] == {"name": "Ada Lovelace", "color": "#4363d8"}
    assert (found["8"]["x"], found["8"]["y"], found["8"]["meta"]) == (12.5, 800, {})
    assert abs(found["42"]["timestamp"] - time.time()) < CURSOR_TIMEOUT
    assert await people.move(ada, {"gone": True}) == 0
    assert set(CursorTracker.get_cursors(key)) == {"8"}


async def test_tab_that_closes_removes_only_its_own_cursor(
    people: People, site: Any, key: str
) -> None:
    site.PRESENCE_CURSOR_TRACK = True
    first, second = [await people.connect(tracked=True) for _ in range(2)]
    for tab in (first, second):
        await people.subscribe(tab)
        assert await people.move(tab) == 0
    assert await people.move(first, {"gone": True}) == 0
    assert set(CursorTracker.get_cursors(key)) == {"42"}
    assert await people.move(second, {"gone": True}) == 0
    assert CursorTracker.get_cursors(key) == {}


async def test_moves_without_cursor_track_are_not_stored(people: People, key: str) -> None:
    mover = await people.connect(tracked=True)
    await people.subscribe(mover)
    assert await people.move(mover) == 0
    assert CursorTracker.get_cursors(key) == {}


async def test_refused_move_is_not_stored(people: People, site: Any, key: str) -> None:
    site.PRESENCE_CURSOR_TRACK = True
    stranger = await people.connect(tracked=True)
    assert await people.move(stranger) == FORBIDDEN
    await people.subscribe(stranger)
    assert await people.move(stranger, {"x": 0.5}) == BAD
    assert CursorTracker.get_cursors(key) == {}
