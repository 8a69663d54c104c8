"""Celery workers whose tasks have a soft time limit, and a Centrifugo that does not answer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import Celery

from presence_devtools import servers
from presence_devtools.servers import wait_until
from tests.balancer import balancer
from tests.integration.test_chain import WATCHER, assert_chain
from tests.websocket_clients import Swarm

ROOM = "presence:limited"
TICK, WATCH = "presence.tasks.update_presence", "presence.tasks.watch_presence"
LIMIT = {"prefork": "SoftTimeLimitExceeded", "solo": "no whole answer in"}
"""Limit that ends a tick. Celery has soft limits in its processes, and not in the solo pool."""


@contextmanager
def worker(pool: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "celery", "-A", "tests.celery_time_limit", "worker"]
    options = ["--pool", pool, "--concurrency", "1", "--loglevel", "info", "--without-mingle"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, *options],
            **{"env": environment, "cwd": servers.ROOT, "stdout": out, "stderr": out},
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


@pytest.mark.parametrize(("pool", "drip"), [("prefork", 0.2), ("prefork", 30.0), ("solo", 0.2)])
def test_worker_whose_tick_hit_its_limit_runs_the_next_one_right(
    environment: dict[str, str],
    centrifugo: servers.Centrifugo,
    swarm: Swarm,
    tmp_path: Path,
    pool: str,
    drip: float,
) -> None:
    log = tmp_path / "worker.log"
    recorder = swarm.subscribe(WATCHER, ROOM)
    asking = Celery(broker=environment["CELERY_BROKER_URL"])

    def tick() -> None:
        asking.send_task(TICK, ignore_result=True)

    def ticked() -> int:
        return log.read_text().count(f"Task {TICK}[") - log.read_text().count("] received")

    with balancer(centrifugo.port) as address:
        site = environment | {
            "CENTRIFUGO_API_URL": f"http://127.0.0.1:{address.port}/api",
            "CENTRIFUGO_TIMEOUT": "2",
            "PRESENCE_LEAVE_GRACE": "0",
            "LOG_LEVEL": "info",
        }
        with worker(pool, site, log):
            tick()
            wait_until(lambda: len(recorder.publications) == 1, "the first tick", timeout=60)
            wait_until(lambda: ticked() == 1, "the first tick ends")
            for number, user in enumerate(["ada", "zoe"]):
                swarm.connect(user, ROOM)
                address.drip = drip
                began = time.monotonic()
                tick()
                wait_until(lambda n=number: ticked() == 2 * n + 2, "the tick ends")  # type: ignore[misc]
                assert time.monotonic() - began < 10.0
                address.drip = 0.0
                tick()
                wait_until(lambda n=number: len(recorder.publications) == n + 2, "the next tick")  # type: ignore[misc]
                wait_until(lambda n=number: ticked() == 2 * n + 3, "the next tick ends")  # type: ignore[misc]
            assert_chain(recorder, {"ada", "zoe"})
    assert log.read_text().count(LIMIT[pool]) >= 2


@pytest.mark.parametrize(
    ("task", "limit"), [(TICK, "PRESENCE_INTERVAL, 60 s"), (WATCH, "PRESENCE_WATCH, 1 s")]
)
def test_worker_whose_clock_is_ahead_says_that_tasks_expire(
    environment: dict[str, str], tmp_path: Path, task: str, limit: str
) -> None:
    log = tmp_path / "worker.log"
    asking = Celery(broker=environment["CELERY_BROKER_URL"])
    site = environment | {"LOG_LEVEL": "info", "PRESENCE_INTERVAL": "60", "PRESENCE_WATCH": "1"}
    with worker("solo", site, log):
        for _ in range(3):
            sent = datetime.now(UTC) - timedelta(hours=1)
            asking.send_task(task, ignore_result=True, expires=sent)
        wait_until(lambda: log.read_text().count("Discarding") == 3, "tasks expire", timeout=60)
    lines = re.findall(rf"task=expired name={task} late_s=3[6-9]\d\d .*", log.read_text())
    assert len(lines) == 1
    assert limit in lines[0]
