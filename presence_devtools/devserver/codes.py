"""Centrifugo's codes: errors in replies, disconnects, unsubscribes."""

from __future__ import annotations

import msgspec


class Error(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error in a reply. The connection and its other subscriptions stay."""

    code: int = 0
    message: str = ""
    temporary: bool = False


class Disconnect(msgspec.Struct, frozen=True):
    """Reason for closing a connection, sent as the websocket close code and reason.

    Clients reconnect after 3000 to 3499 and 4000 to 4499, and give up after the rest.
    """

    code: int = 0
    reason: str = ""


class Unsubscribe(msgspec.Struct, frozen=True):
    """Reason for ending a subscription. From 2500 on, clients subscribe again."""

    code: int
    reason: str


class RefusedError(Exception):
    """Raised where a command is to be answered with `error`."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error


class HangUpError(Exception):
    """Raised where the connection is to be closed with `disconnect`."""

    def __init__(self, disconnect: Disconnect) -> None:
        super().__init__(disconnect.reason)
        self.disconnect = disconnect


INTERNAL = Error(100, "internal server error", temporary=True)
UNKNOWN_CHANNEL = Error(102, "unknown channel")
PERMISSION_DENIED = Error(103, "permission denied")
ALREADY_SUBSCRIBED = Error(105, "already subscribed")
LIMIT_EXCEEDED = Error(106, "limit exceeded")
BAD_REQUEST = Error(107, "bad request")
NOT_AVAILABLE = Error(108, "not available")
TOKEN_EXPIRED = Error(109, "token expired")
EXPIRED = Error(110, "expired")
UNRECOVERABLE_POSITION = Error(112, "unrecoverable position")

# The HTTP API has its own wording of two errors.
API_INTERNAL = Error(100, "internal server error")
API_NOT_FOUND = Error(104, "not found")

CONNECTION_CLOSED = Disconnect(3000, "connection closed")
SHUTDOWN = Disconnect(3001, "shutdown")
CONNECTION_EXPIRED = Disconnect(3005, "connection expired")
SUBSCRIPTION_EXPIRED = Disconnect(3006, "subscription expired")
SLOW = Disconnect(3008, "slow")
WRITE_ERROR = Disconnect(3009, "write error")
INSUFFICIENT_STATE = Disconnect(3010, "insufficient state")
NO_PONG = Disconnect(3012, "no pong")
INVALID_TOKEN = Disconnect(3500, "invalid token")
MALFORMED = Disconnect(3501, "bad request")
STALE = Disconnect(3502, "stale")
FORCE_NO_RECONNECT = Disconnect(3503, "force disconnect")
CHANNEL_LIMIT = Disconnect(3505, "channel limit")

UNSUBSCRIBED_BY_SERVER = Unsubscribe(2000, "server unsubscribe")
UNSUBSCRIBED_STATE = Unsubscribe(2500, "insufficient state")
UNSUBSCRIBED_EXPIRED = Unsubscribe(2501, "subscription expired")
