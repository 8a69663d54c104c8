"""A few words with Centrifugo over its websocket, as a browser would have them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

__all__ = ["Conversation", "converse"]


class Conversation(msgspec.Struct):
    """How Centrifugo answered: the code of each reply (0 is success) in the order of the commands.

    It is shorter than the commands when Centrifugo ended the connection, with the disconnect code
    `closed` and a `reason`. `status` is the HTTP status when it is no websocket at all.
    """

    codes: list[int] = []
    closed: int | None = None
    reason: str = ""
    status: int | None = None


def converse(
    url: str, commands: Sequence[dict[str, Any]], *, timeout: float, origin: str | None = None
) -> Conversation:
    """Connect, send each command once the one before is answered, and close.

    Raises OSError (TimeoutError after `timeout` seconds) or aiohttp.ClientError when `url` cannot
    be reached.
    """
    return asyncio.run(_converse(url, commands, timeout, origin))


async def _converse(
    url: str, commands: Sequence[dict[str, Any]], timeout: float, origin: str | None
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
                if not await _hear(socket, number, heard):
                    break
    except aiohttp.WSServerHandshakeError as error:
        heard.status = error.status
    return heard


async def _hear(socket: aiohttp.ClientWebSocketResponse, number: int, heard: Conversation) -> bool:
    """Wait for the reply to command `number`; False if the connection ends instead."""
    while True:
        message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            heard.closed, heard.reason = socket.close_code, str(message.extra or "")
            return False
        # One frame may hold several replies and pushes, a line each.
        for line in message.data.splitlines():
            reply = json.loads(line)
            if reply.get("id") == number:
                heard.codes.append(reply.get("error", {}).get("code", 0))
                return True
