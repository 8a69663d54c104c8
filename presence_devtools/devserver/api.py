"""The HTTP API without HTTP: a request's bytes in, a reply's bytes out.

api_wire has what each method takes and gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from . import api_wire as wire
from .access import check_data
from .codes import (
    API_INTERNAL,
    API_NOT_FOUND,
    BAD_REQUEST,
    FORCE_NO_RECONNECT,
    NOT_AVAILABLE,
    UNKNOWN_CHANNEL,
    UNRECOVERABLE_POSITION,
    UNSUBSCRIBED_BY_SERVER,
    Disconnect,
    RefusedError,
)
from .config import ChannelOptions
from .globs import Glob
from .node import VERSION, Node
from .wire import Position, PresenceStatsResult, Publication, Raw, compact, escape, own

if TYPE_CHECKING:
    from .session import Session

T = TypeVar("T", bound=msgspec.Struct)


class Methods:
    """The methods of the API. Each raises RefusedError with the error to answer."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def publish(self, request: wire.PublishRequest) -> Position:
        options = self._options(request.channel)
        check_data(request.data, options)
        return self._node.publish(
            request.channel,
            Publication(data=own(request.data), version=request.version),
            None if request.skip_history else options,
            idempotency_key=request.idempotency_key,
            version_epoch=request.version_epoch,
        )

    def unsubscribe(self, request: wire.UnsubscribeRequest) -> wire.EmptyResult:
        if request.channel:
            self._options(request.channel)
        for client in self._connections(request):
            client.unsubscribe_by_server(request.channel, UNSUBSCRIBED_BY_SERVER)
        return wire.EmptyResult()

    def disconnect(self, request: wire.DisconnectRequest) -> wire.EmptyResult:
        reason = FORCE_NO_RECONNECT
        if request.disconnect is not None:
            reason = Disconnect(request.disconnect.code, request.disconnect.reason)
        for client in self._connections(request):
            client.close(reason)
        return wire.EmptyResult()

    def presence(self, request: wire.ChannelRequest) -> Raw:
        self._options_with_presence(request.channel)
        return self._node.hub.presence.encoded(request.channel)

    def presence_stats(self, request: wire.ChannelRequest) -> PresenceStatsResult:
        self._options_with_presence(request.channel)
        return self._node.hub.presence.stats(request.channel)

    def history(self, request: wire.HistoryRequest) -> wire.HistoryResult:
        options = self._options(request.channel)
        if not options.keeps_history:
            raise RefusedError(NOT_AVAILABLE)
        try:
            found, top = self._node.history(
                request.channel, options, limit=request.limit, since=request.since
            )
        except RefusedError as error:
            known = error.error is UNRECOVERABLE_POSITION
            raise RefusedError(error.error if known else API_INTERNAL) from error
        publications = [
            wire.PublicationResult(compact(kept.data), kept.info, kept.offset) for kept in found
        ]
        return wire.HistoryResult(publications, top.epoch, top.offset)

    def channels(self, request: wire.ChannelsRequest) -> wire.ChannelsResult:
        subscribers = self._node.hub.subscribers
        names: Iterable[str] = sorted(subscribers)
        if request.pattern:
            try:
                pattern = Glob(request.pattern)
            except ValueError as error:
                raise RefusedError(API_INTERNAL) from error
            names = filter(pattern.matches, names)
        return wire.ChannelsResult(
            {name: wire.ChannelInfo(num_clients=len(subscribers[name])) for name in names}
        )

    def info(self, request: wire.InfoRequest) -> wire.InfoResult:
        node, hub = self._node, self._node.hub
        mine = wire.NodeResult(
            uid=node.uid,
            name=node.name,
            version=VERSION,
            num_clients=len(hub.clients),
            num_users=hub.user_count,
            num_channels=len(hub.subscribers),
            uptime=int(node.clock.now() - node.started_at),
            num_subs=sum(map(len, hub.subscribers.values())),
        )
        return wire.InfoResult([mine])

    def _connections(self, target: wire.Target) -> Iterable[Session]:
        return self._node.hub.connections(target.user, client=target.client)

    def _options(self, channel: str) -> ChannelOptions:
        if not channel:
            raise RefusedError(BAD_REQUEST)
        options = self._node.config.channel_options(channel)
        if options is None:
            raise RefusedError(UNKNOWN_CHANNEL)
        return options

    def _options_with_presence(self, channel: str) -> None:
        if not self._options(channel).presence:
            raise RefusedError(NOT_AVAILABLE)


METHODS: dict[str, tuple[type[msgspec.Struct], Callable[[Methods, Any], Any]]] = {
    "publish": (wire.PublishRequest, Methods.publish),
    "unsubscribe": (wire.UnsubscribeRequest, Methods.unsubscribe),
    "disconnect": (wire.DisconnectRequest, Methods.disconnect),
    "history": (wire.HistoryRequest, Methods.history),
    "presence": (wire.ChannelRequest, Methods.presence),
    "presence_stats": (wire.ChannelRequest, Methods.presence_stats),
    "info": (wire.InfoRequest, Methods.info),
    "channels": (wire.ChannelsRequest, Methods.channels),
}


class Api:
    """Answers requests by name."""

    def __init__(self, node: Node) -> None:
        self._methods = Methods(node)

    def call(self, method: str, body: bytes) -> bytes:
        """Return the reply to the request `body`, both JSON.

        Raises KeyError for an unknown method, msgspec.DecodeError for a body that is no request.
        """
        if method == "batch":
            return self._batch(_decode(body, wire.BatchRequest))
        kind, _ = METHODS[method]
        return escape(msgspec.json.encode(self._answer(method, _decode(body, kind))))

    def _answer(self, method: str, request: msgspec.Struct) -> wire.Response:
        try:
            return wire.Response(result=METHODS[method][1](self._methods, request))
        except RefusedError as error:
            return wire.Response(error=error.error)

    def _batch(self, request: wire.BatchRequest) -> bytes:
        """Return the replies in the order of the commands; without commands, no replies."""
        if not request.commands:
            return b"{}"
        replies = [self._reply(command) for command in request.commands]
        return escape(msgspec.json.encode({"replies": replies}))

    def _reply(self, command: wire.Command | None) -> dict[str, Any]:
        if command is None:
            return {"error": BAD_REQUEST}
        for method in command.__struct_fields__:
            request = getattr(command, method)
            if request is not None:
                response = self._answer(method, request)
                return {"error": response.error} if response.error else {method: response.result}
        return {"error": API_NOT_FOUND}


def _decode(body: bytes, kind: type[T]) -> T:
    """Return a request. Go takes null for one without any field set."""
    return msgspec.json.decode(body, type=kind | None) or kind()
