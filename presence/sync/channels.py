"""The survey, the channels that a tick polls, and the shards and batches they are split into."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from presence.backends.base import Writes
from presence.centrifugo.gateway import Survey
from presence.exceptions import InvalidChannel
from presence.roster import channel_names
from presence.sync.context import TickContext
from presence.sync.statistics import OpenTick, load_in_chunks
from presence.transport.log_lines import line_logger

logger = line_logger("presence.sync")

BATCH_CLIENTS = 20_000
"""Clients in a batch of several channels: a reply of about 4 MB, which limits a worker's memory."""


def survey(ctx: TickContext, only: Sequence[str] | None = None) -> Survey:
    """Ask Centrifugo for its nodes, and for the number of clients of the active channels, or of the
    channels of `only`.

    With discovery by registry, only the nodes are asked for; partial answers cannot be recognised
    then.
    """
    if only is not None:
        names = dict.fromkeys([*only, *map(channel_names.feed_of, only)])
        found = ctx.gateway.survey(channel_names.cover(list(names)))
        clients = {name: found.clients[name] for name in names if name in found.clients}
        return Survey(found.nodes, clients)
    if ctx.options.discovery == "registry":
        return ctx.gateway.survey([])
    return count_clients(ctx)


def count_clients(ctx: TickContext) -> Survey:
    """Ask Centrifugo for its nodes, and for the number of clients of each active channel and
    feed."""
    patterns = ctx.options.patterns
    feeds = filter(None, map(channel_names.feed_pattern, patterns))
    found = ctx.gateway.survey([*patterns, *feeds])
    found.clients.pop(channel_names.PULSE, None)  # A pattern such as "*" finds it, too.
    return found


def find_channels(
    ctx: TickContext, survey: Survey, tracked: Collection[str], *, now: float
) -> tuple[Survey, list[str], Mapping[str, float]]:
    """Find the channels to poll: active or registered, `tracked`, and known ones if not empty.

    Known channels that have been empty for long at `now`, by the store's clock, are removed.
    Returns the survey, the channels, and the time of the last good poll of each known channel. The
    channels polled longest ago come first, so that a tick that misses its deadline leaves out other
    channels than the tick before. The survey includes the feeds of registered channels: a page may
    watch a room without members.
    """
    registry = ctx.options.discovery == "registry"
    within = ctx.options.registered_within if registry else None
    known, registered = ctx.store.known_channels(registered_within=within)
    feeds = {channel_names.feed_of(channel): 0 for channel in registered}
    survey = Survey(survey.nodes, survey.clients | feeds)
    active = {*_rooms(survey.clients), *tracked}
    channels = active.union(_occupied(ctx, active, known, now))
    return survey, sorted(channels, key=lambda c: (known.get(c, 0.0), c)), known


def _occupied(
    ctx: TickContext, active: set[str], known: Mapping[str, float], now: float
) -> Iterator[str]:
    # Among the active ones, those that were polled every time and showed nobody: they end as the
    # quiet ones do, whether hidden users are there or not.
    dated = now - ctx.options.sweep_after
    quiet = {c: at for c, at in known.items() if c not in active or at < dated}
    for loaded in load_in_chunks(ctx.store, quiet):
        old = loaded.now - ctx.options.sweep_after
        swept: dict[str, float] = {}
        for channel, state in loaded.states.items():
            if state.occupied:
                yield channel
            elif quiet[channel] < old:
                swept[channel] = quiet[channel]
        for channel in ctx.store.write(Writes(sweep=swept)).swept:
            logger.info("channel=closed name=%s", channel)


def _rooms(clients: Mapping[str, int]) -> Iterator[str]:
    """Yield the rooms that are active themselves or through their feed. Channels of
    cursors and sessions are no rooms, but a pattern such as "*" finds them, too."""
    for name in clients:
        channel = channel_names.channel_of_feed(name)
        if channel_names.is_cursor_channel(channel) or channel_names.is_session_channel(channel):
            continue
        try:
            yield channel_names.validate_channel(channel)
        except InvalidChannel as error:
            logger.warning("channel=skipped reason=%r", str(error))


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """Part of the channels of a tick, with the results of the survey for them.

    Shard `number` (from 1) of `of` shards of `tick`. `clients` counts the clients of the channels
    and of their feeds. Leaves are not believed for the seconds of `hold`. The `tracked` channels
    have members without a websocket. `since` is the time of the oldest last poll of these channels,
    0 if there was none. With `look`, a look polls them, and `due` has the marks that it found; the
    next look compares with `clients`. `out` and `revoked` are those of the context of the tick, for
    another process.
    """

    tick: OpenTick
    number: int
    of: int
    channels: list[str]
    clients: dict[str, int]
    nodes: frozenset[str]
    hold: float = 0.0
    look: bool = False
    due: dict[str, float] = {}
    tracked: list[str] = []
    since: float = 0.0
    out: dict[str, list[str]] = {}
    revoked: dict[str, float] = {}


HandOut = Callable[[Shard], bool]
"""Callback that hands a shard to another process. Returns False if that failed."""


def split(
    channels: Sequence[str],
    survey: Survey,
    *,
    size: int | None,
    tick: OpenTick,
    hold: float,
    due: Mapping[str, float] | None = None,
    tracked: Collection[str] = (),
    polled: Mapping[str, float] = MappingProxyType({}),
) -> list[Shard]:
    """Return the channels in shards of at most `size` (None: in one). There is always one shard.

    A look gives the marks that are `due`.
    """
    size = max(1, len(channels)) if size is None else size
    parts = [channels[start : start + size] for start in range(0, len(channels), size)] or [[]]
    return [
        Shard(
            tick=tick,
            number=number,
            of=len(parts),
            channels=list(part),
            clients={
                name: survey.clients[name]
                for channel in part
                for name in (channel, channel_names.feed_of(channel))
                if name in survey.clients
            },
            nodes=survey.nodes,
            hold=hold,
            look=due is not None,
            due=dict(due or {}),
            tracked=[channel for channel in part if channel in tracked],
            since=min((polled[channel] for channel in part if channel in polled), default=0.0),
        )
        for number, part in enumerate(parts, 1)
    ]


def batches(
    channels: Sequence[str], clients: Mapping[str, int], size: int
) -> Iterator[Sequence[str]]:
    """Yield batches of at most `size` channels and BATCH_CLIENTS clients, or of one channel."""
    batch: list[str] = []
    total = 0
    for channel in channels:
        count = clients.get(channel, 0)
        if batch and (len(batch) >= size or total + count > BATCH_CLIENTS):
            yield batch
            batch, total = [], 0
        batch.append(channel)
        total += count
    if batch:
        yield batch
