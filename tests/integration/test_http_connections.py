"""Broken connections to Centrifugo: no call uses one again, and calls find another."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from presence.centrifugo import http
from presence.centrifugo.gateway import Gateway
from presence.centrifugo.http import HttpTransport
from presence.exceptions import CentrifugoAnswerError, CentrifugoError, CentrifugoUnreachable
from presence.transport import calls
from tests.balancer import Balancer, balancer
from tests.integration.test_bad_answers import Handler, Mode, Stub, instead, stub
from tests.interruption import interrupted_at, lines_of

__all__ = ["stub"]

ROOMS = ["presence:a", "presence:b"]


@pytest.fixture
def through(stub: Stub) -> Iterator[Balancer]:
    for number, room in enumerate(ROOMS):
        stub.centrifugo.enter(room, f"c{number}", f"user-{number}", "Ada", iat=1.0)
    with balancer(stub.server_port) as made:
        yield made


@pytest.fixture
def gateway(through: Balancer) -> Gateway:
    return Gateway(HttpTransport(f"http://127.0.0.1:{through.port}/api", "key", timeout=2.0))


@pytest.fixture
def rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection counts as rested."""
    monkeypatch.setattr(calls, "IDLE_LIMIT", -1.0)


def users(gateway: Gateway, room: str) -> list[str]:
    (reply,) = gateway.presence([room])
    assert not isinstance(reply, CentrifugoError)
    return [entry["user"] for entry in json.loads(bytes(reply))["presence"].values()]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_gateway_interrupted_at_any_line_reads_its_own_answers_after_it(
    gateway: Gateway, error: type[BaseException]
) -> None:
    paths = ("http/client.py", "/presence/")

    def run() -> None:
        users(gateway, ROOMS[0])

    run()
    lines = lines_of(run, *paths)
    assert lines > 200
    for line in range(1, lines + 1, 7):
        with suppress(error, CentrifugoError):
            interrupted_at(line, run, error(), *paths)
        assert users(gateway, ROOMS[1]) == ["user-1"], line
        assert users(gateway, ROOMS[0]) == ["user-0"], line


@pytest.mark.parametrize("how", ["reset", "end"])
def test_gateway_on_a_connection_that_was_forgotten_asks_on_a_new_one(
    gateway: Gateway, through: Balancer, how: str
) -> None:
    for room, user in zip(ROOMS, ["user-0", "user-1"], strict=True):
        gateway.versions()
        through.forget(how)
        assert users(gateway, room) == [user]


@pytest.mark.usefixtures("rested")
@pytest.mark.parametrize("how", ["reset", "end", "nothing"])
def test_gateway_on_a_rested_connection_that_was_forgotten_always_succeeds(
    gateway: Gateway, through: Balancer, sent: list[Any], how: str
) -> None:
    gateway.versions()
    through.forget(how)
    began = time.monotonic()
    assert users(gateway, ROOMS[0]) == ["user-0"]
    assert time.monotonic() - began < 2.0
    through.forget(how)
    gateway.send([("cursors:a", msgspec.Raw(b"{}"))])
    assert len(sent) == 1


def test_gateway_whose_answer_was_lost_asks_again_but_sends_once(
    gateway: Gateway, through: Balancer, sent: list[Any]
) -> None:
    gateway.versions()
    through.swallow = True
    assert users(gateway, ROOMS[0]) == ["user-0"]
    through.swallow = True
    with pytest.raises(CentrifugoUnreachable):
        gateway.send([("cursors:a", msgspec.Raw(b"{}"))])
    assert len(sent) == 1


def test_gateway_is_done_in_its_time_however_often_it_asks(
    gateway: Gateway, through: Balancer
) -> None:
    gateway = Gateway(HttpTransport(f"http://127.0.0.1:{through.port}/api", "key", timeout=0.5))
    gateway.versions()
    through.forget("nothing")
    began = time.monotonic()
    with suppress(CentrifugoError):
        gateway.versions()
    assert time.monotonic() - began < 2.0


def late(head: bytes) -> Mode:
    """Answer one request with `head` alone; send the rest when the connection is used again."""
    due: dict[Handler, bytes] = {}

    def answer(handler: Handler, body: bytes) -> None:
        if not due:
            due[handler] = body
            handler.wfile.write(head)
        else:
            handler.answer(due.get(handler, body))

    return answer


@pytest.mark.parametrize("status", ["204 None", "304 Same", "400 Bad", "408 Late", "503 Down"])
def test_gateway_after_an_answer_that_is_an_error_reads_its_own_answers(
    gateway: Gateway, stub: Stub, status: str
) -> None:
    stub.mode = late(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
    with suppress(CentrifugoError):
        assert users(gateway, ROOMS[0]) == ["user-0"]
    assert users(gateway, ROOMS[1]) == ["user-1"]


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_gateway_reads_the_answer_that_is_announced(
    gateway: Gateway, stub: Stub, status: str
) -> None:
    def announce(handler: Handler, body: bytes) -> None:
        handler.wfile.write(f"HTTP/1.1 {status}\r\nLink: </a.css>\r\n\r\n".encode())
        handler.wfile.flush()
        handler.answer(body)

    stub.mode = announce
    assert [users(gateway, room) for room in ROOMS] == [["user-0"], ["user-1"]]


@pytest.mark.parametrize("status", [408, 421, 502, 503, 504])
def test_gateway_refused_by_a_balancer_asks_again_but_sends_once(
    gateway: Gateway, stub: Stub, sent: list[Any], status: int
) -> None:
    left = [status, status]

    def refuse(handler: Handler, body: bytes) -> None:
        handler.answer(body, status=left.pop() if left else 200)

    stub.mode = refuse
    left.pop()
    assert users(gateway, ROOMS[0]) == ["user-0"]
    left.append(status)
    with pytest.raises(CentrifugoUnreachable, match=str(status)):
        gateway.send([("cursors:a", msgspec.Raw(b"{}"))])
    assert len(sent) == 1


@pytest.mark.parametrize("length", range(1, 100, 7))
def test_gateway_whose_answer_ends_at_any_byte_asks_again(
    gateway: Gateway, stub: Stub, length: int
) -> None:
    cut = [length]

    def end(handler: Handler, body: bytes) -> None:
        if cut:
            whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + body
            handler.wfile.write(whole[: cut.pop()])
            handler.hang_up()
        else:
            handler.answer(body)

    stub.mode = end
    assert users(gateway, ROOMS[0]) == ["user-0"]


def test_gateway_in_a_forked_process_makes_connections_of_its_own(
    gateway: Gateway, through: Balancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.versions()
    assert through.opened == 1
    monkeypatch.setattr(http.os, "getpid", lambda: -1)
    gateway.versions()
    gateway.versions()
    assert through.opened == 2


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the publish commands that arrived, with repeats."""
    asked: list[Any] = []
    reply = Handler._reply

    def replied(self: Handler, method: str, what: dict[str, Any]) -> dict[str, Any]:
        if method != "publish":
            return reply(self, method, what)
        asked.append(what)
        return {"publish": {}}

    monkeypatch.setattr(Handler, "_reply", replied)
    return asked


def endless(handler: Handler, _: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    part = b"%x\r\n%s\r\n" % (1 << 16, b" " * (1 << 16))
    with suppress(OSError):
        while True:
            handler.wfile.write(part)


def endless_head(handler: Handler, _: bytes) -> None:
    with suppress(OSError):
        while True:
            handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


BOMB = b" " * (64 << 20)
CUT: dict[str, Any] = {
    "endless": endless,
    "endless head": endless_head,
    "plain": instead(b" " * (3 << 20)),
    "gzip": instead(gzip.compress(BOMB), Content_Encoding="gzip"),
    "deflate": instead(zlib.compress(BOMB), Content_Encoding="deflate"),
}


@pytest.mark.parametrize("name", CUT)
def test_gateway_cuts_an_answer_that_is_too_large_and_names_it(
    gateway: Gateway, stub: Stub, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(calls, "MAX_BYTES", 2 << 20)
    stub.mode = CUT[name]
    with pytest.raises(CentrifugoAnswerError, match="cut off after 2 MiB") as raised:
        gateway.presence(ROOMS)
    assert ROOMS[0] in str(raised.value)


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "zstd", "x-odd"])
def test_gateway_refuses_a_coding_that_it_did_not_ask_for(
    gateway: Gateway, stub: Stub, coding: str
) -> None:
    stub.mode = instead(gzip.compress(gzip.compress(BOMB)), Content_Encoding=coding)
    with pytest.raises(CentrifugoAnswerError, match="broke off"):
        gateway.presence(ROOMS)


def test_gateway_reads_what_a_proxy_compressed(gateway: Gateway, stub: Stub) -> None:
    stub.mode = lambda handler, body: handler.answer(gzip.compress(body), Content_Encoding="gzip")
    assert users(gateway, ROOMS[0]) == ["user-0"]
