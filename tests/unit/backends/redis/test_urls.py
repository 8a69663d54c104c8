"""Clients made from URLs, and errors of invalid URLs. Nothing connects here."""

from __future__ import annotations

import re

import pytest
import redis
from redis.cluster import RedisCluster
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.sentinel import (
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from presence.backends.redis import urls
from presence.backends.redis.cluster import Cluster
from presence.backends.redis.server import QUIET, Pool, SafeConnection, SafeSSLConnection
from presence.backends.redis.urls import make_client


def pool(url: str) -> redis.ConnectionPool:
    client = make_client(url, timeout=3.0)
    assert isinstance(client, redis.Redis)
    found: redis.ConnectionPool = client.connection_pool
    return found


@pytest.mark.parametrize(
    ("url", "host", "port", "db"),
    [
        ("redis://localhost", "localhost", 6379, None),
        ("redis://", "localhost", 6379, None),
        ("redis:///2", "localhost", 6379, 2),
        ("redis://10.0.0.1:6380/1", "10.0.0.1", 6380, 1),
        ("redis://[::1]:6380/", "::1", 6380, None),
        ("valkey://cache:6380/0", "cache", 6380, 0),
        ("redis://cache?db=3", "cache", 6379, 3),
    ],
)
def test_url_of_one_redis_gives_its_address(url: str, host: str, port: int, db: int | None) -> None:
    made = pool(url)
    options = made.connection_kwargs
    assert (options["host"], options["port"], options.get("db")) == (host, port, db)
    assert issubclass(made.connection_class, Connection)
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (3.0, 3.0)


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_url_with_tls_gives_ssl_connection_and_options(scheme: str) -> None:
    made = pool(f"{scheme}://me:p%40ss@host/0?ssl_cert_reqs=none&socket_timeout=1.5")
    assert issubclass(made.connection_class, SSLConnection)
    options = made.connection_kwargs
    assert (options["username"], options["password"]) == ("me", "p@ss")
    assert (options["ssl_cert_reqs"], options["socket_timeout"]) == ("none", 1.5)


def test_url_with_only_a_password_gives_it_unchanged() -> None:
    assert pool("redis://:p@s:s@host").connection_kwargs["password"] == "p@s:s"


def test_url_of_a_socket_gives_its_path() -> None:
    made = pool("unix:///run/redis.sock?db=2&password=sesame")
    assert issubclass(made.connection_class, UnixDomainSocketConnection)
    options = made.connection_kwargs
    assert (options["path"], options["db"], options["password"]) == ("/run/redis.sock", 2, "sesame")


@pytest.mark.parametrize(
    ("scheme", "tls"),
    [
        ("redis+cluster", False),
        ("rediss+cluster", True),
        ("valkey+cluster", False),
        ("valkeys+cluster", True),
    ],
)
def test_url_of_a_cluster_gives_its_hosts_and_options(
    monkeypatch: pytest.MonkeyPatch, scheme: str, tls: bool
) -> None:
    asked: list[dict[str, object]] = []

    class Recorder(RedisCluster):
        def __init__(self, **options: object) -> None:
            asked.append(options)

        def get_nodes(self) -> list[object]:
            return []

        get_primaries = get_nodes

        def __del__(self) -> None: ...

    monkeypatch.setattr(urls, "RedisCluster", Recorder)
    client = make_client(f"{scheme}://me:sesame@a,b:7001,[::1]:7002/0", timeout=3.0)
    assert (isinstance(client, Cluster), asked) == (True, [])
    assert isinstance(client, Cluster)
    assert client.primaries() == []
    (options,) = asked
    nodes = [(node.host, node.port) for node in options.pop("startup_nodes")]  # type: ignore[attr-defined]
    assert nodes == [("b", 7001), ("::1", 7002)]
    assert options == {
        "url": "redis://a:6379",
        "username": "me",
        "password": "sesame",
        "connection_class": SafeSSLConnection if tls else SafeConnection,
        "connection_pool_class": Pool,
        "socket_timeout": 3.0,
        "socket_connect_timeout": 3.0,
        **QUIET,
    }


def fail(attempts: list[int]) -> None:
    attempts.append(1)
    raise redis.ConnectionError


@pytest.mark.parametrize("scheme", ["redis+sentinel", "valkeys+sentinel"])
def test_url_of_sentinels_gives_their_addresses_and_logins(scheme: str) -> None:
    tls = scheme.startswith("valkeys")
    made = pool(
        f"{scheme}://me:sesame@a,b:26380/my%2Fmaster/2"
        "?sentinel_username=it&sentinel_password=s%26s&health_check_interval=7"
    )
    assert isinstance(made, SentinelConnectionPool)
    assert made.service_name == "my/master"
    wanted = SentinelManagedSSLConnection if tls else SentinelManagedConnection
    assert issubclass(made.connection_class, wanted)
    options = made.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("me", "sesame", 2)
    assert options["health_check_interval"] == 7
    asked = [sentinel.connection_pool for sentinel in made.sentinel_manager.sentinels]
    assert [(p.connection_kwargs["host"], p.connection_kwargs["port"]) for p in asked] == [
        ("a", 26379),
        ("b", 26380),
    ]
    for asked_pool in asked:
        assert issubclass(asked_pool.connection_class, SSLConnection if tls else Connection)
        assert (
            asked_pool.connection_kwargs["username"],
            asked_pool.connection_kwargs["password"],
        ) == (
            "it",
            "s&s",
        )
        # Each of the two gets a third of the time, so that one is left for Redis itself.
        assert asked_pool.connection_kwargs["socket_timeout"] == 1.0
        attempts: list[int] = []
        with pytest.raises(redis.ConnectionError):
            asked_pool.connection_kwargs["retry"].call_with_retry(
                lambda a=attempts: fail(a), lambda _: None
            )
        assert len(attempts) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "docs/redis.md"),
        ("localhost:6379", "docs/redis.md"),
        ("http://sesame@localhost", "docs/redis.md"),
        ("sentinel://:sesame@localhost:26379", "docs/redis.md"),
        ("redis+ring://:sesame@localhost", "docs/redis.md"),
        ("redis://:se/same@host/0", "name:port"),
        ("redis://:se#same@host/0", "percent-encoded"),
        ("redis://:se?same@host/0", "name:port"),
        ("redis://:se?sesame=1@host/0", "name:port"),
        ("redis://:s[sesame]@host:6379:6379/0", "name:port"),
        ("redis://host:0", "name:port"),
        ("redis://host:65536", "name:port"),
        ("redis://host:port", "name:port"),
        ("redis://:sesame@a:1,b:2/0", "several hosts"),
        ("redis://:sesame@host/mymaster/0", "number of a database"),
        ("redis://host/0?db=x", "'db'"),
        ("redis://:sesame@host/0?sesam=1", "'sesam'"),
        ("redis://host/0?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("rediss://:sesame@host/0?ssl_cert_reqs=maybe", "maybe"),
        ("unix://run/redis.sock", "three slashes"),
        ("unix://", "three slashes"),
        ("redis+cluster://:sesame@", "name:port"),
        ("redis+cluster://a:7000,,b:7001", "name:port"),
        ("redis+cluster://a:7000/1", "no database but 0"),
        ("redis+cluster://a:7000/x", "number of a database"),
        ("redis+cluster://a:7000?db=1", "no database but 0"),
        ("redis+sentinel://:sesame@a:26379", "name of the primary"),
        ("redis+sentinel://a:26379//0", "name of the primary"),
        ("redis+sentinel://a:26379/mymaster/x", "number of a database"),
        ("redis+sentinel://a:26379/mymaster/0?sentinel_pasword=sesame", "'sentinel_pasword'"),
        ("redis+cluster://a:7000?sentinel_password=sesame", "sentinel_password"),
    ],
)
def test_url_that_is_invalid_raises_value_error_without_password(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        make_client(url, timeout=3.0)
    assert "sesame" not in str(raised.value)
    assert raised.value.__cause__ is None
