"""The running development server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from aiohttp import web

from .clock import LoopClock
from .codes import SHUTDOWN
from .config import Config
from .http import routes
from .node import Node
from .site import Site

SHUTDOWN_TIMEOUT = 5.0


async def serve(config: Config, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then close every connection so that clients reconnect.

    `say` is called with a line when the server listens, and when the site does not answer. Raises
    OSError if the address cannot be used.
    """
    node = Node(config, LoopClock())
    app = web.Application(client_max_size=0)
    site = Site(config.channel.proxy.publish, say)
    app.add_routes(routes(node, site))
    app.on_shutdown.append(lambda _: _close_clients(node))
    app.on_cleanup.append(lambda _: site.close())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        address, port = config.http_server.address, config.http_server.port
        await web.TCPSite(runner, address or None, port, backlog=1024).start()
        say(f"serving websocket and api on http://{address or '0.0.0.0'}:{port}")  # noqa: S104
        await stop.wait()
    finally:
        await runner.cleanup()


async def _close_clients(node: Node) -> None:
    for client in list(node.hub.clients.values()):
        client.close(SHUTDOWN)
