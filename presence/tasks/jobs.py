"""The jobs of a worker, for any queue: a tick, a shard of one, a look."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from presence import services
from presence.conf.hooks import like_a_request
from presence.sync.channels import Shard
from presence.sync.statistics import Report


class HandOut(Protocol):
    """Has any worker run `sync_shard` soon. Returns False where that failed; never raises."""

    def __call__(self, shard: dict[str, Any], /) -> bool: ...


@like_a_request()
def update_presence(hand_out: HandOut) -> Report:
    """Run one tick over every channel, alone or with other workers. Returns the part done here."""
    return services.sync().tick(hand_out=lambda shard: hand_out(msgspec.to_builtins(shard)))


@like_a_request()
def sync_shard(shard: dict[str, Any]) -> Report:
    """Run a shard of a tick; `shard` is a presence.sync.channels.Shard as JSON has it."""
    return services.sync().shard(msgspec.convert(shard, Shard))


@like_a_request()
def watch_presence() -> Report | None:
    """Run a look. Returns None while another look runs, or all rest."""
    return services.sync().look()
