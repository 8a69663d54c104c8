"""Websocket of a session, with aiohttp: a bounded queue of messages and its writer."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from itertools import islice

from aiohttp import WSMessage, WSMsgType, web

from .codes import CONNECTION_CLOSED, SLOW, WRITE_ERROR, Disconnect
from .node import Node
from .session import Session
from .site import Site

MESSAGES_IN_FRAME = 16
# Seconds for a refused client to close, and for any client to answer a close frame.
LAST_WORDS = 5.0


class WebSocketTransport:
    """Queues messages and writes them in order, several in a frame if they pile up."""

    def __init__(
        self, node: Node, site: Site, request: web.Request, socket: web.WebSocketResponse
    ) -> None:
        self.session = Session(node, self)
        self._site = site
        self._request = request
        self._socket = socket
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._most = node.config.client.queue_max_size
        self._write_timeout = node.config.websocket.write_timeout
        self._wake = asyncio.Event()
        self._disconnect: Disconnect | None = None

    def send(self, message: bytes) -> None:
        self._queue.append(message)
        self._queued += len(message)
        self._wake.set()
        if self._queued > self._most > 0:
            self.session.close(SLOW)

    def close(self, disconnect: Disconnect) -> None:
        if self._disconnect is None:
            self._disconnect = disconnect
            self._wake.set()

    async def serve(self) -> None:
        """Read and write until either side closes; then close the session."""
        writer = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            self.session.close(CONNECTION_CLOSED)
            await writer

    async def _read(self) -> None:
        """Read until the client closes, or is refused and does not close in time."""
        listening = True
        with contextlib.suppress(TimeoutError):
            while True:
                wait = None if listening else LAST_WORDS
                message: WSMessage = await self._socket.receive(timeout=wait)
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    return
                if listening:
                    data = message.data
                    frame = data.encode() if isinstance(data, str) else data
                    listening = await self._receive(frame)

    async def _receive(self, frame: bytes) -> bool:
        """Execute a frame. While the site is asked about one of its commands, nothing is read."""
        inbox = self.session.inbox
        listening = inbox.receive(frame)
        while (question := inbox.question) is not None:
            listening = inbox.answer(await self._site.ask(question, self._request.headers))
        return listening

    async def _write(self) -> None:
        """Write until the session is closed, then the rest of the queue, then the close frame."""
        try:
            while self._disconnect is None:
                await self._wake.wait()
                self._wake.clear()
                await self._flush()
        except (TimeoutError, ConnectionError):
            self.session.close(WRITE_ERROR)
        if self._disconnect is not None and self._disconnect is not CONNECTION_CLOSED:
            await self._hang_up(self._disconnect)

    async def _flush(self) -> None:
        while self._queue and self._disconnect not in (SLOW, CONNECTION_CLOSED):
            batch = list(islice(self._queue, MESSAGES_IN_FRAME))
            for message in batch:
                self._queue.popleft()
                self._queued -= len(message)
            text = b"\n".join(batch).decode(errors="replace")
            await asyncio.wait_for(self._socket.send_str(text), self._write_timeout)

    async def _hang_up(self, disconnect: Disconnect) -> None:
        """Send the close frame. Abort the connection of a client that does not read."""
        patience = self._write_timeout if disconnect in (SLOW, WRITE_ERROR) else LAST_WORDS
        closing = self._socket.close(
            code=disconnect.code, message=disconnect.reason.encode(), drain=False
        )
        try:
            await asyncio.wait_for(closing, patience)
        except (TimeoutError, ConnectionError):
            if self._request.transport is not None:
                self._request.transport.abort()
