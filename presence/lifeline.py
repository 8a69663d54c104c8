"""Former path of presence.web.heartbeat, for scripts that still import it."""

from __future__ import annotations

from presence.web.heartbeat import Lifeline, make_lifeline, read_lifeline

__all__ = ["Lifeline", "make_lifeline", "read_lifeline"]
