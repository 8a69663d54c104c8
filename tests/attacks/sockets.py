"""A client of Centrifugo that sends whatever it is told to, as an attacker may."""

from __future__ import annotations

import json
import time
from typing import Any

import websockets.exceptions
import websockets.sync.client

PATIENCE = 10.0


class RawClient:
    """A websocket of Centrifugo's JSON protocol. `pushes` has what came without being asked for,
    `lines` every message as it came, without pings."""

    def __init__(self, url: str, **options: Any) -> None:
        self._socket = websockets.sync.client.connect(url, **options).__enter__()
        self._id = 0
        self.pushes: list[dict[str, Any]] = []
        self.lines: list[str] = []

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, command: str, **request: Any) -> dict[str, Any]:
        """Send a command. Returns the reply; `{"closed": code}` where the server hangs up."""
        self._id += 1
        try:
            self._socket.send(json.dumps({"id": self._id, command: request}))
            while True:
                for message in self._receive(PATIENCE):
                    if message.get("id") == self._id:
                        return message
                    self.pushes.append(message)
        except websockets.exceptions.ConnectionClosed as closed:
            return {"closed": closed.rcvd.code if closed.rcvd else 0}

    def connect(self, token: str = "") -> RawClient:
        """Connect, which must succeed."""
        reply = self.ask("connect", token=token)
        assert "connect" in reply, reply
        return self

    def gather(self, seconds: float) -> list[dict[str, Any]]:
        """Return all pushes until now, and those of the next `seconds`."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            try:
                self.pushes += self._receive(left)
            except TimeoutError:
                break
        return self.pushes

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait for so many pushes that have this text in them. Raises TimeoutError."""
        while sum(text in json.dumps(push) for push in self.pushes) < times:
            self.pushes += self._receive(PATIENCE)

    def wait_until_closed(self) -> int:
        """Wait until the server closes the connection. Returns the code. Raises TimeoutError."""
        try:
            while True:
                self.pushes += self._receive(PATIENCE)
        except websockets.exceptions.ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 0

    def _receive(self, timeout: float) -> list[dict[str, Any]]:
        lines = str(self._socket.recv(timeout)).split("\n")
        messages = [json.loads(line) for line in lines if line]
        self.lines += [line for line in lines if line not in ("", "{}")]
        if {} in messages:  # a ping
            self._socket.send("{}")
        return [message for message in messages if message]


def is_refused(reply: dict[str, Any]) -> bool:
    """Return whether the server refused a command, or hung up."""
    return "error" in reply or "closed" in reply
