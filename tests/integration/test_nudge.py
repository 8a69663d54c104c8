"""Early polls: pages, a real broker, a real worker without a beat, and a Centrifugo."""

from __future__ import annotations

import base64
import itertools
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from django.contrib.auth.models import User
from django.test import Client
from kombu.exceptions import OperationalError

from presence import services
from presence.manager import PresenceManager
from presence.queues import celery, nudge
from presence.queues.celery import POLL, CeleryBroker
from presence.queues.nudge import LINGER, WORTH, Nudger
from presence.roster import messages as roster_messages
from presence.roster.messages import Roster
from presence_devtools.servers import Server, free_port, wait_until
from tests import stored_rooms
from tests.integration.test_web import attribute, exchange, front, present
from tests.unit.fakes import Clock
from tests.websocket_clients import Swarm

pytestmark = pytest.mark.django_db

PATIENCE = 60.0
QUEUE = "celery"


@pytest.fixture
def site(online: Any) -> Any:
    """Return the settings of the demo site with nudges and a channel of its own."""
    online.PRESENCE_NUDGE = 1.0
    online.PRESENCE_CHANNEL = f"presence:nudge:{time.monotonic_ns()}"
    return online


@pytest.fixture
def use_broker(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Celery]:
    """Return a function that makes the site's Celery application use the broker at a URL."""

    def use(url: str) -> Celery:
        app = Celery("site", broker=url, set_as_current=False)
        monkeypatch.setattr(celery, "_app", app)
        return app

    return use


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Server]:
    """Run a worker without a beat: only nudges change rosters."""
    environment |= {"PRESENCE_INTERVAL": "600", "PRESENCE_LEAVE_GRACE": "1"}
    command = [sys.executable, "-m", "celery", "-A", "project", "worker", "--concurrency", "1"]
    server = Server(command, environment, lambda: True, tmp_path / "worker.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def as_ada() -> Client:
    client = Client()
    client.force_login(User.objects.create(username="ada", first_name="Ada"))
    return client


def names_in(channel: str) -> list[str]:
    stored = stored_rooms.rosters(services.store(), [channel])
    if channel not in stored:
        return []
    roster = roster_messages.decode(stored[channel][1], Roster)
    return [member.name for member in roster.members.values()]


def test_page_joins_and_leaves_the_roster_without_a_tick(
    site: Any,
    use_broker: Callable[[str], Celery],
    environment: dict[str, str],
    worker: Server,
    swarm: Swarm,
    as_ada: Client,
) -> None:
    use_broker(environment["CELERY_BROKER_URL"])
    channel = site.PRESENCE_CHANNEL
    page = front(as_ada)
    assert attribute(page, "version") == "0"
    answer = exchange(page, as_ada).json()
    present(swarm, answer, channel)
    wait_until(lambda: names_in(channel) == ["Ada"], "she is seen", timeout=PATIENCE)

    swarm.disconnect(answer["connection"])
    beacon = json.dumps({"grants": [attribute(page, "grant")]})
    sent = as_ada.post(attribute(page, "beacon"), beacon, content_type="text/plain")
    assert sent.status_code == 204
    wait_until(lambda: names_in(channel) == [], "she is seen leaving", timeout=PATIENCE)
    assert services.store().load_states([channel]).states[channel].version == 2


def test_member_from_python_joins_and_leaves_the_roster_without_a_tick(
    site: Any,
    use_broker: Callable[[str], Celery],
    environment: dict[str, str],
    worker: Server,
    swarm: Swarm,
) -> None:
    use_broker(environment["CELERY_BROKER_URL"])
    key = f"nudge:{time.monotonic_ns()}"
    seen = swarm.subscribe("watcher", PresenceManager.presence_group_name(key))
    PresenceManager.join_presence(key, "bot-7", {"name": "Bot"})
    wait_until(lambda: len(seen.publications) == 1, "it is seen", timeout=PATIENCE)
    assert [member["id"] for member in seen.publications[0]["joins"]] == ["bot-7", "watcher"]
    PresenceManager.leave_presence(key, "bot-7")
    wait_until(lambda: len(seen.publications) == 2, "it is gone", timeout=PATIENCE)
    assert seen.publications[1]["leaves"] == ["bot-7"]


def messages(url: str) -> list[dict[str, Any]]:
    """Return the tasks in the broker, with their channels; assert that each expires."""
    with redis.Redis.from_url(url) as client:
        raw = [json.loads(message) for message in client.lrange(QUEUE, 0, -1)]
    found = []
    for message in raw:
        (channels,), _, _ = json.loads(base64.b64decode(message["body"]))
        found.append({"task": message["headers"]["task"], "channels": channels})
        assert message["headers"]["expires"]
        assert message["headers"]["eta"] is None, "a worker would hold it, and die with the broker"
    return found


def test_early_polls_for_a_thousand_pages_in_a_second_send_two_tasks(
    site: Any,
    use_broker: Callable[[str], Celery],
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    django_user_model: type[User],
) -> None:
    """Pages of four web processes, whose clock passes one second."""
    url = environment["CELERY_BROKER_URL"]
    app, clock = use_broker(url), Clock()
    processes = [
        Nudger(nudge._claim, CeleryBroker(app, timeout=10), clock=clock, start=lambda run: None)
        for _ in range(4)
    ]
    turns = itertools.cycle(processes)
    monkeypatch.setattr(nudge, "_nudger", lambda _: next(turns))
    django_user_model.objects.bulk_create(User(username=f"u{n}") for n in range(10))
    clients = [Client() for _ in range(10)]
    for client, user in zip(clients, django_user_model.objects.all(), strict=True):
        client.force_login(user)
    site.PRESENCE_NUDGE = 2.0
    for n in range(1000):
        clock.now = 1_700_000_000.0 + n / 1000
        front(clients[n % 10])
    for moment in (1.9, 2.0, 3.9, 4.0, 10.0):
        clock.now = 1_700_000_000.0 + moment
        for nudger in processes:
            nudger.step()
    poll = {"task": POLL, "channels": [site.PRESENCE_CHANNEL]}
    assert messages(url) == [poll, poll]


def test_early_polls_by_many_processes_send_one_task(
    site: Any, use_broker: Callable[[str], Celery], environment: dict[str, str]
) -> None:
    """Ten thousand requests by eight threads for eight processes, in one slot."""
    url = environment["CELERY_BROKER_URL"]
    app, clock = use_broker(url), Clock()
    nudgers = [Nudger(nudge._claim, CeleryBroker(app, timeout=10), clock=clock) for _ in range(8)]
    for _ in range(1250):
        for nudger in nudgers:
            nudger.ask("presence:crowd", every=2.0, after=1.5)
    assert messages(url) == []
    clock.advance(10)
    for nudger in nudgers:
        nudger._bell.set()
    wait_until(lambda: messages(url) != [], "one has asked")

    def rest() -> bool:
        # Each begins to linger at a moment of its own: time goes on until the last has.
        clock.advance(LINGER)
        for nudger in nudgers:
            nudger._bell.set()
        return not any(nudger._working for nudger in nudgers)

    wait_until(rest, "all have asked")
    assert messages(url) == [{"task": POLL, "channels": ["presence:crowd"]}]


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Return a port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_page_with_silent_broker_does_not_wait(
    scheme: str,
    site: Any,
    use_broker: Callable[[str], Celery],
    silent: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    as_ada: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(nudge, "BROKER_TIMEOUT", 3600.0)
    use_broker(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}//")
    assert attribute(front(as_ada), "beacon")
    connection, _ = silent.accept()
    with connection:
        connection.settimeout(PATIENCE)
        assert connection.recv(1), "it is being asked"
        assert attribute(front(as_ada), "beacon"), "and the next page waits for it no more"
        assert [r for r in caplog.records if r.name == "presence.nudge"] == []
    wait_until(
        lambda: any(r.name == "presence.nudge" for r in caplog.records), "that it failed is logged"
    )


def test_page_without_broker_is_served(
    site: Any,
    use_broker: Callable[[str], Celery],
    as_ada: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    use_broker(f"redis://127.0.0.1:{free_port()}/0")
    site.PRESENCE_NUDGE = 0.05

    def logged() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name == "presence.nudge"]

    def served() -> bool:
        front(as_ada)
        return bool(logged())

    wait_until(served, "that it failed is logged")
    for _ in range(20):
        front(as_ada)
    (line,) = logged()
    assert line.startswith(f"nudge=not-asked channel={site.PRESENCE_CHANNEL} error=")
    assert "Connection refused" in line


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_early_poll_with_silent_broker_gives_up(
    scheme: str, use_broker: Callable[[str], Celery], silent: socket.socket
) -> None:
    app = use_broker(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}//")
    asked = CeleryBroker(app, timeout=0.2)
    for _ in range(2):
        with pytest.raises(OperationalError):
            asked.send("presence:a", worth=WORTH)
        asked.close()
