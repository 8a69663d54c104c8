"""Limits for calls to a server: the time of a whole call, and the bytes of its answer.

The timeouts of the client libraries are for each read, so a server that sends a byte now and then
never exceeds them. Here each read gets the time that is left of its call, without a thread.
"""

from __future__ import annotations

import io
import ssl
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

MAX_BYTES: Final = 128 << 20
"""Bytes of one answer, also after decompression. A channel of 100,000 clients takes 16 MB, and a
batch is no larger than its largest channel, or 4 MB: the limit is eight times that."""

IDLE_LIMIT: Final = 0.5
"""Seconds without use after which a load balancer may have dropped a connection."""

FIRST_WAIT_SHARE: Final = 0.2
"""Share of its time that a call waits for the first byte on an idle connection: a load balancer
that dropped it may not answer at all. The rest is for the same call on a new connection."""


class TooLarge(Exception):
    """An answer was cut off after `limit` bytes: no good answer is that large."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"was cut off after {self.limit / (1 << 20):g} MiB"


class Call:
    """Time and bytes that are left for one call, the current call of its thread.

    The next call replaces it. No code has to restore an earlier call, so an exception cannot leave
    a finished one behind. With `once`, the call must not be repeated, so it never uses an idle
    connection.
    """

    __slots__ = ("_clock", "_ends", "_first", "_left", "_seconds", "limit", "once")

    def __init__(
        self,
        seconds: float,
        *,
        once: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.once = once
        self._clock = clock
        self._seconds = seconds
        self._ends = clock() + seconds
        self._first: float | None = None
        self.limit = self._left = MAX_BYTES
        _current.set(self)

    def seconds(self) -> float:
        """Return the seconds for the next operation. Raises TimeoutError if none are left."""
        left = self._ends - self._clock()
        if self._first is not None:
            left = min(left, self._first - self._clock())
        if left < 0:
            raise TimeoutError(f"no whole answer in {self._seconds:g} s")
        return max(left, 0.001)  # 0 would not wait at all

    def is_over(self) -> bool:
        """Return whether no time is left, not even for a new connection."""
        return self._clock() >= self._ends

    def accepts(self, idle: float) -> bool:
        """Return whether the call may use a connection that was `idle` for so many seconds.

        A load balancer may have dropped one that was idle for IDLE_LIMIT: the call then waits less
        for the first byte.
        """
        if idle <= IDLE_LIMIT:
            return True
        if not self.once:
            self._first = self._clock() + FIRST_WAIT_SHARE * self._seconds
        return not self.once

    def renew(self) -> None:
        """Start again on another connection, in the time that is left."""
        self._first = None
        self._left = self.limit

    def received(self, count: int) -> None:
        """Count received bytes. Raises TooLarge."""
        self._first = None
        self._left -= count
        if self._left < 0:
            raise TooLarge(self.limit)


_current: ContextVar[Call | None] = ContextVar("presence_call", default=None)


def current_call() -> Call | None:
    """Return the current call of this thread."""
    return _current.get()


def within(timeout: float | None) -> float | None:
    """Return the timeout, or the time left of the current call if that is less."""
    call = _current.get()
    if call is None:
        return timeout
    try:
        left = call.seconds()
    except TimeoutError:
        left = 0.001
    return left if timeout is None else min(timeout, left)


class TimedSocket:
    """A connected socket whose operations end at the deadline of the current call."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._timeout: float | None = sock.gettimeout()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, seconds: float | None) -> None:
        """Set the timeout of each operation; 0 never waits, whatever time the call has left."""
        self._timeout = seconds
        self._sock.settimeout(seconds)

    def is_silent(self) -> bool:
        """Return whether nothing waits to be read: neither bytes nor the end of the connection."""
        self._sock.settimeout(0)
        try:
            self._sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        return False

    def sendall(self, data: Any) -> None:
        self._apply_deadline()
        self._sock.sendall(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        if flags:  # only peeks
            peeked: bytes = self._sock.recv(size, flags)
            return peeked
        self._apply_deadline()
        data: bytes = self._sock.recv(size)
        _received(len(data))
        return data

    def recv_into(self, buffer: Any) -> int:
        self._apply_deadline()
        count: int = self._sock.recv_into(buffer)
        _received(count)
        return count

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """Return a reader. HTTP clients ask for nothing else."""
        reader = self._sock.makefile("rb", buffering=0)
        reader._sock = self  # it reads through recv_into
        return io.BufferedReader(reader)

    def _apply_deadline(self) -> None:
        """Give the next operation the time left of the call. Raises TimeoutError."""
        call = _current.get()
        if call is not None and self._timeout != 0:
            left = call.seconds()
            self._sock.settimeout(left if self._timeout is None else min(left, self._timeout))


def _received(count: int) -> None:
    if count and (call := _current.get()):
        call.received(count)
