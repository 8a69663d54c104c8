"""HTTP requests of the publish proxy to the site."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import aiohttp

from .config import ProxySection


class Site:
    """Client of a proxy's endpoint, for one event loop."""

    def __init__(self, options: ProxySection, say: Callable[[str], None]) -> None:
        self._options = options
        self._passed_on = [name.lower() for name in options.http_headers]
        self._say = say
        self._trouble = ""
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, question: bytes, headers: Mapping[str, str]) -> bytes | None:
        """Return the body of the answer; None, and a log line, if there is no usable one.

        `headers` are those of the client; only the configured ones are passed on.
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
        """Return the headers to send. Those of the client override static ones, in any case."""
        headers = {name.lower(): value for name, value in self._options.http.static_headers.items()}
        lowered = {name.lower(): value for name, value in given.items()}
        headers |= {name: lowered[name] for name in self._passed_on if name in lowered}
        return headers | {"content-type": "application/json"}

    def _tell(self, trouble: str) -> None:
        """Log a problem when it begins or changes, because moves come by the hundred."""
        if trouble and trouble != self._trouble:
            self._say(f"publish proxy: no answer from {self._options.endpoint}: {trouble}")
        self._trouble = trouble
