"""Looks on real servers: a Celery worker with its beat, or Huey's consumer, and a Centrifugo.

The interval is so long that no tick comes to the help of a look.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from presence import services
from presence.manager import PresenceManager
from presence.roster import messages
from presence.roster.messages import Roster
from presence.sync import statistics
from presence_devtools.servers import manage, wait_until
from tests import stored_rooms
from tests.integration.test_chain import processes
from tests.integration.test_web import exchange, front, present
from tests.websocket_clients import Swarm

pytestmark = pytest.mark.django_db

PATIENCE = 60.0
GRACE = 1.0


@pytest.fixture
def site(online: Any) -> Any:
    """Return the settings of the demo site with a channel of its own."""
    online.PRESENCE_CHANNEL = f"presence:watch:{time.monotonic_ns()}"
    return online


def celery(environment: dict[str, str]) -> list[list[str]]:
    subprocess.run(manage("migrate", "-v", "0"), env=environment, check=True, timeout=120)
    command = [sys.executable, "-m", "celery", "-A", "project"]
    worker = [*command, "worker", "--concurrency", "1", "--loglevel", "warning"]
    return [worker, [*command, "beat", "--loglevel", "warning", "--pidfile="]]


def huey(environment: dict[str, str]) -> list[list[str]]:
    environment["ASYNC_BACKEND"] = "huey"
    return [manage("run_huey")]


def loop(environment: dict[str, str]) -> list[list[str]]:
    return [manage("presence_sync", "--every", "3600", "--json")]


@pytest.fixture(params=[celery, huey, loop])
def worker(
    request: pytest.FixtureRequest, site: Any, environment: dict[str, str], tmp_path: Path
) -> Iterator[None]:
    """Run what looks once a second, after its first look."""
    environment |= {"PRESENCE_INTERVAL": "3600", "PRESENCE_LEAVE_GRACE": str(GRACE)}
    start: Callable[[dict[str, str]], list[list[str]]] = request.param
    with processes(start(environment), environment, tmp_path / "worker.log"):
        wait_until(looked, "a look", timeout=PATIENCE)
        before = ticks()
        yield
    assert ticks() == before, "no tick helped"


def looked() -> bool:
    """Return whether a look has ended."""
    start = services.store().begin_look("test", lease=0.001, limit=1)
    return start is not None and start.counts.token != ""


def ticks() -> list[str]:
    return [tick.id for tick in statistics.read(services.store()).history]


def roster(channel: str) -> Roster:
    stored = stored_rooms.rosters(services.store(), [channel])
    return messages.decode(stored[channel][1], Roster) if channel in stored else Roster()


def test_anonymous_visitor_joins_and_leaves_without_a_tick(
    site: Any, worker: None, swarm: Swarm
) -> None:
    channel, client = site.PRESENCE_CHANNEL, Client()
    answer = exchange(front(client), client).json()
    present(swarm, answer, channel)
    wait_until(lambda: roster(channel).anonymous == 1, "the visitor shows", timeout=PATIENCE)
    left = time.monotonic()
    swarm.disconnect(answer["connection"])
    wait_until(lambda: roster(channel).anonymous == 0, "the visitor is gone", timeout=PATIENCE)
    assert time.monotonic() - left >= GRACE
    assert services.store().load_states([channel]).states[channel].version == 2


def test_user_joins_and_leaves_without_a_tick(site: Any, worker: None, swarm: Swarm) -> None:
    channel, client = site.PRESENCE_CHANNEL, Client()
    ada = User.objects.create(username="ada", first_name="Ada")
    client.force_login(ada)
    answer = exchange(front(client), client).json()
    present(swarm, answer, channel)
    wait_until(lambda: [*roster(channel).members] == [str(ada.pk)], "she shows", timeout=PATIENCE)
    left = time.monotonic()
    swarm.disconnect(answer["connection"])
    wait_until(lambda: roster(channel).members == {}, "she is gone", timeout=PATIENCE)
    assert time.monotonic() - left >= GRACE
    assert services.store().load_states([channel]).states[channel].version == 2


def test_member_from_python_joins_and_leaves_pages_without_a_tick(
    site: Any, worker: None, swarm: Swarm
) -> None:
    key = f"watch:{time.monotonic_ns()}"
    seen = swarm.subscribe("watcher", PresenceManager.presence_group_name(key))
    wait_until(lambda: len(seen.publications) == 1, "the watcher shows", timeout=PATIENCE)
    PresenceManager.join_presence(key, "bot-7", {"name": "Bot"})
    wait_until(lambda: len(seen.publications) == 2, "it shows", timeout=PATIENCE)
    assert [member["id"] for member in seen.publications[1]["joins"]] == ["bot-7"]
    PresenceManager.leave_presence(key, "bot-7")
    wait_until(lambda: len(seen.publications) == 3, "it is gone", timeout=PATIENCE)
    assert seen.publications[2]["leaves"] == ["bot-7"]
