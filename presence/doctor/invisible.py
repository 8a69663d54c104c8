"""Check that browsers cannot see the members that PRESENCE_VISIBLE hides."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from presence import services
from presence.centrifugo.tokens import Issuer
from presence.conf import conf
from presence.doctor import clocks
from presence.doctor.centrifugo import (
    NOTHING,
    feeds_of,
    named,
    namespaces,
    probe_of,
    unnamed,
)
from presence.doctor.conversation import Conversation, converse
from presence.doctor.findings import Findings, ok, problem, skipped
from presence.exceptions import CentrifugoError
from presence.roster.people import UserClaims
from presence.transport.redaction import address

USER = "presence-doctor"
LIFETIME = 60.0
"""Seconds."""
PER_CHANNEL = 3
"""Commands for each channel."""


def examine() -> Findings:
    """Check what a subscriber of the polled channels and of their feeds can see.

    Raises OSError or websockets.WebSocketException when the websocket cannot be reached.
    """
    known, unknown = namespaces(conf.PRESENCE_CHANNELS)
    yield from unnamed("websocket.invisible", unknown)
    channels = sorted({*map(probe_of, known), *feeds_of(known)})

    def publish(heard: Conversation) -> Collection[str]:
        """Publish on the open channels: pushes come in order, so the joins are there by then."""
        opened = [channel for channel, codes in _by_channel(channels, heard) if codes[:1] == [0]]
        errors = services.gateway().send([(channel, NOTHING) for channel in opened])
        return [c for c, error in zip(opened, errors, strict=True) if error is None]

    url, timeout = conf.CENTRIFUGO_WS_URL, conf.CENTRIFUGO_TIMEOUT
    try:
        heard = converse(url, commands(channels), timeout=timeout, then=publish)
    except CentrifugoError:
        yield skipped("websocket.invisible", "Centrifugo's server API does not answer")
        return
    except TimeoutError:
        yield skipped("websocket.invisible", f"publications do not arrive over {address(url)}")
        return
    for channel, codes in _by_channel(channels, heard):
        yield from judge(channel, codes, joins=channel in heard.pushed("join"))


def judge(channel: str, codes: Sequence[int], *, joins: bool) -> Findings:
    """Judge the answers to a subscription, a presence and a presence stats request, and whether
    `joins` were pushed."""
    if codes and codes[0]:
        reason = f"our token does not open {channel} (error {codes[0]})"
        yield skipped("websocket.invisible", reason)
        return
    if len(codes) < PER_CHANNEL:
        reason = f"Centrifugo closed the connection at a request for {channel}"
        yield skipped("websocket.invisible", reason, "Look into Centrifugo's log.")
        return
    namespace = channel.partition(":")[0] if ":" in channel else ""
    where = "channel.namespaces" if namespace else "channel.without_namespace"
    if joins:
        yield problem(
            "websocket.invisible",
            f"Centrifugo reports joins and leaves in {named(namespace)} to browsers, those of "
            "hidden users included",
            f"Remove join_leave and force_push_join_leave from it in {where} of Centrifugo's "
            "configuration: the widget does not use them, and n people who fill a room cause some "
            "n²/2 messages. Or do without PRESENCE_VISIBLE.",
        )
    if 0 in codes[1:]:
        yield problem(
            "websocket.invisible",
            f"Browsers may ask Centrifugo who is in {named(namespace)}, hidden users included",
            "Remove allow_presence_for_subscriber and allow_presence_for_client from it in "
            f"{where} of Centrifugo's configuration, or do without PRESENCE_VISIBLE.",
        )
    if not joins and 0 not in codes[1:]:
        yield ok("websocket.invisible", f"Browsers cannot find hidden users in {named(namespace)}")


def commands(channels: Sequence[str]) -> list[dict[str, Any]]:
    """Return the commands: one to connect, then PER_CHANNEL for each channel."""
    now = time.time() + (clocks.centrifugo_ahead() or 0.0)
    # Hidden, as the doctor is not a user; not quiet, or no join would be pushed in any case.
    issuer = Issuer(
        secret=conf.CENTRIFUGO_TOKEN_SECRET,
        user_id=USER,
        info=UserClaims(hidden=True, iat=now),
        now=now,
        lifetime=LIFETIME,
    )
    commands: list[dict[str, Any]] = [{"connect": {"token": issuer.connection(), "name": USER}}]
    for channel in channels:
        token = issuer.subscription(channel)
        commands += [
            {"subscribe": {"channel": channel, "token": token, "join_leave": True}},
            {"presence": {"channel": channel}},
            {"presence_stats": {"channel": channel}},
        ]
    return commands


def _by_channel(channels: Sequence[str], heard: Conversation) -> list[tuple[str, list[int]]]:
    codes = heard.codes[1:]
    parts = [codes[PER_CHANNEL * n : PER_CHANNEL * (n + 1)] for n in range(len(channels))]
    return list(zip(channels, parts, strict=True))
