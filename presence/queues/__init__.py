"""The queue that runs the tick: Celery, or Huey where ASYNC_BACKEND says so.

Can be imported where neither is installed; imports neither.
"""

from __future__ import annotations

from importlib.util import find_spec

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from presence.conf import conf

HUEY_APP = "huey.contrib.djhuey"
"""The app in INSTALLED_APPS that brings `manage.py run_huey`."""


def chosen() -> str:
    """Return ASYNC_BACKEND: "celery" or "huey"; "" for another value, which a check reports."""
    try:
        return conf.ASYNC_BACKEND
    except ImproperlyConfigured:
        return ""


def celery_installed() -> bool:
    return find_spec("celery") is not None


def huey_installed() -> bool:
    return find_spec("huey") is not None


def huey_ready() -> bool:
    """Return whether Huey is chosen, and the site has one."""
    return chosen() == "huey" and apps.is_installed(HUEY_APP)
