"""The load of a bench: real websocket connections, or one room whose presence is replayed.

Each is a process of its own. A connection is one user, subscribed by the server to the channels of
its token, and as cheap as it can be made: it answers a ping that comes alone, and throws away
everything else that it is sent (see `config` in site.py), because a crowd that looked into its
messages would take the processor from what is measured. The parent writes one JSON command a line
to a process of the crowd, and reads one JSON line back once the server has confirmed everything.

A replayed room can be larger than any crowd: its process answers for Centrifugo from bytes made
beforehand, and only what a tick asks for: info, channels, presence, history and publish.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

import jwt

from presence_devtools.servers import ROOT

AT_ONCE = 100
"""Handshakes at the same time."""

QUIET = 0.15
"""Seconds without a byte after which a crowd has got everything that was sent to it."""

CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"
PING = b"\x81\x02{}"
PONG = b"\x81\x82\0\0\0\0{}"


class Crowd:
    """Parent of the processes: opens and closes connections, spread over `processes`."""

    def __init__(self, url: str, secret: str, *, processes: int = 1) -> None:
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "bench.crowd", url, secret],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                text=True,
            )
            for _ in range(processes)
        ]
        self.url = url
        self.users: dict[str, list[str]] = {}

    def connect(self, users: dict[str, list[str]]) -> None:
        """Connect each user to their channels."""
        self._ask("connect", users)
        self.users |= users

    def disconnect(self, users: list[str]) -> None:
        """Close the connections of the users."""
        self._ask("disconnect", {user: [] for user in users})
        for user in users:
            del self.users[user]

    def settle(self) -> None:
        """Wait until everything sent was received. Raises RuntimeError if any was cut off."""
        still = sum(self._ask("settle", {}))
        if still != len(self.users):
            raise RuntimeError(f"{len(self.users) - still} connections were cut off")

    def close(self) -> None:
        """End the processes and, with them, every connection."""
        for process in self._processes:
            process.stdin.close()  # type: ignore[union-attr]
        for process in self._processes:
            process.wait(60)

    def _ask(self, what: str, users: dict[str, list[str]]) -> list[int]:
        count = len(self._processes)
        for number, process in enumerate(self._processes):
            mine = {u: c for u, c in users.items() if crc32(u.encode()) % count == number}
            print(json.dumps({what: mine}), file=process.stdin, flush=True)
        answers = [process.stdout.readline() for process in self._processes]  # type: ignore[union-attr]
        if not all(answers):
            raise RuntimeError("a process of the crowd ended: see its error output")
        return [int(answer) for answer in answers]


class _Connection(asyncio.BufferedProtocol):
    buffer = memoryview(bytearray(1 << 18))  # shared by all: nothing is kept
    received_at = 0.0

    def __init__(self, path: str, token: str) -> None:
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._path, self._token, self._tail = path, token, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )

    def get_buffer(self, _: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        _Connection.received_at = time.monotonic()
        if self.connected.done():
            if count == len(PING) and self.buffer[:count] == PING:
                self.transport.write(PONG)
            return
        data = self._tail + bytes(self.buffer[:count])
        if b" 101 " in data and self._token:
            connect = json.dumps({"id": 1, "connect": {"token": self._token}}).encode()
            self._token = ""
            # Masked, as the protocol demands, with a mask that changes nothing.
            self.transport.write(b"\x81\xfe" + len(connect).to_bytes(2) + bytes(4) + connect)
        elif b'"connect":' in data:
            self.connected.set_result(None)
        else:
            self._tail = data

    def connection_lost(self, _: Exception | None) -> None:
        self.closed.set_result(None)
        if not self.connected.done():
            self.connected.set_exception(RuntimeError(f"refused: {self._tail[:300]!r}"))


class _Connections:
    """Child process. It answers each command with the number of its open connections."""

    def __init__(self, url: str, secret: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._path, self._secret = address.path, secret
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._open: dict[str, _Connection] = {}

    async def connect(self, users: dict[str, list[str]]) -> None:
        await asyncio.gather(*(self._connect(user, users[user]) for user in users))

    async def disconnect(self, users: dict[str, Any]) -> None:
        leaving = [self._open.pop(user) for user in users]
        for connection in leaving:
            connection.transport.write(CLOSE)
        await asyncio.gather(*(connection.closed for connection in leaving))

    async def settle(self, _: dict[str, Any]) -> None:
        while (left := _Connection.received_at + QUIET - time.monotonic()) > 0:
            await asyncio.sleep(left)

    def count(self) -> int:
        return sum(not connection.closed.done() for connection in self._open.values())

    async def _connect(self, user: str, channels: list[str]) -> None:
        info = {"name": f"User {user}", "info": {"color": "#4363d8"}, "iat": time.time()}
        claims = {"sub": user, "exp": time.time() + 86400, "channels": channels, "info": info}
        token = jwt.encode(claims, self._secret, "HS256")
        loop = asyncio.get_running_loop()
        async with self._gate:
            _, connection = await loop.create_connection(
                lambda: _Connection(self._path, token), self._host, self._port
            )
            await connection.connected
        self._open[user] = connection


async def _serve(url: str, secret: str) -> None:
    loop = asyncio.get_running_loop()
    crowd = _Connections(url, secret)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        ((what, users),) = json.loads(line).items()
        await getattr(crowd, what)(users)
        print(crowd.count(), flush=True)


REPLAYED = "presence:replayed"


@contextmanager
def replaying(size: int) -> Iterator[str]:
    """Run a server with `size` clients in REPLAYED, in a process of its own; yields its API URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.crowd", "replay", str(size)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/api"
    finally:
        process.terminate()
        process.wait(30)


def answers(size: int) -> dict[str, bytes]:
    """Return the reply to each method."""
    clients = {
        f"{n:08x}-0000-4000-8000-000000000000": {
            "client": f"{n:08x}-0000-4000-8000-000000000000",
            "user": f"u{n}",
            "conn_info": {"name": f"User u{n}", "info": {"color": "#4363d8"}, "iat": 1.8e9},
        }
        for n in range(size)
    }
    results = {
        "info": {"nodes": [{"uid": "replay", "name": "replay", "version": "replay"}]},
        "channels": {"channels": {REPLAYED: {"num_clients": size}}},
        "presence": {"presence": clients},
        "history": {"publications": [], "epoch": "replay", "offset": 1},
        "publish": {"epoch": "replay", "offset": 1},
    }
    return {
        method: json.dumps({method: result}, separators=(",", ":")).encode()
        for method, result in results.items()
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    replies: dict[str, bytes]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        methods = [method for command in asked["commands"] for method in command]
        body = b'{"replies":[%s]}' % b",".join(self.replies[method] for method in methods)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _replay(size: int) -> None:
    _Handler.replies = answers(size)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "replay":
        _replay(int(sys.argv[2]))
    else:
        asyncio.run(_serve(sys.argv[1], sys.argv[2]))
