"""Streams of publications, as Centrifugo's memory broker keeps them.

A stream has a random epoch and counts offsets from 1. Its publications expire after `history_ttl`,
the stream itself (epoch, offset, version) after the meta TTL, both counted from the last use.
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
        """Return whether `version` was published before. Without an epoch, any epoch matches."""
        same = version_epoch in ("", self.version_epoch)
        return version > 0 and same and version <= self.version

    def add(self, publication: Publication, size: int, version_epoch: str) -> Publication:
        """Append a publication, keep the newest `size`, and return it with its offset.

        The first one of a stream carries the epoch as well.
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
        """Keep a publication if `options` say so (None: skip history).

        Returns the position to answer with and the publication to deliver. For a key or a version
        that was seen before, that is the former result or the top of the stream, and None.
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
        """Return publications and the top of the stream, which is created if there is none.

        Limit 0 reads only the position, a negative limit everything.
        """
        stream = self._use(channel, options)
        return stream.read(since, limit), stream.position

    def _use(self, channel: str, options: ChannelOptions) -> Stream:
        """Return the stream of `channel`, made if there is none, without what has expired."""
        now = self._clock.now()
        stream = self._streams.get(channel)
        if stream is None or stream.removed_at <= now:
            stream = self._streams[channel] = Stream()
        elif stream.expires_at <= now:
            stream.publications.clear()
        stream.removed_at = now + (options.history_meta_ttl or self._meta_ttl)
        return stream

    def _former_result(self, channel: str, key: str) -> Position | None:
        """Return the result of a publish with the same key in the window; forget older ones."""
        horizon = self._clock.now() - IDEMPOTENCY_WINDOW
        while self._results:
            oldest = next(iter(self._results))
            if self._results[oldest][0] > horizon:
                break
            del self._results[oldest]
        former = self._results.get((channel, key))
        return former[1] if former else None
