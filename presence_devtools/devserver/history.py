"""Streams of publications, as Centrifugo's memory broker keeps them.

A stream has a random epoch and counts offsets from 1. Its publications go after `history_ttl`, the
stream itself (epoch, offset, version) after the meta TTL; both are counted from the last use.
"""

from __future__ import annotations

import secrets
import string
from collections import deque

import msgspec

from .clock import Clock
from .config import ChannelOptions
from .wire import Position, Publication

EPOCH_LENGTH = 8
IDEMPOTENCY_WINDOW = 300.0


class Stream:
    """The publications of one channel, oldest first."""

    def __init__(self) -> None:
        self.epoch = "".join(secrets.choice(string.ascii_letters) for _ in range(EPOCH_LENGTH))
        self.top = 0
        self.version = 0
        self.version_epoch = ""
        self.publications: deque[Publication] = deque()
        self.expires_at = float("inf")
        self.removed_at = float("inf")

    @property
    def position(self) -> Position:
        return Position(offset=self.top, epoch=self.epoch)

    def has_seen(self, version: int, version_epoch: str) -> bool:
        """Whether a publication with `version` is no news. Without an epoch any epoch matches."""
        same = version_epoch in ("", self.version_epoch)
        return version > 0 and same and version <= self.version

    def add(self, publication: Publication, size: int, version_epoch: str) -> Publication:
        """Append, keeping the newest `size`; the publication with its offset.

        The first of a stream also says the epoch.
        """
        self.top += 1
        self.version, self.version_epoch = publication.version, version_epoch
        epoch = self.epoch if self.top == 1 else ""
        kept = msgspec.structs.replace(publication, offset=self.top, epoch=epoch)
        self.publications.append(kept)
        while len(self.publications) > size:
            self.publications.popleft()
        return kept

    def read(self, since: Position | None, limit: int) -> list[Publication]:
        """Return at most `limit` (negative: all) publications, of those after `since` if given."""
        start = since.offset if since else 0
        chosen = [kept for kept in self.publications if kept.offset > start]
        return chosen if limit < 0 else chosen[:limit]


class Broker:
    """All streams, and the idempotency keys of the last five minutes."""

    def __init__(self, clock: Clock, meta_ttl: float) -> None:
        self._clock = clock
        self._meta_ttl = meta_ttl
        self._streams: dict[str, Stream] = {}
        self._results: dict[tuple[str, str], tuple[float, Position]] = {}

    def publish(
        self,
        channel: str,
        publication: Publication,
        options: ChannelOptions | None,
        *,
        idempotency_key: str = "",
        version_epoch: str = "",
    ) -> tuple[Position, Publication | None]:
        """Keep `publication` where `options` (None: skip history) say so.

        The position to answer with, and what is to be delivered: None for a key or a version seen
        before. Then the position is the former result, or the top of the stream.
        """
        if former := self._former_result(channel, idempotency_key):
            return former, None
        position, delivered = Position(), publication
        if options is not None and options.keeps_history:
            stream = self._use(channel, options)
            stream.expires_at = self._clock.now() + options.history_ttl
            if stream.has_seen(publication.version, version_epoch):
                return stream.position, None
            delivered = stream.add(publication, options.history_size, version_epoch)
            position = stream.position
        if idempotency_key:
            self._results.pop((channel, idempotency_key), None)
            self._results[channel, idempotency_key] = (self._clock.now(), position)
        return position, delivered

    def history(
        self,
        channel: str,
        options: ChannelOptions,
        *,
        limit: int = 0,
        since: Position | None = None,
    ) -> tuple[list[Publication], Position]:
        """Publications and the top of the stream, which is created if it is not there.

        Limit 0 reads the position alone, a negative limit everything.
        """
        stream = self._use(channel, options)
        return stream.read(since, limit), stream.position

    def _use(self, channel: str, options: ChannelOptions) -> Stream:
        """The stream of `channel`, a new one if there is none, with what is too old gone."""
        now = self._clock.now()
        stream = self._streams.get(channel)
        if stream is None or stream.removed_at <= now:
            stream = self._streams[channel] = Stream()
        elif stream.expires_at <= now:
            stream.publications.clear()
        stream.removed_at = now + (options.history_meta_ttl or self._meta_ttl)
        return stream

    def _former_result(self, channel: str, key: str) -> Position | None:
        """The result of a publish with the same key in the window; older ones are forgotten."""
        horizon = self._clock.now() - IDEMPOTENCY_WINDOW
        while self._results:
            oldest = next(iter(self._results))
            if self._results[oldest][0] > horizon:
                break
            del self._results[oldest]
        former = self._results.get((channel, key))
        return former[1] if former else None
