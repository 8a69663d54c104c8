"""The requests of the gateway, and its errors, with a scripted server."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import zlib
from collections.abc import Callable, Iterator
from email import message_from_string
from email.message import Message
from functools import cached_property
from typing import Any

import msgspec
import pytest

from presence.centrifugo.gateway import Gateway, Publication
from presence.centrifugo.http import HttpTransport
from presence.exceptions import (
    CentrifugoAnswerError,
    CentrifugoRefused,
    CentrifugoUnreachable,
    CommandError,
)
from presence.roster.messages import Position
from tests.unit.fakes import Clock

URL = "http://user:s3cret@centrifugo.test/api"


def counted(channel: str, clients: int) -> dict[str, Any]:
    """Return a reply to `channels` with one channel, or without any if it has no clients."""
    return {"channels": {"channels": {channel: {"num_clients": clients}} if clients else {}}}


class Wire(socket.socket):
    """Our end of a connection to the scripted server."""

    server: Server

    def recv_into(self, *args: Any) -> int:  # type: ignore[override]
        if self.server.drips:
            self.server.clock.advance(1)
            self.server.ends[-1].sendall(b" ")
        return super().recv_into(*args)


class Server:
    """Answers every request with `status` and `body`, or raises `error`; keeps the requests.

    Stands for socket.create_connection. With `drips`, the body comes by a byte a second.
    """

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        self.error: Exception | None = None
        self.drips = False
        self.clock = Clock()
        self.ends: list[socket.socket] = []
        self.addresses: list[tuple[str, int]] = []

    def __call__(self, address: tuple[str, int], *_: Any) -> socket.socket:
        self.addresses.append(address)
        ours, theirs = socket.socketpair()
        self.ends.append(theirs)
        if self.error:
            raise self.error
        length = 1000 if self.drips else len(self.body)
        head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {length}\r\n\r\n"
        theirs.sendall(head.encode() + self.body)
        wire = Wire(fileno=ours.detach())
        wire.server = self
        wire.setsockopt = lambda *_: None  # type: ignore[method-assign]
        return wire

    @cached_property
    def requests(self) -> list[tuple[str, Message, bytes]]:
        """Target, headers and body of each request."""
        found = []
        for end in self.ends:
            end.setblocking(False)
            head, _, body = end.recv(1 << 20).partition(b"\r\n\r\n")
            line, _, headers = head.decode().partition("\r\n")
            found.append((line.split()[1], message_from_string(headers), body))
        return found

    @property
    def asked(self) -> dict[str, Any]:
        """The last batch."""
        batch: dict[str, Any] = json.loads(self.requests[-1][2])
        return batch

    def answer(self, *replies: object) -> None:
        self.body = json.dumps({"replies": replies}).encode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setattr(socket, "create_connection", server)
    yield server
    for end in server.ends:
        end.close()


@pytest.fixture
def gateway(server: Server) -> Iterator[Gateway]:
    transport = HttpTransport(URL, "key", timeout=5.0, clock=server.clock)
    yield Gateway(transport)
    transport._close_idle()


def publication(**fields: Any) -> Publication:
    data = msgspec.Raw(b'{"name":"\xf0\x9f\x98\x80"}')
    defaults = {"feed": "roster:chat", "channel": "chat", "epoch": "e", "version": 3, "data": data}
    return Publication(**(defaults | fields))


class TestWhatItAsks:
    def test_gateway_before_the_first_call_does_not_connect(self) -> None:
        Gateway(HttpTransport("http://127.0.0.1:9/api", "key"))

    def test_gateway_with_nothing_to_ask_sends_nothing(
        self, gateway: Gateway, server: Server
    ) -> None:
        assert (gateway.poll([]), gateway.presence([])) == (([], frozenset()), [])
        assert (gateway.positions([]), gateway.publish([])) == ([], [])
        assert gateway.send([]) == []
        assert server.requests == []

    def test_presence_asks_for_each_channel(self, gateway: Gateway, server: Server) -> None:
        error = {"error": {"code": 108, "message": "not available"}}
        info = {"info": {"nodes": [{"uid": "n1"}]}}
        server.answer({"presence": {"presence": {}}}, error, info)
        (good, bad), nodes = gateway.poll(["a", "b"])
        assert nodes == {"n1"}
        assert isinstance(bad, CommandError)
        assert json.loads(bytes(good)) == {"presence": {}}  # type: ignore[arg-type]
        assert server.asked == {
            "commands": [{"presence": {"channel": c}} for c in ("a", "b")] + [{"info": {}}],
            "parallel": True,
        }
        assert server.requests[-1][1]["X-API-Key"] == "key"
        assert server.requests[-1][1]["Content-Type"] == "application/json"

    def test_survey_asks_for_nodes_and_patterns(self, gateway: Gateway, server: Server) -> None:
        server.answer(
            {"info": {"nodes": [{"uid": "n1", "version": "6"}, {"uid": "n2"}]}},
            {"channels": {"channels": {"presence:a": {"num_clients": 3}, "presence:b": {}}}},
            {"channels": {"channels": {"chat": {"num_clients": 1}}}},
        )
        survey = gateway.survey(["presence:*", "chat"])
        assert survey.nodes == {"n1", "n2"}
        assert survey.clients == {"presence:a": 3, "presence:b": 0, "chat": 1}

    @pytest.mark.parametrize("bad", [{"error": {"code": 100}}, {}, {"channels": {"channels": []}}])
    def test_survey_with_an_error_raises_it(
        self, gateway: Gateway, server: Server, bad: dict[str, Any]
    ) -> None:
        server.answer({"info": {"nodes": []}}, bad)
        with pytest.raises((CommandError, CentrifugoAnswerError)):
            gateway.survey(["presence:*"])

    def test_recount_asks_for_counts_and_presence_in_one_batch(
        self, gateway: Gateway, server: Server
    ) -> None:
        server.answer(
            {"info": {"nodes": [{"uid": "n1"}]}},
            *(counted("a*", 2), counted("b", 0)),
            *({"presence": {"presence": {}}}, {"error": {"code": 100}}),
            *(counted("a*", 2), counted("b", 0)),
        )
        (shown, failed), survey = gateway.recount(["a*", "b"])
        assert (bytes(shown), survey.nodes) == (b'{"presence": {}}', {"n1"})
        assert isinstance(failed, CommandError)
        assert survey.clients == {"a*": 2, "b": 0}
        patterns = [{"channels": {"pattern": pattern}} for pattern in ("a\\*", "b")]
        read = [{"presence": {"channel": channel}} for channel in ("a*", "b")]
        assert server.asked["commands"][1:] == [*patterns, *read, *patterns]
        assert not server.asked["parallel"], "one after the other"

    @pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 3)], ids=["leaving", "joining"])
    def test_recount_with_two_counts_takes_the_lower(
        self, gateway: Gateway, server: Server, before: int, after: int
    ) -> None:
        info, shown = {"info": {"nodes": []}}, {"presence": {"presence": {}}}
        server.answer(info, counted("a", before), shown, counted("a", after))
        assert gateway.recount(["a"])[1].clients == {"a": 2}

    def test_publish_sends_version_and_idempotency_key(
        self, gateway: Gateway, server: Server
    ) -> None:
        server.answer({"publish": {"offset": 7, "epoch": "S"}}, {"error": {"code": 102}})
        taken, refused = gateway.publish([publication(), publication(feed="presence:b")])
        assert taken == Position(7, "S")
        assert isinstance(refused, CommandError)
        assert server.asked["commands"][0]["publish"] == {
            "channel": "roster:chat",
            "data": {"name": "\U0001f600"},
            "idempotency_key": "chat:e:3",
            "version": 3,
            "version_epoch": "e",
        }

    def test_send_skips_the_history(self, gateway: Gateway, server: Server) -> None:
        """Messages go in order, without a key that would suppress a repeat."""
        server.answer({"publish": {}}, {"error": {"code": 102}})
        moves = [("cursors:a", msgspec.Raw(b'{"x":1}')), ("cursors:a", msgspec.Raw(b'{"x":2}'))]
        taken, refused = gateway.send(moves)
        assert taken is None
        assert isinstance(refused, CommandError)
        assert server.asked == {
            "commands": [
                {"publish": {"channel": "cursors:a", "data": {"x": n}, "skip_history": True}}
                for n in (1, 2)
            ],
            "parallel": False,
        }

    def test_gateway_with_other_than_ascii_sends_utf8(
        self, gateway: Gateway, server: Server
    ) -> None:
        """A diff of just under 8 KiB must not take 24 KiB in Centrifugo's history."""
        server.answer({"publish": {}})
        gateway.publish([publication()])
        assert "\U0001f600".encode() in server.requests[-1][2]

    def test_positions_asks_for_the_top_of_each_stream(
        self, gateway: Gateway, server: Server
    ) -> None:
        server.answer({"history": {"publications": [], "offset": 0, "epoch": "S"}})
        assert gateway.positions(["presence:a"]) == [Position(0, "S")]
        assert server.asked["commands"] == [{"history": {"channel": "presence:a", "limit": 0}}]

    def test_versions_returns_version_of_each_node(self, gateway: Gateway, server: Server) -> None:
        server.answer({"info": {"nodes": [{"uid": "n", "version": "6.9.1"}]}})
        assert gateway.versions() == ["6.9.1"]


CALLS: list[Callable[[Gateway], object]] = [
    lambda gateway: gateway.survey(["presence:*"]),
    lambda gateway: gateway.poll(["a"]),
    lambda gateway: gateway.presence(["a"]),
    lambda gateway: gateway.positions(["a"]),
    lambda gateway: gateway.publish([publication()]),
    lambda gateway: gateway.recount(["a"]),
    lambda gateway: gateway.send([("a", msgspec.Raw(b"{}"))]),
]


class TestTheServer:
    def test_transport_with_login_in_its_url_sends_it_as_a_header(
        self, gateway: Gateway, server: Server
    ) -> None:
        server.answer({"publish": {}})
        gateway.publish([publication()])
        ((target, headers, _),) = server.requests
        login = base64.b64encode(b"user:s3cret").decode()
        assert (target, headers["Host"]) == ("/api/batch", "centrifugo.test")
        assert headers["Authorization"] == f"Basic {login}"

    def test_transport_behind_a_proxy_of_the_environment_asks_the_proxy(
        self, gateway: Gateway, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://me:sesame@proxy.test:3128")
        server.answer({"publish": {}})
        gateway.publish([publication()])
        ((target, headers, _),) = server.requests
        assert server.addresses == [("proxy.test", 3128)]
        assert (target, headers["Host"]) == ("http://centrifugo.test/api/batch", "centrifugo.test")
        assert headers["Proxy-Authorization"].startswith("Basic ")

    @pytest.mark.parametrize(
        ("netloc", "no_proxy"),
        [
            ("centrifugo.test", "localhost,.test"),
            ("centrifugo.test:8001", "other.test, centrifugo.test:8001"),
            ("10.1.2.3:8001", "localhost,10.0.0.0/8"),
            ("[fd00::7]:8001", "10.0.0.0/8,fd00::/8"),
        ],
    )
    def test_transport_to_a_host_without_proxy_asks_the_host(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, netloc: str, no_proxy: str
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
        monkeypatch.setenv("no_proxy", no_proxy)
        server.status = 401
        with pytest.raises(CentrifugoRefused):
            Gateway(HttpTransport(f"http://me:sesame@{netloc}/api", "key")).versions()
        ((host, _),) = server.addresses
        assert host == netloc.removesuffix(":8001").strip("[]")

    def test_transport_over_tls_behind_a_proxy_makes_a_tunnel(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("https_proxy", "http://me:sesame@proxy.test:3128")
        gateway = Gateway(HttpTransport("https://centrifugo.test/api", "key"))
        server.status = 407
        with pytest.raises(CentrifugoUnreachable, match="407"):
            gateway.versions()
        assert server.addresses[0] == ("proxy.test", 3128)
        target, headers, _ = server.requests[0]
        assert (target, "X-API-Key" in headers) == ("centrifugo.test:443", False)
        assert headers["Proxy-Authorization"].startswith("Basic ")

    @pytest.mark.parametrize(
        "url", ["", "127.0.0.1:8001", "ftp://a/api", "http://[/api", "http://:80", "http://a:x/api"]
    )
    def test_transport_with_url_that_is_none_of_http_is_refused(
        self, server: Server, url: str
    ) -> None:
        with pytest.raises(CentrifugoRefused, match="is not an HTTP URL"):
            Gateway(HttpTransport(url, "key")).versions()
        assert server.ends == []


@pytest.mark.parametrize("call", CALLS)
class TestFailures:
    @pytest.mark.parametrize(
        ("status", "error", "says"),
        [
            (401, CentrifugoRefused, "CENTRIFUGO_API_KEY"),
            (403, CentrifugoRefused, "CENTRIFUGO_API_URL"),
            (404, CentrifugoRefused, "CENTRIFUGO_API_URL"),
            (302, CentrifugoRefused, "HTTP 302"),
            (400, CentrifugoUnreachable, "HTTP 400"),
            (429, CentrifugoUnreachable, "HTTP 429"),
            (500, CentrifugoUnreachable, "HTTP 500"),
            (503, CentrifugoUnreachable, "HTTP 503"),
        ],
    )
    def test_transport_with_error_status_raises_its_error(
        self,
        gateway: Gateway,
        server: Server,
        call: Callable[[Gateway], object],
        status: int,
        error: type[Exception],
        says: str,
    ) -> None:
        server.status = status
        with pytest.raises(error, match=says) as caught:
            call(gateway)
        assert "centrifugo.test" in str(caught.value)
        assert "s3cret" not in str(caught.value)
        assert {target for target, _, _ in server.requests} == {"/api/batch"}, "no redirect"
        asked_once = len(server.requests) == 1
        assert asked_once or status == 503, "only what a balancer says is asked again"

    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"{", b"{}", b"[]", b"null", b"<html>", b"\xff\xfe", b'{"replies":[]}'),
            *(b'{"replies":[{},{},{}]}', b"[" * 100_000, b'{"replies":' + b"[" * 5000),
        ],
    )
    def test_transport_with_malformed_body_raises_answer_error(
        self,
        gateway: Gateway,
        server: Server,
        call: Callable[[Gateway], object],
        body: bytes,
    ) -> None:
        server.body = body
        with pytest.raises(CentrifugoAnswerError):
            call(gateway)

    @pytest.mark.parametrize(
        ("raised", "error"),
        [
            (ConnectionRefusedError(111, "refused"), CentrifugoUnreachable),
            (socket.gaierror(-2, "unknown name"), CentrifugoUnreachable),
            (TimeoutError("late"), CentrifugoUnreachable),
            (ssl.SSLError(1, "bad certificate"), CentrifugoUnreachable),
            (OSError("odd"), CentrifugoUnreachable),
            (http.client.IncompleteRead(b"", 7), CentrifugoAnswerError),
            (http.client.BadStatusLine("odd"), CentrifugoAnswerError),
            (zlib.error("gzip"), CentrifugoAnswerError),
            (ValueError("odd"), CentrifugoAnswerError),
        ],
        ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
    )
    def test_transport_with_exception_of_a_library_raises_own_error(
        self,
        gateway: Gateway,
        server: Server,
        call: Callable[[Gateway], object],
        raised: Exception,
        error: type[Exception],
    ) -> None:
        server.error = raised
        with pytest.raises(error):
            call(gateway)

    def test_transport_with_slow_answer_ends_at_the_deadline(
        self,
        gateway: Gateway,
        server: Server,
        call: Callable[[Gateway], object],
    ) -> None:
        server.drips = True
        with pytest.raises(CentrifugoUnreachable, match="did not answer"):
            call(gateway)
        assert server.clock.now == Clock().now + 6
