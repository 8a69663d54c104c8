"""Who is in channels, as far as a page may know: read once for a page, and never its failure."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final

from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest

from presence.exceptions import StoreError
from presence.roster.channel_names import validate_channel
from presence.snapshots import Record, read_records
from presence.web.access import authorise
from presence.web.page import store_is_down, store_went_down, warn_once

__all__ = ["look_up"]

logger = logging.getLogger("presence.lookup")

KEPT: Final = 1.0
"""Seconds: as long as it takes to make a page. A view that lives on makes many for one request."""

NOT_LOADED: Final = (
    "Nobody is shown to be here: PRESENCE_AUTHORIZE needs the user, and an async view rendered the "
    "page before its user was loaded. Let the view call `await sync_to_async(render)(request, …)`."
)

People = dict[str, list[Record]]
"""By channel."""


def look_up(channels: Sequence[object], request: HttpRequest | None) -> People:
    """Who is in each of the channels; nobody in one that the visitor may not see.

    Takes one round trip, and none for what the same page asked before. While the store cannot be
    read a channel is left out: that is logged, once for a page. Raises InvalidChannel for what
    cannot be a channel or is not polled.
    """
    names = [validate_channel(one) for one in channels]
    kept = _kept(request)
    new = [name for name in dict.fromkeys(names) if name not in kept]
    allowed = [name for name in new if _may_see(request, name)]
    kept |= {name: [] for name in new if name not in allowed}
    kept |= _read(allowed, request)
    return {name: kept[name] for name in names if name in kept}


def _kept(request: HttpRequest | None) -> People:
    """What this page has read, to be added to."""
    now = time.monotonic()
    since, kept = getattr(request, "_presence_people", (-KEPT, {}))
    if now - since >= KEPT:
        since, kept = now, {}
        if request is not None:
            request._presence_people = since, kept  # type: ignore[attr-defined]
    return kept


def _may_see(request: HttpRequest | None, channel: str) -> bool:
    try:
        return authorise(request, channel)
    except SynchronousOnlyOperation:
        warn_once(NOT_LOADED)
        return False


def _read(channels: Sequence[str], request: HttpRequest | None) -> People:
    if not channels or store_is_down(request):
        return {}
    try:
        return read_records(channels)
    except StoreError:
        logger.exception("present=unread channels=%s", ",".join(channels[:3]))
        store_went_down(request)
        return {}
