"""The methods of the HTTP API, one a method; api_wire has what they take and give."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from . import api_wire as wire
from .access import check_data
from .codes import (
    API_INTERNAL,
    API_NOT_FOUND,
    BAD_REQUEST,
    CONNECTION_EXPIRED,
    FORCE_NO_RECONNECT,
    NOT_AVAILABLE,
    UNKNOWN_CHANNEL,
    UNRECOVERABLE_POSITION,
    UNSUBSCRIBED_BY_SERVER,
    Disconnect,
    RefusedError,
)
from .globs import compile_glob
from .hub import Client
from .node import VERSION, Node
from .options import ChannelOptions
from .tokens import SubscribeOptions
from .wire import Position, PresenceStatsResult, Publication, Raw, compact, own


class Methods:
    """What the API can do. Every method raises RefusedError with the error to answer."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def publish(self, request: wire.PublishRequest) -> Position:
        return self._publish(request.channel, request, _decoded(request.data, request.b64data))

    def broadcast(self, request: wire.BroadcastRequest) -> wire.BroadcastResult:
        if not request.channels:
            raise RefusedError(BAD_REQUEST)
        data = _decoded(request.data, request.b64data)
        responses = []
        for channel in request.channels:
            try:
                result = self._publish(channel, request, data)
                responses.append(wire.Response(result=result))
            except RefusedError as error:
                responses.append(wire.Response(error=error.error))
        return wire.BroadcastResult(responses)

    def _publish(
        self, channel: str, request: wire.PublishRequest | wire.BroadcastRequest, data: Raw
    ) -> Position:
        options = self._options(channel)
        check_data(data, options, self._node.config)
        return self._node.publish(
            channel,
            Publication(data=data, tags=request.tags, version=request.version),
            None if request.skip_history else options,
            idempotency_key=request.idempotency_key,
            version_epoch=request.version_epoch,
        )

    def subscribe(self, request: wire.SubscribeRequest) -> wire.EmptyResult:
        namespace = self._options(request.channel)
        options = SubscribeOptions.of(namespace, request.override)
        options.info = compact(_decoded(request.info, request.b64info))
        options.data = _decoded(request.data, request.b64data)
        options.expire_at = request.expire_at
        for client in self._connections(request):
            try:
                client.subscribe_by_server(request.channel, options, request.recover_since)
            except RefusedError as error:
                raise RefusedError(API_INTERNAL) from error
        return wire.EmptyResult()

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
            if client.id not in request.whitelist:
                client.close(reason)
        return wire.EmptyResult()

    def refresh(self, request: wire.RefreshRequest) -> wire.EmptyResult:
        for client in self._connections(request):
            if request.expired:
                client.close(CONNECTION_EXPIRED)
            else:
                client.refresh_by_server(request.expire_at, compact(request.info))
        return wire.EmptyResult()

    def presence(self, request: wire.ChannelRequest) -> Raw:
        self._options_with_presence(request.channel)
        return self._node.hub.presence.encoded(request.channel)

    def presence_stats(self, request: wire.ChannelRequest) -> PresenceStatsResult:
        self._options_with_presence(request.channel)
        return self._node.hub.presence.stats(request.channel)

    def history(self, request: wire.HistoryRequest) -> wire.HistoryResult:
        options = self._options_with_history(request.channel)
        try:
            found, top = self._node.history(
                request.channel,
                options,
                limit=request.limit,
                since=request.since,
                reverse=request.reverse,
            )
        except RefusedError as error:
            known = error.error is UNRECOVERABLE_POSITION
            raise RefusedError(error.error if known else API_INTERNAL) from error
        publications = [_publication_result(publication) for publication in found]
        return wire.HistoryResult(publications, top.epoch, top.offset)

    def history_remove(self, request: wire.ChannelRequest) -> wire.EmptyResult:
        self._options_with_history(request.channel)
        self._node.remove_history(request.channel)
        return wire.EmptyResult()

    def channels(self, request: wire.ChannelsRequest) -> wire.ChannelsResult:
        subscribers = self._node.hub.subscribers
        names: Iterable[str] = sorted(subscribers)
        if request.pattern:
            try:
                pattern = compile_glob(request.pattern)
            except ValueError as error:
                raise RefusedError(API_INTERNAL) from error
            names = filter(pattern.fullmatch, names)
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

    def rpc(self, request: wire.RpcRequest) -> wire.EmptyResult:
        raise RefusedError(API_NOT_FOUND if request.method else BAD_REQUEST)

    def _connections(self, target: wire.Target) -> Iterable[Client]:
        return self._node.hub.connections(target.user, client=target.client, session=target.session)

    def _options(self, channel: str) -> ChannelOptions:
        if not channel:
            raise RefusedError(BAD_REQUEST)
        options = self._node.config.channel_options(channel)
        if options is None:
            raise RefusedError(UNKNOWN_CHANNEL)
        return options

    def _options_with_presence(self, channel: str) -> ChannelOptions:
        options = self._options(channel)
        if not options.presence:
            raise RefusedError(NOT_AVAILABLE)
        return options

    def _options_with_history(self, channel: str) -> ChannelOptions:
        options = self._options(channel)
        if not options.keeps_history:
            raise RefusedError(NOT_AVAILABLE)
        return options


def _decoded(raw: Raw, encoded: str) -> Raw:
    """The base64 field when it is set, else the JSON one."""
    try:
        return Raw(base64.b64decode(encoded, validate=True)) if encoded else own(raw)
    except binascii.Error as error:
        raise RefusedError(BAD_REQUEST) from error


def _publication_result(publication: Publication) -> wire.PublicationResult:
    return wire.PublicationResult(
        compact(publication.data), publication.info, publication.offset, publication.tags
    )
