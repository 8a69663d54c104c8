"""Signals from real Celery workers: sent once for the whole site, by any worker."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from presence.backends.redis.store import RedisStore
from presence.queues.celery import TICK
from presence.sync import statistics
from presence_devtools.servers import Server, wait_until
from tests.websocket_clients import Swarm

PATIENCE = 60.0
ROOM = "presence:signals:room"


@pytest.fixture
def notes(environment: dict[str, str], tmp_path: Path) -> Path:
    """Return the file in which the workers of the site record their signals."""
    notes = tmp_path / "notes"
    notes.touch()
    environment |= {
        **{"DJANGO_SETTINGS_MODULE": "tests.signal_log.settings", "NOTES": str(notes)},
        **{"PRESENCE_CHANNELS": "presence:signals:*", "PRESENCE_LEAVE_GRACE": "0"},
    }
    return notes


def test_signals_are_sent_once_by_the_worker_that_committed(
    environment: dict[str, str], redis_url: str, notes: Path, swarm: Swarm, tmp_path: Path
) -> None:
    store, broker = RedisStore(redis_url), Celery("site", broker=environment["CELERY_BROKER_URL"])
    logs = [tmp_path / f"{n}.log" for n in range(2)]
    asked = 0

    def tick() -> list[Any]:
        """Run two ticks at once. Returns the recorded signals when both are done."""
        nonlocal asked
        asked += 2
        for _ in range(2):
            broker.send_task(TICK)
        wait_until(
            lambda: len(statistics.read(store).history) >= asked, "both ticks", timeout=PATIENCE
        )
        return [json.loads(line) for line in notes.read_text().splitlines()]

    with ExitStack() as running:
        for n, log in enumerate(logs):
            command = [sys.executable, "-m", "celery", "-A", "project", "worker", "--pool", "solo"]
            command += ["--hostname", f"worker{n}@%h", "--loglevel", "info"]
            worker = Server(command, environment, lambda log=log: " ready." in log.read_text(), log)
            running.callback(worker.stop)
            worker.start()
        swarm.connect("ada", ROOM, name="Ada")
        swarm.connect("alan", ROOM, name="Alan")
        came = [
            ["channel_occupied", ROOM, ["ada", "alan"], 1],
            ["presence_joined", ROOM, ["ada", "alan"], 1],
        ]
        assert tick() == came
        swarm.connect("ada", ROOM, name="Countess Ada", key="another tab")
        changed = [*came, ["presence_updated", ROOM, ["ada"], 2]]
        assert tick() == changed
        swarm.disconnect("ada", "another tab", "alan")
        left = [
            ["presence_left", ROOM, ["ada", "alan"], 3],
            ["channel_vacated", ROOM, ["ada", "alan"], 3],
        ]
        assert tick() == [*changed, *left]
    broker.close()
