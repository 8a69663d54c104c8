"""What Celery beat was told about the tick. Can be imported where Celery is not installed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec
from django.apps import apps

from presence import queues

if TYPE_CHECKING:
    from celery import Celery

__all__ = [
    "TICK",
    "Entry",
    "celery_installed",
    "database_installed",
    "in_database",
    "in_settings",
    "project_app",
    "uses_database",
]

TICK = "presence.tasks.update_presence"
"""Name of the task that beat has to send."""

DATABASE_SCHEDULER = "django_celery_beat"


class Entry(msgspec.Struct, frozen=True):
    """One entry of beat that sends the tick, every `seconds` (None: by a crontab or the like)."""

    name: str
    seconds: float | None
    enabled: bool = True


def celery_installed() -> bool:
    return find_spec("celery") is not None


def project_app() -> Celery | None:
    """The Celery application that importing the project made, None if there is none.

    None where Celery is not what runs the tick: then it is not imported. None as well in a process
    whose project has one that its package does not import: there, shared tasks are bound to the
    application that Celery makes up, which knows no broker.
    """
    if queues.chosen() != "celery" or not celery_installed():
        return None
    from celery import current_app

    return None if current_app.main == "default" else current_app


def uses_database(app: Celery) -> bool:
    """Whether beat is set to keep its schedule in the tables of django-celery-beat."""
    return DATABASE_SCHEDULER in str(app.conf.beat_scheduler)


def database_installed() -> bool:
    """Whether the tables of django-celery-beat belong to the site."""
    return apps.is_installed(DATABASE_SCHEDULER)


def in_settings(app: Celery) -> list[Entry]:
    """The entries of the application's `beat_schedule` (CELERY_BEAT_SCHEDULE) for the tick."""
    found: Mapping[str, Any] = app.conf.beat_schedule or {}
    return [
        Entry(name, _seconds(entry.get("schedule")))
        for name, entry in found.items()
        if isinstance(entry, Mapping) and entry.get("task") == TICK
    ]


def in_database() -> list[Entry]:
    """The rows of django-celery-beat for the tick. May raise django.db.DatabaseError."""
    model: Any = apps.get_app_config(DATABASE_SCHEDULER).get_model("PeriodicTask")
    rows = model._default_manager.filter(task=TICK).select_related("interval").order_by("name")
    return [
        Entry(row.name, _seconds(row.interval and row.interval.schedule), enabled=row.enabled)
        for row in rows
    ]


def _seconds(when: Any) -> float | None:
    if isinstance(when, int | float):
        return float(when)
    every = getattr(when, "run_every", when)  # of a celery.schedules.schedule
    return every.total_seconds() if isinstance(every, timedelta) else None
