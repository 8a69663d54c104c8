"""The Django app."""

from __future__ import annotations

from contextlib import suppress

from django.apps import AppConfig, apps
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_save, pre_delete
from django.utils.translation import gettext_lazy as _


class PresenceConfig(AppConfig):
    """`presence` in INSTALLED_APPS."""

    name = "presence"
    verbose_name = _("Presence")

    def ready(self) -> None:
        """Register the system checks and receivers; find the project's Celery application."""
        from presence.checks import register_all
        from presence.queues.celery import project_app

        register_all()
        project_app()
        _revoke_at_sign_out()


def _revoke_at_sign_out() -> None:
    from presence.web import sessions

    user_logged_in.connect(sessions.signed_in)
    user_logged_out.connect(sessions.signed_out)
    with suppress(ImproperlyConfigured):  # a site may have no users
        users = get_user_model()
        # The signals of proxies and children name these, not the model of users.
        for model in filter(lambda model: issubclass(model, users), apps.get_models()):
            post_save.connect(sessions.saved, sender=model)
            pre_delete.connect(sessions.deleted, sender=model)
