"""HTTP requests that end: in time, and after so many bytes."""

from __future__ import annotations

import http.client
import os
import queue
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from presence.transport.calls import RESTED, Call, TooLarge, Wire, current_call, within

__all__ = ["DeadlineSession"]

_JSON = "application/json"

_PLAIN: Final = 1 << 18
_PACKED: Final = 1 << 14
"""Bytes that are read at a time. A packed body may unpack to a thousand times as many at once."""

_CODINGS: Final = ("", "identity", "gzip", "deflate")


class DeadlineSession(requests.Session):
    """Posts within the current `Call`: as a whole, from connecting to the last byte of the answer.

    The timeout of requests is per read: a server that drips its answer would pass it for ever. JSON
    goes out as UTF-8: requests would escape all beyond ASCII, to three times the size, and
    Centrifugo keeps and delivers what it is given.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self.headers["Accept-Encoding"] = "gzip, deflate"
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def post(self, *args: Any, json: Any = None, **kwargs: Any) -> requests.Response:
        """Post `json`, and read the answer. Raises TooLarge, and what requests does."""
        timeout = kwargs.pop("timeout")
        call = current_call() or Call(timeout, clock=self._clock)
        kwargs |= {
            "data": msgspec.json.encode(json),
            "headers": {"Content-Type": _JSON},
            "timeout": within(timeout),
        }
        response = super().post(*args, **kwargs, stream=True, allow_redirects=False)
        with response:
            # As requests does when it reads the body itself. That of an error says nothing, and the
            # connection, of which more may be to come, is closed with an answer that is not read.
            response._content = _body(response, call) if response.status_code == 200 else b""
        response.encoding = "utf-8"
        return response


def _body(response: requests.Response, call: Call) -> bytes:
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding not in _CODINGS:
        raise requests.exceptions.ContentDecodingError(f"its Content-Encoding is {coding!r}")
    size = _PLAIN if coding in ("", "identity") else _PACKED
    parts: list[bytes] = []
    left = call.limit
    try:
        while part := response.raw.read1(size, decode_content=True):
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise TooLarge(call.limit)
            call.seconds()
    except (urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
        raise requests.exceptions.ReadTimeout(str(error)) from error
    return b"".join(parts)


class _Stack:
    """The connections of a pool, the last one first, in place of a queue with locks.

    An exception out of a signal handler could leave a lock of a queue taken for ever.
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
    """An answer: what announces it (103 Early Hints, 102 Processing) is read past, as 100 is.

    http.client takes it for the answer, and the answer for the one to the next request.
    """

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        passing = status < 200 and status != http.HTTPStatus.SWITCHING_PROTOCOLS
        return version, http.HTTPStatus.CONTINUE if passing else status, reason


class _OnWire:
    """A connection on which each step ends with the current call.

    One that has rested may have been forgotten by a balancer: see `Call`.
    """

    response_class: Any = _Response
    sock: Any
    timeout: Any
    _used_at = 0.0
    _made_by = 0
    """Process: of a forked one, the parent would read the answers."""

    def connect(self) -> None:
        if call := current_call():
            call.renew()
        super().connect()  # type: ignore[misc]
        self.sock = Wire(self.sock)
        self._made_by = os.getpid()

    def _new_conn(self) -> Any:
        self.timeout = within(self.timeout)
        return super()._new_conn()  # type: ignore[misc]

    def request(self, *args: Any, **options: Any) -> None:
        call = current_call()
        if self.sock is not None and self._made_by != os.getpid():
            self.close()  # type: ignore[attr-defined]
        if self.sock is not None and call and time.monotonic() - self._used_at > RESTED:
            if call.once:
                self.close()  # type: ignore[attr-defined]
            else:
                call.doubt()
        super().request(*args, **options)  # type: ignore[misc]

    def getresponse(self) -> Any:
        response = super().getresponse()  # type: ignore[misc]
        self._used_at = time.monotonic()
        return response


class _Connection(_OnWire, HTTPConnection):
    pass


class _SecureConnection(_OnWire, HTTPSConnection):
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
