"""`presence_sync` as a process, with a real Redis and a real Centrifugo."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from presence_devtools.servers import manage, wait_until
from tests.websocket_clients import Swarm

FIELDS = {
    *("channels", "changed", "members", "joins", "leaves", "updates", "anonymous"),
    *("published", "held", "errors", "seconds"),
}


def sync(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        manage("presence_sync", "--once", "--json", *arguments),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    report: dict[str, Any] = json.loads(line)
    assert report.keys() == FIELDS
    assert report["seconds"].keys() == {"total", "read", "store", "publish"}
    return report


def test_presence_sync_reports_joins_and_leaves_of_many_connections(
    environment: dict[str, str], swarm: Swarm
) -> None:
    environment["PRESENCE_LEAVE_GRACE"] = "0.5"
    people = [(f"u{n}", f"presence:sync:{n % 20}") for n in range(200)]
    swarm.connect_all(people)
    watcher = swarm.subscribe("watcher", "presence:sync:0")

    first = sync(environment)
    assert (first["channels"], first["changed"]) == (20, 20)
    assert (first["members"], first["joins"], first["leaves"]) == (201, 201, 0)
    assert (first["published"], first["errors"], first["anonymous"]) == (20, 0, 0)

    second = sync(environment)
    assert (second["members"], second["changed"], second["published"]) == (201, 0, 0)

    gone = [user for user, _ in people[:50]]
    swarm.disconnect(*gone)
    held = sync(environment)
    assert (held["held"], held["leaves"], held["members"]) == (50, 0, 201)

    reports: list[dict[str, Any]] = []

    def all_left() -> bool:
        reports.append(sync(environment))
        return sum(report["leaves"] for report in reports) >= 50

    wait_until(all_left, "the leaves are believed")
    assert sum(report["leaves"] for report in reports) == 50
    assert (reports[-1]["members"], reports[-1]["held"]) == (151, 0)

    wait_until(lambda: len(watcher.publications) >= 2, "the watcher has both diffs")
    joined, left = watcher.publications
    assert (joined["base"], joined["version"], left["base"], left["version"]) == (0, 1, 1, 2)
    assert {member["id"] for member in joined["joins"]} == {
        "watcher",
        *(user for user, channel in people if channel == "presence:sync:0"),
    }
    assert set(left["leaves"]) == {u for u, c in people[:50] if c == "presence:sync:0"}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CENTRIFUGO_API_KEY", "wrong", "CENTRIFUGO_API_KEY"),
        ("CENTRIFUGO_API_URL", "http://127.0.0.1:9/api", "did not answer"),
        ("PRESENCE_REDIS_URL", "redis://127.0.0.1:9/0", "PRESENCE_REDIS_URL"),
    ],
)
def test_presence_sync_without_a_server_prints_one_line_and_exits_1(
    environment: dict[str, str], name: str, value: str, says: str
) -> None:
    environment[name] = value
    done = subprocess.run(
        manage("presence_sync", "--once", "--json"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert says in line
    assert json.loads(done.stdout)["errors"] == 1
