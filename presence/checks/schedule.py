"""The schedule of Celery beat: its entries for a task, in the settings and in the database.

Can be imported where Celery is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.apps import apps
from django.conf import settings

from presence.queues.celery import TICK

if TYPE_CHECKING:
    from celery import Celery

DATABASE_SCHEDULER: Final = "django_celery_beat"

TOLERANCE: Final = timedelta(seconds=5)
"""Difference between two clocks that is not taken for an error."""
LONGEST_WAIT: Final = timedelta(days=1)
"""Time until a calendar comes round: the longest PRESENCE_INTERVAL."""
EMPTY: Final = ("", "[]", "()", "{}", "null")


class Entry(msgspec.Struct, frozen=True):
    """One entry of beat that sends the task.

    `seconds` is its interval, None for a crontab or another calendar. `never` says why an enabled
    entry is not due, `amiss` what keeps the task that it sends from running: clauses, "" for
    nothing.
    """

    name: str
    seconds: float | None
    enabled: bool = True
    never: str = ""
    amiss: str = ""


def uses_database(app: Celery) -> bool:
    """Return whether beat keeps its schedule in the tables of django-celery-beat."""
    return DATABASE_SCHEDULER in str(app.conf.beat_scheduler)


def database_installed() -> bool:
    """Return whether the site has the tables of django-celery-beat."""
    return apps.is_installed(DATABASE_SCHEDULER)


def in_settings(app: Celery, task: str = TICK) -> list[Entry]:
    """Return the entries for the task in `beat_schedule` of the application."""
    return _entries(app.conf.beat_schedule, task)


def unread() -> list[Entry]:
    """Return the entries for the tick in CELERY_BEAT_SCHEDULE of Django's settings.

    The application reads them only where its configuration names the namespace "CELERY".
    """
    return _entries(getattr(settings, "CELERY_BEAT_SCHEDULE", None), TICK)


def _entries(schedule: Any, task: str) -> list[Entry]:
    found = schedule if isinstance(schedule, Mapping) else {}
    return [
        Entry(
            str(name),
            _seconds(entry.get("schedule")),
            amiss=_amiss(entry.get("args"), entry.get("kwargs")),
        )
        for name, entry in found.items()
        if isinstance(entry, Mapping) and entry.get("task") == task
    ]


def in_database(task: str = TICK) -> list[Entry]:
    """Return the rows of django-celery-beat for the task. Raises django.db.DatabaseError."""
    model: Any = apps.get_app_config(DATABASE_SCHEDULER).get_model("PeriodicTask")
    rows = (
        model._default_manager.filter(task=task)
        .select_related("interval", "crontab", "solar", "clocked")
        .order_by("name")
    )
    moment = datetime.now(UTC)
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
    """Return why beat does not find the row due; "" if it does."""
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
    """Return why a crontab or a solar schedule does not come round; "" if it does."""
    if row.interval:
        return ""
    try:
        wait = row.schedule.remaining_estimate(last)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Celery raises these for a day that no calendar has.
        return f"its schedule never comes round ({type(error).__name__})"
    return "its schedule comes round in over a day" if wait > LONGEST_WAIT else ""


def _amiss(args: Any, kwargs: Any) -> str:
    """Return what keeps the task, which takes no arguments, from running; "" for nothing."""
    given = [part for part in (args, kwargs) if str(part or "").strip() not in EMPTY]
    return "it has arguments, and the task takes none" if given else ""


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and not moment.tzinfo else moment


def _seconds(when: Any) -> float | None:
    if isinstance(when, int | float):
        return float(when)
    every = getattr(when, "run_every", when)  # of a celery.schedules.schedule
    return every.total_seconds() if isinstance(every, timedelta) else None
