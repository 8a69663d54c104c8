"""A server that answers for Centrifugo with one room of any size, from bytes made beforehand.

Only what a tick asks for: info, channels, presence, history and publish.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CHANNEL = "presence:replayed"


@contextmanager
def replaying(size: int) -> Iterator[str]:
    """The API URL of a server with `size` clients in CHANNEL, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.replay", str(size)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parent.parent,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/api"
    finally:
        process.terminate()
        process.wait(30)


def answers(size: int) -> dict[str, bytes]:
    """The reply to each method."""
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
        "channels": {"channels": {CHANNEL: {"num_clients": size}}},
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
        """Nothing."""


if __name__ == "__main__":
    _Handler.replies = answers(int(sys.argv[1]))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
