"""What Celery beat was told about the tick. Can be imported where Celery is not installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec
from django.apps import apps
from django.conf import settings

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
    "unread",
    "uses_database",
]

TICK = "presence.tasks.update_presence"
"""Name of the task that beat has to send."""

DATABASE_SCHEDULER = "django_celery_beat"

TOLERANCE = timedelta(seconds=5)
"""By which clocks may differ."""
LONGEST_WAIT = timedelta(days=1)
"""Until a calendar comes round: the longest PRESENCE_INTERVAL."""
EMPTY = ("", "[]", "()", "{}", "null")


class Entry(msgspec.Struct, frozen=True):
    """One entry of beat that sends the tick, every `seconds` (None: by a crontab or the like).

    `never`: why it is not due although it is enabled, a clause; "" where it is. `amiss`: what
    keeps the task that it sends from running, a clause.
    """

    name: str
    seconds: float | None
    enabled: bool = True
    never: str = ""
    amiss: str = ""


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
    if "celery" not in sys.modules:  # nobody has made one, and starting Django needs no Celery
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
    return _entries(app.conf.beat_schedule)


def unread() -> list[Entry]:
    """The entries for the tick that Django's settings hold, whether or not the application reads
    them: it does so where its configuration names the namespace "CELERY"."""
    return _entries(getattr(settings, "CELERY_BEAT_SCHEDULE", None))


def _entries(schedule: Any) -> list[Entry]:
    found = schedule if isinstance(schedule, Mapping) else {}
    return [
        Entry(
            str(name),
            _seconds(entry.get("schedule")),
            amiss=_amiss(entry.get("args"), entry.get("kwargs")),
        )
        for name, entry in found.items()
        if isinstance(entry, Mapping) and entry.get("task") == TICK
    ]


def in_database(now: datetime | None = None) -> list[Entry]:
    """The rows of django-celery-beat for the tick. May raise django.db.DatabaseError."""
    model: Any = apps.get_app_config(DATABASE_SCHEDULER).get_model("PeriodicTask")
    rows = (
        model._default_manager.filter(task=TICK)
        .select_related("interval", "crontab", "solar", "clocked")
        .order_by("name")
    )
    moment = now or datetime.now(UTC)
    return [
        Entry(
            row.name,
            _seconds(row.interval and row.interval.schedule),
            enabled=row.enabled,
            never=_never(row, moment) if row.enabled else "",
            amiss=_amiss(row.args, row.kwargs),
        )
        for row in rows
    ]


def _never(row: Any, now: datetime) -> str:
    """Why beat does not find the row due."""
    last, start, expires = (
        _aware(moment) for moment in (row.last_run_at, row.start_time, row.expires)
    )
    if start and start > now:
        return f"it starts at {start:%Y-%m-%d %H:%M:%S %Z}"
    if expires and expires <= now:
        return f"it expired at {expires:%Y-%m-%d %H:%M:%S %Z}"
    if row.one_off and row.total_run_count > 0:
        return "it is one-off, and has run"
    if last and last > now + TOLERANCE:
        return (
            f"it last ran at {last:%Y-%m-%d %H:%M:%S %Z}, which is in the future: the clock of "
            "beat was ahead then"
        )
    if not (row.interval or row.crontab or row.solar or row.clocked):
        return "it has no schedule"
    if row.clocked:
        return "it runs once, at one moment (clocked)"
    if row.one_off:
        return "it is one-off, and will run once"
    return _never_by_calendar(row, last or now)


def _never_by_calendar(row: Any, last: datetime) -> str:
    """Why a crontab or a solar schedule does not come round."""
    if row.interval:
        return ""
    try:
        wait = row.schedule.remaining_estimate(last)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Of Celery, for a day that no calendar has.
        return f"its schedule never comes round ({type(error).__name__})"
    return "its schedule comes round in over a day" if wait > LONGEST_WAIT else ""


def _amiss(args: Any, kwargs: Any) -> str:
    """Return what keeps the task from running: it takes no arguments."""
    given = [part for part in (args, kwargs) if str(part or "").strip() not in EMPTY]
    return "it has arguments, and the task takes none" if given else ""


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and not moment.tzinfo else moment


def _seconds(when: Any) -> float | None:
    if isinstance(when, int | float):
        return float(when)
    every = getattr(when, "run_every", when)  # of a celery.schedules.schedule
    return every.total_seconds() if isinstance(every, timedelta) else None
