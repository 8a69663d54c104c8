"""One Redis: connections are kept only after an exchange that ended well; calls are repeated."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakSet

import hiredis
import redis
from redis.commands import CoreCommands
from redis.connection import (
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ClusterDownError, ReadOnlyError, ResponseError
from redis.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from presence.transport.calls import IDLE_LIMIT, Call, TimedSocket, TooLarge, current_call, within

LIFE: Final = 60.0
"""Seconds for which a connection is used: where an address leads elsewhere after a failover, those
who only read hear of it from nobody. Making another takes a millisecond."""

_DEMOTED = re.compile(r"(?:^|-)(?:READONLY|MASTERDOWN|NOREPLICAS) ")
"""Also within the error of a script, as Redis 6 tells it."""

Command = tuple[tuple[Any, ...], dict[str, Any]]
"""Arguments of redis-py's `execute_command`: name and arguments, and options."""


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
        # To pack a thousand commands of 14 fields one by one took a quarter of the time of a load.
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
        # As it is for any other connection: redis-py would keep one that timed out.
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
        if now - since > IDLE_LIMIT and call:
            if call.once:
                return False
            call.shorten_first_wait()
        return _is_silent(connection)


class Pool(_Kept, redis.ConnectionPool):
    pass


class SentinelPool(_Kept, SentinelConnectionPool):
    def __init__(self, name: str, sentinel: Sentinel, **options: Any) -> None:
        super().__init__(name, sentinel, **options)  # type: ignore[no-untyped-call]


def _is_silent(connection: Any) -> bool:
    """Whether nothing waits to be read: neither a reply nor the end of the connection."""
    try:
        return connection._sock is not None and not connection.can_read()
    except (redis.RedisError, OSError):
        return False


class Runs(Protocol):
    """Client that runs the commands of a pipeline. A reply may be an error."""

    def run(self, commands: Sequence[Command], *, once: bool = False) -> list[Any]: ...


class Pipeline(CoreCommands):
    """Commands that are sent together when it is executed. They are no transaction."""

    def __init__(self, client: Runs) -> None:
        self._client = client
        self._commands: list[Command] = []

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._commands = []

    def execute_command(self, *args: Any, **options: Any) -> Pipeline:
        self._commands.append((args, options))
        return self

    @property
    def command_stack(self) -> Sequence[Command]:
        """The commands that wait, as pipelines of redis-py have them."""
        return self._commands

    def execute(self, raise_on_error: bool = True, *, once: bool = False) -> list[Any]:
        """The replies, in the order of the commands. Raises the first that is an error.

        With `once` no command is sent again that may have been done.
        """
        commands, self._commands = self._commands, []
        replies = self._client.run(commands, once=once) if commands else []
        if raise_on_error:
            for reply in replies:
                if isinstance(reply, ResponseError):
                    raise reply
        return replies


class Node(redis.Redis):
    """A Redis whose commands are sent one time, as a part of the current call."""

    def pipeline(self, *_: Any, **__: Any) -> Any:
        return Pipeline(self)  # type: ignore[abstract]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        once = options.pop("once", False)
        return self.pipeline().execute_command(*args, **options).execute(once=once)[0]

    def run(self, commands: Sequence[Command], *, once: bool = False) -> list[Any]:
        """Send commands, read every reply, and keep the connection only then.

        Whatever else happens, an interruption between two replies, too, the connection is closed:
        what is still to come would be read as the reply to another command.
        """
        connection = self.connection_pool.get_connection()
        replies: list[Any] = []
        try:
            connection.send_packed_command(connection.pack_commands([args for args, _ in commands]))
            for args, options in commands:
                replies.append(self._read(connection, args, options))
        except TooLarge as error:
            connection.disconnect()
            asked = _asked(commands[len(replies)][0])
            raise redis.InvalidResponse(f"the reply to {asked} {error}") from error
        except BaseException:
            connection.disconnect()
            raise
        for reply in replies:
            if _is_demoted(reply):
                connection.disconnect()
                raise Demoted(f"this Redis is not the primary in charge: {reply}")
        self.connection_pool.keep(connection)  # type: ignore[attr-defined]
        return replies

    def _read(self, connection: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        try:
            if type(args[-1]) is Packed:  # redis-py changes nothing in such a reply
                return connection.read_response()
            return self.parse_response(connection, args[0], **options)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            return error


class Server(Node):
    """A Redis whose commands are sent again, on a new connection, where the first was no good."""

    def run(self, commands: Sequence[Command], *, once: bool = False) -> list[Any]:
        return repeated(
            lambda: super(Server, self).run(commands),
            self.connection_pool.disconnect,
            Call(self.connection_pool.connection_kwargs["socket_timeout"], once=once),
        )


def repeated(run: Callable[[], list[Any]], renew: Callable[[], None], call: Call) -> list[Any]:
    """Run, and once more after `renew` where a connection was no good and the call has time left.

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
    renew()
    return run()


def _asked(args: tuple[Any, ...]) -> str:
    """A command and its key, for errors."""
    key = args[3:4] if args[0] in ("EVAL", "EVALSHA") else args[1:2]
    return " ".join(map(str, (args[0], *key)))[:300]


def _is_demoted(reply: Any) -> bool:
    if not isinstance(reply, ResponseError):
        return False
    return isinstance(reply, ReadOnlyError | ClusterDownError) or bool(_DEMOTED.search(str(reply)))
