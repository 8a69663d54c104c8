"""A whole site as it runs in production: web, a Celery worker with beat, Redis and Centrifugo."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from bench.child import celery
from bench.processor import family_seconds, processor_seconds
from bench.site import config as quiet_config
from presence.queues.celery import TICK, WATCH
from presence_devtools import servers
from tests.browser.one_page_site import Stage, open_stage

INTERVAL = 60
GRACE = 2
"""Seconds of PRESENCE_LEAVE_GRACE. It is subtracted from what is measured."""
SETTINGS = {"PRESENCE_LEAVE_GRACE": str(GRACE)}


@dataclass
class LiveSite:
    """The running parts. `worker` is the id of the parent of its processes; `log` is Celery's."""

    stage: Stage
    worker: int
    log: Path

    def worker_seconds(self) -> float:
        """Return the processor time that the worker has used, in all of its processes."""
        return family_seconds(self.worker)

    def centrifugo_seconds(self) -> float:
        """Return the processor time that Centrifugo has used."""
        return processor_seconds(self.stage.centrifugo.pid)

    def looks(self) -> list[float]:
        """Return the seconds of each look so far, as Celery logs them."""
        return self._seconds_of(WATCH)

    def ticks(self) -> list[float]:
        """Return the seconds of each tick so far."""
        return self._seconds_of(TICK)

    def _seconds_of(self, task: str) -> list[float]:
        found = re.findall(
            rf"{re.escape(task)}\[\S+\] succeeded in ([\d.e-]+)s", self.log.read_text()
        )
        return [float(seconds) for seconds in found]


@contextmanager
def live_site(*, pings: bool, interval: float = INTERVAL, **settings: str) -> Iterator[LiveSite]:
    """Run a site whose first look is done, with these settings, and with or without pings."""
    with (
        tempfile.TemporaryDirectory() as name,
        patch.dict(os.environ, {**SETTINGS, **settings}),
    ):
        directory = Path(name)
        config = servers.CONFIG if pings else _crowd_config(directory)
        with open_stage(directory, config, every=interval) as stage:
            yield from _run_tasks(directory, stage)


def _crowd_config(directory: Path) -> Path:
    """Write the configuration for a crowd, without recovery in rooms.

    Centrifugo 6.9 deadlocks where a connection token names many channels with recovery while
    diffs are published in them: the crowd's tokens name 100.
    """
    path = quiet_config(directory)
    settings = json.loads(path.read_text())
    for namespace in settings["channel"]["namespaces"]:
        namespace["force_recovery"] = False
    path.write_text(json.dumps(settings))
    return path


def _run_tasks(directory: Path, stage: Stage) -> Iterator[LiveSite]:
    """Run the worker and beat on the stage; they need no database."""
    environment = {
        **stage.web.environment,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "CELERY_BROKER_URL": stage.redis_url.replace("/0", "/1"),
    }
    log = directory / "celery.log"
    worker = ["worker", "--concurrency", "2", "--loglevel", "INFO"]
    beat = ["beat", "--pidfile=", "--scheduler", "celery.beat:PersistentScheduler"]
    beat += ["--schedule", f"{directory}/beat"]
    with celery(environment, worker, beat, log=log) as (process, _):
        site = LiveSite(stage, process.pid, log)
        servers.wait_until(lambda: bool(site.looks()), "a look")
        yield site
