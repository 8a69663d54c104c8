"""Why somebody of the crowd did not get in, in words that say which setting to look at."""

from __future__ import annotations

from centrifuge import ReplyError
from websockets.exceptions import InvalidStatus, InvalidURI

from presence.conf import masked

__all__ = ["ended", "refused", "said"]

INVALID_TOKEN = 3500  # a code of disconnects
UNKNOWN_CHANNEL, PERMISSION_DENIED, TOKEN_EXPIRED = 102, 103, 109  # codes of replies

SIGNED = "CENTRIFUGO_TOKEN_SECRET must equal Centrifugo's client.token.hmac_secret_key"
CLOCK = "Centrifugo finds new tokens expired: set the clocks of both machines (NTP)"


def said(error: Exception) -> str:
    """Why a connection or a move failed."""
    if isinstance(error, ReplyError):
        if error.code == TOKEN_EXPIRED:
            return CLOCK
        return f"Centrifugo answers error {error.code} ({error.message})"
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return f"no websocket there (HTTP {status}): look at CENTRIFUGO_WS_URL"
    if isinstance(error, InvalidURI):
        return "no URL of a websocket: look at CENTRIFUGO_WS_URL"
    if isinstance(error, OSError):
        text = error.strerror or masked(error) or type(error).__name__
        return f"cannot reach Centrifugo ({text}): is it running, and is CENTRIFUGO_WS_URL right?"
    return masked(error) or type(error).__name__


def ended(code: int, reason: str) -> str:
    """Why Centrifugo ended a connection for good."""
    if code == INVALID_TOKEN:
        return f"Centrifugo refuses our tokens: {SIGNED}"
    return f"Centrifugo ended the connection ({code} {reason})"


def refused(channel: str, code: int, reason: str) -> str:
    """Why there is no subscription to `channel`."""
    namespace = channel.partition(":")[0]
    if code == UNKNOWN_CHANNEL:
        return f"Centrifugo has no namespace {namespace!r}: see channel.namespaces of its file"
    if code == PERMISSION_DENIED:
        return f"Centrifugo refuses our tokens for {channel}: {SIGNED}"
    return f"Centrifugo refuses {channel} ({code} {reason})"
