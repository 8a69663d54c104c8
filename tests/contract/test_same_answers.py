"""One conversation with both servers: what they answer is the same, key for key and in order."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from presence_devtools import servers
from tests.contract.clients import token

pytestmark = pytest.mark.asyncio

ROOM, CURSORS = "presence:same", "cursors:same"
PLACE = {"x": 0.25, "y": 0.75}

OPENING: list[dict[str, Any]] = [
    {"connect": {"token": token("7", info={"name": "Ada"}, channels=["session:a.b"])}},
    {"subscribe": {"channel": ROOM, "token": token("7", channel=ROOM, info={"name": "A"})}},
    {"subscribe": {"channel": CURSORS, "token": token("7", channel=CURSORS)}},
]

COMMANDS: list[dict[str, Any]] = [
    {"subscribe": {"channel": "presence:b"}},
    {"subscribe": {"channel": "presence:b", "token": "a.b.c"}},
    {"subscribe": {"channel": "presence:b", "token": token("8", channel="presence:b")}},
    {"subscribe": {"channel": "presence:b", "token": token("7", channel=CURSORS)}},
    {"subscribe": {"channel": "presence:b", "token": token("7", channel="presence:b", exp=1)}},
    {"subscribe": {"channel": ROOM, "token": token("7", channel=ROOM)}},
    {"subscribe": {"channel": "nowhere:a", "token": token("7", channel="nowhere:a")}},
    {"subscribe": {"channel": "x" * 300, "token": token("7", channel="x" * 300)}},
    {"subscribe": {"channel": ""}},
    {"publish": {"channel": ROOM, "data": {"type": "diff"}}},
    {"publish": {"channel": CURSORS, "data": PLACE}},
    {"publish": {"channel": CURSORS, "data": [1]}},
    {"publish": {"channel": CURSORS}},
    {"publish": {"channel": "cursors:other", "data": PLACE}},
    {"presence": {"channel": ROOM}},
    {"presence": {"channel": CURSORS}},
    {"presence_stats": {"channel": ROOM}},
    {"presence_stats": {"channel": CURSORS}},
    {"history": {"channel": ROOM, "limit": 5}},
    {"history": {"channel": CURSORS, "limit": 5}},
    {"sub_refresh": {"channel": ROOM, "token": token("8", channel=ROOM)}},
    {"refresh": {"token": token("8")}},
    {"rpc": {"method": "any"}},
    {"unsubscribe": {"channel": CURSORS}},
    {"unsubscribe": {"channel": "presence:b"}},
    {"ping": {}},
    {"nonsense": {}},
]
"""What a client asks after OPENING, each in a connection of its own."""

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("publish", {"channel": ROOM, "data": {"v": 1}, "idempotency_key": "one"}),
    ("publish", {"channel": ROOM, "data": {"v": 1}, "idempotency_key": "one"}),
    ("publish", {"channel": ROOM, "data": {"v": 2}, "version": 2, "version_epoch": "e"}),
    ("publish", {"channel": ROOM, "data": {"v": 1}, "version": 1, "version_epoch": "e"}),
    ("publish", {"channel": ROOM, "data": {"v": 3}, "skip_history": True}),
    ("publish", {"channel": ROOM}),
    ("publish", {"data": {}}),
    ("publish", {"channel": "nowhere:a", "data": {}}),
    ("history", {"channel": ROOM, "limit": 9}),
    ("history", {"channel": ROOM}),
    ("history", {"channel": CURSORS, "limit": 9}),
    ("presence", {"channel": ROOM}),
    ("presence", {"channel": "session:a.b"}),
    ("presence", {"channel": "roster:a"}),
    ("presence_stats", {"channel": ROOM}),
    ("channels", {"pattern": "presence:*"}),
    ("channels", {"pattern": "presence:["}),
    ("unsubscribe", {"channel": ROOM, "user": ""}),
    ("disconnect", {"user": ""}),
    ("batch", {"commands": [{"presence": {"channel": ROOM}}, {"nonsense": {}}]}),
    ("batch", {"commands": [{"presence": {"channel": ROOM}}] * 2, "parallel": True}),
    ("unsubscribe", {"channel": ROOM, "user": "7"}),
    ("disconnect", {"user": "7", "disconnect": {"code": 4501, "reason": "signed out"}}),
]
"""What the site calls while that client is connected."""


class Conversation:
    """What a client and the site hear from one server, without what is random.

    A push may come before or after the reply to the command that causes it, so `pushes` are kept
    apart from `answers`.
    """

    def __init__(self, server: servers.Centrifugo, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session
        self._names: dict[str, str] = {}
        self.answers: list[str] = []
        self.pushes: list[str] = []

    async def hold(self) -> None:
        for command in COMMANDS:
            self.answers.append(f"> {command}")
            async with self._session.ws_connect(self._server.ws_url) as socket:
                await self._send(socket, [*OPENING, command])
        self.pushes.clear()  # they may be cut off by the end of a connection
        async with self._session.ws_connect(self._server.ws_url) as socket:
            await self._send(socket, OPENING)
            for method, call in CALLS:
                self.answers.append(f"> {method} {call}")
                await self._call(method, call)
            await self._hear(socket, until=None)

    async def _send(
        self, socket: aiohttp.ClientWebSocketResponse, commands: list[dict[str, Any]]
    ) -> None:
        for number, command in enumerate(commands, 1):
            await socket.send_str(json.dumps({"id": number, **command}))
            await self._hear(socket, until=number)

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse, *, until: int | None) -> None:
        """Keep what comes until the reply to a command, or the end of the connection."""
        number = 0
        while number != until:
            message = await asyncio.wait_for(socket.receive(), 10)
            if message.type is not aiohttp.WSMsgType.TEXT:
                self.answers.append(f"closed: {message.data} {message.extra}")
                return
            for line in message.data.splitlines():
                number = max(number, json.loads(line).get("id", 0))
                (self.answers if '"id":' in line else self.pushes).append(self._same(line))

    async def _call(self, method: str, call: dict[str, Any]) -> None:
        headers = {"X-API-Key": servers.API_KEY}
        url = f"{self._server.api_url}/{method}"
        async with self._session.post(url, json=call, headers=headers) as response:
            text = self._same(await response.text())
            self.answers.append(f"{response.status} {response.headers['Content-Type']} {text}")

    def _same(self, text: str) -> str:
        """Name ids and epochs by the order in which they came; leave out times and the version."""

        def name(match: re.Match[str]) -> str:
            return self._names.setdefault(match[0], f"<{len(self._names)}>")

        text = re.sub(r'"version":"[^"]*"', '"version":_', text)
        text = re.sub(r'"time":\d+', '"time":_', text)
        text = re.sub(r'(?<="epoch":)"[A-Za-z]+"', name, text)
        return re.sub(r'"[0-9a-f]{8}-[0-9a-f-]{27}"', name, text)


async def conversation(directory: Path, *, devserver: bool) -> Conversation:
    directory.mkdir()
    with servers.centrifugo_server(directory, devserver=devserver) as server:
        async with aiohttp.ClientSession() as session:
            held = Conversation(server, session)
            await held.hold()
            return held


@pytest.mark.skipif(
    not servers.centrifugo_binary(), reason="no Centrifugo: `make centrifugo` installs it"
)
async def test_both_servers_answer_the_same(tmp_path: Path) -> None:
    real = await conversation(tmp_path / "real", devserver=False)
    substitute = await conversation(tmp_path / "devserver", devserver=True)
    assert substitute.answers == real.answers
    assert substitute.pushes == real.pushes
    assert len(real.pushes) == 5  # a join, three publications, the end of a subscription
