"""Faults of the processes of a site: worker and beat."""

from __future__ import annotations

import signal
import time

import pytest

from presence_devtools.servers import wait_until
from tests.faults.site import Site, room


@pytest.mark.fault("a worker is killed and started again")
def test_worker_killed_and_started_again_shows_the_truth(site: Site) -> None:
    with room(site, "worker-killed") as here:
        site.kill("worker")
        here.crowd.go("ada")
        here.crowd.come("dan")
        site.start("worker")
        here.wait_for_tick()
        here.judge()


@pytest.mark.fault("beat runs twice")
def test_beat_twice_tells_each_change_once(site: Site) -> None:
    with room(site, "beat-twice") as here:
        site.start("beat:2")
        site.start("worker:2")
        here.crowd.go("ada")
        here.crowd.come("dan")
        here.end()
        here.judge()
        site.kill("beat:2")
        site.kill("worker:2")


@pytest.mark.fault("a worker stands still for longer than an interval")
def test_worker_stopped_for_longer_than_an_interval_shows_the_truth(site: Site) -> None:
    with room(site, "worker-stopped") as here:
        site.send("worker", signal.SIGSTOP)
        here.crowd.go("ada")
        here.crowd.come("dan")
        time.sleep(5.0)  # the fault itself
        site.send("worker", signal.SIGCONT)
        here.end()
        here.judge()


@pytest.mark.fault("worker children are replaced (`max-tasks-per-child`, `max-memory-per-child`)")
@pytest.mark.parametrize("option", ["--max-tasks-per-child=1", "--max-memory-per-child=1000"])
def test_worker_whose_children_are_replaced_shows_the_truth(site: Site, option: str) -> None:
    with room(site, f"children{option[:12]}") as here:
        site.kill("worker")
        site.start("worker", option)
        here.wait_for_tick()
        children = site.children("worker")
        here.crowd.go("ada")
        here.crowd.come("dan")
        here.end()
        here.judge()
        wait_until(lambda: not (children & site.children("worker")), "children are replaced")
        site.kill("worker")
        site.start("worker")
        here.wait_for_tick()
