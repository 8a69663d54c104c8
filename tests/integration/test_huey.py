"""Huey in place of Celery: real consumers, a real Redis and a Centrifugo, without Celery."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from huey import RedisExpireHuey
from huey.api import Huey

from presence.backends.redis.store import RedisStore
from presence.roster import messages
from presence.roster.messages import Roster
from presence.sync import statistics
from presence.tasks.huey import Tasks
from presence_devtools.servers import Server, free_port, manage, wait_until
from tests import stored_rooms
from tests.integration.test_doctor import Report
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


# Who is imported

ALONE = """
import json, sys
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
autodiscover_modules("tasks")
asked = QUEUE
print(json.dumps([
    "<presence-roster" in page,
    asked,
    sorted({name.partition(".")[0] for name in sys.modules}),
]))
"""
HUEYS_QUEUE = """None
from huey.contrib.djhuey import HUEY
from presence import tasks
HUEY.create_consumer()
tasks.watch_presence(0, 1.0)
asked = [str(task) for task in HUEY.pending()]
while task := HUEY.dequeue():
    HUEY.execute(task)
"""
CELERY = {"amqp", "billiard", "celery", "django_celery_beat", "kombu", "vine"}


def alone(environment: dict[str, str], missing: str, queue: str) -> tuple[bool, Any, set[str]]:
    """Return whether a page was rendered, the tasks in Huey's queue, and the packages imported at
    the end."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE.replace("QUEUE", queue), missing],
        env=environment | {"PRESENCE_CHANNELS": "presence:*"},
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
    assert task.startswith("presence.tasks.huey.watch_presence: ")
    assert "huey" in imported
    assert not imported & CELERY


@pytest.mark.parametrize("missing", ["", "huey"])
def test_celery_site_does_not_import_huey(environment: dict[str, str], missing: str) -> None:
    made, _, imported = alone(environment, missing, "None")
    assert made
    assert "celery" in imported
    assert "huey" not in imported
