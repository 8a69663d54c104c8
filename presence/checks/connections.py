"""Checks of the settings of Centrifugo and of the store."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import jwt
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from presence import queues, services
from presence.backends.redis.urls import FORMS, make_client
from presence.centrifugo.tokens import Issuer
from presence.checks.values import value
from presence.queues import celery
from presence.roster.people import UserClaims
from presence.transport.redaction import shown

SHORTEST_SECRET = 32
"""Bytes: RFC 7518 wants a key at least as long as the hash of HS256."""


NOT_SHARED = "presence.W006"


def check_centrifugo() -> Iterator[checks.CheckMessage]:
    """Check that the server API can be called and tokens can be signed."""
    if value("CENTRIFUGO_API_KEY") == "":
        yield checks.Error(
            "CENTRIFUGO_API_KEY is not set.",
            hint="Set it to the http_api.key of Centrifugo's configuration.",
            id="presence.E002",
        )
    secret = value("CENTRIFUGO_TOKEN_SECRET")
    if secret == "":
        yield checks.Error(
            "CENTRIFUGO_TOKEN_SECRET is not set.",
            hint="Set it to the client.token.hmac_secret_key of Centrifugo's configuration.",
            id="presence.E003",
        )
    elif secret is not None and len(secret.encode()) < SHORTEST_SECRET:
        yield checks.Warning(
            f"CENTRIFUGO_TOKEN_SECRET has fewer than {SHORTEST_SECRET} bytes.",
            hint="Create one with `openssl rand -hex 32`, and set Centrifugo's "
            "client.token.hmac_secret_key to the same.",
            id="presence.W004",
        )
    elif secret is not None and not _signs(secret):
        yield checks.Error(
            "CENTRIFUGO_TOKEN_SECRET cannot sign tokens: it looks like a key of a key pair.",
            hint="Set it to the client.token.hmac_secret_key of Centrifugo's configuration.",
            id="presence.E012",
        )
    url = value("CENTRIFUGO_API_URL")
    if url is not None and not _is_url(url, "http", "https"):
        yield checks.Error(
            "CENTRIFUGO_API_URL is not an http:// or https:// URL.",
            hint="Set it to Centrifugo's server API, such as http://127.0.0.1:8001/api.",
            id="presence.E004",
        )


def check_websocket() -> Iterator[checks.CheckMessage]:
    """Check that browsers can use the websocket endpoint."""
    url = value("CENTRIFUGO_WS_URL")
    if url is None:
        return
    if not _is_url(url, "ws", "wss"):
        yield checks.Error(
            "CENTRIFUGO_WS_URL is not a ws:// or wss:// URL.",
            hint="Set it to Centrifugo's websocket endpoint as browsers reach it, such as "
            "wss://example.com/connection/websocket.",
            id="presence.E005",
        )
    elif settings.SECURE_SSL_REDIRECT and not _is_url(url, "wss"):
        yield checks.Warning(
            "CENTRIFUGO_WS_URL is ws://, which browsers do not open from https:// pages, and "
            "SECURE_SSL_REDIRECT makes all pages https://.",
            hint="Put Centrifugo behind TLS too, and set CENTRIFUGO_WS_URL to its wss:// URL.",
            id="presence.W005",
        )


def check_store() -> Iterator[checks.CheckMessage]:
    """Check that the backend exists and is shared by all processes."""
    backend, url = value("PRESENCE_BACKEND"), value("PRESENCE_REDIS_URL")
    if backend == "redis" and url is not None and (problem := _of_redis_url(url)):
        yield checks.Error(
            f"PRESENCE_REDIS_URL is not the URL of a Redis: {problem}.",
            hint=f"Write {FORMS}.",
            id="presence.E006",
        )
        return
    others = value("PRESENCE_PREFIX"), value("PRESENCE_REDIS_TIMEOUT")
    if None in (backend, url, *others):
        return
    try:
        store = services.store()
    except (ImproperlyConfigured, TypeError) as error:  # a class that takes other arguments
        yield checks.Error(
            f"PRESENCE_BACKEND is {shown(backend)}, which cannot be used: {error}.",
            hint='Set PRESENCE_BACKEND to "redis", to "memory", or to the dotted path of a '
            "presence.backends.base.RosterStore.",
            id="presence.E007",
        )
        return
    if not store.shared and (celery.project_app() or queues.huey_ready()):
        yield checks.Warning(
            f"PRESENCE_BACKEND is {shown(backend)}, and each process has its own: pages do "
            "not see the rosters of the worker.",
            hint='Set PRESENCE_BACKEND = "redis".',
            id=NOT_SHARED,
        )


def _signs(secret: str) -> bool:
    try:
        Issuer(secret=secret, user_id="", info=UserClaims(), now=0.0, lifetime=1.0).connection()
    except jwt.PyJWTError:
        return False
    return True


def _is_url(url: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")  # as looking it up does
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _of_redis_url(url: str) -> str:
    """Return what is wrong with the URL, without any password; "" if nothing is."""
    try:
        make_client(url, timeout=1.0)
    except ValueError as error:
        return str(error)
    return ""
