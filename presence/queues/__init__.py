"""Which queue runs the tick: Celery, or Huey where ASYNC_BACKEND says so.

Can be imported where neither is installed; imports neither.
"""

from __future__ import annotations

from importlib.util import find_spec

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from presence.conf import conf

__all__ = ["HUEY_APP", "chosen", "huey_installed", "huey_ready"]

HUEY_APP = "huey.contrib.djhuey"
"""What stands in INSTALLED_APPS where `manage.py run_huey` is there."""


def chosen() -> str:
    """ASYNC_BACKEND: "celery", "huey", or empty where it is neither, which a check reports."""
    try:
        return conf.ASYNC_BACKEND
    except ImproperlyConfigured:
        return ""


def huey_installed() -> bool:
    return find_spec("huey") is not None


def huey_ready() -> bool:
    """Whether Huey is chosen, and the site has one."""
    return chosen() == "huey" and apps.is_installed(HUEY_APP)
