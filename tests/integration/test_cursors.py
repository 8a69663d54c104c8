"""Cursors from Python on a real Redis, through a real Centrifugo (or the devserver)."""

from __future__ import annotations

import logging
import subprocess
import sys
import uuid
from typing import Any

import pytest

from presence import services
from presence.cursors import CursorTracker
from presence.exceptions import CentrifugoUnreachable, CommandError
from presence.transport.log_limit import LogLimit
from presence_devtools import servers
from presence_devtools.servers import free_port
from tests.websocket_clients import Recorder, Swarm

META = {"name": "Zoë", "color": "#4363d8"}
PROCESSES, USERS = 8, 100
PATIENCE = 10.0

SET_UP = """
import os, sys, django
django.setup()
from presence.cursors import CursorTracker
key, who = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
"""
WRITE = f"""
for n in range({USERS}):
    CursorTracker.update_cursor(key, f"{{who}}-{{n}}", n, int(who))
"""
FORK = """
CursorTracker.update_cursor(key, "before", 1, 1)
child = os.fork()
CursorTracker.update_cursor(key, "parent" if child else "child", 2, 2)
CursorTracker.update_cursors(key, {"many of the parent" if child else "many of the child": (3, 3)})
sys.exit(child and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def key() -> str:
    return f"doc:{uuid.uuid4().hex}"


@pytest.fixture
def seen(swarm: Swarm, key: str) -> Recorder:
    """Return the recorder of a subscriber of the channel."""
    return swarm.subscribe("watcher", f"cursors:{key}")


def flush() -> None:
    assert services.outbox.flush(PATIENCE)


def await_users(seen: Recorder, users: set[str]) -> None:
    servers.wait_until(
        lambda: {move["user"] for move in seen.publications} == users, f"moves of {len(users)}"
    )


@pytest.mark.usefixtures("online")
def test_cursor_changes_of_every_kind_reach_a_subscriber(key: str, seen: Recorder) -> None:
    CursorTracker.update_cursor(key, "7", 0.4125, 0.7301, META)
    flush()
    CursorTracker.update_cursors(key, {"8": (1, 2), "9": (3, 4.5, META)})
    CursorTracker.update_cursors(key, CursorTracker.get_cursors(key))
    assert CursorTracker.remove_cursor(key, "8") is True
    flush()
    seven = {"x": 0.4125, "y": 0.7301, "user": "7", "meta": META}
    eight, nine = {"x": 1, "y": 2, "user": "8"}, {"x": 3, "y": 4.5, "user": "9", "meta": META}
    servers.wait_until(lambda: len(seen.publications) >= 7, "7 publications")
    first, *_ = seen.publications
    assert first == seven
    assert seen.publications[1:3] == [eight, nine]
    assert sorted(move["user"] for move in seen.publications[3:6]) == ["7", "8", "9"]
    assert seen.publications[6:] == [{"gone": True, "user": "8"}]
    assert sorted(CursorTracker.get_cursors(key)) == ["7", "9"]


@pytest.mark.usefixtures("online")
def test_coalescer_always_publishes_the_last_position(key: str, seen: Recorder) -> None:
    for n in range(500):
        CursorTracker.update_cursor(key, "7", n, n)
    CursorTracker.update_cursor(key, "8", 0, 0)
    await_users(seen, {"7", "8"})
    places = [move["x"] for move in seen.publications if move["user"] == "7"]
    assert places[-1] == 499
    assert places == sorted(set(places)), "in order, none twice"


@pytest.mark.usefixtures("online")
def test_cursor_move_in_unknown_namespace_names_the_setting(
    key: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("presence.cursors.cursor_channel", lambda key: f"nonsense:{key}")
    with pytest.raises(CommandError, match=r"channel\.namespaces"):
        CursorTracker.update_cursors(key, {"7": (1, 2)})
    monkeypatch.setattr(services.outbox, "_log_limit", LogLimit())
    with caplog.at_level(logging.ERROR, "presence.outbox"):
        CursorTracker.update_cursor(key, "8", 1, 2)
        flush()
    assert "messages=1 error=Centrifugo answered error 102" in caplog.text
    assert sorted(CursorTracker.get_cursors(key)) == ["7", "8"]


def test_cursor_move_without_centrifugo_is_stored(online: Any, key: str) -> None:
    online.CENTRIFUGO_API_URL = f"http://127.0.0.1:{free_port()}/api"
    for n in range(100):
        CursorTracker.update_cursor(key, str(n), n, n)
    with pytest.raises(CentrifugoUnreachable):
        CursorTracker.update_cursors(key, {"many": (1, 2)})
    assert len(CursorTracker.get_cursors(key)) == 101
    flush()


class Writer:
    """Process that sets Django up, and continues on command."""

    def __init__(self, code: str, environment: dict[str, str], key: str, who: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SET_UP + code, key, who],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> None:
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def go(self) -> None:
        assert self._process.stdin
        print(file=self._process.stdin, flush=True)

    def end(self) -> None:
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0


@pytest.mark.usefixtures("online")
def test_processes_that_move_cursors_publish_all_before_they_end(
    environment: dict[str, str], key: str, seen: Recorder
) -> None:
    environment["PRESENCE_CURSOR_TIMEOUT"] = "600"
    writers = [Writer(WRITE, environment, key, str(n)) for n in range(PROCESSES)]
    for act in (Writer.ready, Writer.go, Writer.end):
        for writer in writers:
            act(writer)
    wanted = {f"{who}-{n}": (n, who) for who in range(PROCESSES) for n in range(USERS)}
    kept = services.tracker().load_cursors(f"cursors:{key}", timeout=600)
    assert len(kept) == PROCESSES * USERS
    await_users(seen, set(wanted))
    assert {move["user"]: (move["x"], move["y"]) for move in seen.publications} == wanted


@pytest.mark.usefixtures("online")
def test_coalescer_in_forked_process_publishes(
    environment: dict[str, str], key: str, seen: Recorder
) -> None:
    """Web servers load the site before they fork, as here."""
    writer = Writer(FORK, environment, key)
    writer.ready()
    writer.go()
    writer.end()
    many = {"many of the parent", "many of the child"}
    await_users(seen, {"before", "parent", "child"} | many)
    assert len(seen.publications) == 5, "each once"
    assert set(CursorTracker.get_cursors(key)) == {"before", "parent", "child"} | many
