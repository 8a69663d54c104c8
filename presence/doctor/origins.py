"""Check that Centrifugo lets pages of this site connect, by the origins in the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from django.conf import settings

from presence.conf import conf
from presence.doctor.findings import Findings, ok, problem, skipped

Allows = Callable[[str], bool]
"""Returns whether a page of the origin may open a websocket."""

RUNSERVER = 8000
LOCAL = ("localhost", "127.0.0.1", "[::1]")
MOST = 12
"""Maximum number of origins to try: each takes a handshake."""


def examine(allows: Allows) -> Findings:
    """Try the origins in the settings; if there are none, likely ones."""
    if found := named():
        for origin in found:
            yield from judge(origin, allows(origin))
        return
    likely = list(guesses())[:MOST]
    passed = next((origin for origin in likely if allows(origin)), None)
    if passed is None:
        yield problem(
            "websocket.origin",
            f"Centrifugo lets no page of this site connect (tried: {', '.join(likely)})",
            f'Add the origin of the site, such as "{likely[0]}", to client.allowed_origins of its '
            "configuration; name it in CSRF_TRUSTED_ORIGINS for the doctor.",
        )
    elif _names_hosts():
        yield ok("websocket.origin", f"Centrifugo lets pages of {passed} connect")
    else:
        yield skipped(
            "websocket.origin",
            "ALLOWED_HOSTS and CSRF_TRUSTED_ORIGINS name no origin of this site; Centrifugo lets "
            f"pages of {passed} connect",
            "Name the site's origin in CSRF_TRUSTED_ORIGINS to have it tried.",
        )


def judge(origin: str, allowed: bool) -> Findings:
    """Judge the answer to a handshake for pages of `origin`."""
    if allowed:
        yield ok("websocket.origin", f"Centrifugo lets pages of {origin} connect")
    else:
        yield problem(
            "websocket.origin",
            f"Centrifugo does not let pages of {origin} connect",
            f'Add "{origin}" to client.allowed_origins of its configuration.',
        )


def named() -> list[str]:
    """Return the origins of CSRF_TRUSTED_ORIGINS, without patterns."""
    return [origin for origin in settings.CSRF_TRUSTED_ORIGINS if "*" not in origin]


def guesses() -> Iterator[str]:
    """Yield origins that pages of this site are likely to have, the likeliest first."""
    for pattern in settings.CSRF_TRUSTED_ORIGINS:
        yield pattern.replace("*.", "")
        yield pattern.replace("*", "www")
    secure = settings.SECURE_SSL_REDIRECT or urlsplit(conf.CENTRIFUGO_WS_URL).scheme == "wss"
    schemes = ("https", "http") if secure else ("http", "https")
    for host in _hosts():
        local = host in LOCAL
        places = (f"{host}:{RUNSERVER}", host) if local else (host,)
        for scheme in schemes:
            yield from (f"{scheme}://{place}" for place in places)


def _names_hosts() -> bool:
    hosts = [host for host in settings.ALLOWED_HOSTS if host != "*"]
    return bool(hosts) or (settings.DEBUG and not settings.ALLOWED_HOSTS)


def _hosts() -> list[str]:
    """Return the hosts of ALLOWED_HOSTS, as Django reads it; if it is only "*", the websocket's."""
    hosts = [host for host in settings.ALLOWED_HOSTS if host != "*"]
    if not hosts:
        there = urlsplit(conf.CENTRIFUGO_WS_URL).hostname
        return list(dict.fromkeys([*LOCAL[:2], *([there] if there else [])]))
    names = [
        name
        for host in hosts
        for name in ([host[1:], f"www{host}"] if host.startswith(".") else [host])
    ]
    # Addresses of this machine are for health checks and the like, so they come last.
    return sorted(names, key=lambda name: name in LOCAL)
