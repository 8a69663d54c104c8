"""A live view of djust, and a consumer of Channels, as the documentation has them."""

from __future__ import annotations

from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from djust import LiveView
from djust.decorators import event_handler

from presence.mixins import LiveCursorMixin, PresenceMixin

JOINED: list[str] = []
"""Rooms for which handle_presence_join was called in this process."""
HELD: list[LiveView] = []
"""Views that are not garbage-collected."""


class WhiteboardView(LiveCursorMixin, LiveView):
    login_required = False  # djust wants every view to say so.
    presence_key = "board:{room}"
    template = (
        '<div dj-root><b id="count">{{ people }}</b>'
        '<button id="move" dj-click="move">Move</button>'
        '<button id="follow" dj-click="follow">Follow</button></div>'
    )

    def mount(self, request: HttpRequest, **kwargs: Any) -> None:
        self.room = kwargs["room"]
        self.track_presence(meta={"color": "#e74c3c"})

    @event_handler()
    def move(self, **kwargs: Any) -> None:
        self.handle_cursor_move(3, 4)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        context["people"] = self.presence_count()
        return context

    def handle_presence_join(self, presence: Any) -> None:
        JOINED.append(self.room)

    @event_handler()
    def follow(self, **kwargs: Any) -> None:
        HELD.append(self)
        self.live_redirect("/board/next/")


class RestoredView(WhiteboardView):
    enable_state_snapshot = True


class OverridingView(WhiteboardView):
    def get_presence_key(self) -> str:
        return f"board:{self.room}"


class DocumentConsumer(PresenceMixin, AsyncJsonWebsocketConsumer):
    presence_key = "board:{room}"

    async def connect(self) -> None:
        await self.accept()
        await self.atrack_presence()

    async def handle_presence_join(self, presence: Any) -> None:
        JOINED.append(self.scope["url_route"]["kwargs"]["room"])


def joined(request: HttpRequest) -> JsonResponse:
    return JsonResponse(JOINED, safe=False)


def enter(request: HttpRequest) -> HttpResponse:
    """Sign in as the user `?who=`, made if need be."""
    user, _ = User.objects.get_or_create(username=request.GET["who"])
    login(request, user)
    return HttpResponse(str(user.pk))
