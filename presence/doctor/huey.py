"""Checks of Huey: its storage answers, and a consumer runs the tick."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.apps import apps
from django.conf import settings

from presence import queues
from presence.checks.huey import ADD_APP, INSTALL, NO_CONSUMER, NOT_IMMEDIATE
from presence.doctor.findings import Findings, duration, ok, problem, skipped

if TYPE_CHECKING:
    from huey.api import Huey, TaskWrapper

PATIENCE = 5.0
"""Seconds for Huey's storage, and for a consumer, to answer."""
PAUSE = 0.05


def examine() -> Findings:
    if queues.chosen() != "huey":
        return
    if not queues.huey_installed():
        yield problem("huey.app", "Huey is not installed, and ASYNC_BACKEND names it", INSTALL)
        return
    if not apps.is_installed(queues.HUEY_APP):
        yield problem("huey.app", f"{queues.HUEY_APP} is not in INSTALLED_APPS", ADD_APP)
        return
    from huey.contrib.djhuey import HUEY

    if HUEY.immediate and NO_CONSUMER in settings.SILENCED_SYSTEM_CHECKS:
        yield skipped(
            "huey.consumer", f"{NO_CONSUMER} is silenced: this site does without a consumer"
        )
        return
    if HUEY.immediate:
        yield problem(
            "huey.app", "HUEY is in immediate mode: no consumer can be started", NOT_IMMEDIATE
        )
        return
    yield ok("huey.app", f"The site's Huey is {HUEY.name!r} ({type(HUEY).__name__})")
    yield from consumer(HUEY)


def consumer(huey: Huey) -> Findings:
    """Check that the storage answers, and a consumer that knows the tasks."""
    from presence.queues.huey import QuickHuey
    from presence.tasks import answer

    quick = QuickHuey(huey, timeout=PATIENCE)
    try:
        if answers(quick.huey, answer):
            yield ok("huey.consumer", "A consumer answers and knows the tasks")
            return
        waiting = quick.huey.pending_count()
    except Exception as error:  # each storage raises its own kind
        yield problem(
            "huey.storage",
            f"Huey's storage does not answer ({type(error).__name__}: {error})",
            "Start it, or correct HUEY.",
        )
        return
    finally:
        quick.close()
    yield problem(
        "huey.consumer",
        f"No consumer answered in {duration(PATIENCE)}; tasks that wait: {waiting}",
        "Start `manage.py run_huey`, without --disable-autoload and with the same HUEY. If it "
        "runs, give it more workers: all that it has are busy.",
    )


def answers(huey: Huey, task: TaskWrapper, *, clock: Callable[[], float] = time.monotonic) -> bool:
    """Return whether a consumer runs `task`, within PATIENCE. Raises what Huey's storage does."""
    key = f"presence-answer-{secrets.token_hex(8)}"
    huey.enqueue(task.s(key, expires=PATIENCE))
    ends = clock() + PATIENCE
    while clock() < ends:
        if huey.get(key, peek=True):
            huey.delete(key)
            return True
        time.sleep(PAUSE)
    return False
