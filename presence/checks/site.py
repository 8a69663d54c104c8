"""Checks of the project around the app: URLs, static files, the request, Celery."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db.models import EmailField
from django.urls import NoReverseMatch, reverse

from presence import queues
from presence.checks import schedule
from presence.queues import celery

REQUEST = "django.template.context_processors.request"
STATIC_FILES = "django.contrib.staticfiles"
NO_APP = "presence.W009"
NO_ENTRY = "presence.W010"
NO_URLS = "presence.W011"

ADD_ENTRY = (
    f'Add "update-presence": {{"task": "{celery.TICK}", "schedule": '
    "timedelta(seconds=PRESENCE_INTERVAL)} to CELERY_BEAT_SCHEDULE."
)


NAMESPACE = (
    'Give the application its namespace: app.config_from_object("django.conf:settings", '
    'namespace="CELERY"). Without it, no CELERY_ setting is read, the broker\'s URL included.'
)
READ_SETTINGS = f"Beat does not send {celery.TICK}. {NAMESPACE}"


def check_project() -> Iterator[checks.CheckMessage]:
    """Check that browsers find the URLs and the files, and templates the request."""
    if getattr(settings, "ROOT_URLCONF", None) and not _urls_included():
        # Not an error: pages still show the rosters, and `runserver` should serve them.
        yield checks.Warning(
            "presence.urls is not included: browsers cannot get their tokens.",
            hint=f'Add path("presence/", include("presence.urls")) to the urlpatterns of '
            f"{settings.ROOT_URLCONF}.",
            id=NO_URLS,
        )
    if not apps.is_installed(STATIC_FILES):
        yield checks.Warning(
            f"{STATIC_FILES} is not installed: browsers do not get the widget's JavaScript.",
            hint=f"Add {STATIC_FILES!r} to INSTALLED_APPS.",
            id="presence.W007",
        )
    options: list[Any] = [engine.get("OPTIONS", {}) for engine in settings.TEMPLATES]
    if not any(REQUEST in each.get("context_processors", ()) for each in options):
        yield checks.Warning(
            "No template engine passes the request to templates: widgets do not know their "
            "visitor, and stay static.",
            hint=f"Add {REQUEST!r} to the context_processors in TEMPLATES.",
            id="presence.W008",
        )


def check_user_names() -> Iterator[checks.CheckMessage]:
    """Check that users have a name other than their e-mail address."""
    if getattr(settings, "PRESENCE_USER_INFO", None) is not None:
        return
    try:
        model: Any = get_user_model()
    except ImproperlyConfigured:  # Django's own checks say so.
        return
    field = model._meta.get_field(model.USERNAME_FIELD)
    if isinstance(field, EmailField) or field.name == getattr(model, "EMAIL_FIELD", None):
        yield checks.Warning(
            f"{settings.AUTH_USER_MODEL} signs in by e-mail, and PRESENCE_USER_INFO is not set: "
            'a user without a full name is shown as "User 3f2a".',
            hint="Set PRESENCE_USER_INFO to a function that gives the name: def user_info(user): "
            'return {"name": user.nickname}. Where all users have a full name, add '
            '"presence.W016" to SILENCED_SYSTEM_CHECKS.',
            id="presence.W016",
        )


def check_celery() -> Iterator[checks.CheckMessage]:
    """Check that tasks find the project's broker, and that beat has an entry for the tick."""
    if queues.chosen() != "celery" or not queues.celery_installed():
        return
    app = celery.project_app()
    if app is None:
        yield checks.Warning(
            "The project does not import its Celery application: its schedule cannot be checked, "
            "and tasks that the site's own pages send find no broker.",
            hint=import_celery(),
            id=NO_APP,
        )
    # The tables may hold the entry; the doctor reads them, as that takes a query.
    elif schedule.database_installed() or schedule.in_settings(app):
        return
    elif schedule.unread():
        yield checks.Warning(
            "CELERY_BEAT_SCHEDULE has the entry for the tick, but the Celery application does not "
            "read it: no channel is ever polled.",
            hint=READ_SETTINGS,
            id=NO_ENTRY,
        )
    else:
        yield checks.Warning(
            "CELERY_BEAT_SCHEDULE has no entry for the tick: no channel is ever polled.",
            hint=ADD_ENTRY,
            id=NO_ENTRY,
        )


def import_celery() -> str:
    """Return the remedy for a project that does not import its Celery application."""
    package = os.environ.get("DJANGO_SETTINGS_MODULE", "").partition(".")[0] or "project"
    return (
        f"Create {package}/celery.py as in Celery's documentation for Django, and write `from "
        f"{package}.celery import app as celery_app` into {package}/__init__.py. Where "
        "`manage.py presence_sync --every` does the work instead, add "
        f"{NO_APP!r} to SILENCED_SYSTEM_CHECKS."
    )


def _urls_included() -> bool:
    try:
        reverse("presence:tokens")
    except NoReverseMatch:
        return False
    return True
