"""Every contract test runs on the devserver and, where there is one, on the real Centrifugo.

A test that needs other options than the project's starts a server of its own with `serve`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cent
import pytest
import pytest_asyncio
import requests

from presence_devtools import servers
from presence_devtools.servers import API_KEY
from tests.contract.clients import Browser, Visitor

_numbers = itertools.count()

Visit = Callable[..., Awaitable[Visitor]]
Browse = Callable[..., Awaitable[Browser]]
Serve = Callable[..., servers.Centrifugo]

REAL, DEVSERVER = "Centrifugo", "devserver"
SERVERS = [REAL, DEVSERVER] if servers.centrifugo_binary() else [DEVSERVER]
CHANNEL = "presence:a"
PRESENCE = {
    "name": "presence",
    "presence": True,
    "history_size": 10,
    "history_ttl": "600s",
    "force_recovery": True,
}
"""Namespace for servers that a test starts, and a channel in it."""


def api_of(server: servers.Centrifugo) -> cent.Client:
    return cent.Client(server.api_url, API_KEY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.contract)


@pytest.fixture(scope="session", params=SERVERS)
def is_devserver(request: pytest.FixtureRequest) -> bool:
    """Tell which of the two servers the test runs on."""
    return bool(request.param == DEVSERVER)


@pytest.fixture(scope="session")
def centrifugo(
    is_devserver: bool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[servers.Centrifugo]:
    """Run the server under test with the configuration of the project."""
    directory = tmp_path_factory.mktemp("centrifugo")
    with servers.centrifugo_server(directory, devserver=is_devserver) as running:
        yield running


@pytest.fixture
def channel() -> str:
    """Return a channel of the namespace `presence` that no other test uses."""
    return f"presence:contract:{next(_numbers)}"


@pytest.fixture
def cursors(channel: str) -> str:
    """Return a channel of the namespace `cursors` that no other test uses."""
    return channel.replace("presence:", "cursors:")


@pytest.fixture
def api(centrifugo: servers.Centrifugo) -> cent.Client:
    return api_of(centrifugo)


@pytest.fixture
def post(centrifugo: servers.Centrifugo) -> Callable[..., requests.Response]:
    """POST to an API method: bytes as they are, anything else as JSON."""

    def post(method: str, body: Any, **headers: str) -> requests.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return requests.post(
            f"{centrifugo.api_url}/{method}",
            data=data,
            headers={"X-API-Key": API_KEY, **headers},
            timeout=10,
        )

    return post


@pytest_asyncio.fixture
async def visit(centrifugo: servers.Centrifugo) -> AsyncIterator[Visit]:
    """Connections through centrifuge-python: `await visit(token)`, ended with the test."""
    visitors: list[Visitor] = []

    async def visit(token: str = "", *, url: str = "", **options: Any) -> Visitor:
        visitor = Visitor(url or centrifugo.ws_url, token, **options)
        visitors.append(visitor)
        return await visitor.connect()

    yield visit
    for visitor in visitors:
        await visitor.client.disconnect()


@pytest_asyncio.fixture
async def browse(centrifugo: servers.Centrifugo) -> AsyncIterator[Browse]:
    """Connections through centrifuge-js: `await browse(token)`, ended with the test."""
    browsers: list[Browser] = []

    async def browse(token: str, *, url: str = "", **options: Any) -> Browser:
        browser = await Browser.open(url or centrifugo.ws_url, token, **options)
        browsers.append(browser)
        return browser

    yield browse
    for browser in browsers:
        await browser.close()


@pytest.fixture
def serve(is_devserver: bool, tmp_path: Path) -> Iterator[Serve]:
    """Start a server with `client` options, namespaces, other `channel` options, if given.

    It ends with the test.
    """
    with ExitStack() as stack:

        def serve(
            client: dict[str, Any] | None = None,
            namespaces: list[dict[str, Any]] | None = None,
            **channel: Any,
        ) -> servers.Centrifugo:
            config = {
                "http_server": {"address": "127.0.0.1"},
                "client": client or {},
                "usage_stats": {"disabled": True},
                "channel": {"namespaces": namespaces or [], **channel},
            }
            path = tmp_path / "centrifugo.json"
            path.write_text(json.dumps(config))
            return stack.enter_context(
                servers.centrifugo_server(tmp_path, path, devserver=is_devserver)
            )

        yield serve
