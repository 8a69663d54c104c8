"""Checks of Redis: it can keep the rosters."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import redis

from presence import services
from presence.backends.redis.cluster import Cluster
from presence.backends.redis.connection import reason
from presence.backends.redis.keys import Keys
from presence.backends.redis.server import checked
from presence.backends.redis.store import RedisStore
from presence.backends.redis.urls import Client, make_client
from presence.conf import conf
from presence.doctor.findings import Findings, duration, ok, problem, skipped, warning
from presence.transport.redaction import Redactor, address, shown

Info = Mapping[str, Any]
"""Reply to INFO."""

OLDEST = (6, 2)
"""First version of Redis whose ZADD has GT."""

APART = 1.0
"""Seconds by which the clocks of a cluster may differ: the store allows for that."""

MODES = {
    "cluster": (
        "This Redis is part of a cluster",
        "Use the URL of a cluster: PRESENCE_REDIS_URL = redis+cluster://host:6379.",
    ),
    "sentinel": (
        "This is a sentinel: it stores only the address of a primary",
        "Use the URL of a sentinel: PRESENCE_REDIS_URL = redis+sentinel://host:26379/name-of-the-primary.",
    ),
}
"""Finding for each mode of Redis that does not fit the URL of a single Redis."""

PROBE = "doctor probe"
"""Name with a space, which no channel has: no roster has this key."""

PROBES = 16
"""Number of probes: each primary of most clusters gets one."""


def examine() -> Findings:
    if not isinstance(services.store(), RedisStore):
        yield skipped("redis.reachable", f"PRESENCE_BACKEND is {shown(conf.PRESENCE_BACKEND)}")
        return
    client = make_client(conf.PRESENCE_REDIS_URL, timeout=conf.PRESENCE_REDIS_TIMEOUT)
    place = address(conf.PRESENCE_REDIS_URL)
    try:
        primaries = client.primaries() if isinstance(client, Cluster) else [client]
        infos = {location(primary): primary.info() for primary in primaries}
    except (redis.AuthenticationError, redis.ResponseError) as error:
        yield problem(
            "redis.reachable",
            f"Redis refuses the login at {place} ({why(error)})",
            "Correct the user, the password or the database number in PRESENCE_REDIS_URL: "
            "redis://user:password@host:port/0.",
        )
    except redis.RedisError as error:
        yield problem(
            "redis.reachable",
            f"Redis does not answer at {place} ({why(error)})",
            "Start it, or correct PRESENCE_REDIS_URL.",
        )
        for unseen in ("redis.eviction", "redis.writable"):
            yield skipped(unseen, "Redis does not answer")
    else:
        first = next(iter(infos.values()))
        yield ok("redis.reachable", f"{name(first)} answers at {place}")
        other = MODES.get(str(first.get("redis_mode", first.get("server_mode"))))
        if other and not isinstance(client, Cluster):
            yield problem("redis.mode", *other)
            return
        for check in CHECKS:
            yield from of_each(check, infos)
        yield from clocks(primaries)
        yield from writable(client)


def why(error: redis.RedisError) -> str:
    """Return what Redis or redis-py says, without secrets."""
    return reason(error, Redactor(conf.PRESENCE_REDIS_URL))


def location(primary: redis.Redis) -> str:
    """Return the address of a primary of a cluster."""
    options = primary.connection_pool.connection_kwargs
    return f"{options.get('host')}:{options.get('port')}"


def name(info: Info) -> str:
    """Return the product and its version."""
    if found := info.get("valkey_version"):
        return f"Valkey {found}"
    return f"Redis {info.get('redis_version')}"


def of_each(check: Callable[[Info], Findings], infos: Mapping[str, Info]) -> Findings:
    """Run a check for each primary. Yields each problem with its primary, else one ok finding."""
    found = [(at, finding) for at, info in infos.items() for finding in check(info)]
    amiss = [(at, finding) for at, finding in found if finding.level != "ok"]
    for at, finding in amiss or found[:1]:
        where = f" (at {at})" if amiss and len(infos) > 1 else ""
        yield msgspec.structs.replace(finding, text=finding.text + where)


def version(info: Info) -> Findings:
    """Check that Redis is not too old."""
    found = tuple(int(n) for n in re.findall(r"\d+", str(info.get("redis_version", "")))[:2])
    if found and found < OLDEST:
        yield problem(
            "redis.version",
            f"Redis {info['redis_version']} is too old",
            "Upgrade it to {}.{} or later.".format(*OLDEST),
        )


def run(info: Info) -> Findings:
    """Check that a restart that lost acknowledged writes can be noticed."""
    if not info.get("run_id"):
        yield problem(
            "redis.run",
            "Redis does not report its run_id, so a restart that loses data is not noticed",
            "Use a Redis whose INFO has a run_id, without a proxy that removes it.",
        )


def role(info: Info) -> Findings:
    """Check that Redis is a primary."""
    if info.get("role") == "slave":
        yield problem(
            "redis.role",
            "This Redis is a replica: it accepts no writes",
            "Point PRESENCE_REDIS_URL at the primary.",
        )


def eviction(info: Info) -> Findings:
    """Check that Redis does not evict rosters when memory is full: their keys do not expire."""
    policy = info.get("maxmemory_policy")
    if policy is None:
        yield skipped("redis.eviction", "Redis does not report its maxmemory-policy")
    elif str(policy).startswith("allkeys") and info.get("maxmemory"):
        yield warning(
            "redis.eviction",
            f"Redis drops rosters when its memory is full (maxmemory-policy {policy})",
            "Set maxmemory-policy noeviction, or volatile-lru in a Redis that caches use too.",
        )
    else:
        yield ok("redis.eviction", f"Redis keeps keys without expiry (maxmemory-policy {policy})")


def clocks(primaries: Sequence[redis.Redis], *, clock: Callable[[], float] = time.time) -> Findings:
    """Check that the clocks of the primaries agree: times of one are compared with others."""
    ahead = []
    for primary in primaries:
        before = clock()
        seconds, micros = primary.time()
        ahead.append(seconds + micros / 1e6 - before)
    apart = max(ahead) - min(ahead)
    if apart > APART:
        yield warning(
            "redis.clocks",
            f"The clocks of the cluster's primaries are {duration(apart)} apart",
            "Let NTP set the clocks of the machines that they run on.",
        )


def writable(client: Client) -> Findings:
    """Check that a script may write: the account, the memory and the disk allow it."""
    keys = [Keys(conf.PRESENCE_PREFIX).channel(f"{PROBE} {number}") for number in range(PROBES)]
    try:
        setting = "return redis.call('SET', KEYS[1], '1', 'PX', 1)"
        checked(
            client.run(
                [("TIME",), ("INFO", "server"), *(("EVAL", setting, 1, key) for key in keys)]
            )
        )
    except redis.RedisError as error:
        yield problem(
            "redis.writable",
            f"Redis does not let a script write keys such as {keys[0]!r} ({why(error)})",
            "Allow EVAL, EVALSHA, TIME, INFO, in a cluster ROLE, and all commands on "
            f"{conf.PRESENCE_PREFIX}:* to the account (ACL SETUSER), and see that Redis has memory "
            "and disk left.",
        )
    else:
        yield ok("redis.writable", "Redis accepts writes by scripts")


CHECKS: tuple[Callable[[Info], Findings], ...] = (version, run, role, eviction)
