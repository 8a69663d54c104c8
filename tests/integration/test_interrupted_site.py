"""Ticks of a real process on real servers, interrupted by a signal handler at random moments."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from presence.backends.redis.store import RedisStore
from presence.centrifugo.gateway import Gateway
from presence.centrifugo.http import HttpTransport
from presence.exceptions import CentrifugoError
from presence.roster.messages import Diff, Snapshot
from presence_devtools import servers
from presence_devtools.servers import wait_until
from tests.feed_reader import apply, decode_publication
from tests.tick_process import ROOMS
from tests.websocket_clients import Recorder, Swarm

WATCHER = "watcher"
INTERRUPTION = "SoftTimeLimitExceeded"
"""May end a tick as the context of another error: locks of the standard library turn it into a
RuntimeError where it comes while a thread starts."""
TIMES = int(os.environ.get("INTERRUPTIONS", "60"))
"""Number of interruptions; several hundred take minutes."""
SEED = int(os.environ.get("INTERRUPTIONS_SEED", "12"))


class Worker:
    """Process that runs the ticks."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def tick(self, interrupted_after: float = 0.0) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{json.dumps(interrupted_after)}\n")
        self._process.stdin.flush()
        done: dict[str, Any] = json.loads(self._process.stdout.readline() or "{}")
        assert done, f"the process ended with {self._process.wait(10)}: {self._log.read_text()}"
        return done


@contextmanager
def worker(environment: dict[str, str], log: Path) -> Iterator[Worker]:
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "tests.tick_process"],
            **{"env": environment, "cwd": servers.ROOT, "text": True, "stderr": errors},
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE},
        )
        try:
            yield Worker(process, log)
        finally:
            process.kill()
            process.communicate()


class Crowd:
    """Users who join and leave rooms, and a watcher of each room."""

    def __init__(self, swarm: Swarm, dice: random.Random) -> None:
        self._swarm = swarm
        self._dice = dice
        self.recorders = {room: swarm.subscribe(WATCHER, room) for room in ROOMS}

    def move(self) -> None:
        """Connect or disconnect a user in most of the rooms."""
        come: list[tuple[str, str]] = []
        gone: list[str] = []
        for room in self._dice.sample(ROOMS, 4):
            user = f"{room[-1]}-{self._dice.randrange(5)}"
            if user in self._swarm.clients:
                gone.append(user)
            else:
                come.append((user, room))
        self._swarm.disconnect(*gone)
        self._swarm.connect_all(come)


def truth(gateway: Gateway) -> dict[str, set[str]]:
    """Return the users that Centrifugo reports in each room."""
    users: dict[str, set[str]] = {}
    for room, reply in zip(ROOMS, gateway.presence(ROOMS), strict=True):
        assert not isinstance(reply, CentrifugoError)
        users[room] = {entry["user"] for entry in json.loads(bytes(reply))["presence"].values()}
    return users


def replayed(recorder: Recorder) -> Snapshot:
    """Return the members that a client shows that refuses any diff except the next one."""
    diffs = [decode_publication(msgspec.json.encode(p)) for p in recorder.publications]
    assert diffs
    assert isinstance(diffs[0], Diff)
    snapshot = Snapshot(epoch=diffs[0].epoch, version=0)
    for diff in diffs:
        assert isinstance(diff, Diff), diff
        assert (diff.epoch, diff.base) == (snapshot.epoch, snapshot.version)
        assert diff.version == snapshot.version + 1
        snapshot = apply(snapshot, diff)
    return snapshot


def assert_right(
    done: dict[str, Any], users: dict[str, set[str]], store: RedisStore, crowd: Crowd
) -> None:
    """Assert that process, Redis and watchers have the rosters of Centrifugo."""
    assert (done["errors"], done["refused"]) == (0, 0), done["failures"]
    stored = store.load_snapshots(ROOMS)
    for room in ROOMS:
        shown = done["rosters"][room]
        assert {member["id"] for member in shown["members"]} == users[room]
        assert json.loads(stored[room].snapshot or b"") == shown
        recorder = crowd.recorders[room]
        wait_until(lambda r=recorder, v=shown["version"]: replayed(r).version >= v, "the diffs")  # type: ignore[misc]
        assert replayed(recorder).version == shown["version"]
        assert {member.id for member in replayed(recorder).members} == users[room]


def test_worker_interrupted_at_random_moments_runs_the_next_tick_right(
    environment: dict[str, str],
    centrifugo: servers.Centrifugo,
    redis_url: str,
    swarm: Swarm,
    tmp_path: Path,
) -> None:
    site = environment | {"PRESENCE_LEAVE_GRACE": "0", "PRESENCE_BATCH_SIZE": "2"}
    dice = random.Random(SEED)
    crowd = Crowd(swarm, dice)
    store = RedisStore(redis_url)
    gateway = Gateway(HttpTransport(centrifugo.api_url, servers.API_KEY, timeout=10.0))
    interrupted = 0
    with worker(site, tmp_path / "worker.log") as process:
        first = process.tick()
        assert_right(first, truth(gateway), store, crowd)
        usual = first["seconds"]
        for number in range(TIMES):
            crowd.move()
            ended = process.tick(dice.uniform(0.0001, 0.7 * usual))
            assert not ended["raised"] or INTERRUPTION in ended["raised"], ended["raised"]
            interrupted += ended["interrupted"]
            crowd.move()
            done = process.tick()
            usual = 0.8 * usual + 0.2 * done["seconds"]
            try:
                assert_right(done, truth(gateway), store, crowd)
            except AssertionError as error:
                log = (tmp_path / "worker.log").read_text()[-3000:]
                raise AssertionError(f"after interruption {number}: {error}\n{log}") from error
            assert len(done["threads"]) <= len(first["threads"]) + 3, done["threads"]
            assert done["files"] <= first["files"] + 12
        assert interrupted > 0.25 * TIMES
