"""Presence in Django's admin: who else has an object open, and who is at each object of a list."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.template import Engine
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from presence.conf import hooks
from presence.exceptions import InvalidChannel
from presence.roster.channel_names import MAX_LENGTH
from presence.web.access import polled_channel
from presence.web.page import look_up

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

    Base = admin.ModelAdmin[Any]
else:
    Base = object

__all__ = ["PresenceAdminMixin", "admin_channel"]

logger = logging.getLogger("presence.admin")

TEMPLATE: Final = "presence/admin/change_form.html"
UNKNOWN: Final = "?"
KEPT: Final = "_presence_channel"
"""The attribute of an object that has its channel."""
NAMED: Final = 3
"""People whose names fit a column."""


def admin_channel(obj: Model) -> str:
    """The channel of whoever has `obj` open in the admin: `presence:admin:<app>.<model>:<pk>`.

    The model is the one that the table is of, so that those who edit one row by way of different
    proxies meet. Of a primary key, what a channel cannot hold is percent-encoded; one that is too
    long even so gives way to its SHA-256.
    """
    model = obj._meta.concrete_model or type(obj)
    start = f"presence:admin:{quote(model._meta.label_lower)}:"
    key = quote(str(obj.pk), safe="")
    if len(start) + len(key) > MAX_LENGTH:
        key = sha256(str(obj.pk).encode()).hexdigest()
    return start + key


def _as_given(channel: Any) -> str:
    return "" if channel is None else channel  # "" can be no channel, and is told as such


class PresenceAdminMixin(Base):
    """For a ModelAdmin, to stand before it: `class DocumentAdmin(PresenceAdminMixin, ModelAdmin)`.

    The change page of an object says who else has it open, live. With "here_now" in `list_display`,
    the list says it of each object, as of when it was loaded, in one round trip. Whoever may not
    view the object, or whom PRESENCE_AUTHORIZE denies its channel, is told nothing.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        order = cls.__mro__
        if admin.ModelAdmin in order[: order.index(PresenceAdminMixin)]:
            raise TypeError(f"{cls.__name__}: put PresenceAdminMixin before ModelAdmin")

    def presence_channel(self, obj: Model) -> str:
        """The channel of those who have `obj` open: by default that of `admin_channel`."""
        return admin_channel(obj)

    @admin.display(description=_("Here now"))
    def here_now(self, obj: Model) -> str | None:
        """The column of the list: who has the object open; "?" where that cannot be read."""
        people = getattr(obj, "_presence_here_now", None)
        if people is None:
            return UNKNOWN
        names = ", ".join(one["name"] for one in people[:NAMED])
        return f"{names} +{len(people) - NAMED}" if len(people) > NAMED else names or None

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Find out who is where for the objects of the page, all at once."""
        changes = super().get_changelist_instance(request)
        if "here_now" in changes.list_display:
            self._find_people(request, changes.result_list)
        return changes

    def _find_people(self, request: HttpRequest, objects: Iterable[Model]) -> None:
        known: list[tuple[Any, str]] = []
        wrong: list[InvalidChannel] = []
        for obj in objects:
            obj._presence_here_now = []  # type: ignore[attr-defined]
            if self.has_view_or_change_permission(request, obj):
                obj._presence_here_now = None  # type: ignore[attr-defined]
                try:
                    if (channel := self._channel(obj)) is not None:
                        known.append((obj, polled_channel(channel)))
                except InvalidChannel as error:
                    wrong.append(error)
        if wrong and Engine.get_default().debug:
            raise wrong[0]
        if wrong:
            logger.error("%s", wrong[0])
        found = look_up([channel for obj, channel in known], request)
        for obj, channel in known:
            obj._presence_here_now = found.get(channel)

    def _channel(self, obj: Model) -> str | None:
        """The channel of an object; None where the method of the site fails, which is logged."""
        name, about = f"{type(self).__qualname__}.presence_channel", f"object={obj.pk}"
        return hooks.call(
            name, self.presence_channel, obj, read=_as_given, fallback=None, about=about
        )

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """The object, which is known by what it was before a form wrote into it."""
        obj = super().get_object(request, object_id, from_field)
        if obj is not None:
            setattr(obj, KEPT, self._channel(obj))
        return obj

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> Any:
        """Put the banner into whatever template the page has."""
        response = super().render_change_form(request, context, *args, **options)
        obj: Any = context.get("original")
        shown = obj is not None and self.has_view_or_change_permission(request, obj)
        channel = (vars(obj).get(KEPT) or self._channel(obj)) if shown else None
        if channel is not None and isinstance(response, TemplateResponse):
            response.context_data = {
                **(response.context_data or {}),
                "presence_page": response.resolve_template(response.template_name),
                "presence_channel": channel,
            }
            response.template_name = TEMPLATE
        return response
