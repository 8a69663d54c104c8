"""Which channels a tick polls."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from presence.backends.base import RosterStore
from presence.centrifugo.gateway import Gateway, Survey
from presence.exceptions import InvalidChannel
from presence.roster import channel_names

__all__ = ["DiscoveryMode", "Surveyor"]

logger = logging.getLogger("presence.sync")

DiscoveryMode = Literal["channels", "registry"]

CHUNK = 1000
"""Channels whose states are loaded at a time."""


class Surveyor:
    """Finds the channels of a tick, and forgets the known ones that have long been empty.

    `channels` asks Centrifugo which ones that match the `patterns` are active. `registry` takes
    those registered in the last `registered_within` seconds, and asks Centrifugo for its nodes
    alone: it counts no clients, so that partial answers cannot be told from whole ones.
    """

    def __init__(
        self,
        store: RosterStore,
        gateway: Gateway,
        *,
        mode: DiscoveryMode,
        patterns: Sequence[str],
        registered_within: float,
        sweep_after: float,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._mode = mode
        self._patterns = patterns
        self._registered_within = registered_within
        self._sweep_after = sweep_after

    def survey(self, only: Sequence[str] | None = None) -> Survey:
        """The nodes, and the clients on the active channels (or `only` on those given)."""
        if only is not None:
            names = dict.fromkeys([*only, *map(channel_names.feed_of, only)])
            found = self._gateway.survey(channel_names.cover(list(names)))
            clients = {name: found.clients[name] for name in names if name in found.clients}
            return Survey(found.nodes, clients)
        if self._mode == "registry":
            return self._gateway.survey([])
        return self._gateway.survey(_with_feeds(self._patterns))

    def discover(
        self, survey: Survey, tracked: Collection[str]
    ) -> tuple[Survey, list[str], dict[str, float]]:
        """The channels to poll: the active, the `tracked`, and the known that are not empty; with
        the time of the last good poll of each that had one.

        Those polled longest ago come first: a tick that does not get to the end in time leaves
        out others than the one before.
        The survey comes back with the feeds of registered channels in it: a page that was made
        may be watching, whoever is there.
        """
        if self._mode == "registry":
            registered = self._store.registered(within=self._registered_within)
            feeds = {channel_names.feed_of(channel): 0 for channel in registered}
            survey = Survey(survey.nodes, feeds)
        known = self._store.known()
        active = {*_rooms(survey.clients), *tracked}
        channels = active.union(self._occupied(active, known))
        polled = {channel: known[channel] for channel in channels if channel in known}
        return survey, sorted(channels, key=lambda c: (polled.get(c, 0.0), c)), polled

    def _occupied(self, active: set[str], known: Mapping[str, float]) -> Iterator[str]:
        quiet = {c: at for c, at in known.items() if c not in active}
        names = sorted(quiet)
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            loaded = self._store.load(some)
            yield from (channel for channel in some if loaded.states[channel].occupied)
            old = loaded.now - self._sweep_after
            empty = (channel for channel in some if not loaded.states[channel].occupied)
            self._sweep({channel: quiet[channel] for channel in empty if quiet[channel] < old})

    def _sweep(self, empty: Mapping[str, float]) -> None:
        for channel in self._store.sweep(empty):
            logger.info("channel=closed name=%s", channel)


def _with_feeds(patterns: Iterable[str]) -> list[str]:
    patterns = list(patterns)
    feeds = [feed for feed in map(channel_names.feed_pattern, patterns) if feed]
    return [*patterns, *feeds]


def _rooms(clients: Mapping[str, int]) -> Iterator[str]:
    """The channels that are active, themselves or through their feed; those of cursors left out:
    a site may well have asked for "*"."""
    for name in clients:
        channel = channel_names.channel_of_feed(name)
        if channel_names.is_cursor_channel(channel):
            continue
        try:
            yield channel_names.validate_channel(channel)
        except InvalidChannel as error:
            logger.warning("channel=skipped reason=%r", str(error))
