"""Read settings from environment variables: typed, and named in the error when they are wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}

# A comma inside braces belongs to a pattern: {presence,chat}:*
COMMA = re.compile(r",(?![^{}]*\})")


def text(value: str) -> str:
    """The value itself."""
    return value


def flag(value: str) -> bool:
    """1, true, yes, on or 0, false, no, off. Raises ValueError for anything else."""
    word = value.strip().lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise ValueError("expected 1 or 0 (true/false, yes/no, on/off)")


def integer(value: str) -> int:
    """A whole number. Raises ValueError."""
    try:
        return int(value)
    except ValueError:
        raise ValueError("expected a whole number") from None


def seconds(value: str) -> float:
    """A finite number of seconds, 0 or more. Raises ValueError."""
    try:
        number = float(value)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise ValueError("expected a number of seconds, such as 2 or 0.5")
    return number


def names(value: str) -> list[str]:
    """The parts between commas, without blanks around them and without empty ones; or a JSON list.

    Raises ValueError for what begins like a JSON list of texts and is none.
    """
    if not value.lstrip().startswith('["'):
        return [part.strip() for part in COMMA.split(value) if part.strip()]
    listed = json.loads(value)
    if not isinstance(listed, list) or not all(isinstance(part, str) for part in listed):
        raise ValueError('expected names between commas, or a list such as ["presence:*"]')
    return listed


def read(environ: Mapping[str, str], name: str, kind: Callable[[str], T], default: str = "") -> T:
    """The variable `name`, or `default` where it is unset or empty, as `kind` reads it.

    Raises ImproperlyConfigured, naming the variable and what is expected, where `kind` refuses.
    The value is not repeated: it may be a secret.
    """
    try:
        return kind(environ.get(name) or default)
    except ValueError as error:
        message = f"The environment variable {name} is wrong: {error}."
        raise ImproperlyConfigured(message) from None


# The settings of the app, by how each is read.
APP_SETTINGS: dict[str, Callable[[str], Any]] = {
    "ASYNC_BACKEND": text,
    "CENTRIFUGO_API_KEY": text,
    "CENTRIFUGO_API_URL": text,
    "CENTRIFUGO_TIMEOUT": seconds,
    "CENTRIFUGO_TOKEN_SECRET": text,
    "CENTRIFUGO_WS_URL": text,
    "PRESENCE_ANONYMOUS": text,
    "PRESENCE_AUTHORIZE": text,
    "PRESENCE_BACKEND": text,
    "PRESENCE_BATCH_SIZE": integer,
    "PRESENCE_CHANNEL": text,
    "PRESENCE_CHANNELS": names,
    "PRESENCE_CURSOR_INTERVAL": seconds,
    "PRESENCE_CURSOR_LIMIT": integer,
    "PRESENCE_CURSOR_TIMEOUT": seconds,
    "PRESENCE_CURSOR_TRACK": flag,
    "PRESENCE_DISCOVERY": text,
    "PRESENCE_FETCH": text,
    "PRESENCE_HEARTBEAT": seconds,
    "PRESENCE_INTERVAL": seconds,
    "PRESENCE_LEAVE_GRACE": seconds,
    "PRESENCE_LIST_LIMIT": integer,
    "PRESENCE_WATCH": seconds,
    "PRESENCE_PREFIX": text,
    "PRESENCE_REDIS_TIMEOUT": seconds,
    "PRESENCE_REDIS_URL": text,
    "PRESENCE_SHARD_SIZE": integer,
    "PRESENCE_TIMEOUT": seconds,
    "PRESENCE_TOKEN_LIFETIME": seconds,
    "PRESENCE_USER_INFO": text,
    "PRESENCE_VISIBLE": text,
}


def app_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings of the app that the environment gives; what it does not give is left out,
    so that the app's own defaults hold.
    """
    return {
        name: read(environ, name, kind) for name, kind in APP_SETTINGS.items() if environ.get(name)
    }
