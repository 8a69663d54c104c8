"""Real servers for every test that asks for them; one Redis and one Centrifugo for a session."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from redis.connection import Connection

from presence import services
from presence_devtools import servers
from tests.websocket_clients import Swarm


@pytest.fixture(autouse=True)
def fresh_services() -> Iterator[None]:
    """Forget the store and the gateway that another test has made, and let no settings stay."""
    services._forget_all()
    before = settings._wrapped
    yield
    stayed, settings._wrapped = settings._wrapped is not before, before
    assert not stayed, "settings were changed in a block that had ended before they were restored"


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, servers.Server]]:
    with servers.redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def redis_url(redis_process: tuple[str, servers.Server]) -> str:
    """Return the URL of an empty Redis."""
    url, _ = redis_process
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
def round_trips(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return the commands that this thread sends to Redis from now on, one entry for a round trip.

    A new connection greets Redis first, which is no round trip of what is tested.
    """
    trips: list[object] = []
    greeting: set[Connection] = set()
    # The older versions of redis-py greet in `on_connect`.
    newer = hasattr(Connection, "on_connect_check_health")
    greets = "on_connect_check_health" if newer else "on_connect"
    send, greet = Connection.send_packed_command, getattr(Connection, greets)
    here = threading.get_ident()

    def counted(self: Connection, command: object, *more: Any, **options: Any) -> None:
        if threading.get_ident() == here:
            if not self._sock:
                self.connect()
            if self not in greeting:
                trips.append(command)
        send(self, command, *more, **options)

    def greeted(self: Connection, *more: Any, **options: Any) -> None:
        greeting.add(self)
        try:
            greet(self, *more, **options)
        finally:
            greeting.discard(self)

    monkeypatch.setattr(Connection, "send_packed_command", counted)
    monkeypatch.setattr(Connection, greets, greeted)
    return trips


@pytest.fixture(scope="session")
def centrifugo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Centrifugo]:
    """Run a Centrifugo with the configuration of the project."""
    with servers.centrifugo_server(tmp_path_factory.mktemp("centrifugo")) as running:
        yield running


@pytest.fixture
def swarm(centrifugo: servers.Centrifugo) -> Iterator[Swarm]:
    swarm = Swarm(centrifugo.ws_url)
    yield swarm
    swarm.close()


@pytest.fixture
def environment(redis_url: str, centrifugo: servers.Centrifugo, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a site on these servers, for processes that a test starts."""
    import os

    return {
        **os.environ,
        **centrifugo.environment,
        "PRESENCE_REDIS_URL": redis_url,
        "CELERY_BROKER_URL": redis_url.replace("/0", "/1"),
        "DATABASE_PATH": str(tmp_path / "site.sqlite3"),
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "PYTHONPATH": str(servers.ROOT),
    }
