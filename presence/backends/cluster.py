"""A Redis Cluster, spoken to like one Redis: pipelines of commands of one key each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.cluster import RedisCluster
from redis.commands import CoreCommands
from redis.exceptions import RedisClusterException

from presence.backends.execution import Command, Execution

__all__ = ["Cluster", "Pipeline"]


class Cluster(CoreCommands):
    """The commands of `redis.Redis`, each run by the primary that has its key.

    `connect` makes a client of the cluster, told (host, port) where it may be found beside the
    places that it knows. It is called at the first command, and again after a primary could not be
    reached, as another may be in its place.
    """

    def __init__(self, connect: Callable[[Sequence[tuple[str, int]]], RedisCluster]) -> None:
        self._connect = connect
        self._client: RedisCluster | None = None
        self._seen: list[tuple[str, int]] = []

    @contextmanager
    def client(self) -> Iterator[RedisCluster]:
        """The client that knows which primary has which slots.

        Threads may make one each at the same time: none has to wait for another that tries to reach
        a cluster which is down. Every error is one of `redis.RedisError`.
        """
        try:
            client = self._client
            if client is None:
                client = self._connect(self._seen)
                self._seen = [(node.host, node.port) for node in client.get_nodes()]
                self._client = client
            yield client
        except (redis.ConnectionError, redis.TimeoutError):
            self._client = None
            raise
        except RedisClusterException as error:
            self._client = None
            raise redis.ConnectionError(str(error)) from error

    def primaries(self) -> list[redis.Redis]:
        """A client of each primary."""
        with self.client() as client:
            return [client.get_redis_connection(node) for node in client.get_primaries()]

    def pipeline(self, transaction: bool = False) -> Pipeline:
        """Commands to be sent together. They are no transaction: a cluster has none."""
        return Pipeline(self)  # type: ignore[abstract]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return self.pipeline().execute_command(*args, **options).execute()[0]


class Pipeline(CoreCommands):
    """Commands that are sent when it is executed: to one primary after the other, in the order in
    which they are first named, and to each in the order of the commands. Each costs a round trip.

    EVALSHA is for a script whose EVAL comes earlier in the pipeline. TIME is by the clock of the
    primary that the pipeline is for, and if it is for several, always by that of the same. INFO
    tells nothing but a `run_id`, which stands for the lives of all primaries together.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
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

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The replies, in the order of the commands. Raises the first that is an error, or, with
        `raise_on_error` False, leaves an error that concerns its own command alone in its place."""
        commands, self._commands = self._commands, []
        with self._cluster.client() as client:
            return Execution(client, commands).run(raise_on_error=raise_on_error)
