"""The HTTP transport to Centrifugo, with limits for the time and the bytes of an answer."""

from __future__ import annotations

import http.client
import os
import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from presence.centrifugo.gateway import Command, Reply, read_batch
from presence.exceptions import (
    CentrifugoAnswerError,
    CentrifugoError,
    CentrifugoRefused,
    CentrifugoUnreachable,
)
from presence.transport.calls import IDLE_LIMIT, Call, TimedSocket, TooLarge, current_call, within
from presence.transport.redaction import Redactor, address

ROOM: Final = 1 << 16
"""Bytes of the buffer for the first body. The buffer for the next one with the same first command
is a little larger than the last body: to allocate memory takes longer than to fill it."""
_PACKED_AT_ONCE: Final = 1 << 14
"""Bytes of a compressed body that are read at a time: decompressed, they may be a thousand times as
many."""
_PACKED: Final = ("gzip", "deflate")
_CODINGS: Final = ("", "identity", *_PACKED)

_CONNECTION_FAILED = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.ProtocolError,
)
"""Errors after which a new connection may work."""

_NO_URL = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
)
_BROKEN_OFF = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,
    RecursionError,
)
"""Other errors of an answer that ends early or cannot be decompressed."""

_PASSING = (408, 421, 502, 503, 504)
"""Statuses of a load balancer that cannot reach the server at the moment."""


class _StatusError(Exception):
    """An answer with a status other than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class HttpTransport:
    """Centrifugo's server API at `url` (its `/batch`), with `key` as the API key.

    `timeout` is in seconds for a whole answer, from connecting to its last byte: the timeout of
    requests is per read, and a server that sends slowly enough never exceeds it. JSON is sent as
    UTF-8, since Centrifugo delivers the bytes that it is given. docs/decisions.md says why this is
    not the client library cent.
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
        self._rooms: dict[str, int] = {}
        self._timeout = timeout
        self._clock = clock
        self._session = requests.Session()
        self._session.headers.update(
            {
                "Accept-Encoding": "gzip, deflate",
                "Content-Type": "application/json",
                "X-API-Key": key,
            }
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter())
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
            except (_StatusError, CentrifugoAnswerError, *_CONNECTION_FAILED) as error:
                final = isinstance(error, _StatusError) and error.status not in _PASSING
                if final or call.once or call.is_over():
                    raise
            self._session.close()  # its other connections may be broken, too
            call.renew()
            return read_batch(self._post(body, methods[0], call), methods)
        except TooLarge as error:
            raise CentrifugoAnswerError(
                f"the answer of Centrifugo at {self._url} to {_summary(commands)} {error}: check "
                "that CENTRIFUGO_API_URL is right"
            ) from error
        except (_StatusError, *_BROKEN_OFF) as error:
            raise self._explained(error) from self._redactor.cause(error)

    def _post(self, body: bytes, method: str, call: Call) -> bytes | bytearray:
        """Post a batch that begins with `method`; return the body of the answer. Raises TooLarge
        and the errors of requests."""
        request, settings = self._prepared
        request = request.copy()
        request.prepare_body(body, None)
        response = self._session.send(
            request, timeout=within(self._timeout), allow_redirects=False, **settings
        )
        # Leaving the block closes the connection if the answer was not read to its end.
        with response:
            if response.status_code != 200:
                raise _StatusError(response.status_code)
            answer = _body(response, call, self._rooms.get(method, ROOM))
        self._rooms[method] = max(ROOM, len(answer) + len(answer) // 8)
        return _valid(answer)

    @cached_property
    def _prepared(self) -> tuple[requests.PreparedRequest, dict[str, Any]]:
        """The request without its body, and the environment's settings for proxies and
        certificates. requests takes longer to make them than to send a request."""
        request = self._session.prepare_request(requests.Request("POST", self._endpoint))
        settings = self._session.merge_environment_settings(request.url, {}, True, None, None)
        return request, dict(settings)

    def _explained(self, error: BaseException) -> CentrifugoError:
        """Return the error of this package that explains `error`."""
        if isinstance(error, _StatusError):
            return _status_error(self._url, error.status)
        if isinstance(error, _NO_URL):
            return CentrifugoRefused(
                f"CENTRIFUGO_API_URL ({self._url}) is not an HTTP URL: set it to the API "
                "of Centrifugo, such as http://127.0.0.1:8001/api"
            )
        if isinstance(error, requests.ConnectionError | requests.Timeout):
            reason = self._redactor.text(_reason(error))
            return CentrifugoUnreachable(
                f"Centrifugo at {self._url} did not answer ({reason}): check that it runs "
                "and that CENTRIFUGO_API_URL is right"
            )
        reason = self._redactor.text(f"{type(error).__name__}: {error}")
        return CentrifugoAnswerError(f"Centrifugo at {self._url} broke off its answer ({reason})")


def _valid(body: bytes | bytearray) -> bytes | bytearray:
    """Return the body with invalid UTF-8 replaced, so that the batch stays readable."""
    try:
        body.isascii() or body.decode()
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace").encode()
    return body


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


def _reason(error: BaseException) -> str:
    """Return the message of the operating system, without those of libraries around it."""
    if isinstance(error, requests.Timeout):
        return "no whole answer in time"
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return str(error)


def _summary(commands: Sequence[Command]) -> str:
    """Return a short description of the request, for errors."""
    methods = ", ".join(dict.fromkeys(method for method, _ in commands))
    names = [str(given.get("channel") or given.get("pattern") or "") for _, given in commands]
    named = [name for name in names if name]
    return f"{len(commands)} commands ({methods}: {', '.join(named[:3])}{', …' * (len(named) > 3)})"


def _body(response: requests.Response, call: Call, room: int) -> bytes | bytearray:
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding not in _CODINGS:
        raise requests.exceptions.ContentDecodingError(f"its Content-Encoding is {coding!r}")
    try:
        source = getattr(response.raw, "_original_response", None)
        if coding in _PACKED or source is None:
            return _unpacked(response, call)
        return _plain(source, response.raw, room)
    except http.client.HTTPException as error:
        raise urllib3.exceptions.ProtocolError(f"{type(error).__name__}: {error}") from error
    except (urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
        raise requests.exceptions.ReadTimeout(str(error)) from error


def _plain(source: http.client.HTTPResponse, raw: Any, room: int) -> bytearray:
    """Read a body into one buffer: urllib3, whose response is `raw`, would copy it twice.

    presence.transport.calls.TimedSocket counts the bytes as they arrive.
    """
    body, filled = bytearray(room), 0
    while count := source.readinto(memoryview(body)[filled:]):
        filled += count
        if filled == len(body):
            body += bytes(len(body))
    if source.length:
        raise http.client.IncompleteRead(b"", source.length)
    raw.release_conn()
    del body[filled:]
    return body


def _unpacked(response: requests.Response, call: Call) -> bytes:
    parts: list[bytes] = []
    left = call.limit
    while part := response.raw.read1(_PACKED_AT_ONCE, decode_content=True):
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise TooLarge(call.limit)
        call.seconds()
    return b"".join(parts)


class _Stack:
    """Connections of a pool, last in, first out, in place of a queue with locks.

    An exception from a signal handler could leave a queue locked for ever.
    """

    def __init__(self, maxsize: int) -> None:
        self._items: deque[Any] = deque()
        self._maxsize = maxsize

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return self._items.pop()
        except IndexError:
            raise queue.Empty from None

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if len(self._items) >= self._maxsize:
            raise queue.Full
        self._items.append(item)

    def qsize(self) -> int:
        return len(self._items)


class _Response(http.client.HTTPResponse):
    """A response that skips interim responses (103 Early Hints, 102 Processing) as it skips 100.

    http.client takes them for the answer, and the answer for that to the next request.
    """

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        passing = status < 200 and status != http.HTTPStatus.SWITCHING_PROTOCOLS
        return version, http.HTTPStatus.CONTINUE if passing else status, reason


class _TimedConnection:
    """A connection whose operations end at the deadline of the current call.

    A load balancer may have dropped it while it was idle: see `Call`.
    """

    response_class: Any = _Response
    sock: Any
    timeout: Any
    _used_at = 0.0
    _made_by = 0
    """Id of the process that connected: after a fork, the parent could read the answers."""

    def connect(self) -> None:
        if call := current_call():
            call.renew()
        super().connect()  # type: ignore[misc]
        self.sock = TimedSocket(self.sock)
        self._made_by = os.getpid()

    def _new_conn(self) -> Any:
        self.timeout = within(self.timeout)
        return super()._new_conn()  # type: ignore[misc]

    def request(self, *args: Any, **options: Any) -> None:
        call = current_call()
        if self.sock is not None and self._made_by != os.getpid():
            self.close()  # type: ignore[attr-defined]
        if self.sock is not None and call and time.monotonic() - self._used_at > IDLE_LIMIT:
            if call.once:
                self.close()  # type: ignore[attr-defined]
            else:
                call.shorten_first_wait()
        super().request(*args, **options)  # type: ignore[misc]

    def getresponse(self) -> Any:
        response = super().getresponse()  # type: ignore[misc]
        self._used_at = time.monotonic()
        return response


class _Connection(_TimedConnection, HTTPConnection):
    pass


class _SecureConnection(_TimedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection
    QueueCls = _Stack  # type: ignore[assignment]


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
    QueueCls = _Stack  # type: ignore[assignment]


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
