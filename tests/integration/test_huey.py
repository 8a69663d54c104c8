"""Huey in place of Celery: real consumers, a real Redis and a Centrifugo, without Celery."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from huey import RedisExpireHuey
from huey.api import Huey

from presence.backends.redis.store import RedisStore
from presence.queues import nudge
from presence.queues.huey import HueyBroker
from presence.roster import messages
from presence.roster.messages import Roster
from presence.sync import statistics
from presence.tasks.huey import Tasks
from presence_devtools.servers import Server, free_port, manage, wait_until
from tests import stored_rooms
from tests.integration.test_doctor import Report
from tests.integration.test_web import attribute, exchange, front, present
from tests.websocket_clients import Swarm

PATIENCE = 60.0
ROOM = "presence:huey:room"
TOGETHER = [f"presence:huey:{n:02}" for n in range(50)]


@pytest.fixture
def site(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment of a site that runs its ticks in Huey."""
    return environment | {
        **{"ASYNC_BACKEND": "huey", "LOG_LEVEL": "info", "PRESENCE_CHANNELS": "presence:huey:*"},
        **{"PRESENCE_INTERVAL": "1", "PRESENCE_LEAVE_GRACE": "0", "CENTRIFUGO_TIMEOUT": "60"},
    }


@pytest.fixture
def store(redis_url: str) -> RedisStore:
    return RedisStore(redis_url)


@pytest.fixture
def queue(site: dict[str, str]) -> Huey:
    """Return the Huey of the site, for this process."""
    return RedisExpireHuey("demo", url=site["CELERY_BROKER_URL"])


@contextmanager
def consumer(environment: dict[str, str], log: Path, *options: str) -> Iterator[Server]:
    """Run a consumer, and wait until it is ready; with "--no-periodic" it plans no ticks."""
    ready = b"The following commands are available"
    command = manage("run_huey", *options)
    begins = log.stat().st_size if log.exists() else 0
    server = Server(command, environment, lambda: ready in log.read_bytes()[begins:], log)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def names_in(store: RedisStore, channel: str) -> list[str]:
    stored = stored_rooms.rosters(store, [channel])
    if channel not in stored:
        return []
    return sorted(messages.decode(stored[channel][1], Roster).members)


# Ticks


def test_consumers_run_one_tick_an_interval_also_after_a_restart(
    site: dict[str, str], store: RedisStore, swarm: Swarm, tmp_path: Path
) -> None:
    """One consumer has threads, one has processes."""
    thread_log, process_log = tmp_path / "one.log", tmp_path / "two.log"
    swarm.connect_all([("ada", ROOM)])

    def ticks() -> list[float]:
        return sorted(tick.started for tick in statistics.read(store).history)

    with (
        consumer(site, thread_log),
        consumer(site, process_log, "-k", "process", "-w", "2") as processes,
    ):
        wait_until(lambda: len(ticks()) >= 3, "three ticks", timeout=PATIENCE)
        processes.restart()
        wait_until(lambda: len(ticks()) >= 7, "more ticks", timeout=PATIENCE)
        log = thread_log.read_text() + process_log.read_text()
    assert names_in(store, ROOM) == ["ada"]
    found = ticks()
    # One for each second: the first may have been late for its own, as may the last.
    assert len(found) <= found[-1] - found[0] + 2
    assert log.count("plan_ticks: ") >= 3
    assert {tick.report.errors for tick in statistics.read(store).history} == {0}


def test_consumers_share_the_shards_of_a_tick(
    site: dict[str, str], store: RedisStore, queue: Huey, swarm: Swarm, tmp_path: Path
) -> None:
    swarm.connect_all([(f"u{n:02}{k}", c) for n, c in enumerate(TOGETHER) for k in "ab"])
    site |= {"PRESENCE_INTERVAL": "600", "PRESENCE_SHARD_SIZE": "10", "PRESENCE_BATCH_SIZE": "2"}
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    tasks = Tasks(queue)
    asked = 0

    def both_took_part() -> bool:
        """The queue decides which consumer gets a shard: tick until both had one."""
        nonlocal asked
        asked += 1
        tasks.update_presence(asked, 600.0)
        wait_until(
            lambda: len(statistics.read(store).history) >= asked,
            f"tick {asked} is whole",
            timeout=PATIENCE,
        )
        return all("Executing presence.tasks.huey.sync_shard" in log.read_text() for log in logs)

    with consumer(site, logs[0], "-n", "-w", "1"), consumer(site, logs[1], "-n", "-w", "1"):
        wait_until(both_took_part, "both consumers took a shard", timeout=PATIENCE)
    found = statistics.read(store)
    assert {(tick.shards, tick.missing) for tick in found.history} == {(5, 0)}
    assert {tick.report.channels for tick in found.history} == {50}
    assert {tick.report.errors + tick.report.refused for tick in found.history} == {0}
    assert (found.history[-1].report.joins, found.last and found.last.report.members) == (100, 100)


def test_signals_are_sent_once_by_the_consumer_that_committed(
    site: dict[str, str], swarm: Swarm, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    site |= {"DJANGO_SETTINGS_MODULE": "tests.signal_log.settings", "NOTES": str(notes)}
    first, second = tmp_path / "one.log", tmp_path / "two.log"

    def noted() -> list[Any]:
        return [json.loads(line) for line in notes.read_text().splitlines()]

    with consumer(site, first), consumer(site, second):
        swarm.connect_all([("ada", ROOM)])
        wait_until(lambda: len(noted()) >= 2, "she is seen", timeout=PATIENCE)
        swarm.disconnect("ada")
        wait_until(lambda: len(noted()) >= 4, "she is seen leaving", timeout=PATIENCE)
    assert noted() == [
        ["channel_occupied", ROOM, ["ada"], 1],
        ["presence_joined", ROOM, ["ada"], 1],
        ["presence_left", ROOM, ["ada"], 2],
        ["channel_vacated", ROOM, ["ada"], 2],
    ]


# The doctor


def test_doctor_with_consumer_reports_ok(site: dict[str, str], tmp_path: Path) -> None:
    with consumer(site, tmp_path / "consumer.log"):
        store = RedisStore(site["PRESENCE_REDIS_URL"])
        wait_until(lambda: bool(statistics.read(store).history), "a tick", timeout=PATIENCE)
        report = Report(site)
    assert {"huey.app", "huey.consumer", "ticks.fresh"} <= report.of("ok")
    assert not report.of("problem")
    assert not any(check["id"].startswith(("celery.", "beat.")) for check in report.checks)


def test_doctor_without_consumer_reports_it(site: dict[str, str]) -> None:
    report = Report(site)
    assert "run_huey" in report.words("huey.consumer")
    assert "run_huey" in report.words("ticks.fresh")


def test_doctor_without_redis_of_huey_reports_it(site: dict[str, str]) -> None:
    url = f"redis://:sesame@127.0.0.1:{free_port()}/1"
    report = Report(site, CELERY_BROKER_URL=url)
    assert "correct HUEY" in report.words("huey.storage")
    assert "sesame" not in report.said


# Nudges


@pytest.fixture
def pages(online: Any, queue: Huey, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the settings of the demo site with nudges, in this process, with the Huey of
    `site`."""
    tasks = Tasks(queue)
    monkeypatch.setattr(nudge, "_huey_poll", lambda: tasks.sync_channels)
    online.ASYNC_BACKEND = "huey"
    online.INSTALLED_APPS = [*online.INSTALLED_APPS, "huey.contrib.djhuey"]
    online.PRESENCE_NUDGE = 0.5
    online.PRESENCE_CHANNEL = f"presence:huey:{time.monotonic_ns()}"
    nudge._nudger.cache_clear()
    yield online
    nudge._nudger.cache_clear()


@pytest.mark.django_db
def test_page_joins_and_leaves_the_roster_without_a_tick(
    pages: Any, site: dict[str, str], store: RedisStore, swarm: Swarm, tmp_path: Path
) -> None:
    """The poll at the end of the grace confirms the leave."""
    client, channel = Client(), pages.PRESENCE_CHANNEL
    ada = User.objects.create(username="ada", first_name="Ada")
    client.force_login(ada)
    site |= {"PRESENCE_LEAVE_GRACE": "1"}
    with consumer(site, tmp_path / "consumer.log", "--no-periodic"):
        page = front(client)
        answer = exchange(page, client).json()
        present(swarm, answer, channel)
        wait_until(
            lambda: names_in(store, channel) == [str(ada.pk)], "she is seen", timeout=PATIENCE
        )
        swarm.disconnect(answer["connection"])
        beacon = json.dumps({"grants": [attribute(page, "grant")]})
        client.post(attribute(page, "beacon"), beacon, content_type="text/plain")
        wait_until(lambda: names_in(store, channel) == [], "she is seen leaving", timeout=PATIENCE)
    assert store.load_states([channel]).states[channel].version == 2
    assert statistics.read(store).history == []


def test_member_from_python_joins_the_roster_without_a_tick(
    pages: Any, site: dict[str, str], store: RedisStore, tmp_path: Path
) -> None:
    from presence.manager import PresenceManager

    channel = PresenceManager.presence_group_name("huey:bots")
    with consumer(site, tmp_path / "consumer.log", "--no-periodic"):
        PresenceManager.join_presence("huey:bots", "r2d2", {"name": "R2-D2"})
        wait_until(lambda: names_in(store, channel) == ["r2d2"], "it is seen", timeout=PATIENCE)
        PresenceManager.leave_presence("huey:bots", "r2d2")
        wait_until(lambda: names_in(store, channel) == [], "it is gone", timeout=PATIENCE)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Return a port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_early_poll_with_silent_redis_of_huey_gives_up(silent: socket.socket) -> None:
    tasks = Tasks(RedisExpireHuey("silent", host="127.0.0.1", port=silent.getsockname()[1]))
    broker = HueyBroker(lambda: tasks.sync_channels, timeout=0.2)
    for _ in range(2):
        with pytest.raises(redis.TimeoutError):
            broker.send(ROOM, worth=30.0)
        broker.close()


@pytest.mark.django_db
def test_page_without_redis_of_huey_is_served(
    pages: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = Tasks(RedisExpireHuey("nowhere", url=f"redis://127.0.0.1:{free_port()}/0"))
    monkeypatch.setattr(nudge, "_huey_poll", lambda: nowhere.sync_channels)
    pages.PRESENCE_NUDGE = 0.05
    client = Client()
    client.force_login(User.objects.create(username="ada"))

    def logged() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name == "presence.nudge"]

    def served() -> bool:
        front(client)
        return bool(logged())

    wait_until(served, "that it failed is logged")
    (line,) = logged()
    assert line.startswith(f"nudge=not-asked channel={pages.PRESENCE_CHANNEL} error=")
    assert "Connection refused" in line


# Who is imported

ALONE = """
import json, sys, time
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

MISSING = sys.argv[1].split()
sys.meta_path.insert(0, Missing())

import django
django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils.module_loading import autodiscover_modules

call_command("migrate", verbosity=0)
call_command("check")
client = Client(SERVER_NAME="127.0.0.1")
client.force_login(User.objects.create(username="ada"))
page = client.get("/").content.decode()
asked = QUEUE
autodiscover_modules("tasks")
print(json.dumps([
    "<presence-roster" in page,
    asked,
    sorted({name.partition(".")[0] for name in sys.modules}),
]))
"""
HUEYS_QUEUE = """None
from huey.contrib.djhuey import HUEY
while not HUEY.pending_count():
    time.sleep(0.02)
autodiscover_modules("tasks")
HUEY.create_consumer()
asked = [str(task) for task in HUEY.pending()]
while task := HUEY.dequeue():
    HUEY.execute(task)
"""
CELERY = {"amqp", "billiard", "celery", "django_celery_beat", "kombu", "vine"}


def alone(environment: dict[str, str], missing: str, queue: str) -> tuple[bool, Any, set[str]]:
    """Return whether a page was rendered, the tasks that it sent, and the packages imported at
    the end."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE.replace("QUEUE", queue), missing],
        env=environment | {"PRESENCE_NUDGE": "0.1", "PRESENCE_CHANNELS": "presence:*"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    made, asked, imported = json.loads(done.stdout.splitlines()[-1])
    return made, asked, set(imported)


@pytest.mark.parametrize("missing", ["", " ".join(sorted(CELERY))])
def test_huey_site_does_not_import_celery(site: dict[str, str], missing: str) -> None:
    made, asked, imported = alone(site, missing, HUEYS_QUEUE)
    assert made
    (task,) = asked
    assert task.startswith("presence.tasks.huey.sync_channels: ")
    assert "huey" in imported
    assert not imported & CELERY


@pytest.mark.parametrize("missing", ["", "huey"])
def test_celery_site_does_not_import_huey(environment: dict[str, str], missing: str) -> None:
    made, _, imported = alone(environment, missing, "None")
    assert made
    assert "celery" in imported
    assert "huey" not in imported
