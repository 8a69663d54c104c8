"""Options for each pool of Redis connections that this app makes."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["QUIET"]


def _quiet() -> dict[str, Any]:
    try:
        from redis.maint_notifications import MaintNotificationsConfig
    except ImportError:
        return {}
    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}


QUIET: Final = _quiet()
"""No maintenance notifications, where redis-py has them (8 switches them on): with them its pools
do not see that a connection has unread replies."""
