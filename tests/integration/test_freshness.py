"""Changes that looks show on real servers, one after the other: the rows of docs/freshness.md."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from presence_devtools import servers
from presence_devtools.servers import Centrifugo, manage, wait_until
from tests.integration.test_chain import processes
from tests.integration.test_watch import GRACE, PATIENCE, looked, roster, site, ticks
from tests.integration.test_web import attribute, exchange, front, present
from tests.websocket_clients import Swarm, start_process

__all__ = ["site"]

pytestmark = pytest.mark.django_db

Looking = Callable[..., Any]
"""Type of the fixture `looking`."""


@pytest.fixture(scope="module")
def centrifugo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centrifugo]:
    """Run a Centrifugo that soon notices a dead network."""
    directory = tmp_path_factory.mktemp("centrifugo")
    config = json.loads(servers.CONFIG.read_text())
    config["client"] |= {"ping_interval": "2s", "pong_timeout": "1s"}
    path = directory / "pings.json"
    path.write_text(json.dumps(config))
    with servers.centrifugo_server(directory, path) as running:
        yield running


@pytest.fixture
def looking(site: Any, environment: dict[str, str], tmp_path: Path) -> Looking:
    """Run looks, and ticks every so many seconds, from the first look on."""

    @contextmanager
    def run(every: float = 3600, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        chosen = {"PRESENCE_LEAVE_GRACE": str(GRACE), **settings}
        command = manage("presence_sync", "--every", str(every), "--json")
        with processes([command], environment | chosen, tmp_path / "sync.log") as (process,):
            wait_until(looked, "a look", timeout=PATIENCE)
            before = ticks()
            yield process
            assert every < 3600 or ticks() == before, "no tick helped"

    return run


def until(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, what, timeout=PATIENCE)


def test_watch_counted_room_shows_counts_of_all_who_join_and_leave(
    site: Any, looking: Looking, swarm: Swarm
) -> None:
    channel = site.PRESENCE_CHANNEL
    with looking(PRESENCE_LIST_LIMIT="2"):
        watcher = swarm.subscribe("watcher", channel)
        swarm.connect_all([(f"u{n}", channel) for n in range(3)])
        until(lambda: len(roster(channel).members) == 4, "the room is full")
        shown: list[dict[str, Any]] = watcher.publications
        until(lambda: shown != [], "the watcher is told")
        swarm.connect("u3", channel)
        until(lambda: shown[-1].get("total") == 5, "a user is counted")
        swarm.connect("", channel, key="stranger")
        until(lambda: shown[-1].get("anonymous") == 1, "a visitor is counted")
        swarm.disconnect("u3", "stranger")
        until(lambda: (shown[-1]["total"], shown[-1]["anonymous"]) == (4, 0), "both are gone")
        assert shown[-1]["leaves"] == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_watch_process_that_dies_or_answers_no_ping_leaves(
    site: Any, looking: Looking, centrifugo: Centrifugo, how: signal.Signals
) -> None:
    channel = site.PRESENCE_CHANNEL
    with looking():
        process = start_process(centrifugo.ws_url, {"ada": [channel]})
        try:
            until(lambda: "ada" in roster(channel).members, "she shows")
            process.send_signal(how)
            until(lambda: "ada" not in roster(channel).members, "she is gone")
        finally:
            process.kill()
            process.wait(30)


def test_watch_swap_between_two_looks_shows_after_the_self_check(
    site: Any, looking: Looking, swarm: Swarm
) -> None:
    channel, client = site.PRESENCE_CHANNEL, Client()
    grace = str(User.objects.create(username="grace").pk)
    client.force_login(User.objects.get(pk=grace))
    page = front(client)
    answer = exchange(page, client).json()
    with looking() as looks:
        swarm.connect("ada", channel)
        until(lambda: [*roster(channel).members] == ["ada"], "she shows")
        os.killpg(looks.pid, signal.SIGSTOP)
        swarm.disconnect("ada")
        present(swarm, answer, channel)
        os.killpg(looks.pid, signal.SIGCONT)
        checked = client.post(
            attribute(page, "check"),
            {"grants": [attribute(page, "grant")]},
            content_type="application/json",
        )
        assert checked.status_code == 204
        until(lambda: [*roster(channel).members] == [grace], "one is gone, the other shows")


def test_watch_more_changes_than_looks_can_poll_lose_nobody(
    site: Any, looking: Looking, swarm: Swarm
) -> None:
    """Everybody shows in the end: what looks leave out, ticks find."""
    rooms = [f"{site.PRESENCE_CHANNEL}:{n}" for n in range(200)]
    present: dict[str, list[str]] = {}

    def come(number: int) -> None:
        present[f"u{number}"] = random.sample(rooms, 40)
        swarm.connect(f"u{number}", *present[f"u{number}"])

    def is_right() -> bool:
        members = defaultdict(set)
        for user, their in present.items():
            for room in their:
                members[room].add(user)
        return all(set(roster(room).members) == members[room] for room in rooms)

    with looking(every=4.0):
        for number in range(20):
            come(number)
        for number in range(20, 80):
            gone = random.choice(list(present))
            del present[gone]
            swarm.disconnect(gone)
            come(number)
        until(is_right, "every roster is right")
