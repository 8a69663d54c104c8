"""One Redis: keeps connections only after an exchange that ended well, and repeats calls."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from weakref import WeakSet

import hiredis
import redis
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ClusterDownError, ReadOnlyError, ResponseError
from redis.sentinel import (
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from presence.transport.calls import Call, TimedSocket, TooLarge, current_call, within

LIFE: Final = 60.0
"""Seconds for which a connection is used: where an address leads elsewhere after a failover, those
who only read hear of it from nobody. Making another takes a millisecond."""

_DEMOTED = re.compile(r"(?:^|-)(?:READONLY|MASTERDOWN|NOREPLICAS) ")
"""Also within the error of a script, as Redis 6 tells it."""

Command = tuple[Any, ...]
"""Name and arguments, as redis-py's `execute_command` takes them."""


def _quiet() -> dict[str, Any]:
    try:
        from redis.maint_notifications import MaintNotificationsConfig
    except ImportError:
        return {}
    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}


QUIET: Final = _quiet()
"""No maintenance notifications, where redis-py has them (8 switches them on): with them its pools
do not see that a connection has unread replies."""


class Demoted(redis.ConnectionError):
    """The server behind the connection is not, or not any more, the primary in charge.

    Nothing was written by what it refused.
    """


_PACKED: Final = frozenset((bytes, str))


class Packed(NamedTuple):
    """The last arguments of a command, packed once for many commands that share them."""

    size: int
    data: bytes

    @classmethod
    def of(cls, *words: str) -> Packed:
        return cls(len(words), _pack(word.encode() for word in words))


def _pack(words: Iterable[bytes]) -> bytes:
    return b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class _Packer:
    """Packs commands, for redis-py. What reaches hiredis is bytes and strings only.

    It (3.5) runs Python to pack a number, and crashes the process where a signal handler raises
    then, as Celery's does for a soft time limit.
    """

    def __init__(self, encode: Callable[[Any], bytes]) -> None:
        self._encode = encode

    def pack(self, name: str | bytes, *args: Any) -> list[bytes]:
        if args and type(args[-1]) is Packed:
            return [self._pack_packed(name, *args)]
        # redis-py calls some commands by two words, such as CONFIG GET.
        words = self._encode(name).split()
        given = [one if type(one) in _PACKED else bytes(self._encode(one)) for one in args]
        command: Any = (*words, *given)  # hiredis's types allow one argument.
        return [hiredis.pack_command(command)]

    def _pack_packed(self, *args: Any) -> bytes:
        # Packing a thousand commands of 14 fields one by one took a quarter of the time of a load.
        *words, packed = args
        head = _pack(bytes(self._encode(word)) for word in words)
        return b"*%d\r\n%b%b" % (len(words) + packed.size, head, packed.data)


class _Safe:
    """A connection of redis-py on which each step ends with the current call."""

    _sock: Any
    encoder: Any
    _socket_timeout: float | None
    _socket_connect_timeout: float | None
    connected_at = 0.0

    def _construct_command_packer(self, _: object) -> _Packer:
        return _Packer(self.encoder.encode)

    def _connect(self) -> TimedSocket:
        sock = super()._connect()  # type: ignore[misc]
        self.connected_at = time.monotonic()
        return TimedSocket(sock)

    @property
    def socket_timeout(self) -> float | None:
        return within(self._socket_timeout)

    @socket_timeout.setter
    def socket_timeout(self, seconds: float | None) -> None:
        self._socket_timeout = seconds

    @property
    def socket_connect_timeout(self) -> float | None:
        return within(self._socket_connect_timeout)

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, seconds: float | None) -> None:
        self._socket_connect_timeout = seconds


class SafeConnection(_Safe, Connection):
    pass


class SafeSSLConnection(_Safe, SSLConnection):
    pass


class SafeSocketConnection(_Safe, UnixDomainSocketConnection):
    pass


class SafeSentinelConnection(_Safe, SentinelManagedConnection):
    def read_response(self, *args: Any, **options: Any) -> Any:
        # As for any other connection; redis-py would keep one that timed out.
        return super(SentinelManagedConnection, self).read_response(*args, **options)


class SafeSentinelSSLConnection(_Safe, SentinelManagedSSLConnection):
    read_response = SafeSentinelConnection.read_response


class _Kept:
    """A pool of redis-py that keeps what it is told to keep, and closes what is released.

    An exception out of a signal handler may come between any two instructions. So nothing has to
    be put right afterwards: a connection is in the pool or in the hands of one call, and what a
    call dropped is closed as it is collected. There is no lock and no list of those in use.
    """

    connection_class: Callable[..., Any]
    connection_kwargs: dict[str, Any]
    max_connections: int

    def reset(self) -> None:
        self._idle: deque[tuple[Any, float]] = deque()
        self._made: WeakSet[Any] = WeakSet()
        super().reset()  # type: ignore[misc]

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """Return a connection that is up: one that was kept, or a new one."""
        call = current_call()
        while found := self._pop():
            connection, since = found
            if self._is_good(connection, since, call):
                return connection
            connection.disconnect()
        if call:
            call.renew()
        connection = self.make_connection()
        connection.connect()
        return connection

    def make_connection(self) -> Any:
        if len(self._made) >= self.max_connections:
            raise redis.ConnectionError("Too many connections")
        connection = self.connection_class(**self.connection_kwargs)
        self._made.add(connection)
        return connection

    def release(self, connection: Any) -> None:
        """Close a connection: redis-py does not say whether its exchange ended well."""
        connection.disconnect()

    def keep(self, connection: Any) -> None:
        """Keep a connection whose every reply has been read."""
        if _is_silent(connection):
            self._idle.append((connection, time.monotonic()))
        else:
            connection.disconnect()

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections that are kept."""
        while found := self._pop():
            found[0].disconnect()

    def _pop(self) -> tuple[Any, float] | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _is_good(self, connection: Any, since: float, call: Call | None) -> bool:
        now = time.monotonic()
        if connection.pid != os.getpid() or now - connection.connected_at > LIFE:
            return False
        if call and not call.accepts(now - since):
            return False
        return _is_silent(connection)


class Pool(_Kept, redis.ConnectionPool):
    pass


class SentinelPool(_Kept, SentinelConnectionPool):
    pass


def _is_silent(connection: Any) -> bool:
    """Whether nothing waits to be read: neither a reply nor the end of the connection."""
    try:
        return connection._sock is not None and not connection.can_read()
    except (redis.RedisError, OSError):
        return False


def checked(replies: list[Any]) -> list[Any]:
    """Return the replies. Raises the first that is an error."""
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    return replies


class Server(redis.Redis):
    """A Redis. `run` repeats commands on a new connection if the first one was no good."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return checked(self.run([args], **options))[0]

    def run(self, commands: Sequence[Command], *, once: bool = False, **options: Any) -> list[Any]:
        """Send commands together. Returns their replies, in this order; errors are among them.

        They are no transaction. With `once` no command is sent again that may have been done.
        `options` tell redis-py how to read the replies.
        """
        call = Call(self.connection_pool.connection_kwargs["socket_timeout"], once=once)
        return repeated(lambda: self.send(commands, **options), call)

    def send(self, commands: Sequence[Command], **options: Any) -> list[Any]:
        """Send commands one time, as a part of the current call, and read every reply.

        The connection is kept only after that. In any other case it is closed, also after an
        interruption between two replies: the next reply would be taken for that to another command.
        The connections that wait in the pool may be as bad, and are closed, too.
        """
        connection = self.connection_pool.get_connection()
        try:
            connection.send_packed_command(connection.pack_commands(_shortened(commands)))
            replies = [self._read(connection, command, options) for command in commands]
        except BaseException:
            connection.disconnect()
            self.connection_pool.disconnect()
            raise
        self.connection_pool.keep(connection)  # type: ignore[attr-defined]
        return replies

    def _read(self, connection: Any, command: Command, options: dict[str, Any]) -> Any:
        try:
            if type(command[-1]) is Packed:  # redis-py changes nothing in such a reply
                return connection.read_response()
            return self.parse_response(connection, command[0], **options)  # type: ignore[no-untyped-call]
        except TooLarge as error:
            asked = f"{command[0]} {key_of(command)}"[:300]
            raise redis.InvalidResponse(f"the reply to {asked} {error}") from error
        except ResponseError as error:
            if _is_demoted(error):
                raise Demoted(f"this Redis is not the primary in charge: {error}") from error
            return error


def key_of(command: Command) -> Any:
    """Return the key of a command or of a script; None if it has none."""
    if command[0] == "EVAL":
        return command[3]
    return command[1] if len(command) > 1 and command[0] != "INFO" else None


def digest(text: str) -> str:
    """Return the name by which Redis knows a script, in hexadecimal digits."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


_sha = lru_cache(maxsize=256)(digest)


def _shortened(commands: Iterable[Command]) -> Iterator[Command]:
    """Yield the commands. A script is sent whole once, and after that by its digest.

    By the digest alone a script would be unknown after a restart of Redis, and to run it again
    would take a second round trip.
    """
    sent: set[str] = set()
    for command in commands:
        if command[0] != "EVAL":
            yield command
        elif (source := command[1]) in sent:
            yield ("EVALSHA", _sha(source), *command[2:])
        else:
            sent.add(source)
            yield command


def repeated(run: Callable[[], list[Any]], call: Call) -> list[Any]:
    """Run, and once more where a connection was no good and the call has time left.

    A call that must not be made twice is only repeated where it was refused.
    """
    try:
        return run()
    except redis.AuthenticationError:
        raise
    except (redis.ConnectionError, redis.TimeoutError, ResponseError) as error:
        # A server that is no primary may say so as soon as a connection to it is made.
        demoted = isinstance(error, Demoted) or _is_demoted(error)
        broken = not isinstance(error, ResponseError) and not call.once
        if call.is_over() or not (demoted or broken):
            raise
    return run()


def _is_demoted(error: Exception) -> bool:
    return isinstance(error, ReadOnlyError | ClusterDownError) or bool(_DEMOTED.search(str(error)))
