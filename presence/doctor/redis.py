"""Whether the Redis of the settings can keep the rosters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from presence import assembly
from presence.backends.redis import RedisStore
from presence.conf import conf
from presence.doctor.findings import Findings, ok, problem, skipped, warning
from presence.naming import Keys

__all__ = ["examine"]

Info = Mapping[str, Any]
"""Reply to INFO."""

OLDEST = (6, 2)
"""The first Redis whose ZADD knows GT."""

PROBE = "doctor probe"
"""Holds a space: no channel has this name, so no roster has this key."""


def examine() -> Findings:
    if not isinstance(assembly.store(), RedisStore):
        yield skipped("redis.reachable", f"PRESENCE_BACKEND is {conf.PRESENCE_BACKEND!r}")
        return
    url, timeout = conf.PRESENCE_REDIS_URL, conf.CENTRIFUGO_TIMEOUT
    client = redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )
    with client:
        try:
            info: Any = client.info()
        except (redis.AuthenticationError, redis.ResponseError) as error:
            yield problem(
                "redis.reachable",
                f"Redis turns us down at {url} ({error})",
                "Correct the user, the password or the database number in PRESENCE_REDIS_URL: "
                "redis://user:password@host:port/0.",
            )
        except redis.RedisError as error:
            yield problem(
                "redis.reachable",
                f"Redis does not answer at {url} ({error})",
                "Start it, or correct PRESENCE_REDIS_URL.",
            )
        else:
            yield ok("redis.reachable", f"Redis {info.get('redis_version')} answers at {url}")
            for check in CHECKS:
                yield from check(info)
            yield from writable(client)


def version(info: Info) -> Findings:
    """It is not too old."""
    found = tuple(int(n) for n in re.findall(r"\d+", str(info.get("redis_version", "")))[:2])
    if found and found < OLDEST:
        yield problem(
            "redis.version",
            f"Redis {info['redis_version']} is too old",
            "Upgrade it to {}.{} or later.".format(*OLDEST),
        )


def run(info: Info) -> Findings:
    """A restart that lost acknowledged writes can be told."""
    if not info.get("run_id"):
        yield problem(
            "redis.run",
            "Redis does not tell its run_id, so a restart that loses data is not noticed",
            "Use a Redis whose INFO has a run_id: no proxy or service that takes it out.",
        )


def role(info: Info) -> Findings:
    """It is the primary."""
    if info.get("role") == "slave":
        yield problem(
            "redis.role",
            "This Redis is a replica: it takes no writes",
            "Point PRESENCE_REDIS_URL at the primary.",
        )


def eviction(info: Info) -> Findings:
    """It does not throw rosters away when memory runs short: their keys have no expiry."""
    policy = info.get("maxmemory_policy")
    if policy is None:
        yield skipped("redis.eviction", "Redis does not tell its maxmemory-policy")
    elif str(policy).startswith("allkeys") and info.get("maxmemory"):
        yield warning(
            "redis.eviction",
            f"Redis drops rosters when its memory is full (maxmemory-policy {policy})",
            "Set maxmemory-policy noeviction, or volatile-lru in a Redis that caches use too.",
        )
    else:
        yield ok("redis.eviction", f"Redis keeps what has no expiry (maxmemory-policy {policy})")


def writable(client: redis.Redis) -> Findings:
    """A script may write: the account may, memory and disk allow it."""
    key = Keys(conf.PRESENCE_PREFIX).channel(PROBE)
    try:
        client.eval("return redis.call('SET', KEYS[1], '1', 'PX', 1)", 1, key)
    except redis.RedisError as error:
        yield problem(
            "redis.writable",
            f"Redis does not let a script write the key {key!r} ({error})",
            f"Allow EVAL, EVALSHA and all commands on {conf.PRESENCE_PREFIX}:* to the account "
            "(ACL SETUSER), and see that Redis has memory and disk left.",
        )
    else:
        yield ok("redis.writable", "Redis takes writes by script")


CHECKS: tuple[Callable[[Info], Findings], ...] = (version, run, role, eviction)
