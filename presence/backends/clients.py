"""The client that a URL asks for: of one Redis, of a Redis Cluster, or by Redis Sentinel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from presence.backends.cluster import Cluster

__all__ = ["FORMS", "Client", "make_client"]

Client = redis.Redis | Cluster
Hosts = list[tuple[str, int]]
Options = dict[str, Any]
"""What redis-py makes connections with."""

FORMS: Final = (
    "redis://host:6379/0 (rediss:// with TLS, unix:///path for a socket), "
    "redis+cluster://host:6379,host2:6379 or redis+sentinel://host:26379,host2:26379/primary/0, "
    "with the special characters of a password percent-encoded"
)

LOGIN: Final = ("username", "password")

_URL = re.compile(
    r"(?P<scheme>unix|(?:redis|valkey)(?P<tls>s?)(?:\+(?P<kind>cluster|sentinel))?)://"
    r"(?:(?P<login>[^/?#]*)@)?(?P<hosts>[^/?#@]*)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:\[\]]+))(?::([0-9]{1,5}))?")


def make_client(url: str, *, timeout: float) -> Client:
    """A client of the Redis at `url`; `timeout` is in seconds, for connecting and for each reply.

    Does not connect. The forms of a URL are in docs/redis.md. Raises ValueError, which shows
    nothing that might be a password, for anything else.
    """
    found = _URL.fullmatch(url)
    if not found:
        raise ValueError(f"write {FORMS}")
    kind, tls, hosts, path = found["kind"], bool(found["tls"]), found["hosts"], found["path"] or ""
    options, sentinels = _options(found, timeout), {}
    if kind == "sentinel":
        sentinels = {name: options.pop(f"sentinel_{name}", None) for name in LOGIN}
    _try_out(options, tls=tls)
    if found["scheme"] == "unix":
        return _on_socket(hosts, path, options)
    if kind == "cluster":
        return _cluster(_hosts(hosts, 6379), path, options | {"ssl": tls})
    if kind == "sentinel":
        return _watched(_hosts(hosts, 26379), path, options | {"ssl": tls}, sentinels)
    options["connection_class"] = SSLConnection if tls else Connection
    return _server(_hosts(hosts or "localhost", 6379), path, options)


def _options(found: re.Match[str], timeout: float) -> Options:
    login = zip(LOGIN, (found["login"] or "").split(":", 1), strict=False)
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        **parse_url(f"redis://?{found['query'] or ''}"),
        **{name: unquote(value) for name, value in login if value},
    }


def _try_out(options: Options, *, tls: bool) -> None:
    """Raises ValueError for options that no connection could be made with."""
    of_one = {name: value for name, value in options.items() if name != "max_connections"}
    try:
        (SSLConnection if tls else Connection)(**of_one)
    except (TypeError, redis.RedisError) as error:
        raise ValueError(f"redis-py cannot use an option of it: {error}") from None


def _hosts(text: str, port: int) -> Hosts:
    found = [_HOST.fullmatch(host) for host in text.split(",")]
    hosts = [(one[1] or one[2], int(one[3] or port)) for one in found if one]
    if len(hosts) < len(found) or not all(0 < port < 65536 for _, port in hosts):
        raise ValueError(f"a host is not name:port (IPv6: [address]:port); write {FORMS}")
    return hosts


def _database(path: str) -> Options:
    """The number that follows a slash, if any."""
    number = path.removeprefix("/")
    if not re.fullmatch("[0-9]*", number):
        raise ValueError(f"only the number of a database may follow the host; write {FORMS}")
    return {"db": int(number)} if number else {}


def _server(hosts: Hosts, path: str, options: Options) -> redis.Redis:
    if len(hosts) > 1:
        raise ValueError(f"several hosts are of a cluster, or of sentinels; write {FORMS}")
    ((host, port),) = hosts
    pool = redis.ConnectionPool(**(_database(path) | options), host=host, port=port)
    return redis.Redis.from_pool(pool)


def _on_socket(hosts: str, path: str, options: Options) -> redis.Redis:
    if hosts or not path:
        raise ValueError("three slashes and the path of the socket follow unix:")
    made = UnixDomainSocketConnection
    return redis.Redis.from_pool(
        redis.ConnectionPool(**options, connection_class=made, path=unquote(path))
    )


def _cluster(hosts: Hosts, path: str, options: Options) -> Cluster:
    if options.pop("db", 0) or _database(path).get("db"):
        raise ValueError("a cluster has no database but 0: leave out what follows the hosts")

    def connect(more: Sequence[tuple[str, int]]) -> RedisCluster:
        return RedisCluster(startup_nodes=[ClusterNode(*at) for at in [*hosts, *more]], **options)

    return Cluster(connect)  # type: ignore[abstract]


def _watched(hosts: Hosts, path: str, options: Options, login: Options) -> redis.Redis:
    name, _, number = path.removeprefix("/").partition("/")
    if not name:
        raise ValueError(
            "the hosts of the sentinels are to be followed by the name of the primary that they "
            f"watch; write {FORMS}"
        )
    shared = {n: value for n, value in options.items() if n.startswith(("socket_", "ssl"))}
    # A sentinel that does not answer is not asked again: the next one is.
    asking = shared | login | {"retry": Retry(NoBackoff(), 0)}
    sentinel = Sentinel(hosts, sentinel_kwargs=asking, **(_database(number) | options))
    client: redis.Redis = sentinel.master_for(unquote(name))
    return client
