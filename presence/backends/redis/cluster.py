"""A Redis Cluster with the interface of one Redis: sends commands of one key each together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final

import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import AskError, MovedError, RedisClusterException

from presence.backends.redis.server import Command, Server, digest, key_of, repeated
from presence.transport.calls import Call

Line = tuple[int, Command]
"""The number of a command, and what one primary is sent for it."""

ATTEMPTS: Final = 5
"""How often a command is sent, at most, while its slot moves from primary to primary."""

CLOCK: Final = "clock"
"""A key: the primary that has its slot tells the time where more than one is asked."""


class Cluster:
    """The `run` of a Server, where the primary that has its key runs each command.

    Commands go to one primary after the other, in the order in which they are first named, and to
    each in the order of the commands. Each costs a round trip. TIME is by the clock of the primary
    that all are for, and if there are several, always by that of the same. INFO tells nothing but a
    `run_id`, which stands for the lives of all primaries together.

    `connect` makes a client of the cluster; its argument has more addresses (host, port) where
    the cluster may be found. It is called at the first command, and again after a call that did not
    end well, as another may be in the place of a primary. `timeout` is in seconds, for a call.
    """

    def __init__(
        self,
        connect: Callable[[Sequence[tuple[str, int]]], RedisCluster],
        *,
        timeout: float = 5.0,
    ) -> None:
        self._connect = connect
        self._timeout = timeout
        self._client: RedisCluster | None = None
        self._seen: list[tuple[str, int]] = []

    def primaries(self) -> list[Server]:
        """Return a client of each primary."""
        Call(self._timeout)
        with self._found() as client:
            return [_server(client, node) for node in client.get_primaries()]

    def run(self, commands: Sequence[Command], *, once: bool = False) -> list[Any]:
        """Send commands to the primaries, and once more where the cluster has changed."""

        def run() -> list[Any]:
            with self._found() as client:
                return _Execution(client, commands).run()

        return repeated(run, Call(self._timeout, once=once))

    @contextmanager
    def _found(self) -> Iterator[RedisCluster]:
        """Give the cluster client with its map of slots, which is forgotten if the block raises.

        Threads may each look at the same time: none has to wait for another that tries to reach
        a cluster which is down. Every error of redis-py is one of `redis.RedisError`.
        """
        try:
            client = self._client
            if client is None:
                client = self._connect(self._seen)
                self._seen = [(node.host, node.port) for node in client.get_nodes()]
                self._client = client
            yield client
        except BaseException as error:
            self._client = None
            if isinstance(error, RedisClusterException):
                raise redis.ConnectionError(str(error)) from error
            raise


class _Execution:
    """One run of commands, each known by its number."""

    def __init__(self, client: RedisCluster, commands: Sequence[Command]) -> None:
        self._client = client
        self._commands = commands
        self._replies: dict[int, list[Any]] = {}

    def run(self) -> list[Any]:
        """Return the replies in the order of the commands; errors are among them."""
        left = self._round(range(len(self._commands)))
        for _ in range(ATTEMPTS - 1):
            if not left:
                break
            self._client.nodes_manager.initialize()
            left = self._round(left)
        if left:
            raise next(
                filter(_is_error, chain.from_iterable(self._replies.values())),
                redis.ConnectionError("the primaries of the cluster are changing"),
            )
        return [self._reply(number) for number in range(len(self._commands))]

    def _round(self, numbers: Sequence[int]) -> list[int]:
        """Send commands. Returns those that are to be sent again, because slots have moved.

        A primary is sent nothing before those ahead of it have done all of theirs.
        """
        found: dict[int, list[Any]] = {number: [] for number in numbers}
        again: set[int] = set()
        for node, lines in self._places(numbers):
            for (number, command), reply in zip(lines, self._send(node, lines), strict=True):
                found[number].append(reply)
                if _has_moved(command, reply):
                    again.add(number)
            if again:
                again |= {n for n in numbers if not found[n] or self._is_for_all(n)}
                break
        self._replies |= found
        return sorted(again)

    def _places(self, numbers: Sequence[int]) -> list[tuple[ClusterNode, list[Line]]]:
        """Return the primaries, and what each is to be sent."""
        for_all = [number for number in numbers if self._is_for_all(number)]
        homes = {
            number: self._client.get_node_from_key(key)
            for number in numbers
            if (key := key_of(self._commands[number])) is not None
        }
        primaries = self._client.get_primaries() if for_all else []
        nodes = {node.name: node for node in [*homes.values(), *primaries]}
        only = next(iter(nodes.values())) if len(nodes) == 1 else None
        clock = only or self._client.get_node_from_key(CLOCK)
        places: dict[str, tuple[ClusterNode, list[Line]]] = {}
        for number in numbers:
            command = self._commands[number]
            whole = [(number, command), (number, ("ROLE",))]
            for node in primaries if number in for_all else [homes.get(number, clock)]:
                _, lines = places.setdefault(node.name, (node, []))
                lines += whole if number in for_all else whole[:1]
        return list(places.values())

    def _is_for_all(self, number: int) -> bool:
        return bool(self._commands[number][0] == "INFO")

    def _send(self, node: ClusterNode, lines: list[Line]) -> list[Any]:
        """Return the replies of a primary, in one round trip. Errors are among them."""
        replies = _server(self._client, node).send([command for _, command in lines])
        return [
            self._ask(reply, command) if type(reply) is AskError else reply
            for (_, command), reply in zip(lines, replies, strict=True)
        ]

    def _ask(self, error: AskError, command: Command) -> Any:
        """Return the reply of the primary that is being given the key's slot at this moment."""
        node = self._client.get_node(error.host, error.port)
        return _server(self._client, node).send([("ASKING",), command])[1] if node else error

    def _reply(self, number: int) -> Any:
        replies = self._replies[number]
        if not self._is_for_all(number):
            return replies[0]
        if error := next(filter(_is_error, replies), None):
            return error
        lives = sorted(str(info["run_id"]) for info in replies[::2])
        return {"run_id": digest(" ".join(lives))}


def _server(client: RedisCluster, node: ClusterNode) -> Server:
    """Return a primary as a Server: redis-py's client of the cluster only knows the slots."""
    return Server(connection_pool=client.get_redis_connection(node).connection_pool)


def _has_moved(command: Command, reply: Any) -> bool:
    """Whether this is no primary of what was asked for any more."""
    if command[0] == "ROLE" and isinstance(reply, list):
        return bool(reply[0] != b"master")
    return isinstance(reply, MovedError)


def _is_error(reply: Any) -> bool:
    return isinstance(reply, Exception)
