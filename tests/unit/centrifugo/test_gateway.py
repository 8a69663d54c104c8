"""The requests of the gateway, and its errors, with a scripted transport."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

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


class Transport(BaseAdapter):
    """Answers every request with `status` and `body`, or raises `error`; records requests."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.body: Any = b""
        self.error: Exception | None = None
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        self.sent.append(request)
        if self.error:
            raise self.error
        response = requests.Response()
        response.status_code = self.status
        body = self.body if hasattr(self.body, "read") else io.BytesIO(self.body)
        response.raw = HTTPResponse(body, status=self.status, preload_content=False)
        response.url = str(request.url)
        response.request = request
        return response

    def close(self) -> None: ...

    @property
    def asked(self) -> dict[str, Any]:
        """The last batch."""
        body = self.sent[-1].body
        assert isinstance(body, bytes)
        batch: dict[str, Any] = json.loads(body)
        return batch

    def answer(self, *replies: object) -> None:
        self.body = json.dumps({"replies": replies}).encode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
def gateway(transport: Transport, clock: Clock) -> Gateway:
    gateway = Gateway(HttpTransport(URL, "key", timeout=5.0, clock=clock))
    gateway._transport._session.mount("http://", transport)  # type: ignore[attr-defined]
    return gateway


def publication(**fields: Any) -> Publication:
    data = msgspec.Raw(b'{"name":"\xf0\x9f\x98\x80"}')
    defaults = {"feed": "roster:chat", "channel": "chat", "epoch": "e", "version": 3, "data": data}
    return Publication(**(defaults | fields))


class TestWhatItAsks:
    def test_gateway_before_the_first_call_does_not_connect(self) -> None:
        Gateway(HttpTransport("http://127.0.0.1:9/api", "key"))

    def test_gateway_with_nothing_to_ask_sends_nothing(
        self, gateway: Gateway, transport: Transport
    ) -> None:
        assert (gateway.poll([]), gateway.presence([])) == (([], frozenset()), [])
        assert (gateway.positions([]), gateway.publish([])) == ([], [])
        assert gateway.send([]) == []
        assert transport.sent == []

    def test_presence_asks_for_each_channel(self, gateway: Gateway, transport: Transport) -> None:
        error = {"error": {"code": 108, "message": "not available"}}
        info = {"info": {"nodes": [{"uid": "n1"}]}}
        transport.answer({"presence": {"presence": {}}}, error, info)
        (good, bad), nodes = gateway.poll(["a", "b"])
        assert nodes == {"n1"}
        assert isinstance(bad, CommandError)
        assert json.loads(bytes(good)) == {"presence": {}}  # type: ignore[arg-type]
        assert transport.asked == {
            "commands": [{"presence": {"channel": c}} for c in ("a", "b")] + [{"info": {}}],
            "parallel": True,
        }
        assert transport.sent[-1].headers["X-API-Key"] == "key"
        assert transport.sent[-1].headers["Content-Type"] == "application/json"

    def test_survey_asks_for_nodes_and_patterns(
        self, gateway: Gateway, transport: Transport
    ) -> None:
        transport.answer(
            {"info": {"nodes": [{"uid": "n1", "version": "6"}, {"uid": "n2"}]}},
            {"channels": {"channels": {"presence:a": {"num_clients": 3}, "presence:b": {}}}},
            {"channels": {"channels": {"chat": {"num_clients": 1}}}},
        )
        survey = gateway.survey(["presence:*", "chat"])
        assert survey.nodes == {"n1", "n2"}
        assert survey.clients == {"presence:a": 3, "presence:b": 0, "chat": 1}

    @pytest.mark.parametrize("bad", [{"error": {"code": 100}}, {}, {"channels": {"channels": []}}])
    def test_survey_with_an_error_raises_it(
        self, gateway: Gateway, transport: Transport, bad: dict[str, Any]
    ) -> None:
        transport.answer({"info": {"nodes": []}}, bad)
        with pytest.raises((CommandError, CentrifugoAnswerError)):
            gateway.survey(["presence:*"])

    def test_recount_asks_for_counts_and_presence_in_one_batch(
        self, gateway: Gateway, transport: Transport
    ) -> None:
        transport.answer(
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
        assert transport.asked["commands"][1:] == [*patterns, *read, *patterns]
        assert not transport.asked["parallel"], "one after the other"

    @pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 3)], ids=["leaving", "joining"])
    def test_recount_with_two_counts_takes_the_lower(
        self, gateway: Gateway, transport: Transport, before: int, after: int
    ) -> None:
        info, shown = {"info": {"nodes": []}}, {"presence": {"presence": {}}}
        transport.answer(info, counted("a", before), shown, counted("a", after))
        assert gateway.recount(["a"])[1].clients == {"a": 2}

    def test_publish_sends_version_and_idempotency_key(
        self, gateway: Gateway, transport: Transport
    ) -> None:
        transport.answer({"publish": {"offset": 7, "epoch": "S"}}, {"error": {"code": 102}})
        taken, refused = gateway.publish([publication(), publication(feed="presence:b")])
        assert taken == Position(7, "S")
        assert isinstance(refused, CommandError)
        assert transport.asked["commands"][0]["publish"] == {
            "channel": "roster:chat",
            "data": {"name": "\U0001f600"},
            "idempotency_key": "chat:e:3",
            "version": 3,
            "version_epoch": "e",
        }

    def test_send_skips_the_history(self, gateway: Gateway, transport: Transport) -> None:
        """Messages go in order, without a key that would suppress a repeat."""
        transport.answer({"publish": {}}, {"error": {"code": 102}})
        moves = [("cursors:a", msgspec.Raw(b'{"x":1}')), ("cursors:a", msgspec.Raw(b'{"x":2}'))]
        taken, refused = gateway.send(moves)
        assert taken is None
        assert isinstance(refused, CommandError)
        assert transport.asked == {
            "commands": [
                {"publish": {"channel": "cursors:a", "data": {"x": n}, "skip_history": True}}
                for n in (1, 2)
            ],
            "parallel": False,
        }

    def test_gateway_with_other_than_ascii_sends_utf8(
        self, gateway: Gateway, transport: Transport
    ) -> None:
        """A diff of just under 8 KiB must not take 24 KiB in Centrifugo's history."""
        transport.answer({"publish": {}})
        gateway.publish([publication()])
        assert "\U0001f600".encode() in transport.sent[-1].body  # type: ignore[operator]

    def test_positions_asks_for_the_top_of_each_stream(
        self, gateway: Gateway, transport: Transport
    ) -> None:
        transport.answer({"history": {"publications": [], "offset": 0, "epoch": "S"}})
        assert gateway.positions(["presence:a"]) == [Position(0, "S")]
        assert transport.asked["commands"] == [{"history": {"channel": "presence:a", "limit": 0}}]

    def test_versions_returns_version_of_each_node(
        self, gateway: Gateway, transport: Transport
    ) -> None:
        transport.answer({"info": {"nodes": [{"uid": "n", "version": "6.9.1"}]}})
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
        transport: Transport,
        call: Callable[[Gateway], object],
        status: int,
        error: type[Exception],
        says: str,
    ) -> None:
        transport.status = status
        with pytest.raises(error, match=says) as caught:
            call(gateway)
        assert "centrifugo.test" in str(caught.value)
        assert "s3cret" not in str(caught.value)
        assert {sent.url for sent in transport.sent} == {transport.sent[0].url}, "no redirect"
        assert len(transport.sent) == 1 or status == 503, "only what a balancer says is asked again"

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
        transport: Transport,
        call: Callable[[Gateway], object],
        body: bytes,
    ) -> None:
        transport.body = body
        with pytest.raises(CentrifugoAnswerError):
            call(gateway)

    @pytest.mark.parametrize(
        ("raised", "error"),
        [
            (requests.exceptions.ConnectionError("refused"), CentrifugoUnreachable),
            (requests.exceptions.ConnectTimeout("late"), CentrifugoUnreachable),
            (requests.exceptions.ReadTimeout("late"), CentrifugoUnreachable),
            (requests.exceptions.ChunkedEncodingError("half"), CentrifugoAnswerError),
            (requests.exceptions.ContentDecodingError("gzip"), CentrifugoAnswerError),
            (requests.exceptions.InvalidURL("bad"), CentrifugoRefused),
            (OSError("odd"), CentrifugoAnswerError),
            (ValueError("odd"), CentrifugoAnswerError),
        ],
        ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
    )
    def test_transport_with_exception_of_requests_raises_own_error(
        self,
        gateway: Gateway,
        transport: Transport,
        call: Callable[[Gateway], object],
        raised: Exception,
        error: type[Exception],
    ) -> None:
        transport.error = raised
        with pytest.raises(error):
            call(gateway)

    def test_transport_with_slow_answer_ends_at_the_deadline(
        self,
        gateway: Gateway,
        transport: Transport,
        clock: Clock,
        call: Callable[[Gateway], object],
    ) -> None:
        def drip() -> Iterator[bytes]:
            while True:
                clock.advance(1)
                yield b" "

        transport.body = Dripping(drip())
        with pytest.raises(CentrifugoUnreachable, match="did not answer"):
            call(gateway)
        assert clock.now == Clock().now + 6


class Dripping(io.RawIOBase):
    """A body that comes in pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return next(self._pieces, b"")

    read1 = read
