"""Access: which visitors may see the members of a channel and the cursors there."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest

from presence.centrifugo.tokens import Grant
from presence.conf import conf, hooks
from presence.exceptions import InvalidChannel, InvalidGrant
from presence.roster.channel_names import is_cursor_channel, matches, room_of, validate_channel
from presence.web.visitors import Visitor


def authorise(request: HttpRequest | None, channel: str) -> bool:
    """Return whether the visitor who sent `request` may see the members of `channel`.

    Called at include, exchange, renewal, snapshot and check. A visitor who may see a room may see
    its cursors: for a cursor channel PRESENCE_AUTHORIZE is asked about the room, which need not be
    polled. With PRESENCE_AUTHORIZE set, nobody may where there is no request to ask about, nor
    where it fails, which is logged. Raises InvalidChannel for a name that cannot be a channel and
    for a channel that no pattern of PRESENCE_CHANNELS matches.
    """
    name = room_of(channel) if is_cursor_channel(channel) else polled_channel(channel)
    allows = hooks.hook("PRESENCE_AUTHORIZE")
    if allows is None:
        return True
    if request is None:
        return False

    def answer() -> object:
        try:
            return allows(request, name)
        except PermissionDenied:  # a plain no, which is not logged as a failure
            return False

    about = f"channel={name}"
    return hooks.call("PRESENCE_AUTHORIZE", answer, read=bool, fallback=False, about=about)


def polled_channel(name: object) -> str:
    """Return `name` if it is that of a polled channel. Raises InvalidChannel for a name that cannot
    be a channel and for a channel that no pattern of PRESENCE_CHANNELS matches."""
    channel = validate_channel(name)
    try:
        polled = any(matches(pattern, channel) for pattern in conf.PRESENCE_CHANNELS)
    except ValueError as error:
        raise ImproperlyConfigured(f"PRESENCE_CHANNELS: {error}.") from error
    if not polled:
        raise InvalidChannel(
            f"Channel {channel!r} matches no pattern of PRESENCE_CHANNELS "
            f"{list(conf.PRESENCE_CHANNELS)!r}, so nobody would ever be seen in it: add a pattern "
            f"such as {channel.split(':')[0] + ':*' if ':' in channel else channel!r}"
        )
    return channel


def open_grant(request: HttpRequest, grant: Grant, visitor: Visitor, *, now: float) -> str:
    """Return the channel of `grant`. Raises InvalidGrant when the visitor, who sent `request`, may
    not see it (any more). `now` is in seconds since 1970."""
    grant.check(user_id=visitor.id, now=now)
    try:
        allowed = authorise(request, grant.channel)
    except InvalidChannel as error:
        raise InvalidGrant(str(error)) from error
    if not allowed:
        raise InvalidGrant("You may not see who is in this channel.")
    if visitor.hidden and is_cursor_channel(grant.channel):
        raise InvalidGrant("Others may not see you (PRESENCE_VISIBLE): they would see your cursor.")
    return grant.channel
