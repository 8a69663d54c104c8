"""The settings, one typed property each; the only reader of django.conf.settings.

Read at every access, so that override_settings works. A value of the wrong type raises
ImproperlyConfigured that names the setting; `presence.checks` reports all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any, Final, Literal, TypeVar, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

__all__ = ["NAMES", "Conf", "conf"]

T = TypeVar("T", bound=str)
Authorize = Callable[[Any, str], bool]
UserInfo = Callable[[Any], dict[str, Any]]
Fetch = Callable[[list[str]], Mapping[str, Mapping[str, Any]]]
Visible = Callable[[Any], bool]


class Conf:
    """Shadows Django's settings with types and defaults. Times are seconds, as floats."""

    @property
    def CENTRIFUGO_API_URL(self) -> str:
        """URL of Centrifugo's server API."""
        return _text("CENTRIFUGO_API_URL", "http://127.0.0.1:8001/api").rstrip("/")

    @property
    def CENTRIFUGO_API_KEY(self) -> str:
        """Centrifugo's `http_api.key`."""
        return _text("CENTRIFUGO_API_KEY", "")

    @property
    def CENTRIFUGO_TOKEN_SECRET(self) -> str:
        """Centrifugo's `client.token.hmac_secret_key`."""
        return _text("CENTRIFUGO_TOKEN_SECRET", "")

    @property
    def CENTRIFUGO_WS_URL(self) -> str:
        """The websocket endpoint as browsers reach it."""
        return _text("CENTRIFUGO_WS_URL", "ws://127.0.0.1:8001/connection/websocket")

    @property
    def CENTRIFUGO_TIMEOUT(self) -> float:
        """Within which Centrifugo has to answer a request whole."""
        return _seconds("CENTRIFUGO_TIMEOUT", 5.0, above=0.0)

    @property
    def PRESENCE_REDIS_URL(self) -> str:
        """Where the rosters are kept."""
        return _text("PRESENCE_REDIS_URL", "redis://127.0.0.1:6379/0")

    @property
    def PRESENCE_PREFIX(self) -> str:
        """What every key in Redis begins with."""
        return _text("PRESENCE_PREFIX", "presence")

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
        if not listed or not all(isinstance(pattern, str) and pattern for pattern in value):
            raise _wrong("PRESENCE_CHANNELS", value, 'a list of patterns such as ["presence:*"]')
        return tuple(value)

    @property
    def PRESENCE_INTERVAL(self) -> float:
        """Between two ticks."""
        return _seconds("PRESENCE_INTERVAL", 60.0, above=0.0)

    @property
    def PRESENCE_LEAVE_GRACE(self) -> float:
        """For which a member must have been missing to be believed gone."""
        return _seconds("PRESENCE_LEAVE_GRACE", 10.0)

    @property
    def PRESENCE_NUDGE(self) -> float:
        """Between two polls of one channel that are asked for; 0: nobody asks for any."""
        return _seconds("PRESENCE_NUDGE", 2.0)

    @property
    def PRESENCE_DISCOVERY(self) -> Literal["channels", "registry"]:
        """Who tells which channels there are: Centrifugo, or pages and tokens that were made."""
        return _one_of("PRESENCE_DISCOVERY", "channels", "registry")

    @property
    def PRESENCE_SHARD_SIZE(self) -> int:
        """Channels that one worker polls in a tick; a tick of more is shared out."""
        return _count("PRESENCE_SHARD_SIZE", 1000)

    @property
    def PRESENCE_BATCH_SIZE(self) -> int:
        """Channels read with one request."""
        return _count("PRESENCE_BATCH_SIZE", 100)

    @property
    def PRESENCE_ANONYMOUS(self) -> Literal["count", "list", "ignore"]:
        """What becomes of visitors who are not signed in."""
        return _one_of("PRESENCE_ANONYMOUS", "count", "list", "ignore")

    @property
    def PRESENCE_LIST_LIMIT(self) -> int:
        """Members above which a room is counted and no longer listed."""
        return _count("PRESENCE_LIST_LIMIT", 200)

    @property
    def PRESENCE_USER_INFO(self) -> UserInfo | None:
        """user -> what others see of them: `name` and, as one likes, `avatar`, `color`, ..."""
        return cast("UserInfo | None", _callable("PRESENCE_USER_INFO"))

    @property
    def PRESENCE_AUTHORIZE(self) -> Authorize | None:
        """(request, channel) -> whether the visitor may see who is there."""
        return cast("Authorize | None", _callable("PRESENCE_AUTHORIZE"))

    @property
    def PRESENCE_FETCH(self) -> Fetch | None:
        """ids of members who join -> what else others see of them, by id."""
        return cast("Fetch | None", _callable("PRESENCE_FETCH"))

    @property
    def PRESENCE_VISIBLE(self) -> Visible | None:
        """user -> whether others may know that they are here."""
        return cast("Visible | None", _callable("PRESENCE_VISIBLE"))

    @property
    def PRESENCE_TIMEOUT(self) -> float:
        """Without a heartbeat, after which a member without a websocket is gone."""
        return _seconds("PRESENCE_TIMEOUT", 60.0, least=1.0)

    @property
    def PRESENCE_HEARTBEAT(self) -> float:
        """Between two heartbeats of a page."""
        return _seconds("PRESENCE_HEARTBEAT", 30.0, least=1.0)

    @property
    def PRESENCE_TOKEN_LIFETIME(self) -> float:
        """For which a token of Centrifugo is valid."""
        return _seconds("PRESENCE_TOKEN_LIFETIME", 3600.0, above=0.0)

    @property
    def ASYNC_BACKEND(self) -> Literal["celery", "huey"]:
        """What runs the tick."""
        return _one_of("ASYNC_BACKEND", "celery", "huey")

    @property
    def PRESENCE_CURSOR_TIMEOUT(self) -> float:
        """After which a cursor without a sign is gone."""
        return _seconds("PRESENCE_CURSOR_TIMEOUT", 10.0, least=1.0)

    @property
    def PRESENCE_CURSOR_INTERVAL(self) -> float:
        """Between two positions that a browser sends."""
        return _seconds("PRESENCE_CURSOR_INTERVAL", 0.05, least=0.016, most=1.0)

    @property
    def PRESENCE_CURSOR_LIMIT(self) -> int:
        """Cursors of others that a page draws."""
        return _count("PRESENCE_CURSOR_LIMIT", 30)

    @property
    def PRESENCE_CURSOR_TRACK(self) -> bool:
        """Whether the publish proxy stores what browsers send, for CursorTracker.get_cursors."""
        return _flag("PRESENCE_CURSOR_TRACK", False)


NAMES: Final = frozenset(name for name in vars(Conf) if name.isupper())
"""The settings that are read."""

conf = Conf()


def _text(name: str, default: str) -> str:
    value = getattr(settings, name, default)
    if not isinstance(value, str):
        raise _wrong(name, value, "a text")
    return value


def _one_of(name: str, *values: T) -> T:
    """The first of them by default."""
    given = _text(name, values[0])
    for value in values:
        if value == given:
            return value
    allowed = ", ".join(f'"{value}"' for value in values[:-1])
    raise _wrong(name, given, f'{allowed} or "{values[-1]}"')


def _seconds(
    name: str, default: float, *, above: float | None = None, least: float = 0.0, most: float = inf
) -> float:
    value = getattr(settings, name, default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # An infinite time is none: `most` may be reached only where it is finite.
    fits = number and least <= value <= most and value != inf
    if not fits or (above is not None and value <= above):
        wanted = f"at least {least:g}" if above is None else f"above {above:g}"
        if most < inf:
            wanted = f"from {least:g} to {most:g}"
        raise _wrong(name, value, f"a number of seconds {wanted}")
    return float(value)


def _count(name: str, default: int) -> int:
    value = getattr(settings, name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _wrong(name, value, "a whole number of at least 1")
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
        except ImportError as error:
            raise _wrong(name, value, f"a callable or its dotted path ({error})") from error
    if value is not None and not callable(value):
        raise _wrong(name, value, "a callable, its dotted path, or None")
    return value


def _wrong(name: str, value: object, wanted: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name} is {value!r}: it must be {wanted}.")
