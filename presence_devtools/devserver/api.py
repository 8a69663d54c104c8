"""The HTTP API without HTTP: a request's bytes in, a reply's bytes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from . import api_wire as wire
from .codes import API_NOT_FOUND, BAD_REQUEST, RefusedError
from .methods import Methods
from .node import Node
from .wire import escape

T = TypeVar("T", bound=msgspec.Struct)
Handler = Callable[[Methods, Any], Any]

METHODS: dict[str, tuple[type[msgspec.Struct], Handler]] = {
    "publish": (wire.PublishRequest, Methods.publish),
    "broadcast": (wire.BroadcastRequest, Methods.broadcast),
    "subscribe": (wire.SubscribeRequest, Methods.subscribe),
    "unsubscribe": (wire.UnsubscribeRequest, Methods.unsubscribe),
    "disconnect": (wire.DisconnectRequest, Methods.disconnect),
    "history": (wire.HistoryRequest, Methods.history),
    "history_remove": (wire.ChannelRequest, Methods.history_remove),
    "presence": (wire.ChannelRequest, Methods.presence),
    "presence_stats": (wire.ChannelRequest, Methods.presence_stats),
    "info": (wire.InfoRequest, Methods.info),
    "rpc": (wire.RpcRequest, Methods.rpc),
    "refresh": (wire.RefreshRequest, Methods.refresh),
    "channels": (wire.ChannelsRequest, Methods.channels),
}


class Api:
    """Answers requests by name."""

    def __init__(self, node: Node) -> None:
        self._methods = Methods(node)

    def call(self, method: str, body: bytes) -> bytes:
        """The reply to the request `body`, both JSON.

        Raises KeyError for an unknown method, msgspec.DecodeError for a body that is no request.
        """
        if method == "batch":
            return self._batch(_decode(body, wire.BatchRequest))
        kind, handler = METHODS[method]
        request = _decode(body, kind)
        return escape(msgspec.json.encode(self._answer(handler, request)))

    def _answer(self, handler: Handler, request: Any) -> wire.Response:
        try:
            return wire.Response(result=handler(self._methods, request))
        except RefusedError as error:
            return wire.Response(error=error.error)

    def _batch(self, request: wire.BatchRequest) -> bytes:
        """Replies in the order of the commands; without commands, without replies."""
        if not request.commands:
            return b"{}"
        replies = [self._reply(command) for command in request.commands]
        return escape(msgspec.json.encode({"replies": replies}))

    def _reply(self, command: wire.Command | None) -> dict[str, Any]:
        if command is None:
            return {"error": BAD_REQUEST}
        for method in command.__struct_fields__:
            request = getattr(command, method)
            if request is not None:
                response = self._answer(METHODS[method][1], request)
                return {"error": response.error} if response.error else {method: response.result}
        return {"error": API_NOT_FOUND}


def _decode(body: bytes, kind: type[T]) -> T:
    """A request. Go takes null for one without any field set."""
    return msgspec.json.decode(body, type=kind | None) or kind()
