"""HTTP requests that end in time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

__all__ = ["DeadlineSession"]

_JSON = "application/json"


class DeadlineSession(requests.Session):
    """Ends a request that has not been answered whole after `deadline` seconds.

    The timeout of requests is per read: a server that drips its answer would pass it for ever.
    The head of an answer has the same time once more, from when the request was sent. JSON goes
    out as UTF-8: requests would escape all beyond ASCII, to three times the size, and Centrifugo
    keeps and delivers what it is given.
    """

    def __init__(self, deadline: float, clock: Callable[[], float]) -> None:
        super().__init__()
        self._deadline = deadline
        self._clock = clock
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def post(self, *args: Any, json: Any = None, **kwargs: Any) -> requests.Response:
        ends = self._clock() + self._deadline
        kwargs |= {"data": msgspec.json.encode(json), "headers": {"Content-Type": _JSON}}
        response = super().post(*args, **kwargs, stream=True, allow_redirects=False)
        with response:
            parts = []
            while part := response.raw.read1(1 << 18, decode_content=True):
                parts.append(part)
                if self._clock() > ends:
                    raise requests.exceptions.ReadTimeout(f"no whole answer in {self._deadline} s")
        response._content = b"".join(parts)  # as requests does when it reads the body itself
        response.encoding = "utf-8"
        return response


@contextlib.contextmanager
def _cut_off(sock: socket.socket) -> Iterator[None]:
    """Hang up if the block takes longer than one read of `sock` may."""
    timer = threading.Timer(sock.gettimeout() or 0.0, _hang_up, [sock])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        with _cut_off(self.sock):
            return super().getresponse()


class _SecureConnection(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        with _cut_off(self.sock):
            return super().getresponse()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
