"""Tells a visit from a request that a browser makes for a page that may never be shown. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["is_visit"]

_PURPOSES: Final = ("Sec-Purpose", "X-Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
"""Headers in which browsers and libraries say what they fetch a page for."""
_AHEAD: Final = frozenset({"prefetch", "prerender", "preview", "preload", "instant"})
_PAGELESS: Final = frozenset({"HEAD", "OPTIONS", "TRACE"})


def is_visit(request: Any) -> bool:
    """Whether somebody is going to see what is answered to `request`, as far as it says.

    A page that is fetched ahead (prefetched, prerendered, previewed) may never be shown, and HEAD
    has no page. What has no method and no headers, as the scope of a consumer, is a visit.
    """
    if getattr(request, "method", None) in _PAGELESS:
        return False
    headers = getattr(request, "headers", None) or {}
    if str(headers.get("HX-Preloaded", "")).lower() == "true":  # the preload extension of htmx
        return False
    said = ";".join(str(headers.get(name, "")) for name in _PURPOSES)
    return _AHEAD.isdisjoint(re.split(r"[\s;,=\"]+", said.lower()))
