"""The snapshots of channels, read for somebody who shows them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from presence import services
from presence.backends.base import Stored
from presence.backends.tracker import AHEAD
from presence.conf import conf
from presence.exceptions import InvalidMessage, StoreDamaged
from presence.present import suspect
from presence.roster import messages
from presence.roster.types import Snapshot

__all__ = ["read_snapshot", "read_snapshots"]

logger = logging.getLogger("presence.store")


def read_snapshot(channel: str) -> Snapshot:
    """The snapshot of `channel` with its age, in one round trip; version 0 if never polled.

    Raises StoreError when the store cannot be read, StoreDamaged when what it holds is no
    snapshot: the next tick mends that.
    """
    return _read(services.store().snapshots([channel])[channel], channel)


def read_snapshots(channels: Sequence[str]) -> dict[str, Snapshot]:
    """The snapshots of several channels, in one round trip, less those that are damaged, which are
    logged. Raises StoreError when the store cannot be read."""
    snapshots = {}
    for channel, stored in services.store().snapshots(channels).items():
        try:
            snapshots[channel] = _read(stored, channel)
        except StoreDamaged as error:
            logger.error("channel=damaged name=%s error=%r", channel, str(error))
    return snapshots


def _read(stored: Stored, channel: str) -> Snapshot:
    if stored.damage:
        raise StoreDamaged(
            f"{channel} in the store cannot be read ({stored.damage}): the next tick mends it."
        )
    try:
        return _serve(stored)
    except InvalidMessage as error:
        raise suspect(channel, "snapshot", stored.snapshot or b"", error) from error


def _serve(stored: Stored) -> Snapshot:
    age = None
    # A time that is yet to come, as it is until the first tick after the clock was set back, tells
    # no age.
    if stored.polled is not None and stored.polled <= stored.now + AHEAD:
        age = round(max(0.0, stored.now - stored.polled), 1)
    # Centrifugo would call anything recovered since an empty epoch.
    position = stored.position if stored.position and stored.position.epoch else None
    found = messages.serve(
        stored.snapshot, age=age, every=conf.PRESENCE_INTERVAL, position=position
    )
    if (found.epoch, found.version) != (stored.epoch, stored.version):
        raise InvalidMessage(f"it is of version {found.version}, {stored.version} was committed")
    return found
