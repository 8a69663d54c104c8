"""The documents, with who is at each: a list, a page for one, and a room with an async view."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.generic import DetailView, ListView, View

from presence.exceptions import StoreError
from presence.manager import PresenceManager
from presence.mixins import PresenceMixin, is_visit
from presence.querysets import with_presence
from project.documents.models import Document

if TYPE_CHECKING:
    DocumentListView = ListView[Document]
    DocumentDetailView = DetailView[Document]
else:
    DocumentListView, DocumentDetailView = ListView, DetailView

logger = logging.getLogger(__name__)


class DocumentList(DocumentListView):
    """All documents, some to a page, each with who has it open."""

    queryset = with_presence(Document.objects.all(), key="document:{pk}")
    paginate_by = 5
    template_name = "demo/documents.html"


class RoomMixin(PresenceMixin):
    """For pages that track those who open them, and have the widget, too."""

    def mount(self, request: HttpRequest, **kwargs: Any) -> None:
        """Have a session for who is not signed in: it alone tells that the member who is tracked
        and the websocket of the widget are one person."""
        known = request.user.is_authenticated or request.session.session_key
        if not known and is_visit(request):
            request.session.create()

    def enter(self) -> list[dict[str, Any]]:
        """Track the visitor. Returns the records of the room, none if it cannot be read."""
        try:
            self.track_presence()
            return self.list_presences()
        except StoreError:
            logger.exception("presences=unread key=%s", self.get_presence_key())
            return []


class DocumentPage(RoomMixin, DocumentDetailView):
    """One document. Its visitors are in the room `presence:document:<pk>`."""

    model = Document
    presence_key = "document:{pk}"
    template_name = "demo/document.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            presences=self.enter(),
            presence_channel=PresenceManager.presence_group_name(self.get_presence_key()),
            **kwargs,
        )


class ReadingRoom(RoomMixin, View):
    """The same in an async view."""

    presence_key = "reading-room"

    async def get(self, request: HttpRequest) -> HttpResponse:
        context = {"presences": await sync_to_async(self.enter)()}
        return await sync_to_async(render)(request, "demo/reading_room.html", context)
