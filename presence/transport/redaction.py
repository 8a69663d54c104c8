"""Values in messages without their secrets: by type, by host and port, or masked. Pure.

All code that writes a setting, a URL or the message of a library into an error, a log line or a
report uses this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from traceback import walk_tb
from types import FrameType
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote

MASK: Final = "***"
SHORTEST: Final = 4
"""Characters of the shortest word to mask: shorter ones are in every sentence."""
LONGEST_NUMBER: Final = 10**15
LONGEST_VALUE: Final = 10_000
"""Bytes of a variable that are searched for a secret."""

_LIBRARIES = frozenset({"redis", "http", "urllib"})
_NAME = re.compile(r"[\w. -]{1,60}")
_NUMBER = re.compile(r"[+-]?[\d.]{1,15}(e[+-]?\d{1,3})?|[+-]?(nan|inf)", re.IGNORECASE)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://([^/?#]*)(.*)", re.DOTALL)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)?(:[0-9]{1,5})?")
_LOGIN = re.compile(r"(://[^\s/:@'\"]*):[^\s'\"]*@")
_TOKEN = re.compile(r"(://)[^\s/:@'\"]+@")
_WORDS = r"[\w-]*(?:password|passwd|secret|token|api_?key|grant)"
_OPTION = re.compile(rf"([?&]{_WORDS}=)[^\s&#]+", re.IGNORECASE)
_ITEM = re.compile(rf"([\"']{_WORDS}[\"']\s*:\s*b?[\"']|\b{_WORDS}=b?[\"'])[^\"']*", re.IGNORECASE)
_SECRET_NAME = re.compile(
    r"(?:password|passwd|pass|secret|token|key|key_fallbacks)$", re.IGNORECASE
)


def shown(value: object) -> str:
    """Return `value` for "NAME is …": its repr if it cannot hold a secret, else its type.

    Numbers and short strings of words, such as names and dotted paths, hold none; any other string,
    and every object, may hold one.
    """
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int) and abs(value) < LONGEST_NUMBER:
        return repr(value)
    if isinstance(value, str) and (_NAME.fullmatch(value) or _NUMBER.fullmatch(value)):
        return repr(value)
    if value == "":
        return "empty"
    return f"a value of type {type(value).__name__}"


def address(url: object) -> str:
    """Return only the scheme, host and port of a URL, or the path of a socket."""
    found = _URL.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        return "a string that is not a URL" if isinstance(url, str) else shown(url)
    scheme, authority, rest = found.groups()
    hosts = authority.rpartition("@")[2]
    # With an "@" in the rest, a password with an unencoded "/" or "?" would look like a host.
    fits = "@" not in rest and all(_HOST.fullmatch(host) for host in hosts.split(","))
    if not fits:
        return f"a {scheme}:// URL"
    path = re.split(r"[?#]", rest)[0] if not hosts else ""
    return f"{scheme}://{hosts}{path}"


def secrets_in(value: object, *, name: str = "") -> Iterator[str]:
    """Yield the secrets in `value`, the setting or option `name`: logins in URLs, and values of
    mappings under names such as "password"."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from secrets_in(part, name=str(key))
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from secrets_in(part, name=name)
    elif isinstance(value, bytes | bytearray):
        yield from secrets_in(bytes(value).decode(errors="replace"), name=name)
    elif isinstance(value, str) and "://" in value:
        yield from _of_url(value)
    elif isinstance(value, str) and _SECRET_NAME.search(name):
        yield value


def _of_url(url: str) -> Iterator[str]:
    rest = url.partition("://")[2]
    login, at, _ = rest.rpartition("@")
    if at:
        yield login
        yield from login.split(":", 1)[1:] or [login]
        # The last "@" may belong to an option.
        yield from rest.partition("@")[0].split(":", 1)[1:]
    options = parse_qsl(rest.partition("?")[2])
    yield from (value for name, value in options if _SECRET_NAME.search(name))


def message_of(error: BaseException) -> str:
    """Return the message of an error; "" for an error class of the site that has none."""
    try:
        return str(error)
    except Exception:
        return ""


class Redactor:
    """Masks secrets in text: those in the given values (strings, URLs, mappings), and the login of
    any URL."""

    def __init__(self, *values: Any, words: Iterable[str] = ()) -> None:
        found = {*words, *(secret for value in values for secret in secrets_in(value))}
        forms = {
            form
            for word in found
            for form in (word, quote(word, safe="", errors="replace"), unquote(word))
        }
        self._words = sorted((f for f in forms if len(f) >= SHORTEST), key=len, reverse=True)

    def text(self, message: object) -> str:
        """Return `message` as a string with its secrets masked."""
        text = _LOGIN.sub(rf"\1:{MASK}@", str(message))
        text = _TOKEN.sub(rf"\1{MASK}@", text)
        text = _ITEM.sub(rf"\1{MASK}", _OPTION.sub(rf"\1{MASK}", text))
        for word in self._words:
            text = text.replace(word, MASK)
        return text

    def cause(self, error: BaseException) -> BaseException | None:
        """Return `error` for `raise … from`, or None if its message, or one that led to it, shows a
        secret.

        Where a variable of a frame holds one, it comes without its frames: debug pages and error
        trackers show the variables of frames, such as the headers of a request that failed.
        """
        for link in _chain(error):
            said = message_of(link)
            if self.text(said) != said:
                return None
        for link in _chain(error):
            if any(map(self._is_shown_by, walk_tb(link.__traceback__))):
                link.__traceback__ = None
        return error

    def _is_shown_by(self, at: tuple[FrameType, int]) -> bool:
        return any(self._is_in(value) for value in at[0].f_locals.values())

    def _is_in(self, value: object, depth: int = 3) -> bool:
        """Return whether the repr of a variable shows a secret. Only a library's own objects are
        asked for theirs: those of a site may run queries."""
        if isinstance(value, Mapping):
            value = list(value.values())
        if isinstance(value, list | tuple | set | frozenset):
            return depth > 0 and any(self._is_in(part, depth - 1) for part in islice(value, 100))
        if type(value).__module__.partition(".")[0] in _LIBRARIES:
            value = repr(value)
        if isinstance(value, bytes | bytearray):
            value = value[:LONGEST_VALUE].decode(errors="replace")
        return isinstance(value, str) and any(word in value for word in self._words)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that led to it."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
