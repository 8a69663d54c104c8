"""The parts of a tick that one worker task takes each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import msgspec

from presence.centrifugo.gateway import Survey
from presence.roster import channel_names
from presence.sync.statistics import Opened

__all__ = ["HandOut", "Shard", "batches", "split"]

BATCH_CLIENTS = 20_000
"""Clients in a batch of several channels: some 4 MB of reply, which bounds a worker's memory."""


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """Some channels of a tick, and what its survey found of them.

    Number `number` (from 1) of `of` shards of a tick that `opened`. `clients` counts those on the
    channels and on their feeds, where there are any. On the `tracked` channels are members without
    a websocket. `since` is when the one polled longest ago was, 0 where none ever was.
    """

    opened: Opened
    number: int
    of: int
    channels: list[str]
    clients: dict[str, int]
    nodes: list[str]
    believe: bool
    tracked: list[str] = []
    since: float = 0.0

    @property
    def survey(self) -> Survey:
        return Survey(frozenset(self.nodes), self.clients)


class HandOut(Protocol):
    """Has another process run a shard. False where it could not be handed out."""

    def __call__(self, shard: Shard, /) -> bool: ...


def split(
    channels: Sequence[str],
    survey: Survey,
    *,
    size: int | None,
    opened: Opened,
    believe: bool,
    tracked: Collection[str] = (),
    polled: Mapping[str, float] = MappingProxyType({}),
) -> list[Shard]:
    """The channels in shards of at most `size`, or in one; at least one, which may be empty."""
    size = max(1, len(channels)) if size is None else size
    parts = [channels[start : start + size] for start in range(0, len(channels), size)] or [[]]
    return [
        Shard(
            opened=opened,
            number=number,
            of=len(parts),
            channels=list(part),
            clients=dict(_counted(part, survey.clients)),
            nodes=sorted(survey.nodes),
            believe=believe,
            tracked=[channel for channel in part if channel in tracked],
            since=min((polled[channel] for channel in part if channel in polled), default=0.0),
        )
        for number, part in enumerate(parts, 1)
    ]


def _counted(channels: Sequence[str], clients: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    for channel in channels:
        for name in (channel, channel_names.feed_of(channel)):
            if name in clients:
                yield name, clients[name]


def batches(
    channels: Sequence[str], clients: Mapping[str, int], size: int
) -> Iterator[Sequence[str]]:
    """The channels in batches of at most `size`, and of BATCH_CLIENTS clients or one channel."""
    batch: list[str] = []
    weight = 0
    for channel in channels:
        heavy = clients.get(channel, 0)
        if batch and (len(batch) >= size or weight + heavy > BATCH_CLIENTS):
            yield batch
            batch, weight = [], 0
        batch.append(channel)
        weight += heavy
    if batch:
        yield batch
