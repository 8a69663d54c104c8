"""Endpoint of a publish proxy, inside the test."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web


class Backend:
    """Answers every request with `answer` and `status`, and keeps the requests.

    `gate` holds the answers back while it is not set; `asked` has the questions that came.
    """

    def __init__(self) -> None:
        self.answer: Any = {"result": {}}
        self.status = 200
        self.questions: list[Any] = []
        self.headers: list[Mapping[str, str]] = []
        self.asked: asyncio.Queue[Any] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = 0
        self.most_under_way = 0
        self.url = ""

    async def start(self, port: int) -> web.AppRunner:
        """Serve at `url`, until the runner is cleaned up."""
        app = web.Application()
        app.router.add_post("/publish", self._handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}/publish"
        return runner

    async def _handle(self, request: web.Request) -> web.Response:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            question = await request.json()
            self.questions.append(question)
            self.headers.append(request.headers)
            self.asked.put_nowait(question)
            await self.gate.wait()
        finally:
            self.under_way -= 1
        if isinstance(self.answer, bytes):
            return web.Response(body=self.answer, status=self.status)
        return web.json_response(self.answer, status=self.status)
