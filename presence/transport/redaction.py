"""How messages name values that may hold a secret: by type, by host and port, or masked. Pure.

Everything that writes a setting, a URL or the message of a library into an error, a log line or a
report goes through here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote

__all__ = ["MASK", "Redactor", "address", "secrets_in", "shown"]

MASK: Final = "***"
SHORTEST: Final = 4
"""Characters: masking a shorter word would mask half of every sentence."""
LONGEST_NUMBER: Final = 10**15

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
    """`value` for "NAME is …": itself where it cannot be a secret, else its type.

    Numbers and short strings of words, such as names and dotted paths, are shown; any other
    string, and every object, may hold one.
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
    """Scheme, host and port of a URL (of a socket its path), and nothing else of it."""
    found = _URL.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        return "a string that is no URL" if isinstance(url, str) else shown(url)
    scheme, authority, rest = found.groups()
    hosts = authority.rpartition("@")[2]
    # An "@" further on: a password with an unencoded "/" or "?" would look like a host here.
    fits = "@" not in rest and all(_HOST.fullmatch(host) for host in hosts.split(","))
    if not fits:
        return f"a {scheme}:// URL"
    path = re.split(r"[?#]", rest)[0] if not hosts else ""
    return f"{scheme}://{hosts}{path}"


def secrets_in(value: object, *, name: str = "") -> Iterator[str]:
    """The passwords in `value`, the setting or option `name`: of URLs, and of what a mapping holds
    under names such as "password"."""
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
        # Where the last "@" belongs to an option.
        yield from rest.partition("@")[0].split(":", 1)[1:]
    options = parse_qsl(rest.partition("?")[2])
    yield from (value for name, value in options if _SECRET_NAME.search(name))


class Redactor:
    """Masks secrets in text: those that it is given (strings, URLs, mappings that hold them), and
    the login of any URL."""

    def __init__(self, *values: Any, words: Iterable[str] = ()) -> None:
        found = {*words, *(secret for value in values for secret in secrets_in(value))}
        forms = {
            form
            for word in found
            for form in (word, quote(word, safe="", errors="replace"), unquote(word))
        }
        self._words = sorted((f for f in forms if len(f) >= SHORTEST), key=len, reverse=True)

    def text(self, what: object) -> str:
        """`what` as a string with its secrets masked."""
        text = _LOGIN.sub(rf"\1:{MASK}@", str(what))
        text = _TOKEN.sub(rf"\1{MASK}@", text)
        text = _ITEM.sub(rf"\1{MASK}", _OPTION.sub(rf"\1{MASK}", text))
        for word in self._words:
            text = text.replace(word, MASK)
        return text

    def cause(self, error: BaseException) -> BaseException | None:
        """`error` for `raise … from`, or None where a traceback of it would show a secret."""
        link: BaseException | None = error
        while link is not None:
            if self.text(link) != str(link):
                return None
            link = link.__cause__ or link.__context__
        return error
