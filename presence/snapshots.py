"""The snapshots of channels, read for somebody who shows them."""

from __future__ import annotations

from collections.abc import Sequence

from presence import assembly, wire
from presence.backends.base import Stored
from presence.conf import conf
from presence.roster import Snapshot

__all__ = ["read_snapshot", "read_snapshots"]


def read_snapshot(channel: str) -> Snapshot:
    """The snapshot of `channel` with its age, in one round trip; version 0 if never polled.

    Raises StoreError when the store cannot be read, InvalidMessage when what it holds is no
    snapshot.
    """
    return read_snapshots([channel])[channel]


def read_snapshots(channels: Sequence[str]) -> dict[str, Snapshot]:
    """The snapshots of several channels, in one round trip; raises as `read_snapshot` does."""
    found = assembly.store().snapshots(channels)
    return {channel: _serve(stored) for channel, stored in found.items()}


def _serve(stored: Stored) -> Snapshot:
    age = None if stored.polled is None else round(max(0.0, stored.now - stored.polled), 1)
    # Centrifugo would call anything recovered since an empty epoch.
    position = stored.position if stored.position and stored.position.epoch else None
    return wire.serve(stored.snapshot, age=age, every=conf.PRESENCE_INTERVAL, position=position)
