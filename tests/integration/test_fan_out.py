"""A tick whose shards run in several Celery workers: every member once, and one record."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import redis
from celery import Celery

from presence.backends.redis.keys import Keys
from presence.backends.redis.store import RedisStore
from presence.centrifugo.gateway import Gateway
from presence.centrifugo.http import HttpTransport
from presence.roster import messages
from presence.roster.messages import Snapshot
from presence.sync import statistics
from presence.sync.channels import Shard
from presence.sync.context import Options
from presence.sync.tick import Sync
from presence_devtools.servers import API_KEY, Centrifugo, manage, wait_until
from tests.integration.test_chain import kill, processes
from tests.websocket_clients import Swarm

KEYS = Keys("presence")
INTERVAL = 600.0
CHANNELS = [f"presence:fan:{n:02}" for n in range(50)]
WORKER = [
    *(sys.executable, "-m", "celery", "-A", "project", "worker", "--concurrency", "1"),
    *("--prefetch-multiplier", "1", "--loglevel", "info", "--without-mingle"),
]


@pytest.fixture
def site(environment: dict[str, str], swarm: Swarm) -> dict[str, str]:
    """Return fifty channels with two people in each, in shards of ten."""
    swarm.connect_all([(f"u{n:02}{k}", c) for n, c in enumerate(CHANNELS) for k in "ab"])
    return environment | {
        **{"PRESENCE_SHARD_SIZE": "10", "PRESENCE_INTERVAL": str(INTERVAL)},
        **{"PRESENCE_BATCH_SIZE": "2", "PRESENCE_CHANNELS": "presence:fan:*"},
        **{"PRESENCE_LEAVE_GRACE": "0", "CENTRIFUGO_TIMEOUT": "60"},
    }


@pytest.fixture
def store(redis_url: str) -> RedisStore:
    return RedisStore(redis_url)


@pytest.fixture
def broker(site: dict[str, str]) -> Celery:
    """Return a Celery application that sends tasks to the workers."""
    return Celery("test", broker=site["CELERY_BROKER_URL"], set_as_current=False)


def finished(store: RedisStore, ticks: int) -> Callable[[], bool]:
    return lambda: len(statistics.read(store).history) >= ticks


def took_a_shard(log: Path) -> bool:
    """Return whether the worker that writes this log received a task after it was ready."""
    return log.exists() and "presence.tasks.sync_shard" in log.read_text().partition(" ready.")[2]


def assert_everybody_once(store: RedisStore) -> None:
    for n, channel in enumerate(CHANNELS):
        raw = store.load_snapshots([channel])[channel].snapshot
        assert raw, channel
        snapshot = messages.decode(raw, Snapshot)
        assert sorted(m.id for m in snapshot.members) == [f"u{n:02}a", f"u{n:02}b"]
        assert snapshot.version == 1


def test_workers_share_the_shards_of_a_tick(
    site: dict[str, str], store: RedisStore, broker: Celery, tmp_path: Path
) -> None:
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    named = [[*WORKER, "-n", f"worker{n}@%h", "--logfile", str(log)] for n, log in enumerate(logs)]
    asked = 0

    def both_took_part() -> bool:
        """The broker decides which worker gets a shard: tick until both had one."""
        nonlocal asked
        asked += 1
        broker.send_task("presence.tasks.update_presence")
        wait_until(finished(store, asked), f"tick {asked} is whole", timeout=60)
        return all(map(took_a_shard, logs))

    with processes(named, site, tmp_path / "out.log"):
        wait_until(
            lambda: all(log.exists() and " ready." in log.read_text() for log in logs),
            "both workers are ready",
            timeout=60,
        )
        wait_until(both_took_part, "both workers took a shard", timeout=60)
    found = statistics.read(store)
    assert {(tick.shards, tick.missing) for tick in found.history} == {(5, 0)}
    assert {tick.report.channels for tick in found.history} == {50}
    assert {tick.report.errors + tick.report.refused for tick in found.history} == {0}
    first, last = found.history[-1].report, found.history[0].report
    assert (first.changed, first.published, first.joins) == (50, 50, 100)
    assert (last.members, store.load_ticks().open, found.behind) == (100, {}, {})
    assert_everybody_once(store)


def test_tick_after_killed_worker_is_complete(
    site: dict[str, str],
    store: RedisStore,
    broker: Celery,
    centrifugo: Centrifugo,
    tmp_path: Path,
) -> None:
    options = Options(patterns=("presence:fan:*",), interval=INTERVAL, shard_size=10, grace=0.0)
    gateway = Gateway(HttpTransport(centrifugo.api_url, API_KEY))

    def hand_out(shard: Shard) -> bool:
        broker.send_task("presence.tasks.sync_shard", [msgspec.to_builtins(shard)])
        return True

    Sync(store, gateway, options, announce=lambda *_: None).tick(hand_out=hand_out)
    log = tmp_path / "killed.log"
    assert centrifugo.server.process
    centrifugo.server.process.send_signal(signal.SIGSTOP)
    try:
        with processes([[*WORKER, "--logfile", str(log)]], site, tmp_path / "out.log") as (worker,):
            wait_until(
                lambda: took_a_shard(log),
                "a shard waits for Centrifugo's answer",
                timeout=60,
            )
            kill(worker)
    finally:
        centrifugo.server.process.send_signal(signal.SIGCONT)
    assert not finished(store, 1)()

    with redis.Redis.from_url(site["PRESENCE_REDIS_URL"], decode_responses=True) as client:
        for name, began in client.hgetall(KEYS.open).items():  # as if an interval had passed
            client.hset(KEYS.open, name, float(began) - INTERVAL)
    broker.send_task("presence.tasks.update_presence")
    with processes([WORKER], site, tmp_path / "second.log"):
        wait_until(finished(store, 2), "the next tick is whole", timeout=60)
    found = statistics.read(store)
    whole, broken = found.history
    assert (broken.shards, whole.missing) == (5, 0)
    assert 1 <= broken.missing <= 5
    assert broken.report.channels == 10 * (5 - broken.missing)
    assert (whole.shards, whole.missing, whole.report.channels) == (5, 0, 50)
    assert whole.report.joins + broken.report.joins == 100
    assert_everybody_once(store)


def test_tick_without_broker_runs_every_shard_itself(
    site: dict[str, str], store: RedisStore
) -> None:
    site |= {"CELERY_BROKER_URL": "redis://127.0.0.1:9/0"}
    code = (
        "import json; from presence.tasks import update_presence;"
        "print(json.dumps(update_presence()))"
    )
    done = subprocess.run(
        manage("shell", "-v", "0", "-c", code), env=site, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["channels"] == 50
    (tick,) = statistics.read(store).history
    assert (tick.shards, tick.missing, tick.report.joins, tick.report.errors) == (5, 0, 100, 0)
    assert_everybody_once(store)
