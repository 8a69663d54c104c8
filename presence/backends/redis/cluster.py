"""A Redis Cluster, spoken to like one Redis: pipelines of commands of one key each."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final

import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.commands import CoreCommands
from redis.exceptions import AskError, MovedError, RedisClusterException

from presence.backends.redis.server import Command, Node, Pipeline, Server, repeated
from presence.transport.calls import Call

Arguments = tuple[Any, ...]
Options = dict[str, Any]
Line = tuple[int, Arguments, Options]
"""What is sent to a primary, and the number of the command that it is for."""

ATTEMPTS: Final = 5
"""How often a command is sent, at most, while its slot moves from primary to primary."""

CLOCK: Final = "clock"
"""A key: the primary that has its slot tells the time where more than one is asked."""


class Topology(RedisCluster):
    """The primaries and their slots: redis-py's clients ask for them, and for nothing else."""

    def get_redis_connection(self, node: ClusterNode) -> Node:
        pool = super().get_redis_connection(node).connection_pool
        return Node(connection_pool=pool)


class Cluster(CoreCommands):
    """The commands of `redis.Redis`, each run by the primary that has its key.

    Pipelines go to one primary after the other, in the order in which they are first named, and to
    each in the order of the commands. Each costs a round trip. EVALSHA is for a script whose EVAL
    comes earlier in the pipeline. TIME is by the clock of the primary that the pipeline is for, and
    if it is for several, always by that of the same. INFO tells nothing but a `run_id`, which
    stands for the lives of all primaries together.

    `connect` makes a client of the cluster, told (host, port) where it may be found beside the
    places that it knows. It is called at the first command, and again after a call that did not
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

    def primaries(self) -> list[redis.Redis]:
        """A client of each primary."""
        Call(self._timeout)
        with self._found() as client:
            nodes = [client.get_redis_connection(node) for node in client.get_primaries()]
        return [Server(connection_pool=node.connection_pool) for node in nodes]

    def pipeline(self, *_: Any, **__: Any) -> Any:
        """Commands to be sent together. They are no transaction: a cluster has none."""
        return Pipeline(self)  # type: ignore[abstract]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        once = options.pop("once", False)
        return self.pipeline().execute_command(*args, **options).execute(once=once)[0]

    def run(self, commands: Sequence[Command], *, once: bool = False) -> list[Any]:
        """Send commands to the primaries, and once more where the cluster has changed."""

        def run() -> list[Any]:
            with self._found() as client:
                return Execution(client, commands).run()

        return repeated(run, self._forget, Call(self._timeout, once=once))

    @contextmanager
    def _found(self) -> Iterator[RedisCluster]:
        """The client that knows which primary has which slots: forgotten if the block raises.

        Threads may make one each at the same time: none has to wait for another that tries to reach
        a cluster which is down. Every error of redis-py is one of `redis.RedisError`.
        """
        try:
            client = self._client
            if client is None:
                client = self._connect(self._seen)
                self._seen = [(node.host, node.port) for node in client.get_nodes()]
                self._client = client
            yield client
        except RedisClusterException as error:
            self._forget()
            raise redis.ConnectionError(str(error)) from error
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        self._client = None


class Execution:
    """One run of the commands of a pipeline, each known by its number there."""

    def __init__(self, client: RedisCluster, commands: Sequence[Command]) -> None:
        self._client = client
        self._commands = commands
        self._replies: dict[int, list[Any]] = {}
        self._sources = {_digest(args[1]): args[1] for args, _ in commands if args[0] == "EVAL"}

    def run(self) -> list[Any]:
        """The replies, in the order of the commands; errors are among them."""
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
        """Send commands; those that are to be sent again, because slots have moved.

        A primary is sent nothing before those ahead of it have done all of theirs.
        """
        found: dict[int, list[Any]] = {number: [] for number in numbers}
        again: list[int] = []
        for node, lines in self._places(numbers):
            for (number, args, _), reply in zip(lines, self._send(node, lines), strict=True):
                found[number].append(reply)
                if _has_moved(args, reply):
                    again.append(number)
            if again:
                again += [n for n in numbers if not found[n] or self._is_for_all(n)]
                break
        self._replies |= found
        return sorted(set(again))

    def _places(self, numbers: Sequence[int]) -> list[tuple[ClusterNode, list[Line]]]:
        """Primaries, and what each is to be sent."""
        primaries = self._client.get_primaries()
        keys = {number: _key(self._commands[number][0]) for number in numbers}
        homes = {number: self._home(key) for number, key in keys.items() if key is not None}
        nodes = {node.name: node for node in homes.values()}
        if any(self._is_for_all(number) for number in numbers):
            nodes |= {node.name: node for node in primaries}
        clock = next(iter(nodes.values())) if len(nodes) == 1 else self._home(CLOCK)
        nodes.setdefault(clock.name, clock)
        lines: dict[str, list[Line]] = defaultdict(list)
        for number in numbers:
            args, options = self._commands[number]
            if self._is_for_all(number):
                for node in primaries:
                    lines[node.name] += [(number, args, options), (number, ("ROLE",), {})]
            else:
                lines[homes.get(number, clock).name].append((number, args, options))
        return [(nodes[name], ours) for name, ours in lines.items()]

    def _home(self, key: Any) -> ClusterNode:
        node: ClusterNode = self._client.get_node_from_key(key)
        return node

    def _is_for_all(self, number: int) -> bool:
        return bool(self._commands[number][0][0] == "INFO")

    def _send(self, node: ClusterNode, lines: list[Line]) -> list[Any]:
        """The replies of a primary, in one round trip. Errors are among them."""
        known: set[str] = set()
        with self._client.get_redis_connection(node).pipeline(transaction=False) as pipe:
            for _, args, options in lines:
                pipe.execute_command(*self._as_known(args, known), **options)
            replies = pipe.execute(raise_on_error=False)
        return [
            self._ask(reply, args, options) if type(reply) is AskError else reply
            for (_, args, options), reply in zip(lines, replies, strict=True)
        ]

    def _ask(self, error: AskError, args: Arguments, options: Options) -> Any:
        """The reply of the primary that is being given the key's slot at this moment."""
        node = self._client.get_node(error.host, error.port)
        if node is None:
            return error
        with self._client.get_redis_connection(node).pipeline(transaction=False) as pipe:
            pipe.execute_command("ASKING")
            pipe.execute_command(*self._as_known(args, set()), **options)
            return pipe.execute(raise_on_error=False)[1]

    def _as_known(self, args: Arguments, known: set[str]) -> Arguments:
        """The command: with the source of its script if that is not `known` there yet."""
        if args[0] not in ("EVAL", "EVALSHA"):
            return args
        digest = args[1] if args[0] == "EVALSHA" else _digest(args[1])
        if digest in known or digest not in self._sources:
            return ("EVALSHA", digest, *args[2:])
        known.add(digest)
        return ("EVAL", self._sources[digest], *args[2:])

    def _reply(self, number: int) -> Any:
        replies = self._replies[number]
        if not self._is_for_all(number):
            return replies[0]
        if error := next(filter(_is_error, replies), None):
            return error
        lives = sorted(str(info["run_id"]) for info in replies[::2])
        return {"run_id": _digest(" ".join(lives))}


def _key(args: Arguments) -> Any:
    """The key of a command; None if it has none."""
    if args[0] in ("EVAL", "EVALSHA"):
        return args[3]
    return args[1] if args[0] not in ("TIME", "INFO") else None


def _has_moved(args: Arguments, reply: Any) -> bool:
    """Whether this is no primary of what was asked for any more."""
    if args[0] == "ROLE" and isinstance(reply, list):
        return bool(reply[0] != b"master")
    return isinstance(reply, MovedError)


def _is_error(reply: Any) -> bool:
    return isinstance(reply, Exception)


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
