"""Keeps secrets out of what the doctor says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from django.conf import settings

__all__ = ["masked"]

MASK = "***"
SECRETS = ("SECRET_KEY", "CENTRIFUGO_API_KEY", "CENTRIFUGO_TOKEN_SECRET")
URLS = (
    *("CENTRIFUGO_API_URL", "CENTRIFUGO_WS_URL", "PRESENCE_REDIS_URL"),
    *("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"),
)
SHORTEST = 4
"""Characters: masking a shorter word would mask half of every sentence."""

_PASSWORD = re.compile(r"(://[^\s/:@]*):[^\s/]*@")
_OPTION = re.compile(r"([?&][a-z_]*password=)[^\s&#]*", re.IGNORECASE)


def masked(text: str) -> str:
    """`text` with the secrets of the settings, and the password of any URL, masked."""
    text = _OPTION.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1:{MASK}@", text))
    for secret in sorted(set(_secrets()), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _secrets() -> Iterator[str]:
    for name in SECRETS:
        yield from _long_enough(getattr(settings, name, ""))
    for name in URLS:
        try:
            url = urlsplit(getattr(settings, name, ""))
            passwords = [url.password or ""]
        except (ValueError, TypeError, AttributeError):
            continue
        passwords += [value for name, value in parse_qsl(url.query) if name.endswith("password")]
        for password in passwords:
            yield from _long_enough(password)
            yield from _long_enough(unquote(password))


def _long_enough(value: object) -> Iterator[str]:
    if isinstance(value, str) and len(value) >= SHORTEST:
        yield value
