"""Keeps the channels known that are polled where PRESENCE_DISCOVERY is "registry"."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from presence import assembly
from presence.conf import conf
from presence.exceptions import StoreError

__all__ = ["touch"]

logger = logging.getLogger("presence.registry")


def touch(channels: Sequence[str]) -> None:
    """Somebody was given a page or a token of these channels, and may be in them soon.

    Costs nothing unless the setting asks for it. A store that is down is logged: the next page,
    or the renewal of the token, makes up for it.
    """
    if conf.PRESENCE_DISCOVERY != "registry" or not channels:
        return
    try:
        assembly.store().register(channels)
    except StoreError:
        logger.exception("registry=not-touched channels=%s", ",".join(channels[:3]))
