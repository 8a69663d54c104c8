"""The documents in the admin: who else has one open, on its page and in the list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from presence.admin import PresenceAdminMixin
from project.documents.models import Document

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Document]
else:
    Base = admin.ModelAdmin


@admin.register(Document)
class DocumentAdmin(PresenceAdminMixin, Base):
    """Both parts of PresenceAdminMixin."""

    list_display = ("title", "here_now")
    search_fields = ("title",)
