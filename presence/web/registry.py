"""Keeps the channels known that are polled where PRESENCE_DISCOVERY is "registry"."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from presence import services
from presence.backends.tracker import Tracker
from presence.conf import conf
from presence.exceptions import StoreError

__all__ = ["NEW_ROOMS", "touch"]

logger = logging.getLogger("presence.registry")

NEW_ROOMS: Final = 300
"""Rooms that one visitor may add in HOUR: one every twelve seconds, for an hour. Rooms that are
registered already do not count."""
HOUR: Final = 3600.0


def touch(channels: Sequence[str], *, by: str) -> None:
    """Note that a visitor was given tokens of these channels, and may be in them soon.

    `by` names the visitor, as `visitors.origin_of` does. Beyond NEW_ROOMS, a room that nobody else
    registered stays unregistered, and the page live: others see who is in it once somebody else
    registers it. Does nothing unless the setting asks for it. A store that is down is logged: the
    renewal of the token makes up for it.
    """
    if conf.PRESENCE_DISCOVERY != "registry" or not channels:
        return
    try:
        _register(list(dict.fromkeys(channels)), by)
    except StoreError:
        logger.exception("registry=not-touched channels=%s", ",".join(channels[:3]))


def _register(channels: list[str], by: str) -> None:
    store = services.store()
    new = store.unregistered_channels(channels)
    # A store of a site's own that counts nothing has no limit.
    if new and isinstance(store, Tracker):
        admitted = store.hit_rate_limit(
            f"rooms:{by}", limit=NEW_ROOMS, seconds=HOUR, times=len(new)
        )
        if refused := new[int(admitted) :]:
            _warn(by.partition(":")[0])
            channels = [channel for channel in channels if channel not in set(refused)]
    store.register_channels(channels)


@lru_cache
def _warn(kind: str) -> None:
    """Log, once for each kind of visitor in the life of the process, that one asks for too much."""
    shared = (
        "Visitors without a session are told apart by REMOTE_ADDR: behind a proxy, have your "
        "server or a middleware set it to the address of the client."
    )
    logger.warning(
        "registry=full by=%s: a visitor asked for more than %d new rooms within an hour; the "
        "rest of them are not polled. %s",
        kind,
        NEW_ROOMS,
        shared if kind == "address" else "",
    )
