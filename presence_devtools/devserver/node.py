"""One server: configuration, hub, streams, and publishing to subscribers."""

from __future__ import annotations

import socket
import uuid

from .clock import Clock
from .codes import UNRECOVERABLE_POSITION, RefusedError
from .config import ChannelOptions, Config
from .history import Broker
from .hub import Hub
from .wire import ClientInfo, Moved, Position, Publication, Push, Reply, encode

VERSION = "devserver"


class Node:
    """State that the connections and the API of one server share."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        self.clock = clock
        self.hub = Hub()
        self.uid = str(uuid.uuid4())
        self.name = f"{socket.gethostname()}_{config.http_server.port}"
        self.started_at = clock.now()
        self._broker = Broker(clock, config.channel.history_meta_ttl)

    def publish(
        self,
        channel: str,
        publication: Publication,
        options: ChannelOptions | None,
        *,
        idempotency_key: str = "",
        version_epoch: str = "",
    ) -> Position:
        """Keep a publication as `options` say (None: not at all), deliver it, return its position.

        With a key of the last five minutes, or a version that is not above the last, nothing is
        kept or delivered; the position does not tell.
        """
        position, delivered = self._broker.publish(
            channel,
            publication,
            options,
            idempotency_key=idempotency_key,
            version_epoch=version_epoch,
        )
        if delivered is not None and (subscribers := self.hub.subscribers_of(channel)):
            push = Reply(push=Push(channel=channel, pub=delivered))
            message = encode(push)
            for client in subscribers:
                client.deliver(channel, delivered, position, message)
        return position

    def history(
        self,
        channel: str,
        options: ChannelOptions,
        *,
        limit: int = 0,
        since: Position | None = None,
    ) -> tuple[list[Publication], Position]:
        """Return publications and the top of a stream, as `Broker.history` reads them.

        Refuses a position of another epoch (112).
        """
        found, top = self._broker.history(channel, options, limit=limit, since=since)
        if since is not None and since.epoch not in ("", top.epoch):
            raise RefusedError(UNRECOVERABLE_POSITION)
        return found, top

    def top(self, channel: str, options: ChannelOptions) -> Position:
        """Return the position of the newest publication; create the stream if there is none."""
        return self._broker.history(channel, options)[1]

    def join(self, channel: str, info: ClientInfo) -> None:
        self._moved(channel, Push(channel=channel, join=Moved(info)))

    def leave(self, channel: str, info: ClientInfo) -> None:
        self._moved(channel, Push(channel=channel, leave=Moved(info)))

    def _moved(self, channel: str, push: Push) -> None:
        message = encode(Reply(push=push))
        for client in self.hub.subscribers_of(channel):
            client.deliver_moved(channel, message)
