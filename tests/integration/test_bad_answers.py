"""Bad answers of Centrifugo over real HTTP: every tick ends, reports them, and empties no room."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from presence.backends.redis.store import RedisStore
from presence.centrifugo.gateway import Gateway
from presence.centrifugo.http import HttpTransport
from presence.exceptions import CentrifugoError, CentrifugoUnreachable
from presence.sync.context import Options
from presence.sync.statistics import Report
from presence.sync.tick import Sync
from presence_devtools import servers
from tests.unit.fakes import Clock, FakeCentrifugo

ROOM, OTHER = "presence:room", "presence:other"
Mode = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Answers batches as a Centrifugo does, unless the server has a `mode`."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    server: Stub

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        methods = {method for command in asked["commands"] for method in command}
        replies = [self._reply(*next(iter(c.items()))) for c in asked["commands"]]
        body = json.dumps({"replies": self.server.edit(replies)}).encode()
        if self.server.mode and (not self.server.only or self.server.only & methods):
            self.server.mode(self, body)
        else:
            self.answer(body)

    def _reply(self, method: str, what: dict[str, Any]) -> dict[str, Any]:
        if "data" in what:
            what = {**what, "data": json.dumps(what["data"]).encode()}
        (reply,) = self.server.centrifugo.batch([(method, what)])
        assert isinstance(reply, msgspec.Raw)
        return {method: json.loads(bytes(reply))}

    def answer(self, body: bytes, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None: ...


class Stub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.centrifugo = FakeCentrifugo()
        self.mode: Mode | None = None
        self.only: set[str] = set()
        self.edit: Callable[[list[Any]], Any] = list

    def handle_error(self, *_: Any) -> None:
        """Log nothing: some tests make the client hang up."""


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as stub:
        thread = threading.Thread(target=stub.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield stub
        stub.shutdown()
        thread.join(10)


class TickingClock(Clock):
    """Clock that advances a second at each reading, so that time-outs come at once."""

    def __call__(self) -> float:
        self.advance(1)
        return self.now


class Site:
    def __init__(self, stub: Stub, redis_url: str) -> None:
        self.stub = stub
        self.store = RedisStore(redis_url)
        self.announced: list[Any] = []
        self.sync = self.make(Clock())
        for channel, user in ((ROOM, "ada"), (ROOM, "alan"), (OTHER, "mia")):
            stub.centrifugo.enter(channel, f"c-{user}", user, user.title(), iat=1.0)
        assert self.sync.tick().errors == 0

    def make(self, clock: Clock, *, timeout: float = 5.0) -> Sync:
        url = f"http://127.0.0.1:{self.stub.server_address[1]}/api"
        options = Options(grace=0.0)
        gateway = Gateway(HttpTransport(url, "key", timeout=timeout, clock=clock))
        return Sync(self.store, gateway, options, announce=lambda *a: self.announced.append(a))

    def ids(self, channel: str = ROOM) -> list[str]:
        snapshot = json.loads(self.store.load_snapshots([channel])[channel].snapshot or b"{}")
        return [member["id"] for member in snapshot["members"]]

    def move(self) -> None:
        """Alan leaves one room, Zoe joins the other."""
        self.stub.centrifugo.quit(ROOM, "c-alan")
        self.stub.centrifugo.enter(OTHER, "c-zoe", "zoe", "Zoe", iat=1.0)

    def assert_recovers(self) -> None:
        """Assert that one tick with good answers updates the rosters, and the chains have no
        gap."""
        self.stub.mode, self.stub.edit = None, list
        assert self.sync.tick().errors == 0
        assert (self.ids(), self.ids(OTHER)) == (["ada"], ["mia", "zoe"])
        for channel in (ROOM, OTHER):
            chain = self.stub.centrifugo.delivered[channel]
            assert [diff["version"] for diff in chain] == list(range(1, len(chain) + 1))
            assert len(chain) == 2


@pytest.fixture
def site(stub: Stub, redis_url: str) -> Site:
    return Site(stub, redis_url)


def status(code: int, **headers: str) -> Mode:
    return lambda handler, body: handler.answer(b"{}", status=code, **headers)


def instead(body: bytes, **headers: str) -> Mode:
    return lambda handler, _: handler.answer(body, **headers)


def half(handler: Handler, body: bytes) -> None:
    handler.answer(body[: len(body) // 2])


def broken_off(handler: Handler, body: bytes) -> None:
    """The content-length is larger than the body."""
    handler.answer(body[: len(body) // 2], Content_Length=str(len(body)))
    handler.hang_up()


def whole_but_promised_longer(handler: Handler, body: bytes) -> None:
    """A complete body with too large a content-length is not believed either."""
    handler.answer(body, Content_Length=str(len(body) + 10))
    handler.hang_up()


def promised_shorter(handler: Handler, body: bytes) -> None:
    handler.answer(body, Content_Length=str(len(body) // 2))


def silence(handler: Handler, body: bytes) -> None:
    handler.hang_up()


def bad_chunks(handler: Handler, body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b'5\r\n{"rep\r\nXYZ\r\n')
    handler.hang_up()


def drip(handler: Handler, body: bytes) -> None:
    """Send one byte after the other, while the client reads."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"1\r\n \r\n")


def drip_head(handler: Handler, body: bytes) -> None:
    """Send the headers byte by byte, slowly, while the client reads."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"x")
        threading.Event().wait(0.02)


MODES: dict[str, tuple[Mode, str]] = {
    "401": (status(401), "CENTRIFUGO_API_KEY"),
    "404": (status(404), "CENTRIFUGO_API_URL"),
    "429": (status(429, Retry_After="60"), "HTTP 429"),
    "500": (status(500), "HTTP 500"),
    "502": (instead(b"<html>Bad Gateway</html>"), "cannot be read"),
    "redirect": (status(302, Location="/api/batch"), "CENTRIFUGO_API_URL"),
    "307": (status(307, Location="/api/batch"), "CENTRIFUGO_API_URL"),
    "empty": (instead(b""), "cannot be read"),
    "object": (instead(b"{}"), "cannot be read"),
    "array": (instead(b"[]"), "cannot be read"),
    "null": (instead(b"null"), "cannot be read"),
    "binary": (instead(b"\xff\xfe\x00"), "cannot be read"),
    "error": (instead(b'{"error":{"code":100,"message":"internal"}}'), "cannot be read"),
    "no-replies": (instead(b'{"replies":[]}'), "answered 0 of"),
    "half": (half, "cannot be read"),
    "gzip": (instead(b"not gzip at all", Content_Encoding="gzip"), "broke off"),
    "length-long": (broken_off, "broke off"),
    "length-longer": (whole_but_promised_longer, "broke off"),
    "length-short": (promised_shorter, "cannot be read"),
    "chunks": (bad_chunks, "broke off"),
    "silence": (silence, "did not answer"),
}


def assert_nothing_lost(site: Site, report: Report, says: str) -> None:
    assert report.errors >= 1
    assert says in report.failures[0], report.failures
    assert report.leaves == 0
    assert (site.ids(), site.ids(OTHER)) == (["ada", "alan"], ["mia"])
    assert len(site.announced) == 2


@pytest.mark.parametrize("asked", ["info", "presence"])
@pytest.mark.parametrize("name", MODES)
def test_tick_with_bad_answer_empties_no_room(site: Site, name: str, asked: str) -> None:
    site.move()
    site.stub.mode, says = MODES[name]
    site.stub.only = {asked}
    assert_nothing_lost(site, site.sync.tick(), says)
    site.assert_recovers()


@pytest.mark.parametrize("name", MODES)
def test_publish_with_lost_answer_leaves_no_gap(site: Site, name: str) -> None:
    """The stub publishes before it answers badly: the same versions are sent again and delivered
    to no client."""
    site.move()
    site.stub.mode, _ = MODES[name]
    site.stub.only = {"publish"}
    report = site.sync.tick()
    assert (report.errors, report.published) == (3, 0), "two changes and the pulse"
    assert len(site.announced) == 2
    site.assert_recovers()
    assert len(site.announced) == 4


@pytest.mark.parametrize("asked", ["info", "presence", "publish"])
def test_tick_with_slow_answer_ends_at_its_deadline(site: Site, asked: str) -> None:
    site.move()
    site.stub.mode, site.stub.only = drip, {asked}
    report = site.make(TickingClock()).tick()
    assert "did not answer" in report.failures[0]
    site.assert_recovers()


def test_gateway_with_slow_response_headers_times_out(stub: Stub) -> None:
    stub.mode = drip_head
    gateway = Gateway(HttpTransport(f"http://127.0.0.1:{stub.server_port}/api", "key", timeout=0.3))
    with pytest.raises(CentrifugoUnreachable, match="did not answer"):
        gateway.versions()


def first_is_error(replies: list[Any]) -> list[Any]:
    if "presence" not in replies[0]:
        return replies
    return [{"error": {"code": 100, "message": "internal server error"}}, *replies[1:]]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda replies: replies[:-1], "commands of a batch"),
        (lambda replies: [*replies, {}], "commands of a batch"),
        (lambda replies: [{} for _ in replies], "no 'info' in it"),
        (lambda replies: [None for _ in replies], "cannot be read"),
        (lambda replies: {"0": replies}, "cannot be read"),
    ],
)
def test_tick_with_wrong_number_or_kind_of_replies_changes_nothing(
    site: Site, edit: Callable[[list[Any]], Any], says: str
) -> None:
    site.move()
    site.stub.edit = edit
    assert_nothing_lost(site, site.sync.tick(), says)
    site.assert_recovers()


def test_tick_with_missing_presence_replies_changes_nothing(site: Site) -> None:
    site.move()
    site.stub.edit = lambda replies: replies[:1] if "presence" in replies[0] else replies
    assert_nothing_lost(site, site.sync.tick(), "answered 1 of 3 commands")
    site.assert_recovers()


def test_tick_with_error_for_one_channel_updates_the_others(site: Site) -> None:
    site.move()
    site.stub.edit = first_is_error
    report = site.sync.tick()
    assert (report.errors, report.changed) == (1, 1)
    assert report.failures[0].startswith(f"{OTHER}: Centrifugo answered error 100")
    assert (site.ids(), site.ids(OTHER)) == (["ada"], ["mia"])
    site.assert_recovers()


def test_tick_after_overlong_body_reads_the_right_answer(site: Site) -> None:
    """The rest of a body that is longer than announced must not be read as the next answer."""
    site.move()
    site.stub.mode, site.stub.only = promised_shorter, {"presence"}
    site.sync.tick()
    site.assert_recovers()


def test_tick_without_centrifugo_changes_nothing_and_names_the_url(site: Site) -> None:
    site.move()
    gateway = Gateway(HttpTransport(f"http://127.0.0.1:{servers.free_port()}/api", "key"))
    options = Options(grace=0.0)
    report = Sync(site.store, gateway, options, announce=lambda *_: None).tick()
    assert_nothing_lost(site, report, "CENTRIFUGO_API_URL")
    site.assert_recovers()


def test_tick_with_ten_thousand_members_in_one_answer_reads_all(site: Site) -> None:
    for n in range(10_000):
        site.stub.centrifugo.enter(OTHER, f"d{n}", f"u{n}", f"User {n} \U0001f600", iat=1.0)
    report = site.sync.tick()
    assert (report.errors, report.joins, report.members) == (0, 10_000, 10_003)
    assert site.stub.centrifugo.delivered[OTHER][-1]["type"] == "presence.reload"


def test_gateway_calls_on_bad_answers_raise_documented_errors(site: Site) -> None:
    site.stub.mode = MODES["gzip"][0]
    gateway: Any = site.sync.gateway
    for call in (
        lambda: gateway.survey(["*"]),
        lambda: gateway.presence([ROOM]),
        lambda: gateway.recount(ROOM),
        lambda: gateway.positions([ROOM]),
        lambda: gateway.versions(),
    ):
        with pytest.raises(CentrifugoError):
            call()
