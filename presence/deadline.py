"""HTTP requests that end in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import requests

__all__ = ["DeadlineSession"]

_JSON = "application/json"


class DeadlineSession(requests.Session):
    """Ends a request that has not been answered whole after `deadline` seconds.

    The timeout of requests is per read: a server that drips its answer would pass it for ever.
    JSON goes out as UTF-8: requests would escape all beyond ASCII, to three times the size, and
    Centrifugo keeps and delivers what it is given.
    """

    def __init__(self, deadline: float, clock: Callable[[], float]) -> None:
        super().__init__()
        self._deadline = deadline
        self._clock = clock

    def post(self, *args: Any, json: Any = None, **kwargs: Any) -> requests.Response:
        ends = self._clock() + self._deadline
        kwargs |= {"data": msgspec.json.encode(json), "headers": {"Content-Type": _JSON}}
        response = super().post(*args, **kwargs, stream=True, allow_redirects=False)
        with response:
            parts = []
            while part := response.raw.read1(1 << 18, decode_content=True):
                parts.append(part)
                if self._clock() > ends:
                    raise requests.exceptions.ReadTimeout(f"no whole answer in {self._deadline} s")
        response._content = b"".join(parts)
        response.encoding = "utf-8"
        return response
