"""A proxy in front of the API of Centrifugo, with the faults of proxies."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


class Upstream:
    """Address of the API. Its `fault` says how it answers: "" as Centrifugo does, with a status
    such as "500" or "429", with the "html" of a proxy, with "half" of the body, in a "drip" of one
    byte each 0.2 seconds, after it passed the request on; or with the "wrong key".

    With `reset_idle`, it closes each connection after its first reply, without telling.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.fault = ""
        self.reset_idle = False
        self.faults = 0
        self.done = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.upstream = self
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.done.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    upstream: Upstream

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are expected."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        upstream = self.server.upstream
        fault = upstream.fault
        upstream.faults += bool(fault)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if fault.isdigit():
            self._reply(int(fault), b"no", "text/plain")
        elif fault == "html":
            self._reply(200, HTML, "text/html")
        else:
            self._reply(*self._forwarded(body, fault), "application/json", fault)
        if upstream.reset_idle:
            self.close_connection = True

    def _forwarded(self, body: bytes, fault: str) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        headers["X-API-Key"] = "wrong" if fault == "wrong key" else self.headers["X-API-Key"]
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.server.upstream.target, timeout=60)
        ) as centrifugo:
            try:
                centrifugo.request("POST", self.path, body, headers)
                response = centrifugo.getresponse()
                return response.status, response.read()
            except OSError:
                return 502, HTML

    def _reply(self, status: int, body: bytes, kind: str, fault: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "half":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault == "drip":
            for byte in body:
                self.wfile.write(bytes([byte]))
                if self.server.upstream.done.wait(0.2):
                    break
        else:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def upstream(target: int) -> Iterator[Upstream]:
    made = Upstream(target)
    try:
        yield made
    finally:
        made.close()
