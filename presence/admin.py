"""Presence in Django's admin: the people at an object on its page and in the list of objects."""

from __future__ import annotations

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
from presence.transport.log_lines import line_logger
from presence.web.access import polled_channel
from presence.web.page import look_up

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

    Base = admin.ModelAdmin[Any]
else:
    Base = object

__all__ = ["PresenceAdminMixin", "admin_channel"]

logger = line_logger("presence.admin")

TEMPLATE: Final = "presence/admin/change_form.html"
UNKNOWN: Final = "?"
CHANNEL: Final = "_presence_channel"
"""Attribute of an object with its channel, from before a form wrote into the object."""
MAX_NAMES: Final = 3
"""People whose names fit a column."""


def admin_channel(obj: Model) -> str:
    """Return the channel of people who have `obj` open in the admin.

    It is `presence:admin:<app>.<model>:<pk>`. The model is that of the table, so that people who
    edit one row through different proxy models meet. Characters of the primary key that a channel
    cannot hold are percent-encoded; a key that is too long even so is replaced by its SHA-256.
    """
    model = obj._meta.concrete_model or type(obj)
    start = f"presence:admin:{quote(model._meta.label_lower)}:"
    key = quote(str(obj.pk), safe="")
    if len(start) + len(key) > MAX_LENGTH:
        key = sha256(str(obj.pk).encode()).hexdigest()
    return start + key


class PresenceAdminMixin(Base):
    """Mixin of a ModelAdmin, put before it: `class DocumentAdmin(PresenceAdminMixin, ModelAdmin)`.

    The change page of an object shows who else has it open, live. With "here_now" in
    `list_display`, the list shows it for each object, as of when it was loaded, in one round trip.
    People who may not view the object, or whom PRESENCE_AUTHORIZE denies its channel, see nothing.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        order = cls.__mro__
        if admin.ModelAdmin in order[: order.index(PresenceAdminMixin)]:
            raise TypeError(f"{cls.__name__}: put PresenceAdminMixin before ModelAdmin")

    def presence_channel(self, obj: Model) -> str:
        """Return the channel of people who have `obj` open: by default that of `admin_channel`."""
        return admin_channel(obj)

    @admin.display(description=_("Here now"))
    def here_now(self, obj: Model) -> str | None:
        """Column of the list: the people who have the object open; "?" where it cannot be read."""
        people = getattr(obj, "_presence_here_now", None)
        if people is None:
            return UNKNOWN
        names = ", ".join(person["name"] for person in people[:MAX_NAMES])
        return f"{names} +{len(people) - MAX_NAMES}" if len(people) > MAX_NAMES else names or None

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Find the people at all objects of the page, in one round trip."""
        changes = super().get_changelist_instance(request)
        if "here_now" not in changes.list_display:
            return changes
        known: list[tuple[Any, str]] = []
        errors: list[InvalidChannel] = []
        for obj in changes.result_list:
            obj._presence_here_now = []
            if self.has_view_or_change_permission(request, obj):
                obj._presence_here_now = None
                try:
                    if (channel := self._channel(obj)) is not None:
                        known.append((obj, polled_channel(channel)))
                except InvalidChannel as error:
                    errors.append(error)
        if errors and Engine.get_default().debug:
            raise errors[0]
        if errors:
            logger.error("%s", errors[0])
        people = look_up([channel for obj, channel in known], request)
        for obj, channel in known:
            obj._presence_here_now = people.get(channel)
        return changes

    def _channel(self, obj: Model) -> str | None:
        """Return the channel of an object; None, after logging, where the site's method fails."""
        return hooks.call(
            f"{type(self).__qualname__}.presence_channel",
            self.presence_channel,
            obj,
            read=lambda channel: "" if channel is None else channel,  # reported as invalid
            fallback=None,
            about=f"object={obj.pk}",
        )

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Return the object, and note its channel before a form writes into it."""
        obj = super().get_object(request, object_id, from_field)
        if obj is not None:
            setattr(obj, CHANNEL, self._channel(obj))
        return obj

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> Any:
        """Put the banner into the template of the page, whichever that is."""
        response = super().render_change_form(request, context, *args, **options)
        obj: Any = context.get("original")
        shown = obj is not None and self.has_view_or_change_permission(request, obj)
        channel = (vars(obj).get(CHANNEL) or self._channel(obj)) if shown else None
        if channel is not None and isinstance(response, TemplateResponse):
            response.context_data = {
                **(response.context_data or {}),
                "presence_page": response.resolve_template(response.template_name),
                "presence_channel": channel,
            }
            response.template_name = TEMPLATE
        return response
