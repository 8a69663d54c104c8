"""What a connected client may ask for, one function a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .access import check_data
from .admission import Applicant
from .codes import (
    MALFORMED,
    NOT_AVAILABLE,
    SENDING_NOT_AVAILABLE,
    HangUpError,
    RefusedError,
)
from .node import Node
from .options import ChannelOptions
from .proxy import ProxiedPublish
from .subscriptions import Subscriptions
from .wire import (
    NONE,
    AnyRequest,
    ChannelRequest,
    Command,
    EmptyResult,
    ExpiryResult,
    HistoryRequest,
    HistoryResult,
    PresenceResult,
    PresenceStatsResult,
    Publication,
    PublishRequest,
    Raw,
    RefreshRequest,
    Reply,
    SubRefreshRequest,
    SubscribeRequest,
    SubscribeResult,
    encode,
    own,
)


class Caller(Applicant, Protocol):
    """The connection that a command came from."""

    node: Node
    subscriptions: Subscriptions
    meta: Raw

    def send(self, message: bytes) -> None: ...

    def renew(self, token: str) -> ExpiryResult: ...


def run(caller: Caller, command: Command) -> ProxiedPublish | None:
    """Do what `command` asks and send the reply, or give what the site must allow first.

    Raises RefusedError for what is to be answered with an error, HangUpError for what ends the
    connection; a command without any request is of the second kind.
    """
    for name, handler in HANDLERS.items():
        request = getattr(command, name)
        if request is not None:
            result = handler(caller, request)
            if isinstance(result, ProxiedPublish):
                return result
            caller.send(encode(Reply(id=command.id, **{name: result})))
            if isinstance(request, SubscribeRequest):
                caller.subscriptions.announce([request.channel])
            return None
    raise HangUpError(MALFORMED)


def _subscribe(caller: Caller, request: SubscribeRequest) -> SubscribeResult:
    return caller.subscriptions.subscribe(request)


def _unsubscribe(caller: Caller, request: ChannelRequest) -> EmptyResult:
    if not request.channel:
        raise HangUpError(MALFORMED)
    caller.subscriptions.remove(request.channel)
    return EmptyResult()


def _publish(caller: Caller, request: PublishRequest) -> EmptyResult | ProxiedPublish:
    """Publish, or leave it to the site who may: then no subscription is needed, and no user."""
    channel = request.channel
    options = _options(caller, channel)
    config = caller.node.config
    check_data(request.data, options, config)
    data, info = own(request.data), caller.subscriptions.info(channel)
    if options.publish_proxy_enabled:
        meta = caller.meta if config.channel.proxy.publish.include_connection_meta else NONE
        return ProxiedPublish(channel=channel, options=options, data=data, info=info, meta=meta)
    caller.access.check_publish(options, subscribed=channel in caller.subscriptions)
    caller.node.publish(channel, Publication(data=data, info=info), options)
    return EmptyResult()


def _presence(caller: Caller, request: ChannelRequest) -> PresenceResult:
    _check_presence(caller, request.channel)
    return PresenceResult(presence=caller.node.hub.presence.of(request.channel))


def _presence_stats(caller: Caller, request: ChannelRequest) -> PresenceStatsResult:
    _check_presence(caller, request.channel)
    return caller.node.hub.presence.stats(request.channel)


def _check_presence(caller: Caller, channel: str) -> None:
    options = _options(caller, channel)
    caller.access.check_presence(options, subscribed=channel in caller.subscriptions)


def _history(caller: Caller, request: HistoryRequest) -> HistoryResult:
    channel = request.channel
    options = _options(caller, channel)
    caller.access.check_history(options, subscribed=channel in caller.subscriptions)
    most = caller.node.config.client.history_max_publication_limit
    limit = most if most > 0 and not 0 <= request.limit <= most else request.limit
    found, top = caller.node.history(
        channel, options, limit=limit, since=request.since, reverse=request.reverse
    )
    return HistoryResult(publications=found, epoch=top.epoch, offset=top.offset)


def _refresh(caller: Caller, request: RefreshRequest) -> ExpiryResult:
    if not request.token:
        raise HangUpError(MALFORMED)
    return caller.renew(request.token)


def _sub_refresh(caller: Caller, request: SubRefreshRequest) -> ExpiryResult:
    return caller.subscriptions.refresh(request)


def _rpc(caller: Caller, request: AnyRequest) -> EmptyResult:
    raise RefusedError(NOT_AVAILABLE)


def _send(caller: Caller, request: AnyRequest) -> EmptyResult:
    raise HangUpError(SENDING_NOT_AVAILABLE)


def _options(caller: Caller, channel: str) -> ChannelOptions:
    if not channel:
        raise HangUpError(MALFORMED)
    return caller.access.options(channel)


HANDLERS: dict[str, Callable[[Caller, Any], Any]] = {
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
    "publish": _publish,
    "presence": _presence,
    "presence_stats": _presence_stats,
    "history": _history,
    "rpc": _rpc,
    "send": _send,
    "refresh": _refresh,
    "sub_refresh": _sub_refresh,
}
