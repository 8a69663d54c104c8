"""HTTP routes of the devserver, with aiohttp: authorisation and status codes."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from .api import METHODS, Api
from .config import Config
from .globs import Glob
from .node import Node
from .site import Site
from .transport import LAST_WORDS, WebSocketTransport

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes(node: Node, site: Site) -> list[web.RouteDef]:
    """Return the routes, at the same paths as Centrifugo's."""
    api = Api(node)
    found = [
        web.route("*", f"/api/{method}", _api_handler(api, method, node.config))
        for method in ("batch", *METHODS)
    ]
    found.append(web.get("/connection/websocket", _websocket_handler(node, site)))
    return found


def _api_handler(api: Api, method: str, config: Config) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        if request.method != "POST":
            return web.Response(status=405)
        if not _authorized(request, config):
            return web.Response(status=401)
        try:
            body = api.call(method, await request.read())
        except (msgspec.DecodeError, UnicodeDecodeError):
            return web.Response(status=400, text="Bad Request\n")
        return web.Response(body=body, content_type="application/json")

    return handle


def _authorized(request: web.Request, config: Config) -> bool:
    """Return whether the API key comes in X-API-Key, or as `Authorization: apikey …`."""
    given = request.headers.get("X-API-Key")
    if not given:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        given = rest.strip() if scheme.lower() == "apikey" else ""
    key = config.http_api.key.encode()
    return bool(key) and hmac.compare_digest(key, given.encode())


def _websocket_handler(node: Node, site: Site) -> Handler:
    origins = [Glob(pattern) for pattern in node.config.client.allowed_origins]

    async def handle(request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin", "").lower()
        if origin and not any(pattern.matches(origin) for pattern in origins):
            return web.Response(status=403, text="Forbidden\n")
        wanted = request.headers.get("Sec-WebSocket-Protocol", "") + request.query_string
        if "protobuf" in wanted:
            return web.Response(status=400, text="The devserver speaks JSON only.\n")
        socket = web.WebSocketResponse(
            protocols=("centrifuge-json",),
            compress=False,
            timeout=LAST_WORDS,
            # aiohttp refuses a message as large as its limit, Centrifugo only a larger one.
            max_msg_size=node.config.websocket.message_size_limit + 1,
        )
        await socket.prepare(request)
        await WebSocketTransport(node, site, request, socket).serve()
        return socket

    return handle
