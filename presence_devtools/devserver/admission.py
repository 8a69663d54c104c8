"""Whether a client may subscribe, how, and what it missed."""

from __future__ import annotations

from typing import Protocol

from .access import Access
from .codes import (
    INVALID_TOKEN,
    PERMISSION_DENIED,
    UNRECOVERABLE_POSITION,
    HangUpError,
    RefusedError,
)
from .node import Node
from .options import ChannelOptions
from .tokens import InvalidTokenError, SubscribeOptions, SubscriptionToken, subscription_token
from .wire import Position, SubscribeRequest, SubscribeResult

REJECT_UNRECOVERED = 2


class Applicant(Protocol):
    """The connection that asks."""

    id: str
    user: str
    access: Access


def admit(request: SubscribeRequest, applicant: Applicant, node: Node) -> SubscribeOptions:
    """The options a client subscribes with: its token's, else the namespace's if that allows it.

    Raises RefusedError for an unknown namespace (102), a bad name (107), without permission or
    with a token that is not ours (103), an expired one (109); HangUpError (3500) for a token made
    for another channel, user or connection.
    """
    access = applicant.access
    namespace = access.options(request.channel)
    if request.token:
        try:
            options = check_token(request.channel, request.token, applicant, node).options
        except InvalidTokenError as error:
            raise RefusedError(PERMISSION_DENIED) from error
    else:
        access.check_subscribe(request.channel, namespace)
        options = SubscribeOptions.of(namespace)
    sees_history = access.sees_history(namespace, subscribed=True)
    if request.positioned and (namespace.allow_positioning or sees_history):
        options.positioning = True
    if request.recoverable and (namespace.allow_recovery or sees_history):
        options.recovery = True
    if request.join_leave and namespace.join_leave:
        options.push_join_leave |= access.sees_presence(namespace, subscribed=True)
    return options


def check_token(channel: str, token: str, applicant: Applicant, node: Node) -> SubscriptionToken:
    """What a subscription token says, if it is for this channel, user and connection.

    Raises as `subscription_token` does, and HangUpError (3500) for a token of somebody else.
    """
    checked = subscription_token(token, node.config, node.clock.now())
    same = checked.channel == channel and checked.user == applicant.user
    if not same or checked.client not in ("", applicant.id):
        raise HangUpError(INVALID_TOKEN)
    return checked


def recover(
    request: SubscribeRequest, options: SubscribeOptions, result: SubscribeResult, node: Node
) -> Position:
    """Put position and, if nothing of it is lost, what was missed into `result`; the stream's top.

    Refuses (112) an unrecovered position where the client asked to be refused then.
    """
    channel = request.channel
    namespace = node.config.channel_options(channel) or ChannelOptions()
    top = node.top(channel, namespace)
    result.positioned, result.recoverable = True, options.recovery
    result.epoch, result.offset = top.epoch, top.offset
    if not (options.recovery and request.recover):
        return top
    since = Position(offset=request.offset, epoch=request.epoch)
    limit = node.config.client.recovery_max_publication_limit or -1
    try:
        missed, _ = node.history(channel, namespace, limit=limit, since=since)
    except RefusedError:
        recovered, missed = False, []
    else:
        recovered = since.offset == top.offset
        if missed:
            recovered = missed[0].offset == since.offset + 1 and missed[-1].offset == top.offset
    if recovered:
        result.recovered, result.publications, result.offset = True, missed, since.offset
    elif request.flag & REJECT_UNRECOVERED:
        raise RefusedError(UNRECOVERABLE_POSITION)
    return top
