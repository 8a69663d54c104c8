"""The published diffs are the version chain without a gap or a repeat, also after kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from presence.roster.messages import Diff, Snapshot
from presence_devtools.servers import manage, wait_until
from tests.feed_reader import apply, decode_publication
from tests.websocket_clients import Recorder, Swarm

WATCHER = "watcher"


@contextmanager
def processes(
    commands: list[list[str]], environment: dict[str, str], log: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run the commands as processes, each the leader of a process group."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            running.append(spawn(command, environment, log))
        yield running
    finally:
        for process in running:
            kill(process)


def spawn(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            command, env=environment, stdout=out, stderr=out, start_new_session=True
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def churn(swarm: Swarm, channel: str, rounds: int, between: Callable[[int], None]) -> set[str]:
    """Connect and disconnect users. Returns those who are connected at the end."""
    dice = random.Random(7)
    here: set[str] = set()
    for turn in range(rounds):
        user = f"p{dice.randrange(12)}"
        if user in here and dice.random() < 0.6:
            swarm.disconnect(user)
            here.discard(user)
        else:
            swarm.connect(user, channel, name=f"Person {user}")
            here.add(user)
        between(turn)
    return here


def replay(recorder: Recorder) -> tuple[Snapshot, list[int]]:
    """Return the members that a client shows after every publication, and the versions."""
    diffs = [decode_publication(msgspec.json.encode(p)) for p in recorder.publications]
    first = diffs[0]
    assert isinstance(first, Diff)
    snapshot = Snapshot(epoch=first.epoch, version=first.base)
    for diff in diffs:
        assert isinstance(diff, Diff)
        snapshot = apply(snapshot, diff)
    return snapshot, [diff.version for diff in diffs if isinstance(diff, Diff)]


def assert_chain(recorder: Recorder, truth: set[str]) -> None:
    """Assert that the diffs have no gap and no repeat, and end at the current members."""

    def ended() -> bool:
        return bool(recorder.publications) and {
            member.id for member in replay(recorder)[0].members
        } == truth | {WATCHER}

    wait_until(ended, f"the diffs end at {sorted(truth)}")
    snapshot, versions = replay(recorder)
    assert versions == list(range(1, len(versions) + 1))
    assert snapshot.total == len(truth) + 1


@pytest.fixture
def hasty(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PRESENCE_LEAVE_GRACE": "0.3", "PRESENCE_INTERVAL": "1"}


def test_sync_loops_killed_at_random_leave_no_gap(
    hasty: dict[str, str], swarm: Swarm, tmp_path: Path
) -> None:
    channel = "presence:chain:loops"
    recorder = swarm.subscribe(WATCHER, channel)
    loop = manage("presence_sync", "--every", "0.2", "--channel", channel, "--json")
    log = tmp_path / "loops.log"
    with processes([loop] * 4, hasty, log) as running:
        wait_until(lambda: bool(recorder.publications), "the loops run")
        killed = time.monotonic()
        kills = 0

        def between(turn: int) -> None:
            nonlocal killed, kills
            time.sleep(0.05)  # the pace of the churn, not a wait for anything
            if time.monotonic() - killed > 1.5:
                kill(running[kills % 4])
                running[kills % 4] = spawn(loop, hasty, log)
                killed, kills = time.monotonic(), kills + 1

        here = churn(swarm, channel, 160, between)
        assert kills >= 3
        assert_chain(recorder, here)


def test_worker_and_beat_killed_leave_no_gap(
    hasty: dict[str, str], swarm: Swarm, tmp_path: Path
) -> None:
    channel = "presence:chain:celery"
    recorder = swarm.subscribe(WATCHER, channel)
    subprocess.run(manage("migrate", "-v", "0"), env=hasty, check=True, timeout=120)
    celery = [sys.executable, "-m", "celery", "-A", "project"]
    worker = [*celery, "worker", "--concurrency", "2", "--loglevel", "warning"]
    beat = [*celery, "beat", "--loglevel", "warning", "--pidfile="]
    log = tmp_path / "celery.log"
    with processes([worker, beat], hasty, log) as running:
        wait_until(lambda: bool(recorder.publications), "worker and beat run a tick", timeout=60)

        def between(turn: int) -> None:
            time.sleep(0.1)  # the pace of the churn, not a wait for anything
            if turn in (30, 60):
                kill(running[0])
                running[0] = spawn(worker, hasty, log)
            if turn == 45:
                kill(running[1])
                running[1] = spawn(beat, hasty, log)

        here = churn(swarm, channel, 90, between)
        assert_chain(recorder, here)


def test_tick_that_expired_in_the_queue_is_not_run(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Ticks that piled up while no worker ran are dropped when a worker starts."""
    site = environment | {"PRESENCE_INTERVAL": "600"}
    code = (
        "from presence.tasks import update_presence as t;"
        "print(t.apply_async().id, t.expires, t.ignore_result)"
    )
    done = subprocess.run(
        manage("shell", "-v", "0", "-c", code), env=site, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1:] == ["600.0", "True"]
    with redis.Redis.from_url(site["CELERY_BROKER_URL"]) as broker:
        (message,) = map(msgspec.json.decode, broker.lrange("celery", 0, -1))
    headers: dict[str, Any] = message["headers"]
    assert headers["task"] == "presence.tasks.update_presence"
    assert headers["expires"] is not None
    assert headers["ignore_result"] is True
