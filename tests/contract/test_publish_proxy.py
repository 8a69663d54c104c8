"""The publish proxy: the request before a client publishes, and the effect of the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cent
import pytest
import pytest_asyncio
from centrifuge import ReplyError

from presence_devtools import servers
from tests.contract.backend import Backend
from tests.contract.clients import Subscribed, Visitor, token
from tests.contract.conftest import Browse, Serve, Visit, api_of

pytestmark = pytest.mark.asyncio

CURSORS = {
    "name": "cursors",
    "allow_publish_for_subscriber": True,
    "publication_data_format": "json_object",
    "publish_proxy_enabled": True,
}
NAMESPACES = [
    {**CURSORS, "join_leave": True, "force_push_join_leave": True},
    {**CURSORS, "name": "kept", "history_size": 9, "history_ttl": "60s"},
    {**CURSORS, "name": "plain", "publish_proxy_enabled": False},
]
ROOM = "cursors:a"
PLACE = {"x": 0.4125, "y": 0.7301}
# Long enough for a test to hold an answer back, short enough for one that fails.
TIMEOUT = "20s"

Proxied = Callable[..., servers.Centrifugo]


@dataclass
class Standing:
    """Server for many tests, and the port on which each test has a backend of its own."""

    server: servers.Centrifugo
    port: int


@pytest.fixture(scope="module")
def standing(is_devserver: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    port = servers.free_port()
    publish = {"endpoint": f"http://127.0.0.1:{port}/publish", "timeout": TIMEOUT}
    channel = {"namespaces": NAMESPACES, "proxy": {"publish": publish}}
    directory = tmp_path_factory.mktemp("proxied")
    path = directory / "centrifugo.json"
    path.write_text(json.dumps({"channel": channel}))
    with servers.centrifugo_server(directory, path, devserver=is_devserver) as server:
        yield Standing(server, port)


@pytest_asyncio.fixture
async def backend(standing: Standing) -> AsyncIterator[Backend]:
    """Return a backend of this test, which the shared server asks."""
    backend = Backend()
    runner = await backend.start(standing.port)
    yield backend
    backend.gate.set()
    await runner.cleanup()


@pytest.fixture
def proxied(serve: Serve, backend: Backend) -> Proxied:
    """Start a server that asks the backend, with other options of the proxy."""

    def start(**options: Any) -> servers.Centrifugo:
        return serve({}, [CURSORS], proxy={"publish": {"endpoint": backend.url, **options}})

    return start


class Room:
    """A client that moves and one that watches, in one room of a server."""

    def __init__(
        self, server: servers.Centrifugo, name: str, mover: Visitor, watching: Subscribed
    ) -> None:
        self.server = server
        self.name = name
        self.mover = mover
        self._watching = watching

    @classmethod
    async def open(
        cls, visit: Visit, server: servers.Centrifugo, name: str = ROOM, **claims: Any
    ) -> Room:
        watcher = await visit(token("7"), url=server.ws_url)
        watching = await watcher.subscribe(name, token("7", channel=name))
        mover = await visit(token(**claims), url=server.ws_url)
        await mover.subscribe(name, token(channel=name, info={"role": "guest"}))
        return cls(server, name, mover, watching)

    async def move(self, data: Any = PLACE) -> int:
        return await self.mover.publish(self.name, data)

    async def seen(self) -> Any:
        return (await self._watching.events.next("publication")).pub

    async def left(self) -> Any:
        return (await self._watching.events.next("leave")).info

    async def nothing_seen(self) -> None:
        """Publications come in order, so an earlier one would arrive before this one."""
        sentinel = {"n": "sentinel"}
        api_of(self.server).publish(cent.PublishRequest(channel=self.name, data=sentinel))
        assert (await self.seen()).data == sentinel


@pytest_asyncio.fixture
async def room(standing: Standing, backend: Backend, visit: Visit, cursors: str) -> Room:
    """Return a room of the shared server."""
    return await Room.open(visit, standing.server, cursors, info={"name": "Ada"})


async def test_proxy_request_has_the_documented_fields(
    proxied: Proxied, visit: Visit, backend: Backend
) -> None:
    room = await Room.open(visit, proxied(), meta={"name": "Ada"})
    assert await room.move() == 0
    assert backend.questions == [
        {
            "client": room.mover.id,
            "transport": "websocket",
            "protocol": "json",
            "encoding": "json",
            "user": "42",
            "channel": ROOM,
            "data": PLACE,
        }
    ]
    assert backend.headers[0]["Content-Type"] == "application/json"


async def test_allowed_publication_carries_the_client(room: Room, backend: Backend) -> None:
    assert await room.move() == 0
    seen = await room.seen()
    assert (seen.data, seen.offset) == (PLACE, 0)
    assert (seen.info.user, seen.info.client) == ("42", room.mover.id)
    assert (seen.info.conn_info, seen.info.chan_info) == ({"name": "Ada"}, {"role": "guest"})


@pytest.mark.parametrize("answer", [{}, {"result": None}, {"unknown": 1, "result": {"u": 1}}])
async def test_proxy_answer_without_refusal_allows_the_publication(
    room: Room, backend: Backend, answer: Any
) -> None:
    backend.answer = answer
    assert await room.move() == 0
    assert (await room.seen()).data == PLACE


@pytest.mark.parametrize(
    ("result", "data"),
    [({"data": {"x": 1}}, {"x": 1}), ({"data": [1]}, [1]), ({"data": None}, None)],
)
async def test_proxy_answer_with_data_replaces_the_publication(
    room: Room, backend: Backend, result: Any, data: Any
) -> None:
    backend.answer = {"result": result}
    assert await room.move() == 0
    seen = await room.seen()
    assert (seen.data, seen.info.user) == (data, "42")


async def test_proxy_answer_decides_whether_history_keeps_it(
    standing: Standing, visit: Visit, backend: Backend, cursors: str
) -> None:
    room = await Room.open(visit, standing.server, cursors.replace("cursors:", "kept:"))
    for n, result in enumerate(
        [
            {"skip_history": True},
            {"idempotency_key": "a"},
            {"idempotency_key": "a"},
            {"version": 5, "version_epoch": "e"},
            {"version": 4, "version_epoch": "e"},
            {},
        ]
    ):
        backend.answer = {"result": result}
        assert await room.move({"n": n}) == 0
    request = cent.HistoryRequest(channel=room.name, limit=-1)
    kept = api_of(room.server).history(request).publications
    assert [each.data["n"] for each in kept] == [1, 3, 5]
    assert [(await room.seen()).data["n"] for _ in range(4)] == [0, 1, 3, 5]


async def test_proxy_error_is_returned_to_the_client(room: Room, backend: Backend) -> None:
    backend.answer = {"error": {"code": 1042, "message": "too fast"}, "result": {}}
    with pytest.raises(ReplyError) as error:
        await room.mover.client.publish(room.name, PLACE)
    assert (error.value.code, error.value.message) == (1042, "too fast")
    await room.nothing_seen()
    backend.answer = {"result": {}}
    assert await room.move() == 0


async def test_proxy_disconnect_closes_the_connection(room: Room, backend: Backend) -> None:
    disconnect = {"code": 4555, "reason": "go away"}
    backend.answer = {"disconnect": disconnect, "error": {"code": 1042, "message": "m"}}
    moving = asyncio.ensure_future(room.move())
    event = await room.mover.events.next("disconnected")
    assert (event.code, event.reason) == (4555, "go away")
    await asyncio.gather(moving, return_exceptions=True)
    await room.nothing_seen()


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, {"result": {}}),
        (404, b"<p>Not found</p>"),
        (403, {"error": {"code": 1042, "message": "m"}}),
        (204, b""),
        (200, b""),
        (200, b"<html>"),
        (200, []),
        (200, {"result": []}),
        (200, {"error": "no"}),
    ],
)
async def test_proxy_answer_that_is_invalid_is_an_internal_error(
    room: Room, backend: Backend, status: int, answer: Any
) -> None:
    backend.status, backend.answer = status, answer
    with pytest.raises(ReplyError) as error:
        await room.mover.client.publish(room.name, PLACE)
    assert (error.value.code, error.value.temporary) == (100, True)
    await room.nothing_seen()
    backend.status, backend.answer = 200, {"result": {}}
    assert await room.move() == 0


async def test_proxy_endpoint_that_is_down_is_an_internal_error(serve: Serve, visit: Visit) -> None:
    endpoint = f"http://127.0.0.1:{servers.free_port()}/publish"
    room = await Room.open(visit, serve({}, [CURSORS], proxy={"publish": {"endpoint": endpoint}}))
    assert await room.move() == 100
    await room.nothing_seen()


async def test_proxy_endpoint_that_is_slow_times_out(
    proxied: Proxied, visit: Visit, backend: Backend
) -> None:
    backend.gate.clear()
    room = await Room.open(visit, proxied(timeout="300ms"))
    assert await room.move() == 100
    backend.gate.set()
    assert await room.move({"n": 2}) == 0
    assert (await room.seen()).data == {"n": 2}


async def test_proxy_alone_decides_who_may_publish(
    room: Room, visit: Visit, backend: Backend
) -> None:
    """The clients have no subscription or no user: Centrifugo checks neither."""
    for user in ("8", ""):
        stranger = await visit(token(user, info={"name": "S"}), url=room.server.ws_url)
        assert await stranger.publish(room.name, PLACE) == 0
        assert (backend.questions[-1]["user"], backend.questions[-1]["client"]) == (
            user,
            stranger.id,
        )
        info = (await room.seen()).info
        assert (info.user, info.client) == (user, stranger.id)
        assert (info.conn_info, info.chan_info) == ({"name": "S"}, None)


async def test_proxy_is_not_asked_about_bad_data_and_unknown_channels(
    room: Room, backend: Backend
) -> None:
    assert await room.move([1]) == 107
    assert await room.mover.publish("nonsense:a", PLACE) == 102
    assert await room.mover.publish("cursors:é", PLACE) == 107
    assert backend.questions == []


async def test_proxy_is_not_asked_about_publications_of_the_server(
    room: Room, backend: Backend
) -> None:
    await room.nothing_seen()
    assert backend.questions == []


async def test_proxy_is_not_asked_about_other_namespaces(
    standing: Standing, visit: Visit, backend: Backend, cursors: str
) -> None:
    room = await Room.open(visit, standing.server, cursors.replace("cursors:", "plain:"))
    assert await room.move() == 0
    assert backend.questions == []


async def test_proxy_request_includes_connection_meta_when_configured(
    proxied: Proxied, visit: Visit, backend: Backend
) -> None:
    meta = {"name": "Ada", "info": {"color": "#4363d8"}}
    room = await Room.open(visit, proxied(include_connection_meta=True), meta=meta)
    assert await room.move() == 0
    assert backend.questions[-1]["meta"] == meta
    assert (await room.seen()).info.conn_info is None
    without = await visit(token("8"), url=room.server.ws_url)
    assert await without.publish(ROOM, PLACE) == 0
    assert "meta" not in backend.questions[-1]


async def test_proxy_request_includes_configured_headers(
    proxied: Proxied, visit: Visit, backend: Backend
) -> None:
    server = proxied(
        http={"static_headers": {"X-API-Key": "secret", "X-Trace": "static"}},
        http_headers=["X-Trace", "Cookie"],
    )
    headers = {"X-Trace": "mine", "Cookie": "a=b", "X-Other": "no"}
    visitor = await visit(token(), url=server.ws_url, headers=headers)
    assert await visitor.publish(ROOM, PLACE) == 0
    passed = backend.headers[-1]
    assert (passed["X-API-Key"], passed["X-Trace"], passed["Cookie"]) == ("secret", "mine", "a=b")
    assert "X-Other" not in passed


async def test_proxy_is_asked_about_one_move_of_a_client_at_a_time(
    room: Room, visit: Visit, backend: Backend
) -> None:
    backend.gate.clear()
    moves = [{"n": n} for n in range(20)]
    moving = asyncio.gather(*(room.move(move) for move in moves))
    await backend.asked.get()
    other = await visit(token("8"), url=room.server.ws_url)
    overtaking = asyncio.ensure_future(other.publish(room.name, {"n": "other"}))
    assert (await backend.asked.get())["data"] == {"n": "other"}, "others need not wait"
    assert backend.under_way == 2
    backend.gate.set()
    assert await overtaking == 0
    assert set(await moving) == {0}
    assert [each["data"] for each in backend.questions if each["user"] == "42"] == moves
    assert backend.most_under_way == 2
    seen = [(await room.seen()).data for _ in range(21)]
    assert [each for each in seen if each in moves] == moves


async def test_next_command_of_a_client_waits_for_the_proxy(
    room: Room, browse: Browse, backend: Backend
) -> None:
    browser = await browse(token(), url=room.server.ws_url)
    await browser.subscribe(room.name, token=token(channel=room.name))
    backend.gate.clear()
    browser.tell("publish", channel=room.name, data=PLACE)
    await backend.asked.get()
    browser.tell("presence", channel=room.name)
    api_of(room.server).publish(cent.PublishRequest(channel=room.name, data={"n": 1}))
    assert (await browser.next("publication", room.name))["data"] == {"n": 1}, "it still hears"
    backend.gate.set()
    assert (await browser.next("publication", room.name))["data"] == PLACE
    assert "result" in await browser.next("publish")
    assert (await browser.next("presence"))["error"]["code"] == 108


async def test_move_of_a_closed_connection_is_still_published(room: Room, backend: Backend) -> None:
    """Others receive the leave first: the publication comes after the connection has ended."""
    backend.gate.clear()
    moving = asyncio.ensure_future(room.move())
    await backend.asked.get()
    api_of(room.server).disconnect(cent.DisconnectRequest(user="42"))
    assert (await room.left()).client == room.mover.id
    backend.gate.set()
    seen = await room.seen()
    assert (seen.data, seen.info.client) == (PLACE, room.mover.id)
    assert seen.info.chan_info == {"role": "guest"}
    await asyncio.gather(moving, return_exceptions=True)


async def test_closed_page_leaves_after_its_last_move(
    room: Room, browse: Browse, backend: Backend
) -> None:
    browser = await browse(token("8"), url=room.server.ws_url)
    await browser.subscribe(room.name, token=token("8", channel=room.name))
    backend.gate.clear()
    browser.tell("publish", channel=room.name, data=PLACE)
    await backend.asked.get()
    browser.process.kill()
    await browser.process.wait()
    backend.gate.set()
    assert (await room.seen()).info.user == "8"
    assert (await room.left()).user == "8"


@pytest.fixture
def turned_on(
    is_devserver: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> Iterator[servers.Centrifugo]:
    """Start a server with the configuration of the project, and these variables."""
    proxy = "CENTRIFUGO_CHANNEL_PROXY_PUBLISH"
    headers = json.dumps({"X-API-Key": "${CENTRIFUGO_VAR_KEY}"})
    for name, value in {
        f"{proxy}_ENDPOINT": backend.url,
        f"{proxy}_TIMEOUT": "5s",
        f"{proxy}_INCLUDE_CONNECTION_META": "true",
        f"{proxy}_HTTP_STATIC_HEADERS": headers,
        "CENTRIFUGO_VAR_KEY": "secret",
        "CENTRIFUGO_CHANNEL_NAMESPACES_CURSORS_PUBLISH_PROXY_ENABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with servers.centrifugo_server(tmp_path, devserver=is_devserver) as server:
        yield server


async def test_proxy_is_configured_by_the_environment(
    turned_on: servers.Centrifugo, visit: Visit, backend: Backend
) -> None:
    room = await Room.open(visit, turned_on, meta={"name": "Ada"})
    assert await room.move() == 0
    assert (await room.seen()).data == PLACE
    assert backend.questions[-1]["meta"] == {"name": "Ada"}
    assert backend.headers[-1]["X-API-Key"] == "secret"


async def test_server_with_proxy_without_endpoint_does_not_start(serve: Serve) -> None:
    with pytest.raises(AssertionError, match="endpoint not set"):
        serve({}, [CURSORS])
