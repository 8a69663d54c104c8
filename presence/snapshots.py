"""The snapshot of a channel, read for somebody who shows it."""

from __future__ import annotations

from presence import assembly, wire
from presence.conf import conf
from presence.roster import Snapshot

__all__ = ["read_snapshot"]


def read_snapshot(channel: str) -> Snapshot:
    """The snapshot of `channel` with its age, in one round trip; version 0 if never polled.

    Raises StoreError when the store cannot be read, InvalidMessage when what it holds is no
    snapshot.
    """
    stored = assembly.store().snapshots([channel])[channel]
    age = None if stored.polled is None else round(max(0.0, stored.now - stored.polled), 1)
    # Centrifugo would call anything recovered since an empty epoch.
    position = stored.position if stored.position and stored.position.epoch else None
    return wire.serve(stored.snapshot, age=age, every=conf.PRESENCE_INTERVAL, position=position)
