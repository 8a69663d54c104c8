"""Checks of Celery: beat sends the tick and the watch, and a worker runs the tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DatabaseError

from presence import queues
from presence.checks import schedule
from presence.checks.schedule import Entry
from presence.checks.site import ADD_ENTRY, NAMESPACE, NO_APP, READ_SETTINGS, import_celery
from presence.conf import conf
from presence.doctor.findings import Findings, duration, ok, problem, skipped, warning
from presence.queues.celery import TICK, WATCH, project_app
from presence.transport.redaction import address

if TYPE_CHECKING:
    from celery import Celery

ADD_WATCH = (
    f'Add "watch-presence": {{"task": "{WATCH}", "schedule": '
    "timedelta(seconds=PRESENCE_WATCH)} to CELERY_BEAT_SCHEDULE, and start beat again. A site that "
    "does without looks sets PRESENCE_WATCH = 0."
)

PATIENCE = 5.0
"""Seconds for a worker to answer; the first answer suffices."""

UNCOPIED = "is not in the database: beat has not been started since it was written"


def examine() -> Findings:
    if queues.chosen() == "huey":
        return
    if not queues.celery_installed():
        yield skipped(
            "celery.app",
            "Celery is not installed",
            "Run `pip install django-presence-centrifugo[celery]`, or run "
            "`manage.py presence_sync --every`.",
        )
        return
    app = project_app()
    if app is None and NO_APP in settings.SILENCED_SYSTEM_CHECKS:
        yield skipped("celery.app", f"{NO_APP} is silenced: this site does without Celery")
        return
    if app is None:
        yield problem(
            "celery.app",
            "The project does not import its Celery application: beat and worker cannot be "
            "checked, and tasks that the site's own pages send find no broker",
            import_celery(),
        )
        return
    yield ok("celery.app", f"The project's Celery application is {app.main!r}")
    yield from beat(app)
    yield from worker(app)


def beat(app: Celery) -> Findings:
    """Check that beat sends the tick once every PRESENCE_INTERVAL, and looks in between."""
    try:
        entries = _entries(app, TICK)
        looks = _entries(app, WATCH)
    except DatabaseError as error:
        yield problem(
            "beat.entry",
            f"The tables of django-celery-beat cannot be read ({error})",
            "Run `manage.py migrate`.",
        )
        if not schedule.in_settings(app):
            yield from _unread()
        return
    if entries is None:
        yield warning(
            "beat.entry", f"The entry of CELERY_BEAT_SCHEDULE {UNCOPIED}", "Start `celery beat`."
        )
        return
    if not entries and schedule.unread():
        yield from _unread()
        return
    yield from entry(entries)
    yield from watch(looks)


def _entries(app: Celery, task: str) -> list[Entry] | None:
    """Return the entries with which beat sends the task; None if it is yet to copy them into the
    database. Raises DatabaseError."""
    entries = schedule.in_settings(app, task)
    if not schedule.database_installed():
        return entries
    stored = schedule.in_database(task)
    if schedule.uses_database(app):
        return None if entries and not stored else stored
    # Beat may have been started with --scheduler, which cannot be seen from here. An entry that it
    # copied from the settings into the tables has the same name.
    names = {entry.name for entry in entries}
    return [*entries, *(row for row in stored if row.name not in names)]


def _unread() -> Findings:
    if schedule.unread():
        yield problem(
            "beat.entry",
            "CELERY_BEAT_SCHEDULE has the entry for the tick, but the Celery application does not "
            "read it",
            READ_SETTINGS,
        )


def entry(entries: Sequence[Entry]) -> Findings:
    """Check that one entry sends the tick, and is enabled."""
    enabled = [entry for entry in entries if entry.enabled]
    if not entries:
        yield problem("beat.entry", f"Beat has no entry that sends {TICK}", ADD_ENTRY)
    elif not enabled:
        yield problem(
            "beat.entry",
            f"The entry {entries[0].name!r} of beat is disabled",
            "Enable it in the admin, under Periodic tasks.",
        )
    due = [entry for entry in enabled if not entry.never and not entry.amiss]
    for idle in enabled if not due else ():
        yield problem(
            "beat.entry",
            f"The entry {idle.name!r} of beat is enabled, but never sends a tick that runs: "
            f"{idle.never or idle.amiss}",
            "Correct it in the admin, under Periodic tasks (disabling it, saving, and enabling it "
            "again resets its last run), or in CELERY_BEAT_SCHEDULE; or delete it and start beat, "
            "which creates it again from the settings.",
        )
    if due:
        yield ok("beat.entry", f"The entry {due[0].name!r} of beat is enabled and sends the tick")
        yield from interval(due[0])
    if len(due) > 1:
        names = ", ".join(repr(entry.name) for entry in due)
        yield warning(
            "beat.twice",
            f"Several entries of beat send the tick: {names}",
            "Keep one: the others waste work.",
        )


def interval(entry: Entry) -> Findings:
    """Check that the entry has the interval of PRESENCE_INTERVAL."""
    wanted = conf.PRESENCE_INTERVAL
    if entry.seconds is None or abs(entry.seconds - wanted) > 0.01 * wanted:
        often = "by a calendar" if entry.seconds is None else f"every {duration(entry.seconds)}"
        yield warning(
            "beat.interval",
            f"Beat sends the tick {often}, and PRESENCE_INTERVAL is {duration(wanted)}",
            "Make them equal: pages show the age of a list by PRESENCE_INTERVAL, and a tick that "
            "waited for longer does not run.",
        )


def watch(entries: Sequence[Entry] | None) -> Findings:
    """Check that an entry sends looks. Without them everything is right, but later."""
    wanted = conf.PRESENCE_WATCH
    if not wanted:
        yield skipped("looks.entry", "PRESENCE_WATCH is 0: this site does without looks")
        return
    amiss = {
        entry.name: "it is disabled" if not entry.enabled else entry.never or entry.amiss
        for entry in entries or ()
    }
    due = [entry for entry in entries or () if not amiss[entry.name]]
    if not due:
        reason = f"Beat has no entry that sends {WATCH}"
        if entries is None:
            reason = f"The entry of CELERY_BEAT_SCHEDULE for {WATCH} {UNCOPIED}"
        for name, fault in amiss.items():
            reason = f"The entry {name!r} of beat sends no look: {fault}"
        yield warning("looks.entry", f"{reason}. {late_without_looks()}", ADD_WATCH)
    elif due[0].seconds is None or abs(due[0].seconds - wanted) > 0.01 * wanted:
        often = "by a calendar" if due[0].seconds is None else f"every {duration(due[0].seconds)}"
        yield warning(
            "looks.entry",
            f"Beat sends looks {often}, and PRESENCE_WATCH is {duration(wanted)}",
            "Make them equal: a look that waited for longer than PRESENCE_WATCH does not run.",
        )
    else:
        yield ok("looks.entry", f"The entry {due[0].name!r} of beat sends looks")


def late_without_looks() -> str:
    """Return what a site without looks pays, as a sentence."""
    every = duration(conf.PRESENCE_INTERVAL)
    return f"Joins show only with the ticks, within {every}, and leaves within twice that"


def worker(app: Celery) -> Findings:
    """Check that the broker answers, and a worker that knows the tick."""
    from kombu.exceptions import OperationalError

    try:
        known = _tasks(app, limit=1)
        if known and TICK not in known:  # another worker may know it
            known = _tasks(app)
    except (OperationalError, OSError) as error:
        yield problem(
            "worker.broker",
            f"The broker does not answer at {_broker(app)} ({error})",
            _unread_broker(app) or "Start it, or correct CELERY_BROKER_URL.",
        )
        return
    if known is None:
        yield problem(
            "worker.answers",
            f"No worker answered in {duration(PATIENCE)} on {_broker(app)}",
            _unread_broker(app)
            or f"Start `celery -A {app.main} worker`, with the same CELERY_BROKER_URL.",
        )
    elif TICK not in known:
        yield problem(
            "worker.answers",
            f"The worker does not know the task {TICK}",
            'Have the Celery application call autodiscover_tasks(), with "presence" in '
            "INSTALLED_APPS, and restart the worker.",
        )
    else:
        yield ok("worker.answers", "A worker answers and knows the tick")


def _tasks(app: Celery, limit: int | None = None) -> set[str] | None:
    """Return the tasks that the workers know, of at most `limit` workers; None if none answers."""
    options: Any = {}
    if str(app.conf.broker_url or "").startswith("redis"):
        options["transport_options"] = {"socket_connect_timeout": PATIENCE}
    with app.connection_for_write(connect_timeout=PATIENCE, **options) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        asked: Any = app.control.inspect(timeout=PATIENCE, limit=limit, connection=connection)
        replies = asked.registered()
    if not replies:
        return None
    return {line.partition(" ")[0] for lines in replies.values() for line in lines}


def _unread_broker(app: Celery) -> str:
    """Return the remedy if the application does not read the URL of the settings; else ""."""
    read = app.conf.broker_write_url or app.conf.broker_url
    return NAMESPACE if getattr(settings, "CELERY_BROKER_URL", None) and not read else ""


def _broker(app: Celery) -> str:
    return address(app.conf.broker_write_url or app.conf.broker_url or "amqp://localhost")
