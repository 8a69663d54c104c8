"""The client that a URL asks for: of one Redis, of a Redis Cluster, or by Redis Sentinel."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import unquote

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from presence.backends.redis.cluster import Cluster
from presence.backends.redis.server import (
    QUIET,
    Pool,
    SafeConnection,
    SafeSentinelConnection,
    SafeSentinelSSLConnection,
    SafeSocketConnection,
    SafeSSLConnection,
    SentinelPool,
    Server,
)
from presence.transport.redaction import Redactor

Client = Server | Cluster
Hosts = list[tuple[str, int]]
Options = dict[str, Any]
"""Keyword arguments of redis-py's connections."""

FORMS: Final = (
    "redis://host:6379/0 (rediss:// with TLS, unix:///path for a socket), "
    "redis+cluster://host:6379,host2:6379 or redis+sentinel://host:26379,host2:26379/primary/0, "
    "with the special characters of a password percent-encoded"
)

PORTS: Final = {"server": 6379, "cluster": 6379, "sentinel": 26379}
LOGIN: Final = ("username", "password")
SHORTEST: Final = 0.001
LONGEST: Final = 3600
"""Seconds of a time-out: a socket takes none below 0, nor any that a C integer cannot hold."""

_URL = re.compile(
    r"(?P<scheme>unix|(?:redis|valkey)(?P<tls>s?)(?:\+(?P<kind>cluster|sentinel))?)://"
    r"(?:(?P<login>[^/?#]*)@)?(?P<hosts>[^/?#@]*)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:\[\]]+))(?::([0-9]{1,5}))?")


def make_client(url: str, *, timeout: float) -> Client:
    """A client of the Redis at `url`; `timeout` is in seconds, for a call as a whole.

    Does not connect. The forms of a URL are in docs/redis.md. Raises ValueError, which shows
    nothing that might be a password, for anything else.
    """
    found = _URL.fullmatch(url)
    if not found:
        raise ValueError(
            "it is not like redis://user:password@host:6379/0 (with the special characters of a "
            "password percent-encoded), nor of another form that docs/redis.md tells"
        )
    kind = found["kind"] or ("socket" if found["scheme"] == "unix" else "server")
    # Before the options: a part of a password that was not encoded could pass for one of them.
    hosts = _hosts(found["hosts"], kind)
    try:
        options = _options(found, timeout) | {"ssl": bool(found["tls"])}
        return _MAKERS[kind](hosts, found["path"] or "", options)
    except ValueError as error:
        raise ValueError(Redactor(url).text(error)) from None


def _hosts(text: str, kind: str) -> Hosts:
    if kind == "socket":
        if text:
            raise ValueError("three slashes and the path of the socket follow unix:")
        return []
    if kind == "server" and not text:
        text = "localhost"
    found = [_HOST.fullmatch(host) for host in text.split(",")]
    hosts = [(one[1] or one[2], int(one[3] or PORTS[kind])) for one in found if one]
    fit = all(0 < port < 65536 and _can_be_looked_up(host) for host, port in hosts)
    if len(hosts) < len(found) or not fit:
        raise ValueError("a host is not name:port (IPv6: [address]:port)")
    return hosts


def _can_be_looked_up(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _options(found: re.Match[str], timeout: float) -> Options:
    login = zip(LOGIN, (found["login"] or "").split(":", 1), strict=False)
    options = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        **parse_url(f"redis://?{found['query'] or ''}"),
        **{name: unquote(value) for name, value in login if value},
    }
    for name in ("socket_timeout", "socket_connect_timeout"):
        if not SHORTEST <= options[name] <= LONGEST:
            raise ValueError(f"{name} must be from {SHORTEST} to {LONGEST} seconds")
    return options


def _tried(options: Options) -> Options:
    """Options of a pool. Raises ValueError if no connection can be made with them."""
    made = SafeSSLConnection if options["ssl"] else SafeConnection
    others = {name: value for name, value in options.items() if name != "ssl"}
    try:
        made(**{name: value for name, value in others.items() if name != "max_connections"})
    except (TypeError, redis.RedisError) as error:
        raise ValueError(f"redis-py cannot use an option of it: {error}") from None
    return others | QUIET | {"connection_class": made}


def _database(path: str) -> Options:
    """The number that follows a slash, if any."""
    number = path.removeprefix("/")
    if not re.fullmatch("[0-9]*", number):
        raise ValueError("only the number of a database may follow the host")
    return {"db": int(number)} if number else {}


def _server(hosts: Hosts, path: str, options: Options) -> Server:
    if len(hosts) > 1:
        raise ValueError("several hosts are of a cluster, or of sentinels")
    ((host, port),) = hosts
    pool = Pool(**(_database(path) | _tried(options)), host=host, port=port)
    return Server(connection_pool=pool)


def _on_socket(_: Hosts, path: str, options: Options) -> Server:
    if not path:
        raise ValueError("three slashes and the path of the socket follow unix:")
    found = {"connection_class": SafeSocketConnection, "path": unquote(path)}
    return Server(connection_pool=Pool(**(_tried(options) | found)))


def _cluster(hosts: Hosts, path: str, options: Options) -> Cluster:
    if options.pop("db", 0) or _database(path).get("db"):
        raise ValueError("a cluster has no database but 0: leave out what follows the hosts")
    made = _tried(options) | {"connection_pool_class": Pool}
    (host, port), *others = hosts

    def connect(more: Sequence[tuple[str, int]]) -> RedisCluster:
        # The URL of one host makes redis-py use our pools.
        known = [ClusterNode(*at) for at in [*others, *more]]
        return RedisCluster(url=f"redis://{host}:{port}", startup_nodes=known, **made)

    return Cluster(connect, timeout=options["socket_timeout"])


def _watched(hosts: Hosts, path: str, options: Options) -> Server:
    name, _, number = path.removeprefix("/").partition("/")
    if not name:
        raise ValueError("the name of the primary is to follow the hosts of the sentinels")
    login = {what: options.pop(f"sentinel_{what}", None) for what in LOGIN}
    made = _tried(options)
    tls = options.pop("ssl")
    shared = {n: value for n, value in made.items() if n.startswith(("socket_", "ssl"))}
    # A sentinel that does not answer is not asked again: the next one is, and then Redis.
    timeout = options["socket_timeout"] / (1 + len(hosts))
    asking = shared | login | QUIET | {"retry": Retry(NoBackoff(), 0)}
    asking |= {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    sentinel = Sentinel([])
    sentinel.sentinels = [
        redis.Redis(
            connection_pool=Pool(
                **asking, connection_class=made["connection_class"], host=host, port=port
            )
        )
        for host, port in hosts
    ]
    found = {"connection_class": SafeSentinelSSLConnection if tls else SafeSentinelConnection}
    options = _database(number) | made | found
    pool = SentinelPool(unquote(name), sentinel, **options)  # type: ignore[no-untyped-call]
    return Server(connection_pool=pool)


_MAKERS: Final[dict[str, Callable[[Hosts, str, Options], Client]]] = {
    "server": _server,
    "socket": _on_socket,
    "cluster": _cluster,
    "sentinel": _watched,
}
