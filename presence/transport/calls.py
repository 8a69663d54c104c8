"""Calls to a server that end: in time as a whole, and after so many bytes.

The timeouts of the client libraries are for each read, so a server that sends a byte now and then
passes them for ever. Here each read gets what is left of its call, and no call needs a thread.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

__all__ = ["IDLE_LIMIT", "MAX_BYTES", "Call", "TimedSocket", "TooLarge", "current_call", "within"]

MAX_BYTES: Final = 128 << 20
"""Bytes of one answer, also after it is decompressed. A channel of 100,000 clients is 16 MB, and a
batch no larger than its largest channel, or 4 MB: this leaves eight times the room."""

IDLE_LIMIT: Final = 0.5
"""Seconds without use after which a balancer may have forgotten a connection."""

FIRST_WAIT_SHARE: Final = 0.2
"""Share of its time that a call waits for the first byte on a rested connection: a balancer that
forgot it may answer nothing. The rest is for the same call on a new connection."""


class TooLarge(Exception):
    """An answer has more bytes than any good one, and was cut off after `limit` of them."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"was cut off after {self.limit / (1 << 20):g} MiB"


class Call:
    """Seconds and bytes of the answer that are left for one call, the current one of its thread.

    The next call replaces it. Nothing ever has to put an earlier one back, so that no exception
    can leave a call behind that is over. With `once` it must not be made twice, so it is never made
    on a rested connection.
    """

    __slots__ = ("_clock", "_ends", "_first", "_left", "_seconds", "limit", "once")

    def __init__(
        self,
        seconds: float,
        *,
        once: bool = False,
        limit: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.once = once
        self._clock = clock
        self._seconds = seconds
        self._ends = clock() + seconds
        self._first: float | None = None
        self.limit = self._left = MAX_BYTES if limit is None else limit
        _current.set(self)

    def seconds(self) -> float:
        """Return the seconds that the next step may take. Raises TimeoutError if none are left."""
        left = self._ends - self._clock()
        if self._first is not None:
            left = min(left, self._first - self._clock())
        if left < 0:
            raise TimeoutError(f"no whole answer in {self._seconds:g} s")
        return max(left, 0.001)  # 0 would not wait at all

    def is_over(self) -> bool:
        """Whether no time is left, not even for a new connection."""
        return self._clock() >= self._ends

    def shorten_first_wait(self) -> None:
        """Wait less for the first byte: the connection has rested."""
        self._first = self._clock() + FIRST_WAIT_SHARE * self._seconds

    def renew(self) -> None:
        """Begin again on another connection, in the time that is left."""
        self._first = None
        self._left = self.limit

    def received(self, count: int) -> None:
        """Count bytes that came. Raises TooLarge."""
        self._first = None
        self._left -= count
        if self._left < 0:
            raise TooLarge(self.limit)


_current: ContextVar[Call | None] = ContextVar("presence_call", default=None)


def current_call() -> Call | None:
    """Return the call that this thread began last."""
    return _current.get()


def within(timeout: float | None) -> float | None:
    """Return the timeout, or what is left of the current call if that is less."""
    call = _current.get()
    if call is None:
        return timeout
    try:
        left = call.seconds()
    except TimeoutError:
        left = 0.001
    return left if timeout is None else min(timeout, left)


class TimedSocket:
    """A connected socket on which each step ends with the current call."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._timeout: float | None = sock.gettimeout()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, seconds: float | None) -> None:
        """Set the timeout of each step; 0 only looks at what is there, whatever the call has."""
        self._timeout = seconds
        self._sock.settimeout(seconds)

    def apply_deadline(self) -> None:
        """Give the next step what is left of the call. Raises TimeoutError."""
        call = _current.get()
        if call is not None and self._timeout != 0:
            left = call.seconds()
            self._sock.settimeout(left if self._timeout is None else min(left, self._timeout))

    def count(self, received: int | None) -> None:
        """Count what came. Raises TooLarge."""
        if received and (call := _current.get()):
            call.received(received)

    def sendall(self, data: Any) -> None:
        self.apply_deadline()
        self._sock.sendall(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        if flags:  # a look at what is there
            peeked: bytes = self._sock.recv(size, flags)
            return peeked
        self.apply_deadline()
        data: bytes = self._sock.recv(size)
        self.count(len(data))
        return data

    def recv_into(self, buffer: Any) -> int:
        self.apply_deadline()
        count: int = self._sock.recv_into(buffer)
        self.count(count)
        return count

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """Return a reader, which is all that an HTTP client asks for."""
        return io.BufferedReader(_Reader(self, self._sock.makefile("rb", buffering=0)))


class _Reader(io.RawIOBase):
    def __init__(self, wire: TimedSocket, raw: io.RawIOBase) -> None:
        super().__init__()
        self._wire = wire
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._wire.apply_deadline()
        count = self._raw.readinto(buffer)
        self._wire.count(count)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
