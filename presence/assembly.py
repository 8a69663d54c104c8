"""Former path of presence.services, for scripts that still import it."""

from __future__ import annotations

from presence.services import gateway, store, sync

__all__ = ["gateway", "store", "sync"]
