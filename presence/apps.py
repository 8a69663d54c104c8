"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PresenceConfig(AppConfig):
    """`presence` in INSTALLED_APPS."""

    name = "presence"
    verbose_name = _("Presence")
