"""The gateway to Centrifugo's server API: the only importer of cent.

cent stays the client; only what it does with answers is replaced. Its `batch` raises for a whole
batch when one reply is an error and spends ten times the transfer in pydantic, so batches are
decoded here, with msgspec, into one raw reply or one error per command.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import cent
import msgspec
import requests
import urllib3
from cent.dto import BatchRequest, Response
from cent.exceptions import (
    CentError,
    CentNetworkError,
    CentTimeoutError,
    CentTransportError,
    CentUnauthorizedError,
)

from presence.centrifugo import replies
from presence.centrifugo.http import DeadlineSession
from presence.centrifugo.replies import Reply
from presence.exceptions import (
    CentrifugoAnswerError,
    CentrifugoError,
    CentrifugoRefused,
    CentrifugoUnreachable,
)
from presence.roster import channel_names
from presence.roster.types import Position
from presence.transport.calls import Call, TooLarge
from presence.transport.redaction import Redactor, address

__all__ = ["Gateway", "Publication", "Survey"]


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """Something to publish on `feed`: as `version` of `epoch`, at most once."""

    feed: str
    data: msgspec.Raw
    channel: str
    epoch: str
    version: int


class Survey(msgspec.Struct, frozen=True):
    """Centrifugo's nodes by uid, and the clients on each active channel."""

    nodes: frozenset[str]
    clients: dict[str, int]


_NO_URL = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
)
_BROKEN_OFF = (
    CentError,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,
    RecursionError,
)
"""What else cent lets through: an answer that stops half way or cannot be decompressed."""

_CONNECTION_FAILED = (
    CentTimeoutError,
    CentNetworkError,
    requests.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    requests.Timeout,
    urllib3.exceptions.ProtocolError,
)
"""Errors of a connection after which another connection may work."""

_PASSING = (408, 421, 502, 503, 504)
"""Statuses with which a balancer answers for a server that it cannot reach at this moment."""

Command = tuple[str, dict[str, Any]]
"""A method of the server API and its parameters; raw JSON in them is sent as it is."""


class _RawBatch(BatchRequest):
    """A batch of `Command`s whose replies are left as they came.

    cent would copy each command through pydantic, at ten times the cost of sending it.
    """

    @property
    def api_payload(self) -> Any:
        commands = [{method: parameters} for method, parameters in self.requests]
        return {"commands": commands, "parallel": bool(self.parallel)}

    def parse_response(self, content: str) -> Response[Any]:
        methods = [method for method, _ in self.requests]
        return Response.model_construct(result=replies.read_batch(content, methods))


_INFO: Command = ("info", {})


class Gateway:
    """What the sync asks of Centrifugo. Connects at the first call; safe to make at import.

    `timeout` is in seconds, for a whole answer. Every method may raise a CentrifugoError; where a
    list is returned, an error of a single command stands in its place.

    Where a connection was no good, which may only show when it is used again, everything is asked
    once more on a new one in the time that is left: but for `send`, which would deliver twice.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = DeadlineSession(clock)
        self._client = cent.Client(url, key, timeout=timeout, session=self._session)
        self._timeout = timeout
        self._clock = clock
        self._url = address(url)
        # A path or query of the site's own may be a password to its proxy.
        rest = url.partition("://")[2].partition("/")[2] if "://" in url else url
        self._redactor = Redactor(url, words=[key, rest] if rest != "api" else [key])

    def survey(self, patterns: Sequence[str]) -> Survey:
        """The nodes, and the active channels that match any of the `patterns`."""
        asked: list[Command] = [_INFO, *(("channels", {"pattern": p}) for p in patterns)]
        info, *listings = self._replies(asked, parallel=True)
        return Survey(replies.nodes(info), replies.clients(listings))

    def versions(self) -> list[str]:
        """The version of each node."""
        (info,) = self._replies([_INFO])
        return [node.version for node in replies.decode(replies.result(info), replies.Info).nodes]

    def presence(self, channels: Sequence[str]) -> list[Reply]:
        """The raw presence reply of each channel."""
        return self.poll(channels)[0]

    def poll(self, channels: Sequence[str]) -> tuple[list[Reply], frozenset[str]]:
        """The raw presence reply of each channel, and the nodes at the same moment."""
        if not channels:
            return [], frozenset()
        asked: list[Command] = [("presence", {"channel": channel}) for channel in channels]
        *shown, info = self._replies([*asked, _INFO], parallel=True)
        return shown, replies.nodes(info)

    def recount(self, channels: Sequence[str]) -> tuple[list[Reply], Survey]:
        """The raw presence reply of each channel, and the survey of them at the same moment.

        Counted before and after, the lower count holds: while many join or leave, Centrifugo
        counts clients that it does not show yet, or any more.
        """
        counted: list[Command] = [
            ("channels", {"pattern": p}) for p in channel_names.cover(channels)
        ]
        shown: list[Command] = [("presence", {"channel": c}) for c in channels]
        info, *answers = self._replies([_INFO, *counted, *shown, *counted])
        first, last = len(counted), len(counted) + len(shown)
        before, after = replies.clients(answers[:first]), replies.clients(answers[last:])
        clients = {c: min(before.get(c, 0), after.get(c, 0)) for c in channels}
        return answers[first:last], Survey(replies.nodes(info), clients)

    def positions(self, feeds: Sequence[str]) -> list[Position | CentrifugoError]:
        """The top of each feed's stream; asking creates the stream where there is none."""
        asked: list[Command] = [("history", {"channel": feed, "limit": 0}) for feed in feeds]
        return [replies.position(reply) for reply in self._replies(asked, parallel=True)]

    def publish(self, publications: Sequence[Publication]) -> list[Position | CentrifugoError]:
        """Publish one thing on each of several feeds; the position of each.

        Publishing the same version again is neither stored nor delivered: the idempotency key
        sees to it for five minutes, `version` and `version_epoch` for good.
        """
        asked: list[Command] = [
            (
                "publish",
                {
                    "channel": p.feed,
                    "data": p.data,
                    "idempotency_key": f"{p.channel}:{p.epoch}:{p.version}",
                    "version": p.version,
                    "version_epoch": p.epoch,
                },
            )
            for p in publications
        ]
        return [replies.position(reply) for reply in self._replies(asked, parallel=True)]

    def send(self, messages: Sequence[tuple[str, msgspec.Raw]]) -> list[CentrifugoError | None]:
        """Publish data on channels, in order, for whoever listens now: an error, or None, each.

        Publishing it again delivers it again. It is in no history: nobody recovers it later.
        """
        asked: list[Command] = [
            ("publish", {"channel": c, "data": data, "skip_history": True}) for c, data in messages
        ]
        answers = self._replies(asked, once=True)
        return [answer if isinstance(answer, CentrifugoError) else None for answer in answers]

    def _replies(
        self, asked: Sequence[Command], *, parallel: bool = False, once: bool = False
    ) -> list[Reply]:
        """The reply to each command; where presence.testing answers in Centrifugo's place."""
        if not asked:
            return []
        batch = _RawBatch(requests=list(asked), parallel=parallel)
        call = Call(self._timeout, once=once, clock=self._clock)
        try:
            return self._batch(batch, call)
        except TooLarge as error:
            raise CentrifugoAnswerError(
                f"the answer of Centrifugo at {self._url} to {_summary(asked)} {error}: check that "
                "CENTRIFUGO_API_URL is right"
            ) from error
        except CentrifugoError:
            raise
        except _BROKEN_OFF as error:
            raise self._explained(error) from self._redactor.cause(error)

    def _explained(self, error: BaseException) -> CentrifugoError:
        """Which of our errors it is that cent let through."""
        if isinstance(error, CentUnauthorizedError):
            return CentrifugoRefused(
                f"Centrifugo at {self._url} refused the API key: CENTRIFUGO_API_KEY must equal "
                "its http_api.key"
            )
        if isinstance(error, CentTransportError):
            return _status_error(self._url, error.status_code)
        if isinstance(error, CentTimeoutError | CentNetworkError):
            reason = self._redactor.text(_reason(error))
            return CentrifugoUnreachable(
                f"Centrifugo at {self._url} did not answer ({reason}): check that it runs "
                "and that CENTRIFUGO_API_URL is right"
            )
        if isinstance(error, _NO_URL):
            return CentrifugoRefused(
                f"CENTRIFUGO_API_URL ({self._url}) is no URL that can be asked: set it to the API "
                "of Centrifugo, such as http://127.0.0.1:8001/api"
            )
        reason = self._redactor.text(f"{type(error).__name__}: {error}")
        return CentrifugoAnswerError(f"Centrifugo at {self._url} broke off its answer ({reason})")

    def _batch(self, batch: _RawBatch, call: Call) -> list[Reply]:
        try:
            return cast(list[Reply], self._client.batch(batch))
        except (CentTransportError, CentrifugoAnswerError, *_CONNECTION_FAILED) as error:
            final = isinstance(error, CentTransportError) and error.status_code not in _PASSING
            if final or call.once or call.is_over():
                raise
        self._session.close()  # of its connections, what one is the others may be, too
        call.renew()
        return cast(list[Reply], self._client.batch(batch))


def _summary(asked: Sequence[Command]) -> str:
    """Return the name of the request, for errors."""
    methods = ", ".join(dict.fromkeys(method for method, _ in asked))
    names = [str(what.get("channel") or what.get("pattern") or "") for _, what in asked]
    named = [name for name in names if name]
    return f"{len(asked)} commands ({methods}: {', '.join(named[:3])}{', …' * (len(named) > 3)})"


def _reason(error: CentError) -> str:
    """What the operating system said, without the layers of libraries around it."""
    if isinstance(error, CentTimeoutError):
        return "no whole answer in time"
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return str(error)


def _status_error(url: str, status: int) -> CentrifugoError:
    if status in (403, 404, 405) or 300 <= status < 400:
        return CentrifugoRefused(
            f"The server at {url} answered HTTP {status}: CENTRIFUGO_API_URL must be the API of "
            "Centrifugo, such as http://127.0.0.1:8001/api"
        )
    return CentrifugoUnreachable(f"Centrifugo at {url} answered HTTP {status}: see its log")
