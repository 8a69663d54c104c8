"""Redis Clusters and sentinels for tests, on free ports of 127.0.0.1."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from presence_devtools import servers
from presence_devtools.servers import Server, wait_until

SLOTS = 16384
PRIMARY = "mymaster"


@contextmanager
def redis_process(directory: Path, port: int, *options: str) -> Iterator[Server]:
    """Run a Redis with more options, until the end of the block."""
    directory.mkdir(exist_ok=True)
    server = Server(
        [*servers.redis_command(port, directory), *options],
        os.environ,
        lambda: pings(port),
        directory / "redis.log",
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


def client(port: int, password: str | None = None) -> redis.Redis:
    """Return a client without retries, which reports at once that a server is down."""
    once = Retry(NoBackoff(), 0)
    return redis.Redis(
        port=port, password=password, decode_responses=True, socket_timeout=5, retry=once
    )


def pings(port: int) -> bool:
    try:
        with client(port) as node:
            return bool(node.ping())
    except redis.AuthenticationError:
        return True
    except redis.RedisError:
        return False


@dataclass
class RunningCluster:
    """Servers by their ports; the last ones begin as replicas if there are any."""

    servers: dict[int, Server]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.servers)

    def primaries(self) -> list[int]:
        return [port for port in self.servers if role(port) == "master"]

    def flush(self) -> None:
        for port in self.primaries():
            with client(port) as node:
                node.flushall()

    @property
    def pair(self) -> tuple[int, int]:
        """Return the ports of a primary and its replica; zeros while there is none."""
        replica = next((port for port in self.servers if role(port) == "slave"), 0)
        if not replica:
            return 0, 0
        with client(replica) as node:
            return int(node.info("replication")["master_port"]), replica

    def fail_over(self) -> None:
        """Let a primary and its replica change places; both continue to run."""
        primary, replica = self.pair
        with client(replica) as node:
            node.cluster("FAILOVER")
        wait_until(lambda: self.pair == (replica, primary), "the replica is the primary")
        for port in self.servers:
            with client(port) as node:
                wait_until(lambda node=node: is_up(node), "the cluster is up")

    def kill_primary(self) -> None:
        """Kill a primary that has a replica, once the replica has all its data."""
        port, replica = self.pair
        with client(port) as node, client(replica) as other:
            wait_until(lambda: offset(node) == offset(other), "the replica has caught up")
        self.servers[port].stop(signal.SIGKILL)

    def move_keys(self, key: str) -> None:
        """Move the keys of a key's slot to another primary, which does not have the slot yet."""
        slot, giver, taker, port = self._ends(key)
        taker.cluster("SETSLOT", slot, "IMPORTING", name(giver))
        giver.cluster("SETSLOT", slot, "MIGRATING", name(taker))
        for stored in giver.cluster("GETKEYSINSLOT", slot, 100):
            giver.execute_command("MIGRATE", "127.0.0.1", port, stored, 0, 5000)

    def move_slot(self, key: str) -> None:
        """Move a slot whose keys were moved."""
        slot, giver, taker, _ = self._ends(key)
        for node in (taker, giver):
            node.cluster("SETSLOT", slot, "NODE", name(taker))

    def _ends(self, key: str) -> tuple[int, redis.Redis, redis.Redis, int]:
        """Return the slot of a key, its primary, and the next primary with its port."""
        ports = [*self.servers][:3]
        slot = client(ports[0]).cluster("KEYSLOT", key)
        number = sum(slot >= third * SLOTS // 3 for third in (1, 2))
        port = ports[(number + 1) % 3]
        return slot, client(ports[number]), client(port), port


def role(port: int) -> str:
    """Return "master" or "slave", or "" if the server is down."""
    try:
        with client(port) as node:
            return str(node.role()[0])
    except redis.RedisError:
        return ""


def name(node: redis.Redis) -> str:
    return str(node.cluster("MYID"))


def offset(node: redis.Redis) -> int:
    """Return how far a primary has written, or a replica has read."""
    return int(node.info("replication")["master_repl_offset"])


def free_ports(count: int) -> list[int]:
    """Return different free ports; the ports of the cluster bus (10,000 above) are free as well."""
    found: set[int] = set()
    while len(found) < count:
        port = servers.free_port()
        if port < 55_000:
            found.add(port)
    return sorted(found)


@contextmanager
def redis_cluster(directory: Path, *, replicas: Sequence[int] = ()) -> Iterator[RunningCluster]:
    """Run three primaries, and a replica of each primary that `replicas` numbers."""
    ports = free_ports(3 + len(replicas))
    with ExitStack() as running:
        servers = {
            port: running.enter_context(
                redis_process(
                    directory / str(port),
                    port,
                    *("--cluster-enabled", "yes", "--cluster-node-timeout", "2000"),
                    *("--appendonly", "no", "--repl-diskless-sync-delay", "0"),
                )
            )
            for port in ports
        }
        form(ports[:3], ports[3:], replicas)
        yield RunningCluster(servers)


def form(primaries: list[int], others: list[int], replicas: Sequence[int]) -> None:
    """Make a cluster of servers."""
    clients = {port: client(port) for port in [*primaries, *others]}
    for number, port in enumerate(primaries):
        since, until = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
        clients[port].cluster("ADDSLOTS", *range(since, until + 1))
        clients[port].cluster("SET-CONFIG-EPOCH", number + 1)
    for node in clients.values():
        for port in clients:
            node.cluster("MEET", "127.0.0.1", port)
    for node in clients.values():
        wait_until(lambda node=node: knows(node, len(clients)), "the nodes know each other")
    for port, number in zip(others, replicas, strict=True):
        clients[port].cluster("REPLICATE", name(clients[primaries[number]]))
    for node in clients.values():
        wait_until(lambda node=node: is_up(node), "the cluster is up")
        wait_until(lambda node=node: follows(node), "replicas follow")
        node.close()


def knows(node: redis.Redis, count: int) -> bool:
    nodes = node.cluster("NODES").values()
    return len(nodes) == count and not any("handshake" in node["flags"] for node in nodes)


def is_up(node: redis.Redis) -> bool:
    info = node.cluster("INFO")
    return bool(info["cluster_state"] == "ok" and info["cluster_slots_ok"] == str(SLOTS))


def follows(node: redis.Redis) -> bool:
    info = node.info("replication")
    return bool(info["role"] == "master" or info["master_link_status"] == "up")


@dataclass
class RunningSentinel:
    """A primary, a replica and the sentinel that watches them; each asks for a password."""

    primary: Server
    port: int
    replica: int
    sentinel: int
    url: str

    def kill_primary(self) -> None:
        """Kill the primary once the replica has all its data."""
        with client(self.port, "sesame") as node, client(self.replica, "sesame") as other:
            wait_until(lambda: offset(node) == offset(other), "the replica has caught up")
        self.primary.stop(signal.SIGKILL)


@contextmanager
def redis_sentinel(directory: Path) -> Iterator[RunningSentinel]:
    first, second, port = free_ports(3)
    login = ("--requirepass", "sesame", "--masterauth", "sesame", "--repl-diskless-sync-delay", "0")
    following = ("--replicaof", "127.0.0.1", str(first))
    with ExitStack() as running:
        primary = running.enter_context(redis_process(directory / "1", first, *login))
        running.enter_context(redis_process(directory / "2", second, *login, *following))
        with client(second, "sesame") as replica:
            # A sentinel that came across it sooner would look again only in ten seconds.
            wait_until(lambda: follows(replica), "the replica follows")
        config = directory / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {directory}\nrequirepass opensesame\n"
            f"sentinel monitor {PRIMARY} 127.0.0.1 {first} 1\n"
            f"sentinel auth-pass {PRIMARY} sesame\n"
            f"sentinel down-after-milliseconds {PRIMARY} 500\n"
            f"sentinel failover-timeout {PRIMARY} 2000\n"
        )
        command = [servers.redis_binary(), str(config), "--sentinel"]
        watch = Server(command, os.environ, lambda: watches(port), directory / "sentinel.log")
        running.callback(watch.stop)
        watch.start()
        at = f"127.0.0.1:9,127.0.0.1:{port}"  # nobody is at the first
        url = f"redis+sentinel://:sesame@{at}/{PRIMARY}/1?sentinel_password=opensesame"
        yield RunningSentinel(primary, first, second, port, url)


def watches(port: int) -> bool:
    """Return whether a sentinel knows the replica, which would take over."""
    try:
        with client(port, "opensesame") as node:
            replicas = node.sentinel_slaves(PRIMARY)
        return [replica["master-link-status"] for replica in replicas] == ["ok"]
    except redis.RedisError:
        return False
