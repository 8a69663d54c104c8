"""Commands of a connected client, one function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .access import check_data
from .codes import (
    MALFORMED,
    NOT_AVAILABLE,
    PERMISSION_DENIED,
    HangUpError,
    RefusedError,
)
from .config import ChannelOptions
from .proxy import ProxiedPublish
from .wire import (
    NONE,
    AnyRequest,
    ChannelRequest,
    Command,
    EmptyResult,
    ExpiryResult,
    PresenceResult,
    PresenceStatsResult,
    Publication,
    PublishRequest,
    RefreshRequest,
    Reply,
    SubRefreshRequest,
    SubscribeRequest,
    SubscribeResult,
    encode,
    own,
)

if TYPE_CHECKING:
    from .session import Session


def run(session: Session, command: Command) -> ProxiedPublish | None:
    """Execute a command and send the reply, or return a publication that the site must allow first.

    Raises RefusedError where the reply is an error, and HangUpError where the connection is to be
    closed, also for a command without any request.
    """
    for name, handler in HANDLERS.items():
        request = getattr(command, name)
        if request is not None:
            result = handler(session, request)
            if isinstance(result, ProxiedPublish):
                return result
            session.send(encode(Reply(id=command.id, **{name: result})))
            if isinstance(request, SubscribeRequest):
                session.subscriptions.announce([request.channel])
            return None
    raise HangUpError(MALFORMED)


def _subscribe(session: Session, request: SubscribeRequest) -> SubscribeResult:
    return session.subscriptions.subscribe(request)


def _unsubscribe(session: Session, request: ChannelRequest) -> EmptyResult:
    if not request.channel:
        raise HangUpError(MALFORMED)
    session.subscriptions.remove(request.channel)
    return EmptyResult()


def _publish(session: Session, request: PublishRequest) -> EmptyResult | ProxiedPublish:
    """Publish, or have the site decide: then neither a subscription nor a user is needed."""
    channel = request.channel
    options = _options(session, channel)
    check_data(request.data, options)
    data, info = own(request.data), session.subscriptions.info(channel)
    if options.publish_proxy_enabled:
        proxy = session.node.config.channel.proxy.publish
        meta = session.meta if proxy.include_connection_meta else NONE
        return ProxiedPublish(channel=channel, options=options, data=data, info=info, meta=meta)
    session.access.check_publish(options, subscribed=channel in session.subscriptions)
    session.node.publish(channel, Publication(data=data, info=info), options)
    return EmptyResult()


def _presence(session: Session, request: ChannelRequest) -> PresenceResult:
    _check_presence(session, request.channel)
    return PresenceResult(presence=session.node.hub.presence.of(request.channel))


def _presence_stats(session: Session, request: ChannelRequest) -> PresenceStatsResult:
    _check_presence(session, request.channel)
    return session.node.hub.presence.stats(request.channel)


def _check_presence(session: Session, channel: str) -> None:
    options = _options(session, channel)
    session.access.check_presence(options, subscribed=channel in session.subscriptions)


def _refresh(session: Session, request: RefreshRequest) -> ExpiryResult:
    if not request.token:
        raise HangUpError(MALFORMED)
    return session.renew(request.token)


def _sub_refresh(session: Session, request: SubRefreshRequest) -> ExpiryResult:
    return session.subscriptions.refresh(request)


def _history(session: Session, request: ChannelRequest) -> EmptyResult:
    """Refuse: no option of this server allows clients to ask for a history."""
    options = _options(session, request.channel)
    raise RefusedError(PERMISSION_DENIED if options.keeps_history else NOT_AVAILABLE)


def _refuse(session: Session, request: AnyRequest) -> EmptyResult:
    raise RefusedError(NOT_AVAILABLE)


def _options(session: Session, channel: str) -> ChannelOptions:
    if not channel:
        raise HangUpError(MALFORMED)
    return session.access.options(channel)


HANDLERS: dict[str, Callable[[Session, Any], Any]] = {
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
    "publish": _publish,
    "presence": _presence,
    "presence_stats": _presence_stats,
    "history": _history,
    "rpc": _refuse,
    "refresh": _refresh,
    "sub_refresh": _sub_refresh,
}
