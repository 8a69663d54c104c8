"""The HTTP transport to Centrifugo, with limits for the time and the bytes of an answer."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from presence.centrifugo.gateway import Command, Reply, read_batch
from presence.exceptions import (
    CentrifugoAnswerError,
    CentrifugoError,
    CentrifugoRefused,
    CentrifugoUnreachable,
)
from presence.transport.calls import Call, TimedSocket, TooLarge, within
from presence.transport.redaction import Redactor, address

ROOM: Final = 1 << 16
"""Bytes of the buffer for the first body. The buffer for the next one with the same first command
is a little larger than the last body: to allocate memory takes longer than to fill it."""
MAX_IDLE: Final = 10
"""Connections that are kept between two calls; beyond it, the oldest is closed."""

_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"
_CODINGS: Final = ("", "identity", "gzip", "deflate")
_ZLIB_OR_GZIP: Final = 32 + zlib.MAX_WBITS

_BROKEN_OFF = (OSError, http.client.HTTPException, ValueError, RecursionError, zlib.error)
"""Errors of a connection, and of an answer that ends early or cannot be decompressed."""

_PASSING = (408, 421, 502, 503, 504)
"""Statuses of a load balancer that cannot reach the server at the moment."""


class HttpTransport:
    """Centrifugo's server API at `url` (its `/batch`), with `key` as the API key.

    `timeout` is in seconds for a whole answer, from connecting to its last byte. JSON is sent as
    UTF-8, since Centrifugo delivers the bytes that it is given. docs/decisions.md says why this is
    neither the client library cent nor an HTTP library.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = f"{url}/batch"
        self._key = key
        self._timeout = timeout
        self._clock = clock
        self._idle: deque[_Connection] = deque(maxlen=MAX_IDLE)
        self._rooms: dict[str, int] = {}
        self._url = address(url)
        # A custom path or query may be a password for a proxy.
        rest = url.partition("://")[2].partition("/")[2] if "://" in url else url
        self._redactor = Redactor(url, words=[key, rest] if rest != "api" else [key])

    def batch(
        self, commands: Sequence[Command], *, parallel: bool = False, once: bool = False
    ) -> list[Reply]:
        """Send commands; see presence.centrifugo.gateway.Transport."""
        methods = [method for method, _ in commands]
        body = msgspec.json.encode(
            {"commands": [{method: given} for method, given in commands], "parallel": parallel}
        )
        call = Call(self._timeout, once=once, clock=self._clock)
        try:
            try:
                return read_batch(self._post(body, methods[0], call), methods)
            except (OSError, http.client.HTTPException, CentrifugoAnswerError):
                if call.once or call.is_over():
                    raise
            self._close_idle()  # they may be broken, too
            call.renew()
            return read_batch(self._post(body, methods[0], call), methods)
        except TooLarge as error:
            raise CentrifugoAnswerError(
                f"the answer of Centrifugo at {self._url} to {_summary(commands)} {error}: check "
                "that CENTRIFUGO_API_URL is right"
            ) from error
        except _BROKEN_OFF as error:
            raise self._explained(error) from self._redactor.cause(error)

    def _post(self, body: bytes, method: str, call: Call) -> bytes | bytearray:
        """Post a batch that begins with `method`; return the body of the answer. Raises TooLarge,
        CentrifugoError, and the errors in _BROKEN_OFF."""
        server = self._server
        connection = self._take_idle(call) or server.connection()
        try:
            connection.request("POST", server.target, body, server.headers)
            with connection.getresponse() as response:
                if response.status in _PASSING:
                    raise ConnectionError(f"HTTP {response.status}")
                if response.status != 200:
                    raise _status_error(self._url, response.status)
                answer = _read(response, self._rooms.get(method, ROOM))
                self._rooms[method] = max(ROOM, len(answer) + len(answer) // 8)
                content = _unpacked(response, answer, call.limit)
        except BaseException:
            connection.close()
            raise
        # The last step: after an interruption anywhere before it, the answer may be unread.
        if connection.sock is not None:
            connection.used_at = time.monotonic()
            self._idle.append(connection)
        return content

    def _take_idle(self, call: Call) -> _Connection | None:
        """Return a kept connection that is good for the call; close those that are not."""
        while self._idle:
            with suppress(IndexError):  # another thread took the last
                connection = self._idle.pop()
                if connection.is_good(call):
                    return connection
                connection.close()
        return None

    def _close_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    @cached_property
    def _server(self) -> _Server:
        try:
            return _Server(urlsplit(self._endpoint), self._key, self._timeout)
        except ValueError:
            raise CentrifugoRefused(
                f"CENTRIFUGO_API_URL ({self._url}) is not an HTTP URL: set it to the API "
                "of Centrifugo, such as http://127.0.0.1:8001/api"
            ) from None

    def _explained(self, error: Exception) -> CentrifugoError:
        """Return the error of this package that explains `error`."""
        if isinstance(error, OSError):
            late = "no whole answer in time" if isinstance(error, TimeoutError) else ""
            reason = self._redactor.text(late or error.strerror or error)
            return CentrifugoUnreachable(
                f"Centrifugo at {self._url} did not answer ({reason}): check that it runs "
                "and that CENTRIFUGO_API_URL is right"
            )
        reason = self._redactor.text(f"{type(error).__name__}: {error}")
        return CentrifugoAnswerError(f"Centrifugo at {self._url} broke off its answer ({reason})")


def _status_error(url: str, status: int) -> CentrifugoError:
    if status == 401:
        return CentrifugoRefused(
            f"Centrifugo at {url} refused the API key: CENTRIFUGO_API_KEY must equal its "
            "http_api.key"
        )
    if status in (403, 404, 405) or 300 <= status < 400:
        return CentrifugoRefused(
            f"The server at {url} answered HTTP {status}: CENTRIFUGO_API_URL must be the API of "
            "Centrifugo, such as http://127.0.0.1:8001/api"
        )
    return CentrifugoUnreachable(f"Centrifugo at {url} answered HTTP {status}: see its log")


def _summary(commands: Sequence[Command]) -> str:
    """Return a short description of the request, for errors."""
    methods = ", ".join(dict.fromkeys(method for method, _ in commands))
    names = [str(given.get("channel") or given.get("pattern") or "") for _, given in commands]
    named = [name for name in names if name]
    return f"{len(commands)} commands ({methods}: {', '.join(named[:3])}{', …' * (len(named) > 3)})"


def _read(response: http.client.HTTPResponse, room: int) -> bytearray:
    """Read a body into one buffer of `room` bytes at first; TimedSocket limits its size."""
    body, filled = bytearray(room), 0
    while count := response.readinto(memoryview(body)[filled:]):
        filled += count
        if filled == len(body):
            body += bytes(len(body))
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    del body[filled:]
    return body


def _unpacked(response: http.client.HTTPResponse, body: bytearray, limit: int) -> bytes | bytearray:
    """Return the body without its compression. Raises TooLarge above `limit` bytes."""
    coding = (response.getheader("Content-Encoding") or "").strip().lower()
    if coding not in _CODINGS:
        raise ValueError(f"its Content-Encoding is {coding!r}")
    if coding in ("", "identity"):
        return body
    decompressor = zlib.decompressobj(_ZLIB_OR_GZIP)
    unpacked = decompressor.decompress(body, limit + 1)
    if len(unpacked) > limit:
        raise TooLarge(limit)
    if not decompressor.eof:
        raise zlib.error("it ends early")
    return unpacked


class _Server:
    """The server of a URL: connections to it, through the proxy that the environment names, and
    the target and the headers of each request. Raises ValueError if the URL is none of HTTP."""

    def __init__(self, url: SplitResult, key: str, timeout: float) -> None:
        host = url.hostname or ""
        host.encode("idna")  # as looking it up does
        if url.scheme not in ("http", "https") or not host or url.port == 0:
            raise ValueError("not an HTTP URL")
        self._url, self._timeout = url, timeout
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        named = None if _needs_no_proxy(url) else getproxies().get(url.scheme)
        self._proxy = urlsplit(named if "://" in named else f"//{named}") if named else None
        self.target = quote(url.path + (url.query and f"?{url.query}"), safe=_SAFE)
        self.headers = {
            "Accept-Encoding": "gzip, deflate",
            "Content-Type": "application/json",
            "X-API-Key": key,
            **_login("Authorization", url),
        }
        if self._proxy and not self._tls:
            self.target = f"http://{url.netloc.rpartition('@')[2]}{self.target}"
            self.headers |= _login("Proxy-Authorization", self._proxy)

    def connection(self) -> _Connection:
        """Return a connection that connects with its first request."""
        host, port = self._url.hostname or "", self._url.port
        if self._proxy:
            host, port = self._proxy.hostname or "", self._proxy.port or 80
        if not self._tls:
            return _Connection(host, port, timeout=self._timeout)
        secure = _SecureConnection(host, port, timeout=self._timeout, context=self._tls)
        if self._proxy:
            login = _login("Proxy-Authorization", self._proxy)
            secure.set_tunnel(self._url.hostname or "", self._url.port, headers=login)
        return secure


def _needs_no_proxy(url: SplitResult) -> bool:
    # urllib knows no networks in no_proxy, such as 10.0.0.0/8; requests and curl do.
    for rule in getproxies().get("no", "").split(","):
        with suppress(ValueError):  # a name, not an address or a network
            if ip_address(url.hostname or "") in ip_network(rule.strip(), strict=False):
                return True
    return bool(proxy_bypass(url.netloc.rpartition("@")[2]))


def _login(header: str, url: SplitResult) -> dict[str, str]:
    if url.username is None:
        return {}
    login = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {header: f"Basic {base64.b64encode(login.encode()).decode()}"}


class _Response(http.client.HTTPResponse):
    """A response that skips interim responses (103 Early Hints, 102 Processing) as it skips 100.

    http.client takes them for the answer, and the answer for that to the next request.
    """

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        passing = status < 200 and status != http.HTTPStatus.SWITCHING_PROTOCOLS
        return version, http.HTTPStatus.CONTINUE if passing else status, reason


class _Connection(http.client.HTTPConnection):
    """A connection whose operations end at the deadline of the current call."""

    response_class = _Response
    sock: Any
    used_at = 0.0
    """When its last answer was read to the end, by the monotonic clock."""
    _made_by = 0
    """Id of the process that connected: after a fork, the parent could read the answers."""

    def connect(self) -> None:
        self.timeout = within(self.timeout)
        super().connect()
        self.sock = TimedSocket(self.sock)
        self.sock.settimeout(None)  # the call is the limit, not the time that connecting had
        self._made_by = os.getpid()

    def is_good(self, call: Call) -> bool:
        """Return whether the connection can be used for the call."""
        if self._made_by != os.getpid() or not call.accepts(time.monotonic() - self.used_at):
            return False
        silent: bool = self.sock.is_silent()
        return silent


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    pass
