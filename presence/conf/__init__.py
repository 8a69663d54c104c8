"""The settings of the app, one typed property each.

Each is read from Django's settings at every access, so that override_settings works. A value of
the wrong type or out of range raises ImproperlyConfigured that names the setting; `presence.checks`
reports all of them at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeVar, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from presence.transport.redaction import Redactor, secrets_in, shown

__all__ = ["NAMES", "RANGES", "Conf", "Range", "conf", "masked", "traceable"]

T = TypeVar("T", bound=str)
Authorize = Callable[[Any, str], bool]
UserInfo = Callable[[Any], dict[str, Any]]
Fetch = Callable[[list[str]], Mapping[str, Mapping[str, Any]]]
Visible = Callable[[Any], bool]

HOUR: Final = 3600
DAY: Final = 24 * HOUR


class Range(NamedTuple):
    """The numbers that are allowed, both ends included; with `off` also 0, which means off."""

    minimum: float
    maximum: float
    off: bool = False

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int | float):
            return False
        return self.minimum <= number <= self.maximum or (self.off and number == 0)

    def __str__(self) -> str:
        return f"{'0, or ' if self.off else ''}from {self.minimum:.16g} to {self.maximum:.16g}"


# A number beyond these breaks its reader: PEXPIRE takes no fraction of a millisecond, a browser's
# timer at most 2^31 ms (24.8 days), and a token may not outlive a grant.
RANGES: Final[Mapping[str, Range]] = {
    "CENTRIFUGO_TIMEOUT": Range(0.05, 300),
    "PRESENCE_BATCH_SIZE": Range(1, 10_000),
    "PRESENCE_CURSOR_INTERVAL": Range(0.016, 1),
    "PRESENCE_CURSOR_LIMIT": Range(1, 1000),
    "PRESENCE_CURSOR_TIMEOUT": Range(1, HOUR),
    "PRESENCE_HEARTBEAT": Range(1, DAY),
    "PRESENCE_INTERVAL": Range(0.05, DAY),
    "PRESENCE_LEAVE_GRACE": Range(0.01, HOUR, off=True),
    "PRESENCE_LIST_LIMIT": Range(1, 10_000),
    "PRESENCE_NUDGE": Range(0.05, HOUR, off=True),
    "PRESENCE_SHARD_SIZE": Range(1, 100_000),
    "PRESENCE_TIMEOUT": Range(1, DAY),
    "PRESENCE_TOKEN_LIFETIME": Range(1, 14 * DAY),
}
"""The range of every setting that is a number of seconds or a count."""

PREFIX: Final = re.compile(r"[!-z|~]{1,100}")
"""Printable ASCII without braces: those would choose the slot of a key in a Redis Cluster."""
HEADER: Final = re.compile(r"[!-~]*")
"""Characters that an HTTP header may have."""


class Conf:
    """The settings with their types and defaults. Times are seconds, as floats."""

    @property
    def CENTRIFUGO_API_URL(self) -> str:
        """URL of Centrifugo's server API."""
        return _text("CENTRIFUGO_API_URL", "http://127.0.0.1:8001/api").rstrip("/")

    @property
    def CENTRIFUGO_API_KEY(self) -> str:
        """Centrifugo's `http_api.key`."""
        wanted = "a string of printable ASCII without spaces, as it is sent in an HTTP header"
        return _text("CENTRIFUGO_API_KEY", "", form=HEADER, wanted=wanted)

    @property
    def CENTRIFUGO_TOKEN_SECRET(self) -> str:
        """Centrifugo's `client.token.hmac_secret_key`."""
        return _text("CENTRIFUGO_TOKEN_SECRET", "")

    @property
    def CENTRIFUGO_WS_URL(self) -> str:
        """URL of Centrifugo's websocket endpoint as browsers reach it."""
        return _text("CENTRIFUGO_WS_URL", "ws://127.0.0.1:8001/connection/websocket")

    @property
    def CENTRIFUGO_TIMEOUT(self) -> float:
        """Seconds that Centrifugo has for a complete answer."""
        return _seconds("CENTRIFUGO_TIMEOUT", 5.0)

    @property
    def PRESENCE_REDIS_URL(self) -> str:
        """URL of the Redis that keeps the rosters."""
        return _text("PRESENCE_REDIS_URL", "redis://127.0.0.1:6379/0")

    @property
    def PRESENCE_PREFIX(self) -> str:
        """First part of every key in Redis."""
        wanted = "a string of 1 to 100 printable ASCII characters without spaces and braces"
        return _text("PRESENCE_PREFIX", "presence", form=PREFIX, wanted=wanted)

    @property
    def PRESENCE_BACKEND(self) -> str:
        """The name of a backend ("redis", "memory") or the dotted path of a RosterStore."""
        return _text("PRESENCE_BACKEND", "redis")

    @property
    def PRESENCE_CHANNEL(self) -> str:
        """The channel of a widget that names none."""
        return _text("PRESENCE_CHANNEL", "presence:site")

    @property
    def PRESENCE_CHANNELS(self) -> tuple[str, ...]:
        """Patterns of the channels that are polled."""
        value = getattr(settings, "PRESENCE_CHANNELS", ["presence:*"])
        listed = isinstance(value, Iterable) and not isinstance(value, str)
        patterns: list[Any] = list(value) if listed else [None]
        if not all(isinstance(p, str) and p and _encodable(p) for p in patterns):
            raise _wrong("PRESENCE_CHANNELS", value, 'a list of patterns such as ["presence:*"]')
        return tuple(patterns)

    @property
    def PRESENCE_INTERVAL(self) -> float:
        """Seconds between two ticks."""
        return _seconds("PRESENCE_INTERVAL", 60.0)

    @property
    def PRESENCE_LEAVE_GRACE(self) -> float:
        """Seconds for which a member must be missing before they leave."""
        return _seconds("PRESENCE_LEAVE_GRACE", 10.0)

    @property
    def PRESENCE_NUDGE(self) -> float:
        """Seconds between two early polls of one channel; 0: no early polls."""
        return _seconds("PRESENCE_NUDGE", 2.0)

    @property
    def PRESENCE_DISCOVERY(self) -> Literal["channels", "registry"]:
        """Source of the channels to poll: Centrifugo, or the pages and tokens that were made."""
        return _one_of("PRESENCE_DISCOVERY", "channels", "registry")

    @property
    def PRESENCE_SHARD_SIZE(self) -> int:
        """Channels that one worker polls in a tick; a tick of more is split into shards."""
        return _count("PRESENCE_SHARD_SIZE", 1000)

    @property
    def PRESENCE_BATCH_SIZE(self) -> int:
        """Channels read with one request."""
        return _count("PRESENCE_BATCH_SIZE", 100)

    @property
    def PRESENCE_ANONYMOUS(self) -> Literal["count", "list", "ignore"]:
        """How visitors who are not signed in are shown."""
        return _one_of("PRESENCE_ANONYMOUS", "count", "list", "ignore")

    @property
    def PRESENCE_LIST_LIMIT(self) -> int:
        """Members above which a room is counted, not listed."""
        return _count("PRESENCE_LIST_LIMIT", 200)

    @property
    def PRESENCE_USER_INFO(self) -> UserInfo | None:
        """Callable user -> dict that others see: `name`, and optionally `avatar`, `color`, ..."""
        return cast("UserInfo | None", _callable("PRESENCE_USER_INFO"))

    @property
    def PRESENCE_AUTHORIZE(self) -> Authorize | None:
        """Callable (request, channel) -> whether the visitor may see who is in the channel."""
        return cast("Authorize | None", _callable("PRESENCE_AUTHORIZE"))

    @property
    def PRESENCE_FETCH(self) -> Fetch | None:
        """Callable ids of members who join -> more that others see of them, by id."""
        return cast("Fetch | None", _callable("PRESENCE_FETCH"))

    @property
    def PRESENCE_VISIBLE(self) -> Visible | None:
        """Callable user -> whether others may know that the user is here."""
        return cast("Visible | None", _callable("PRESENCE_VISIBLE"))

    @property
    def PRESENCE_TIMEOUT(self) -> float:
        """Seconds after its last heartbeat until a member without a websocket is gone."""
        return _seconds("PRESENCE_TIMEOUT", 60.0)

    @property
    def PRESENCE_HEARTBEAT(self) -> float:
        """Seconds between two heartbeats of a page."""
        return _seconds("PRESENCE_HEARTBEAT", 30.0)

    @property
    def PRESENCE_TOKEN_LIFETIME(self) -> float:
        """Seconds for which a token of Centrifugo is valid."""
        return _seconds("PRESENCE_TOKEN_LIFETIME", 3600.0)

    @property
    def ASYNC_BACKEND(self) -> Literal["celery", "huey"]:
        """Queue that runs the tick."""
        return _one_of("ASYNC_BACKEND", "celery", "huey")

    @property
    def PRESENCE_CURSOR_TIMEOUT(self) -> float:
        """Seconds after its last move until a cursor is gone."""
        return _seconds("PRESENCE_CURSOR_TIMEOUT", 10.0)

    @property
    def PRESENCE_CURSOR_INTERVAL(self) -> float:
        """Seconds between two positions that a browser sends."""
        return _seconds("PRESENCE_CURSOR_INTERVAL", 0.05)

    @property
    def PRESENCE_CURSOR_LIMIT(self) -> int:
        """Most cursors of others that a page draws."""
        return _count("PRESENCE_CURSOR_LIMIT", 30)

    @property
    def PRESENCE_CURSOR_TRACK(self) -> bool:
        """Whether the publish proxy stores moves of browsers, for CursorTracker.get_cursors."""
        return _flag("PRESENCE_CURSOR_TRACK", False)


NAMES: Final = frozenset(name for name in vars(Conf) if name.isupper())
"""Names of all settings of the app."""

conf = Conf()


def masked(text: object) -> str:
    """Return `text` as a string with the secrets of the settings and logins in URLs masked."""
    return Redactor(words=_secrets()).text(text)


def traceable(error: BaseException) -> BaseException | None:
    """Return `error` for `exc_info`; None where its traceback would show a secret of a setting."""
    return Redactor(words=_secrets()).cause(error)


def _secrets() -> Iterator[str]:
    """Yield the secrets of every setting: an error of the database or broker may show its own."""
    for name in dir(settings):
        if name.isupper():
            yield from secrets_in(getattr(settings, name, None), name=name)
    pool = getattr(getattr(getattr(settings, "HUEY", None), "storage", None), "pool", None)
    yield from secrets_in(getattr(pool, "connection_kwargs", None))


def _text(
    name: str, default: str, *, form: re.Pattern[str] | None = None, wanted: str = "a string"
) -> str:
    value = getattr(settings, name, default)
    if not isinstance(value, str):
        raise _wrong(name, value, wanted)
    if not _encodable(value) or (form and not form.fullmatch(value)):
        raise ImproperlyConfigured(f"{name} has a form that cannot be used: it must be {wanted}.")
    return value


def _encodable(text: str) -> bool:
    """Return whether it is UTF-8: os.environ has lone surrogates for other bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _one_of(name: str, *values: T) -> T:
    """Return the setting, which must be one of `values`; the first is the default."""
    given = _text(name, values[0])
    for value in values:
        if value == given:
            return value
    allowed = ", ".join(f'"{value}"' for value in values[:-1])
    raise _wrong(name, given, f'{allowed} or "{values[-1]}"')


def _seconds(name: str, default: float) -> float:
    value = getattr(settings, name, default)
    if isinstance(value, bool) or value not in RANGES[name]:
        raise _wrong(name, value, f"a number of seconds, {RANGES[name]}")
    return float(value)


def _count(name: str, default: int) -> int:
    value = getattr(settings, name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value not in RANGES[name]:
        raise _wrong(name, value, f"a whole number, {RANGES[name]}")
    return value


def _flag(name: str, default: bool) -> bool:
    value = getattr(settings, name, default)
    if not isinstance(value, bool):
        raise _wrong(name, value, "True or False")
    return value


def _callable(name: str) -> Any:
    value = getattr(settings, name, None)
    if isinstance(value, str):
        try:
            value = import_string(value)
        except Exception as error:  # the module is the site's, and may raise anything
            redactor = Redactor(words=[] if shown(value) == repr(value) else [value])
            wanted = f"a callable or its dotted path ({redactor.text(error)})"
            raise _wrong(name, value, wanted) from redactor.cause(error)
    if value is not None and not callable(value):
        raise _wrong(name, value, "a callable, its dotted path, or None")
    return value


def _wrong(name: str, value: object, wanted: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name} is {shown(value)}: it must be {wanted}.")
