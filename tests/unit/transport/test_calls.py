"""Limits of a call in seconds and bytes, on any socket, without a thread."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis.connection

from presence.transport import calls
from presence.transport.calls import (
    FIRST_WAIT_SHARE,
    IDLE_LIMIT,
    Call,
    TimedSocket,
    TooLarge,
    within,
)
from tests.unit.fakes import Clock


@pytest.fixture
def ends() -> Iterator[tuple[TimedSocket, socket.socket]]:
    """A socket with deadlines, and its other end."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5.0)
    with ours, theirs:
        yield TimedSocket(ours), theirs


def read_all(wire: TimedSocket) -> None:
    while wire.recv(10):
        pass


def read_into(wire: TimedSocket) -> None:
    while wire.recv_into(bytearray(10)):
        pass


def read_file(wire: TimedSocket) -> None:
    wire.makefile("rb").read()


READS = [read_all, read_into, read_file]


@pytest.mark.parametrize("read", READS)
def test_socket_with_slow_bytes_ends_with_the_call(
    ends: tuple[TimedSocket, socket.socket], read: Callable[[TimedSocket], None]
) -> None:
    wire, theirs = ends
    done = threading.Event()

    def drip() -> None:
        while not done.wait(0.02):
            theirs.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        began = time.monotonic()
        Call(0.3)
        with pytest.raises(TimeoutError):
            read(wire)
        assert 0.25 < time.monotonic() - began < 3.0
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("read", READS)
def test_socket_with_endless_answer_is_cut_off(
    ends: tuple[TimedSocket, socket.socket],
    read: Callable[[TimedSocket], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "MAX_BYTES", 1000)
    wire, theirs = ends
    theirs.sendall(b"x" * 1001)
    Call(5.0)
    with pytest.raises(TooLarge, match="cut off"):
        read(wire)


def test_socket_with_peer_that_does_not_read_ends_with_the_call(
    ends: tuple[TimedSocket, socket.socket],
) -> None:
    wire, _ = ends
    Call(0.2)
    with pytest.raises(TimeoutError):
        wire.sendall(b"x" * (64 << 20))


def test_socket_with_timeout_zero_does_not_wait(ends: tuple[TimedSocket, socket.socket]) -> None:
    """redis-py checks in this way whether data is waiting."""
    wire, _ = ends
    Call(5.0)
    wire.settimeout(0)
    with pytest.raises(BlockingIOError):
        wire.recv(1)


def test_call_on_idle_connection_waits_less_for_the_first_byte() -> None:
    clock = Clock()
    call = Call(5.0, clock=clock)
    assert call.accepts(IDLE_LIMIT + 0.1)
    assert call.seconds() == pytest.approx(5.0 * FIRST_WAIT_SHARE)
    call.received(1)
    assert call.seconds() == 5.0
    assert call.accepts(IDLE_LIMIT + 0.1)
    clock.advance(5.0 * FIRST_WAIT_SHARE + 0.1)
    with pytest.raises(TimeoutError):
        call.seconds()
    assert not call.is_over()
    call.renew()
    assert call.seconds() == pytest.approx(5.0 - 5.0 * FIRST_WAIT_SHARE - 0.1)


def test_call_after_another_has_its_whole_time() -> None:
    clock = Clock()
    Call(1.0, clock=clock)
    clock.advance(2.0)
    assert within(9.0) == 0.001
    Call(3.0, clock=clock)
    assert (within(9.0), within(2.0), within(None)) == (3.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (http.client.HTTPConnection, "response_class"),
        (http.client.HTTPConnection("a"), "sock"),
        (http.client.HTTPResponse, "_read_status"),
        (socket.socket().makefile("rb", buffering=0), "_sock"),
        (redis.ConnectionPool, "make_connection"),
        (redis.connection.Connection, "_connect"),
        (redis.connection.Connection, "_construct_command_packer"),
        (redis.connection.Connection(), "_sock"),
        (redis.connection.Connection(), "pack_commands"),
        (redis.connection.Connection(), "send_packed_command"),
    ],
)
def test_libraries_have_the_attributes_that_connections_override(owner: object, name: str) -> None:
    """These names are private to the libraries: another version may lack them."""
    assert hasattr(owner, name)
