"""Checks of the site's Huey, where Huey runs the tick."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django.apps import apps
from django.conf import settings
from django.core import checks

from presence import queues
from presence.checks.values import value

NO_HUEY = "presence.W020"
NO_COMMAND = "presence.W021"
NO_CONSUMER = "presence.W023"

INSTALL = "Run `pip install 'django-presence-centrifugo[huey]'`."
ADD_APP = f"Add {queues.HUEY_APP!r} to INSTALLED_APPS, and run `manage.py run_huey`."
NOT_IMMEDIATE = (
    'Add "immediate": False to HUEY: without it, its value is that of DEBUG. Where `manage.py '
    "presence_sync --every` does the work instead, add "
    f"{NO_CONSUMER!r} to SILENCED_SYSTEM_CHECKS."
)


def check_huey() -> Iterator[checks.CheckMessage]:
    """Check that the site has a Huey whose consumer can run the tick."""
    if queues.chosen() != "huey":
        return
    if not queues.huey_installed():
        yield checks.Warning(
            'ASYNC_BACKEND is "huey", which is not installed: no channel is ever polled.',
            hint=INSTALL,
            id=NO_HUEY,
        )
    elif not apps.is_installed(queues.HUEY_APP):
        yield checks.Warning(
            f'ASYNC_BACKEND is "huey", and {queues.HUEY_APP} is not installed: there is no '
            "consumer to run the tick.",
            hint=ADD_APP,
            id=NO_COMMAND,
        )
    else:
        yield from _check_queue()


def _check_queue() -> Iterator[checks.CheckMessage]:
    from huey.contrib.djhuey import HUEY
    from huey.storage import MemoryStorage

    if getattr(settings, "HUEY", None) is None:
        yield checks.Warning(
            "HUEY is not set: Huey uses a Redis on this machine, and the name of the database as "
            "the name of its queue.",
            hint='Set HUEY = {"huey_class": "huey.RedisExpireHuey", "name": …, "url": "redis://…", '
            '"immediate": False}.',
            id="presence.W022",
        )
    if HUEY.immediate:
        yield checks.Warning(
            "HUEY is in immediate mode: no consumer can be started, so no channel is ever polled.",
            hint=NOT_IMMEDIATE,
            id=NO_CONSUMER,
        )
    elif isinstance(HUEY.storage, MemoryStorage):
        yield checks.Warning(
            "HUEY is kept in the memory of each process: its consumer gets no tasks of other "
            "processes.",
            hint='Set its "huey_class" to "huey.RedisExpireHuey".',
            id=NO_CONSUMER,
        )
    interval, looks = value("PRESENCE_INTERVAL"), _scheduler_interval()
    if interval is not None and interval < looks:
        yield checks.Warning(
            f"PRESENCE_INTERVAL is {interval:g} s, and Huey's scheduler runs every {looks:g} s: "
            "ticks cannot come more often.",
            hint=f"Set PRESENCE_INTERVAL to {looks:g} or more"
            + (', or "scheduler_interval" of HUEY to 1.' if looks > 1 else "."),
            id="presence.W024",
        )


def _scheduler_interval() -> float:
    """Return the seconds between two runs of Huey's scheduler in the settings: 1 or more."""
    huey = getattr(settings, "HUEY", None)
    consumer = huey.get("consumer") if isinstance(huey, Mapping) else None
    return max(1.0, (consumer or {}).get("scheduler_interval") or 1.0)
