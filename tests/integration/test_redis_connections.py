"""Broken connections to Redis: no call uses one again, and calls find another."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import hiredis
import pytest
import redis
from django.utils.safestring import mark_safe
from redis.connection import PythonRespSerializer

from presence.backends.base import Writes
from presence.backends.redis import server
from presence.backends.redis.server import Server
from presence.backends.redis.store import RedisStore
from presence.exceptions import StoreError
from presence.transport import calls
from tests.balancer import Balancer, balancer
from tests.clusters import client as client_of
from tests.clusters import free_ports, redis_process
from tests.interruption import interrupted_at, lines_of

ROOMS = [f"presence:{number}" for number in range(5)]
READS: dict[str, Callable[[RedisStore], object]] = {
    "pipeline": lambda store: store.load_snapshots(ROOMS),
    "load": lambda store: store.load_states(ROOMS),
    "script": lambda store: store.load_tracker_state(timeout=60.0),
    "one command": lambda store: store.last_seen(["ada"]),
    "one write": lambda store: store.write(Writes(last_seen={"ada": 5.0})),
    "once": lambda store: store.delete_cursor(ROOMS[0], "ada"),
}


GREETING = {"db": 1, "redis_connect_func": None, "driver_info": None}
"""Options of a connection that begins with SELECT alone."""


class SoftTimeLimitExceeded(Exception):
    """Exception of a signal handler, like that of Celery."""


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


@pytest.fixture
def through(redis_url: str) -> Iterator[Balancer]:
    with balancer(port_of(redis_url)) as made:
        yield made


@pytest.fixture
def store(through: Balancer) -> RedisStore:
    return RedisStore(f"redis://127.0.0.1:{through.port}/0", timeout=2.0)


@pytest.fixture
def rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection counts as rested."""
    monkeypatch.setattr(calls, "IDLE_LIMIT", -1.0)


def name_rooms(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        for room in ROOMS:
            client.hset(f"presence:1:{{{room}}}", mapping={"snapshot": room, "rev": 1})


@pytest.mark.parametrize("error", [SoftTimeLimitExceeded, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("name", ["pipeline", "one command", "script", "once"])
def test_store_interrupted_at_any_line_reads_its_own_replies_after_it(
    redis_url: str, name: str, error: type[BaseException]
) -> None:
    name_rooms(redis_url)
    store = RedisStore(redis_url)
    paths = ("/redis/", "/presence/backends/", "/presence/transport/calls.py")
    run = READS[name]
    run(store)
    lines = lines_of(lambda: run(store), *paths)
    assert lines > 30
    for line in range(1, lines + 1, 3):
        with suppress(error):
            interrupted_at(line, lambda: run(store), error(), *paths)
        for room in reversed(ROOMS):
            assert store.load_snapshots([room])[room].snapshot == room.encode(), line
        assert store.last_seen(["nobody"]) == {}


def test_store_interrupted_often_has_a_connection_left(redis_url: str) -> None:
    store = RedisStore(f"{redis_url}?max_connections=2")
    for line in range(1, 100):
        with suppress(SoftTimeLimitExceeded):
            interrupted_at(
                line,
                lambda: store.load_states(ROOMS),
                SoftTimeLimitExceeded(),
                "/redis/",
                "/backends/",
            )
    assert store.load_states(ROOMS).run


@pytest.mark.parametrize("how", ["reset", "end"])
@pytest.mark.parametrize("name", READS)
def test_store_on_a_connection_that_was_forgotten_calls_on_a_new_one(
    store: RedisStore, through: Balancer, name: str, how: str
) -> None:
    READS[name](store)
    store.load_states(ROOMS)
    through.forget(how)
    if name == "once":
        with pytest.raises(StoreError):
            READS[name](store)
    READS[name](store)


@pytest.mark.usefixtures("rested")
@pytest.mark.parametrize("how", ["reset", "end", "nothing"])
@pytest.mark.parametrize("name", READS)
def test_store_on_a_rested_connection_that_was_forgotten_always_succeeds(
    store: RedisStore, through: Balancer, name: str, how: str
) -> None:
    READS[name](store)
    through.forget(how)
    began = time.monotonic()
    READS[name](store)
    assert time.monotonic() - began < 2.0


def test_store_whose_reply_was_lost_writes_again_but_counts_once(
    store: RedisStore, through: Balancer, redis_url: str
) -> None:
    store.write(Writes(last_seen={"ada": 1.0}))
    through.swallow = True
    store.write(Writes(last_seen={"ada": 7.0}))
    assert store.last_seen(["ada"]) == {"ada": 7.0}
    through.swallow = True
    with pytest.raises(StoreError):
        store.hit_rate_limit("moves", limit=1, seconds=60.0)
    assert not store.hit_rate_limit("moves", limit=1, seconds=60.0)
    assert store.hit_rate_limit("others", limit=1, seconds=60.0)


def test_store_that_begins_a_tick_again_is_not_told_of_two(
    store: RedisStore, through: Balancer
) -> None:
    store.begin_tick("a")
    through.swallow = True
    again = store.begin_tick("b")
    assert (again.since, again.open) == (None, {})
    assert set(store.load_ticks().open) == {"a", "b"}


def test_store_after_a_failover_behind_its_address_writes_to_the_new_primary(
    tmp_path: Path,
) -> None:
    first, second = free_ports(2)
    with (
        redis_process(tmp_path / "1", first),
        redis_process(tmp_path / "2", second, "--replicaof", "127.0.0.1", str(first)),
        balancer(first) as address,
        client_of(first) as old,
        client_of(second) as new,
    ):
        store = RedisStore(f"redis://127.0.0.1:{address.port}/0")
        other = RedisStore(f"redis://127.0.0.1:{address.port}/0")
        for each in (store, other):
            each.save_member(ROOMS[0], "ada", source="bot", meta=b"{}", timeout=60.0)
            assert each.hit_rate_limit("moves", limit=9, seconds=60.0)
        new.replicaof("NO", "ONE")
        old.replicaof("127.0.0.1", str(second))
        address.target = second
        store.save_member(ROOMS[0], "zoe", source="bot", meta=b"{}", timeout=60.0)
        store.write(Writes(last_seen={"zoe": 1.0}))
        # Also what is not repeated: it was refused.
        assert other.hit_rate_limit("moves", limit=9, seconds=60.0)
        assert new.hlen(f"presence:1:{{{ROOMS[0]}}}:members")
        assert new.zscore(store._keys.seen, "zoe") == 1.0


@pytest.mark.parametrize(
    "reply",
    [
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-ERR Error running script: @user_script:3: -READONLY You can't write against a "
        b"read only replica.\r\n",
        b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
        b"-NOREPLICAS Not enough good replicas to write.\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
    ],
)
def test_store_refused_by_what_is_no_primary_drops_the_connection(reply: bytes) -> None:
    with answering(lambda number: reply if number == 1 else b":3\r\n") as port:
        assert bare(port).execute_command("DBSIZE") == 3
    with answering(lambda _: reply) as port, pytest.raises(redis.ConnectionError):
        bare(port).execute_command("DBSIZE")


@pytest.mark.parametrize("says", ["MASTERDOWN Link is down", "CLUSTERDOWN", "READONLY You can't"])
def test_store_refused_while_it_connects_tries_another_connection(says: str) -> None:
    with answering(lambda number: f"-{says}\r\n".encode() if number == 1 else b"+OK\r\n") as port:
        pool = server.Pool(**bare(port).connection_pool.connection_kwargs | GREETING)
        assert Server(connection_pool=pool).execute_command("ECHO", "x") == b"OK"


def test_store_ends_a_call_whose_reply_drips_in() -> None:
    with answering(lambda _: b"$1000\r\n" + b"x" * 900, pause=0.05) as port:
        client = bare(port, timeout=0.5)
        began = time.monotonic()
        with pytest.raises(redis.TimeoutError):
            client.execute_command("GET", "a")
        assert time.monotonic() - began < 2.0


def test_store_cuts_an_endless_reply_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_BYTES", 1 << 20)
    said = "reply to GET a was cut off after 1 MiB"
    with (
        answering(lambda _: b"$1000000000\r\n" + b"x" * (2 << 20)) as port,
        pytest.raises(redis.InvalidResponse, match=said),
    ):
        bare(port).execute_command("GET", "a")


def test_pool_that_is_given_a_connection_with_data_waiting_drops_it() -> None:
    """More data arrives at once, or later."""
    with answering(lambda _: b"+one\r\n+two\r\n") as port:
        client = bare(port)
        assert [client.execute_command("ECHO", "x") for _ in range(3)] == [b"one"] * 3
    later = threading.Event()
    with answering(lambda _: b"+one\r\n", then=(later, b"+two\r\n")) as port:
        client = bare(port)
        assert client.execute_command("ECHO", "x") == b"one"
        later.set()
        assert client.connection_pool._idle[0][0].can_read(timeout=5.0)
        assert client.execute_command("ECHO", "x") == b"one"


def bare(port: int, *, timeout: float = 5.0) -> Server:
    """Return a client that sends no greeting."""
    pool = server.Pool(
        connection_class=server.SafeConnection,
        port=port,
        protocol=2,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        redis_connect_func=lambda connection: connection._parser.on_connect(connection),
    )
    return Server(connection_pool=pool)


@contextmanager
def answering(
    reply: Callable[[int], bytes],
    *,
    pause: float = 0.0,
    then: tuple[threading.Event, bytes] | None = None,
) -> Iterator[int]:
    """Run a server that answers its n-th connection with one reply, byte by byte with pauses,
    and sends more once the event is set."""
    done = threading.Event()

    def serve(sock: socket.socket, number: int) -> None:
        with suppress(OSError), sock:
            while sock.recv(1 << 16) and not done.is_set():
                data = reply(number)
                for part in [data] if not pause else [data[n : n + 1] for n in range(len(data))]:
                    sock.sendall(part)
                    if done.wait(pause):
                        return
                if then and then[0].wait(10):
                    sock.sendall(then[1])

    def accept() -> None:
        with suppress(OSError):
            for number in range(1, 100):
                sock, _ = listening.accept()
                threading.Thread(target=serve, args=(sock, number), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            done.set()


@pytest.mark.parametrize(
    "make", [server.SafeConnection, server.SafeSSLConnection, server.SafeSocketConnection]
)
def test_packer_gives_hiredis_bytes_and_strings_only(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packer crashes the process if a signal handler raises while it packs anything else."""
    given: list[object] = []
    pack = hiredis.pack_command

    def recorded(command: tuple[Any, ...]) -> bytes:
        given.extend(command)
        return pack(command)

    monkeypatch.setattr(server.hiredis, "pack_command", recorded)
    command = ("CONFIG GET", "ä", b"\0\xff", 7, -0.5, 2**70, mark_safe("x"), bytearray(b"y"), "")

    packed = b"".join(make().pack_command(*command))

    plain = PythonRespSerializer(6000, redis.Redis().get_encoder().encode)
    assert packed == b"".join(plain.pack(*command))
    assert {type(part) for part in given} <= {bytes, str}


@pytest.mark.parametrize("wrong", [None, True, ["a"]])
def test_packer_refuses_what_redis_has_no_form_for(wrong: object) -> None:
    with pytest.raises(redis.DataError):
        server.SafeConnection().pack_command("SET", "key", wrong)
