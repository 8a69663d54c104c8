"""What goes on around a PresenceMixin: its view begins, has a page, and ends."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from asgiref.sync import iscoroutinefunction

from presence.conf.upkeep import in_thread
from presence.exceptions import StoreError

__all__ = ["Lifetime"]

logger = logging.getLogger("presence.mixins")


Said = tuple[str, str, str, bytes]
"""Channel, user, source and meta as JSON: what a page's heartbeat is made of."""


class Lifetime:
    """A view's `mount(request, **kwargs)` is called before its handler, and what a consumer said
    is taken back when it is disconnected.

    `mount` is called where it is a method of yours: one that comes from a base without this mixin
    is left to that base, as live views have. Mixins that deny access come first, so nobody whom
    they turn away is tracked.
    """

    _presence_source: str = ""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """As of Django's View; as of a consumer, whose messages pass through."""
        if not self._mounts(request):
            return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        if getattr(self, "view_is_async", False):
            return self._amount(request, *args, **kwargs)
        self.mount(request, **kwargs)  # type: ignore[attr-defined]
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]

    async def _amount(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        mount = self.mount  # type: ignore[attr-defined]
        await (mount if iscoroutinefunction(mount) else in_thread(mount))(request, **kwargs)
        response = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        return await response if isawaitable(response) else response

    def _mounts(self, request: Any) -> bool:
        """Whether there is a `mount` to be called, and a handler to call it for."""
        method = str(getattr(request, "method", "")).lower()
        owners = [kind for kind in type(self).__mro__ if "mount" in vars(kind)]
        ours = bool(owners) and all(issubclass(kind, Lifetime) for kind in owners)
        return ours and method not in ("", "options") and hasattr(self, method)

    def _keep(self, said: Said | None, *, joins: bool = False) -> None:
        """Let the page of this request keep by its heartbeat what the view said last, and nothing
        that it said before. `joins`: it is the heartbeat that says so first."""
        if (request := getattr(self, "request", None)) is not None:
            kept = getattr(request, "_presence_tracked", ())
            others = [one for one in kept if one[2] != self._presence_source]
            request._presence_tracked = [*others, said] if said else others
            if joins:
                request._presence_joins = True

    def websocket_disconnect(self, message: Any) -> Any:
        """As of a consumer of Channels, sync or async."""
        return self._end_after(getattr(super(), "websocket_disconnect", None), message)

    def disconnect(self, *args: Any) -> Any:
        """As of a consumer of Channels, sync or async."""
        return self._end_after(getattr(super(), "disconnect", None), *args)

    def _end_after(self, ends: Callable[..., Any] | None, *args: Any) -> Any:
        if iscoroutinefunction(ends):
            return self._aend_after(ends, *args)
        try:
            return ends(*args) if ends else None
        finally:
            self._end()

    async def _aend_after(self, ends: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        try:
            return await ends(*args)
        finally:
            await in_thread(self._end)()

    def _end(self) -> None:
        """Whoever cannot be taken back is gone after PRESENCE_TIMEOUT."""
        try:
            self.untrack_presence()  # type: ignore[attr-defined]
        except StoreError as error:
            logger.error("presence=not-taken-back view=%s error=%s", type(self).__name__, error)
