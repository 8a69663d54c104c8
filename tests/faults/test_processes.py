"""Faults of the processes of a site: worker and beat."""

from __future__ import annotations

import signal
import time

from tests.faults.site import Site, room


def test_worker_killed_and_started_again_shows_the_truth(site: Site) -> None:
    with room(site, "worker-killed") as here:
        site.kill("worker")
        here.crowd.go("ada")
        here.crowd.come("dan")
        site.start("worker")
        here.wait_for_tick()
        here.judge()


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


def test_worker_stopped_for_longer_than_an_interval_shows_the_truth(site: Site) -> None:
    with room(site, "worker-stopped") as here:
        site.send("worker", signal.SIGSTOP)
        here.crowd.go("ada")
        here.crowd.come("dan")
        time.sleep(5.0)  # the fault itself
        site.send("worker", signal.SIGCONT)
        here.end()
        here.judge()
