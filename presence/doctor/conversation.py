"""Commands to Centrifugo over its websocket, as a browser sends them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from websockets.typing import Origin


class Conversation(msgspec.Struct):
    """Answers of Centrifugo: the code of each reply (0 is success) in the order of the commands,
    and the pushes in between.

    There are fewer codes than commands if Centrifugo ended the connection, with the disconnect code
    `closed` and a `reason`. `status` is the HTTP status if the URL is not a websocket. `greeting`
    is the result of the command `connect`.
    """

    codes: list[int] = []
    greeting: dict[str, Any] = {}
    pushes: list[dict[str, Any]] = []
    closed: int | None = None
    reason: str = ""
    status: int | None = None

    def pushed(self, kind: str) -> set[str]:
        """Return the channels that had a push of this kind ("pub", "join" or "leave")."""
        return {push.get("channel", "") for push in self.pushes if kind in push}


Then = Callable[[Conversation], Collection[str]]


def converse(
    url: str,
    commands: Sequence[dict[str, Any]],
    *,
    timeout: float,
    origin: str | None = None,
    then: Then | None = None,
) -> Conversation:
    """Connect, send each command after the answer to the one before, and close.

    After the last answer, `then` is called, and a publication on each channel that it returns is
    awaited. Raises OSError (TimeoutError after `timeout` seconds) or
    websockets.WebSocketException when `url` cannot be reached, and what `then` raises.
    """
    heard = Conversation()
    ends = time.monotonic() + timeout
    try:
        with connect(
            url,
            origin=cast("Origin | None", origin),
            open_timeout=timeout,
            close_timeout=timeout,
            proxy=None,
        ) as socket:
            for number, command in enumerate(commands, start=1):
                socket.send(json.dumps({"id": number, **command}))
                _hear(socket, heard, ends, replies=number)
            if then:
                _hear(socket, heard, ends, published=then(heard))
    except InvalidStatus as error:
        heard.status = error.response.status_code
    except ConnectionClosed as error:
        closed = error.rcvd
        heard.closed, heard.reason = (closed.code, closed.reason) if closed else (1006, "")
    return heard


def _hear(
    socket: ClientConnection,
    heard: Conversation,
    ends: float,
    *,
    replies: int = 0,
    published: Collection[str] = (),
) -> None:
    """Read until there are as many replies, and a publication on each channel of `published`.

    Raises ConnectionClosed, and TimeoutError at `ends` by time.monotonic.
    """
    while len(heard.codes) < replies or not heard.pushed("pub").issuperset(published):
        message = socket.recv(timeout=max(0.0, ends - time.monotonic()))
        # One frame may hold several replies and pushes, a line each.
        for line in message.splitlines():
            reply = json.loads(line)
            if "id" in reply:
                heard.codes.append(reply.get("error", {}).get("code", 0))
                heard.greeting = reply.get("connect", heard.greeting)
            elif "push" in reply:
                heard.pushes.append(reply["push"])
