"""Real websocket connections in a process of their own, so that they do not slow what is measured.

Each connection is one user, subscribed by the server to the channels of its token. The parent
speaks to the process over its standard input, one JSON command a line, and gets one JSON line back
for each, once the server has confirmed everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import jwt

AT_ONCE = 200
"""Handshakes under way at one time."""


class Crowd:
    """The parent's side: makes and replaces connections."""

    def __init__(self, url: str, secret: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.crowd", url, secret],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parent.parent,
            text=True,
        )

    def connect(self, users: dict[str, list[str]]) -> float:
        """Connect each user to their channels; the seconds it took. Known users are replaced."""
        return float(self._ask({"connect": users}))

    def disconnect(self, users: list[str]) -> float:
        """Close the connections of the users; the seconds it took."""
        return float(self._ask({"disconnect": users}))

    def close(self) -> None:
        """End the process and, with it, every connection."""
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(30)

    def _ask(self, command: dict[str, Any]) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        print(json.dumps(command), file=stdin, flush=True)
        answer = stdout.readline()
        if not answer:
            raise RuntimeError("the crowd's process ended: see its error output")
        return json.loads(answer)


class _Connections:
    """The child's side."""

    def __init__(self, session: aiohttp.ClientSession, url: str, secret: str) -> None:
        self._session, self._url, self._secret = session, url, secret
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._open: dict[str, tuple[aiohttp.ClientWebSocketResponse, asyncio.Task[None]]] = {}

    async def connect(self, users: dict[str, list[str]]) -> None:
        await asyncio.gather(*(self._connect(user, users[user]) for user in users))

    async def disconnect(self, users: list[str]) -> None:
        await asyncio.gather(*(self._close(user) for user in users))

    async def _connect(self, user: str, channels: list[str]) -> None:
        info = {"name": f"User {user}", "info": {"color": "#4363d8"}, "iat": time.time()}
        claims = {"sub": user, "exp": time.time() + 86400, "channels": channels, "info": info}
        token = jwt.encode(claims, self._secret, "HS256")
        async with self._gate:
            await self._close(user)
            socket = await self._session.ws_connect(self._url, autoping=True, max_msg_size=0)
            await socket.send_str(json.dumps({"id": 1, "connect": {"token": token}}))
            reply = json.loads((await socket.receive_str()).split("\n")[0])
            if "connect" not in reply:
                raise RuntimeError(f"{self._url} refused {user}: {reply}")
        self._open[user] = (socket, asyncio.create_task(self._pong(socket)))

    async def _pong(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT and "{}" in message.data.split("\n"):
                await socket.send_str("{}")

    async def _close(self, user: str) -> None:
        socket, task = self._open.pop(user, (None, None))
        if socket is None or task is None:
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await socket.close()


async def _serve(url: str, secret: str) -> None:
    loop = asyncio.get_running_loop()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        crowd = _Connections(session, url, secret)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            ((what, users),) = json.loads(line).items()
            started = time.monotonic()
            await getattr(crowd, what)(users)
            print(json.dumps(time.monotonic() - started), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2]))
