"""A Redis Cluster, spoken to like one Redis: pipelines of commands of one key each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.commands import CoreCommands
from redis.exceptions import RedisClusterException

from presence.backends.redis.execution import Execution
from presence.backends.redis.server import Command, Node, Pipeline, Server, repeated
from presence.transport.calls import Call

__all__ = ["Cluster", "Topology"]


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
