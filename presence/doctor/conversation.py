"""Commands to Centrifugo over its websocket, as a browser sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

import aiohttp
import msgspec

__all__ = ["Conversation", "converse"]


class Conversation(msgspec.Struct):
    """Answers of Centrifugo: the code of each reply (0 is success) in the order of the commands,
    and the pushes in between.

    There are fewer codes than commands if Centrifugo ended the connection, with the disconnect code
    `closed` and a `reason`. `status` is the HTTP status if the URL is not a websocket.
    """

    codes: list[int] = []
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

    After the last answer, `then` is called in a thread, and a publication on each channel that it
    returns is awaited. Raises OSError (TimeoutError after `timeout` seconds) or
    aiohttp.ClientError when `url` cannot be reached, and what `then` raises.
    """
    return asyncio.run(_converse(url, commands, timeout, origin, then))


async def _converse(
    url: str,
    commands: Sequence[dict[str, Any]],
    timeout: float,
    origin: str | None,
    then: Then | None,
) -> Conversation:
    heard = Conversation()
    try:
        async with (
            asyncio.timeout(timeout),
            aiohttp.ClientSession() as session,
            session.ws_connect(url, origin=origin) as socket,
        ):
            for number, command in enumerate(commands, start=1):
                await socket.send_str(json.dumps({"id": number, **command}))
                if not await _hear(socket, heard, replies=number):
                    return heard
            if then:
                channels = await asyncio.to_thread(then, heard)
                await _hear(socket, heard, published=channels)
    except aiohttp.WSServerHandshakeError as error:
        heard.status = error.status
    return heard


async def _hear(
    socket: aiohttp.ClientWebSocketResponse,
    heard: Conversation,
    *,
    replies: int = 0,
    published: Collection[str] = (),
) -> bool:
    """Read until there are as many replies, and a publication on each channel of `published`.

    Returns False if the connection ends before.
    """
    while len(heard.codes) < replies or not heard.pushed("pub").issuperset(published):
        message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            heard.closed, heard.reason = socket.close_code, str(message.extra or "")
            return False
        # One frame may hold several replies and pushes, a line each.
        for line in message.data.splitlines():
            reply = json.loads(line)
            if "id" in reply:
                heard.codes.append(reply.get("error", {}).get("code", 0))
            elif "push" in reply:
                heard.pushes.append(reply["push"])
    return True
