"""The settings of the app, one typed descriptor each.

Each is read from Django's settings at every access, so that override_settings works. A value of
the wrong type or out of range raises ImproperlyConfigured that names the setting; `presence.checks`
reports all of them at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from presence.transport.redaction import Redactor, secrets_in, shown

V = TypeVar("V")
S = TypeVar("S", bound=str)
Authorize = Callable[[Any, str], bool]
UserInfo = Callable[[Any], dict[str, Any]]
Fetch = Callable[[list[str]], Mapping[str, Mapping[str, Any]]]
Visible = Callable[[Any], bool]

HOUR: Final = 3600
DAY: Final = 24 * HOUR
PREFIX: Final = re.compile(r"[!-z|~]{1,100}")
"""Printable ASCII without braces: those would choose the slot of a key in a Redis Cluster."""
HEADER: Final = re.compile(r"[!-~]*")
"""Characters that an HTTP header may have."""


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


class Setting(Generic[V]):
    """Descriptor of one setting: `read` checks a value, given the name of the setting."""

    name: str

    def __init__(self, default: Any, read: Callable[[str, Any], V], allowed: Any = None) -> None:
        self.default = default
        self.read = read
        self.allowed: Range | None = allowed

    def __set_name__(self, owner: object, name: str) -> None:
        self.name = name

    def __get__(self, conf: Conf, owner: object = None) -> V:
        default = self.default(conf) if callable(self.default) else self.default
        return self.read(self.name, getattr(settings, self.name, default))


def _string(
    default: str, *, form: re.Pattern[str] | None = None, wanted: str = "a string"
) -> Setting[str]:
    return Setting(default, partial(_read_string, form=form, wanted=wanted))


def _one_of(default: S, *others: S) -> Setting[S]:
    def read(name: str, value: Any) -> S:
        for known in (default, *others):
            if known == value:
                return known
        *first, last = (f'"{known}"' for known in (default, *others))
        raise _wrong(name, value, f"{', '.join(first)} or {last}")

    return Setting(default, read)


def _seconds(default: Any, minimum: float, maximum: float, *, off: bool = False) -> Setting[float]:
    allowed = Range(minimum, maximum, off)

    def read(name: str, value: Any) -> float:
        if isinstance(value, bool) or value not in allowed:
            raise _wrong(name, value, f"a number of seconds, {allowed}")
        return float(value)

    return Setting(default, read, allowed)


def _count(default: int, minimum: int, maximum: int) -> Setting[int]:
    allowed = Range(minimum, maximum)

    def read(name: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
            raise _wrong(name, value, f"a whole number, {allowed}")
        return value

    return Setting(default, read, allowed)


def _read_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, value, "True or False")
    return value


def _read_patterns(name: str, value: Any) -> tuple[str, ...]:
    listed = isinstance(value, Iterable) and not isinstance(value, str)
    patterns: list[Any] = list(value) if listed else [None]
    if not all(isinstance(p, str) and p and _encodable(p) for p in patterns):
        raise _wrong(name, value, 'a list of patterns such as ["presence:*"]')
    return tuple(patterns)


def _read_callable(name: str, value: Any) -> Any:
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


def _read_string(
    name: str, value: Any, form: re.Pattern[str] | None = None, wanted: str = "a string"
) -> str:
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


def _wrong(name: str, value: object, wanted: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name} is {shown(value)}: it must be {wanted}.")


class Conf:
    """The settings with their types, defaults and ranges. Times are seconds, as floats.

    A number out of range breaks its reader: PEXPIRE takes no fraction of a millisecond, a browser's
    timer at most 2^31 ms (24.8 days), and a token may not outlive a grant.
    """

    CENTRIFUGO_API_URL = Setting(
        "http://127.0.0.1:8001/api", lambda name, value: _read_string(name, value).rstrip("/")
    )
    """URL of Centrifugo's server API."""
    CENTRIFUGO_API_KEY = _string(
        "",
        form=HEADER,
        wanted="a string of printable ASCII without spaces, as it is sent in an HTTP header",
    )
    """Centrifugo's `http_api.key`."""
    CENTRIFUGO_TOKEN_SECRET = _string("")
    """Centrifugo's `client.token.hmac_secret_key`."""
    CENTRIFUGO_WS_URL = _string("ws://127.0.0.1:8001/connection/websocket")
    """URL of Centrifugo's websocket endpoint as browsers reach it."""
    CENTRIFUGO_TIMEOUT = _seconds(5.0, 0.05, 300)
    """Seconds that Centrifugo has for a complete answer."""

    PRESENCE_REDIS_URL = _string("redis://127.0.0.1:6379/0")
    """URL of the Redis that keeps the rosters."""
    PRESENCE_REDIS_TIMEOUT = _seconds(lambda conf: conf.CENTRIFUGO_TIMEOUT, 0.05, 300)
    """Seconds that Redis has for a call."""
    PRESENCE_PREFIX = _string(
        "presence",
        form=PREFIX,
        wanted="a string of 1 to 100 printable ASCII characters without spaces and braces",
    )
    """First part of every key in Redis."""
    PRESENCE_BACKEND = _string("redis")
    """The name of a backend ("redis", "memory") or the dotted path of a RosterStore."""

    PRESENCE_CHANNEL = _string("presence:site")
    """The channel of a widget that names none."""
    PRESENCE_CHANNELS = Setting(["presence:*"], _read_patterns)
    """Patterns of the channels that are polled."""
    PRESENCE_DISCOVERY: Setting[Literal["channels", "registry"]] = _one_of("channels", "registry")
    """Source of the channels to poll: Centrifugo, or the pages and tokens that were made."""
    PRESENCE_INTERVAL = _seconds(60.0, 0.05, DAY)
    """Seconds between two ticks."""
    PRESENCE_LEAVE_GRACE = _seconds(10.0, 0.01, HOUR, off=True)
    """Seconds for which a member must be missing before they leave."""
    PRESENCE_WATCH = _seconds(1.0, 0.1, 60.0, off=True)
    """Seconds between two looks at the numbers of clients; 0: no looks."""
    PRESENCE_SHARD_SIZE = _count(1000, 1, 100_000)
    """Channels that one worker polls in a tick; a tick of more is split into shards."""
    PRESENCE_BATCH_SIZE = _count(100, 1, 10_000)
    """Channels read with one request."""
    ASYNC_BACKEND: Setting[Literal["celery", "huey"]] = _one_of("celery", "huey")
    """Queue that runs the tick."""

    PRESENCE_ANONYMOUS: Setting[Literal["count", "list", "ignore"]] = _one_of(
        "count", "list", "ignore"
    )
    """How visitors who are not signed in are shown."""
    PRESENCE_LIST_LIMIT = _count(200, 1, 10_000)
    """Members above which a room is counted, not listed."""
    PRESENCE_TOKEN_LIFETIME = _seconds(600.0, 1, 14 * DAY)
    """Seconds for which a token of Centrifugo is valid."""
    PRESENCE_TIMEOUT = _seconds(60.0, 1, DAY)
    """Seconds after its last heartbeat until a member without a websocket is gone."""
    PRESENCE_HEARTBEAT = _seconds(30.0, 1, DAY)
    """Seconds between two heartbeats of a page, or of a process with live views."""

    PRESENCE_USER_INFO: Setting[UserInfo | None] = Setting(None, _read_callable)
    """Callable user -> dict that others see: `name`, and optionally `avatar`, `color`, ..."""
    PRESENCE_AUTHORIZE: Setting[Authorize | None] = Setting(None, _read_callable)
    """Callable (request, channel) -> whether the visitor may see who is in the channel."""
    PRESENCE_FETCH: Setting[Fetch | None] = Setting(None, _read_callable)
    """Callable ids of members who join -> more that others see of them, by id."""
    PRESENCE_VISIBLE: Setting[Visible | None] = Setting(None, _read_callable)
    """Callable user -> whether others may know that the user is here."""

    PRESENCE_CURSOR_TIMEOUT = _seconds(10.0, 1, HOUR)
    """Seconds after its last move until a cursor is gone."""
    PRESENCE_CURSOR_INTERVAL = _seconds(0.05, 0.016, 1)
    """Seconds between two positions that a browser sends."""
    PRESENCE_CURSOR_LIMIT = _count(30, 1, 1000)
    """Most cursors of others that a page draws."""
    PRESENCE_CURSOR_TRACK = Setting(False, _read_flag)
    """Whether the publish proxy stores moves of browsers, for CursorTracker.get_cursors."""


_settings = [value for value in vars(Conf).values() if isinstance(value, Setting)]
NAMES: Final = frozenset(setting.name for setting in _settings)
"""Names of all settings of the app."""
RANGES: Final[Mapping[str, Range]] = {
    setting.name: setting.allowed for setting in _settings if setting.allowed
}
"""The range of every setting that is a number of seconds or a count."""

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
