"""One server: its configuration, hub and streams, and what happens in channels."""

from __future__ import annotations

import socket
import uuid

from .access import is_json
from .clock import Clock
from .codes import BAD_REQUEST, UNRECOVERABLE_POSITION, RefusedError
from .history import Broker
from .hub import Hub
from .options import ChannelOptions, Config
from .wire import ClientInfo, Moved, Position, Publication, Push, Reply, encode

VERSION = "devserver"


class Node:
    """Everything that the connections and the API of one server share."""

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
        """Keep a publication as `options` say (None: not at all), deliver it, give its position.

        A key seen in the last five minutes or a version not above the last is kept and delivered
        to nobody; the position says nothing of that.
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
            message = encode(push) if is_json(delivered.data or b"null") else b""
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
        reverse: bool = False,
    ) -> tuple[list[Publication], Position]:
        """Publications and the top of a stream, as `Broker.history` reads them.

        Refuses a reversed read from offset 0 (107), and a position of another epoch (112).
        """
        if since is not None and reverse and since.offset == 0:
            raise RefusedError(BAD_REQUEST)
        found, top = self._broker.history(
            channel, options, limit=limit, since=since, reverse=reverse
        )
        if since is not None and since.epoch not in ("", top.epoch):
            raise RefusedError(UNRECOVERABLE_POSITION)
        return found, top

    def top(self, channel: str, options: ChannelOptions) -> Position:
        """The position of the newest publication; creates the stream if there is none."""
        return self._broker.history(channel, options)[1]

    def remove_history(self, channel: str) -> None:
        self._broker.remove(channel)

    def join(self, channel: str, info: ClientInfo) -> None:
        self._moved(channel, Push(channel=channel, join=Moved(info)))

    def leave(self, channel: str, info: ClientInfo) -> None:
        self._moved(channel, Push(channel=channel, leave=Moved(info)))

    def _moved(self, channel: str, push: Push) -> None:
        message = encode(Reply(push=push))
        for client in self.hub.subscribers_of(channel):
            client.deliver_moved(channel, message)
