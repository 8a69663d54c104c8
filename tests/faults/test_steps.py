"""A worker that is killed at any step of a tick."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from presence_devtools import servers
from tests.faults.site import Site, room


@pytest.mark.fault("a worker is killed at any step of a tick")
def test_worker_killed_at_each_step_of_a_tick_tells_each_change_once(site: Site) -> None:
    with room(site, "steps") as here:
        for name in ("beat", "worker"):
            site.kill(name)
        command = [sys.executable, "-m", "tests.faults.killed_ticks"]
        with subprocess.Popen(
            command,
            **{"env": site.environment, "cwd": servers.ROOT, "text": True},
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE},
        ) as ticks:
            assert ticks.stdin
            assert ticks.stdout
            killed, step = True, 0
            while killed:
                step += 1
                here.crowd.come(f"u{step}")
                if step > 3:
                    here.crowd.go(f"u{step - 3}")
                ticks.stdin.write(f"{step}\n")
                ticks.stdin.flush()
                killed = int(ticks.stdout.readline()) == signal.SIGKILL
            ticks.stdin.close()
        assert step > 16
        site.start("worker")
        site.start("beat")
        here.wait_for_tick()
        here.judge()
