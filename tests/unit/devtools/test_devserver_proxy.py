"""The publish proxy without a network, and the site without Centrifugo."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from aiohttp import web

from presence_devtools import servers
from presence_devtools.devserver.codes import FORCE_NO_RECONNECT
from presence_devtools.devserver.config import Namespace, ProxySection
from presence_devtools.devserver.node import Node
from presence_devtools.devserver.site import Site
from tests.unit.devtools.devserver_clock import FakeClock
from tests.unit.devtools.devserver_peer import Peer, node_of

ROOM = "cursors:a"
ALLOWED = b'{"result":{}}'


@pytest.fixture
def node() -> Node:
    cursors = Namespace(name="cursors", publish_proxy_enabled=True)
    return node_of(FakeClock(), cursors, ProxySection(include_connection_meta=True))


@pytest.fixture
def peer(node: Node) -> Peer:
    return Peer(node).connect(meta={"n": 1}).subscribe(ROOM)


def commands(*each: dict[str, Any]) -> bytes:
    return b"\n".join(msgspec.json.encode({"id": 10 + n, **e}) for n, e in enumerate(each))


def move(n: int) -> dict[str, Any]:
    return {"publish": {"channel": ROOM, "data": {"n": n}}}


def question(peer: Peer) -> Any:
    asked = peer.session.inbox.question
    return None if asked is None else msgspec.json.decode(asked)


def said(peer: Peer) -> list[Any]:
    """Return publications and ids of replies since the subscription, in order."""
    return [
        each["push"]["pub"]["data"]["n"] if "push" in each else each["id"]
        for each in peer.wire.messages[2:]
    ]


def test_commands_after_a_publish_wait_for_the_proxy(peer: Peer) -> None:
    inbox = peer.session.inbox
    assert inbox.receive(commands(move(1), {"rpc": {}}, move(2)))
    assert inbox.receive(commands({"rpc": {}}))
    assert (question(peer)["data"], said(peer)) == ({"n": 1}, [])
    assert inbox.answer(ALLOWED)
    assert (question(peer)["data"], said(peer)) == ({"n": 2}, [1, 10, 11])
    assert inbox.answer(b'{"error":{"code":1042,"message":"no"}}')
    assert (question(peer), said(peer)) == (None, [1, 10, 11, 12, 10])


def test_publish_without_proxy_answer_fails_with_internal_error(peer: Peer) -> None:
    inbox = peer.session.inbox
    inbox.receive(commands(move(1), {"rpc": {}}))
    assert inbox.answer(None)
    assert peer.wire.messages[2]["error"]["code"] == 100
    assert said(peer) == [10, 11]


def test_proxy_disconnect_drops_the_following_commands(peer: Peer) -> None:
    inbox = peer.session.inbox
    inbox.receive(commands(move(1), move(2)))
    assert not inbox.answer(b'{"disconnect":{"code":4555,"reason":"away"}}')
    assert (question(peer), peer.wire.code, said(peer)) == (None, 4555, [])


def test_publish_of_closed_client_is_published_after_the_answer(node: Node, peer: Peer) -> None:
    other = Peer(node).connect().subscribe(ROOM)
    peer.session.inbox.receive(commands(move(1), move(2)))
    peer.session.close(FORCE_NO_RECONNECT)
    assert not peer.session.inbox.answer(ALLOWED)
    assert (said(other), said(peer), question(peer)) == ([1], [], None)


def test_renewed_token_replaces_the_meta_of_proxy_requests(peer: Peer) -> None:
    inbox = peer.session.inbox
    for claims, meta in [({"meta": {"n": 2}}, {"n": 2}), ({}, {"n": 2})]:
        inbox.receive(commands({"refresh": {"token": peer.token(**claims)}}, move(1)))
        assert question(peer)["meta"] == meta
        inbox.answer(ALLOWED)


@pytest.mark.asyncio
async def test_proxy_logs_when_an_error_begins() -> None:
    lines: list[str] = []
    statuses = [404, 404, 500, 200, 500]

    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=await request.read(), status=statuses.pop(0))

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    port = servers.free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    endpoint = f"http://127.0.0.1:{port}/"
    site = Site(ProxySection(endpoint=endpoint), lines.append)
    answers = [await site.ask(b"{}", {}) for _ in statuses.copy()]
    await site.close()
    await runner.cleanup()
    assert answers == [None, None, None, b"{}", None]
    what = f"publish proxy: no answer from {endpoint}: "
    assert lines == [f"{what}status 404", f"{what}status 500", f"{what}status 500"]


@pytest.mark.asyncio
async def test_proxy_logs_an_unreachable_endpoint_once() -> None:
    lines: list[str] = []
    endpoint = f"http://127.0.0.1:{servers.free_port()}/"
    site = Site(ProxySection(endpoint=endpoint), lines.append)
    assert [await site.ask(b"{}", {}) for _ in range(2)] == [None, None]
    await site.close()
    (line,) = lines
    assert "Cannot connect" in line
