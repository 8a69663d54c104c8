"""The Django app."""

from django.apps import AppConfig


class DocumentsConfig(AppConfig):
    """`project.documents` in INSTALLED_APPS."""

    name = "project.documents"
