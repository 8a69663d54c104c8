"""Former path of presence.web.visitors, for scripts that still import it."""

from __future__ import annotations

from presence.web.visitors import describe, visitor_as

__all__ = ["describe", "visitor_as"]
