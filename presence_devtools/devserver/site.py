"""Asks the site, over HTTP, what the publish proxy has to ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import aiohttp

from .config import ProxySection


class Site:
    """The endpoint of a proxy. To be used and closed within one event loop."""

    def __init__(self, options: ProxySection, say: Callable[[str], None]) -> None:
        self._options = options
        self._passed_on = [name.lower() for name in options.http_headers]
        self._say = say
        self._trouble = ""
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, question: bytes, headers: Mapping[str, str]) -> bytes | None:
        """The body of the answer, None if there is none to be used, of which a line is said.

        `headers` are those the client came with; only the configured ones are passed on.
        """
        try:
            async with self._client().post(
                self._options.endpoint, data=question, headers=self._headers(headers)
            ) as response:
                body = await response.read()
                trouble = "" if response.status == 200 else f"status {response.status}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            trouble = str(error) or type(error).__name__
        self._tell(trouble)
        return None if trouble else body

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._options.timeout),
            )
        return self._session

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        """The client's over the static ones, whatever their case."""
        headers = {name.lower(): value for name, value in self._options.http.static_headers.items()}
        lowered = {name.lower(): value for name, value in given.items()}
        headers |= {name: lowered[name] for name in self._passed_on if name in lowered}
        return headers | {"content-type": "application/json"}

    def _tell(self, trouble: str) -> None:
        """Say what is wrong when it begins or changes: moves come by the hundred."""
        if trouble and trouble != self._trouble:
            self._say(f"publish proxy: no answer from {self._options.endpoint}: {trouble}")
        self._trouble = trouble
