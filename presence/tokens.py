"""Former path of presence.centrifugo.tokens, for scripts that still import it."""

from __future__ import annotations

from presence.centrifugo.tokens import make_grant, read_grant

__all__ = ["make_grant", "read_grant"]
