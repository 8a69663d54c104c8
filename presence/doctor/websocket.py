"""Checks of the websocket: browsers connect and subscribe with our tokens, and only with them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from websockets.exceptions import WebSocketException

from presence.centrifugo.tokens import Issuer
from presence.conf import conf
from presence.doctor import clocks, cursors, invisible, origins
from presence.doctor.centrifugo import feeds_of, namespaces
from presence.doctor.conversation import converse
from presence.doctor.findings import Findings, duration, ok, problem, skipped, warning
from presence.roster.people import UserClaims
from presence.transport.redaction import address

USER = "presence-doctor"
LIFETIME = 60.0
"""Seconds."""

PING = 10.0
"""Recommended seconds between two pings, for which docs/freshness.md has its figures."""
SET_PINGS = 'Set "ping_interval": "10s", "pong_timeout": "4s" in client of its configuration.'

INVALID_TOKEN = 3500  # disconnect code
SUBSCRIBED, UNKNOWN, REFUSED, EXPIRED = 0, 102, 103, 109  # codes of replies


def examine() -> Findings:
    if not conf.CENTRIFUGO_TOKEN_SECRET:
        yield skipped("websocket.token", "CENTRIFUGO_TOKEN_SECRET is not set")
        return
    url, timeout = conf.CENTRIFUGO_WS_URL, conf.CENTRIFUGO_TIMEOUT
    known, _ = namespaces(conf.PRESENCE_CHANNELS)
    feeds = [*feeds_of(known), cursors.PROBE]
    # By Centrifugo's clock: with a wrong one, all findings below would be wrong as well.
    ahead = clocks.centrifugo_ahead() or 0.0
    try:
        heard = converse(url, _commands(feeds, time.time() + ahead), timeout=timeout)
    except (OSError, WebSocketException, ValueError) as error:
        yield skipped(
            "websocket.token",
            f"this machine cannot reach {address(url)} ({type(error).__name__}: {error})",
            "If browsers cannot reach it either, correct CENTRIFUGO_WS_URL.",
        )
        return
    if heard.status is not None:
        yield problem(
            "websocket.token",
            f"{address(url)} is no websocket: it answers HTTP {heard.status}",
            "Set CENTRIFUGO_WS_URL to Centrifugo's endpoint, by default /connection/websocket, and "
            "let a proxy in between pass the headers Upgrade and Connection.",
        )
        return
    connected, answered = next(iter(heard.codes), None), heard.codes[1:]
    yield from token(connected, heard.closed, heard.reason, ahead=ahead)
    if connected != SUBSCRIBED:
        for check in (
            *("websocket.ping", "websocket.subscription", "websocket.origin"),
            "cursors.publish",
        ):
            yield skipped(check, "Centrifugo did not accept the connection")
    else:
        yield from pings(heard.greeting)
        yield from _concluded(feeds, answered)
        yield from origins.examine(
            lambda origin: converse(url, [], timeout=timeout, origin=origin).status is None
        )
        if conf.PRESENCE_VISIBLE:
            yield from invisible.examine()


def _concluded(feeds: Sequence[str], answered: Sequence[int]) -> Findings:
    """Judge the answers to all of `_commands` but the first."""
    if SUBSCRIBED in answered[: 3 * len(feeds) : 3]:
        reason = "Centrifugo accepts expired tokens: its clock is behind, see clocks.agree"
        yield skipped("websocket.subscription", reason, "Set the clocks of both machines (NTP).")
        yield skipped("cursors.publish", reason)
        return
    for number, feed in enumerate(feeds):
        yield from subscription(feed, answered[3 * number : 3 * number + 3])
    for code in answered[3 * len(feeds) :]:
        if code != UNKNOWN:
            yield from cursors.publishing(code, tracked=conf.PRESENCE_CURSOR_TRACK)


def token(code: int | None, closed: int | None, reason: str, *, ahead: float = 0.0) -> Findings:
    """Check that Centrifugo accepts the connection tokens that we sign.

    `code` is None if it closed the connection instead of a reply. `ahead` are the seconds that were
    added to this machine's time.
    """
    if code == SUBSCRIBED and abs(ahead) > clocks.APART:
        yield skipped(
            "websocket.token",
            "the clocks differ (clocks.agree); the secret is right, as Centrifugo accepts a "
            "token that is signed for its own time",
        )
    elif code == SUBSCRIBED:
        yield ok("websocket.token", "Centrifugo accepts the tokens that Django signs")
    elif closed == INVALID_TOKEN:
        yield problem(
            "websocket.token",
            "Centrifugo refuses the tokens that Django signs",
            "CENTRIFUGO_TOKEN_SECRET must equal Centrifugo's client.token.hmac_secret_key.",
        )
    elif code == EXPIRED:
        yield problem(
            "websocket.token",
            "Centrifugo refuses a new token as expired: its clock differs from this machine's",
            "Set the clocks of both machines (NTP).",
        )
    else:
        yield problem(
            "websocket.token",
            f"Centrifugo refuses the connection (error {code}, disconnect {closed} {reason})",
            "Look the code up at https://centrifugal.dev/docs/server/codes.",
        )


def pings(greeting: Mapping[str, Any]) -> Findings:
    """Check how soon Centrifugo notices that the network of a browser stopped.

    `greeting` tells the seconds between two pings, and whether a pong is awaited, but not for how
    long.
    """
    ping = greeting.get("ping", 0)
    if not ping or not greeting.get("pong"):
        missing = "awaits no answer to its pings" if ping else "sends no pings"
        yield warning(
            "websocket.ping",
            f"Centrifugo {missing}: a member whose network stops is shown until the operating "
            "system ends the connection",
            SET_PINGS,
        )
    elif ping > PING:
        yield warning(
            "websocket.ping",
            f"Centrifugo sends a ping every {duration(ping)}: a member whose network stops is "
            "shown for so much longer, and its pong_timeout",
            SET_PINGS,
        )
    else:
        yield ok("websocket.ping", f"Centrifugo sends a ping every {duration(ping)}")


def subscription(feed: str, codes: Sequence[int]) -> Findings:
    """Check that only subscription tokens that we sign open `feed`.

    `codes` are the answers to the three attempts of `_attempts`.
    """
    if len(codes) < 3:
        yield problem(
            "websocket.subscription",
            f"Centrifugo closed the connection at a request for {feed}",
            "Look into Centrifugo's log.",
        )
        return
    ours, forged, bare = codes
    if UNKNOWN in codes:
        yield skipped("websocket.subscription", f"Centrifugo has no namespace for {feed}")
    elif bare == SUBSCRIBED:
        yield problem(
            "websocket.subscription",
            f"Anybody may subscribe to {feed} and its like without a token",
            "Remove allow_subscribe_for_client (and proxies that allow it) from its namespace.",
        )
    elif forged == EXPIRED:
        yield problem(
            "websocket.subscription",
            "Centrifugo does not check the signature of tokens",
            "Remove insecure and insecure_skip_token_signature_verify from its configuration.",
        )
    elif ours != EXPIRED or bare != REFUSED:
        yield problem(
            "websocket.subscription",
            f"Centrifugo refuses the subscription tokens that Django signs (error {ours})",
            "Remove client.subscription_token from its configuration, or give it the "
            "hmac_secret_key of client.token.",
        )
    else:
        yield ok("websocket.subscription", f"{feed.partition(':')[0]}: opens only with a token")


def _commands(feeds: Sequence[str], now: float) -> list[dict[str, Any]]:
    connection = _issuer(now, conf.CENTRIFUGO_TOKEN_SECRET).connection()
    commands: list[dict[str, Any]] = [{"connect": {"token": connection, "name": USER}}]
    for feed in feeds:
        commands += _attempts(feed, now)
    return [*commands, {"publish": {"channel": cursors.PROBE, "data": {"gone": True}}}]


def _attempts(feed: str, now: float) -> list[dict[str, Any]]:
    """Return three attempts to subscribe: with our token, a forged one, and none.

    The tokens have expired. Centrifugo checks the signature first, so their age is refused only if
    the signature is right, and no subscription is made.
    """
    past = now - 2 * LIFETIME
    ours = _issuer(past, conf.CENTRIFUGO_TOKEN_SECRET).subscription(feed)
    forged = _issuer(past, secrets.token_hex(32)).subscription(feed)
    return [
        {"subscribe": {"channel": feed, "token": ours}},
        {"subscribe": {"channel": feed, "token": forged}},
        {"subscribe": {"channel": feed}},
    ]


def _issuer(now: float, secret: str) -> Issuer:
    return Issuer(secret=secret, user_id=USER, info=UserClaims(), now=now, lifetime=LIFETIME)
