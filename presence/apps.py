"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PresenceConfig(AppConfig):
    """`presence` in INSTALLED_APPS."""

    name = "presence"
    verbose_name = _("Presence")

    def ready(self) -> None:
        """Register the system checks; find the project's Celery application."""
        from presence.checks import register_all
        from presence.queues.celery import project_app

        register_all()
        project_app()
