"""How our endpoints are asked and how they answer.

Every answer with a body is JSON and is stored nowhere; one that is no says why in `error`.
Nothing redirects to a login page, which a script could only take for a failure that passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, TypeVar

import msgspec
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.utils.log import log_response
from django.views.decorators.csrf import csrf_exempt

from presence.exceptions import PresenceError
from presence.web.idle import leave_session_alone

__all__ = ["No", "answers", "read_json"]

View = Callable[[HttpRequest], HttpResponse]
Answer = Callable[[HttpRequest], dict[str, Any] | None]
T = TypeVar("T")


REASONS: Final[Sequence[tuple[tuple[type[Exception], ...], int, str]]] = (
    ((UnreadablePostError, SuspiciousOperation, BadRequest), 400, "The request cannot be read."),
    ((PermissionDenied,), 403, "The site does not allow this."),
    ((Http404,), 404, "The site has nothing here."),
    (
        (PresenceError, OperationalError, InterfaceError, ConnectionError, TimeoutError),
        503,
        "This cannot be answered at the moment: try again.",
    ),
    ((Exception,), 500, "This went wrong: the log of the site says why."),
)
"""Answers to exceptions: the first entry that the exception is an instance of counts."""


class No(Exception):
    """An answer other than 200: `why`, and whatever `more` is to be in the body."""

    def __init__(self, status: int, why: str, **more: Any) -> None:
        super().__init__(why)
        self.status = status
        self.body = {"error": why, **more}


def answers(method: str) -> Callable[[Answer], View]:
    """Make a view of a function that returns what is answered to `method` (None: nothing, 204),
    or raises No. Whatever goes wrong in it is answered as JSON as well.

    The view needs no login, no token against forgery and no transaction, whatever the site asks
    of its own views: what refuses there answers HTML. Nothing here changes what an account may do,
    and another origin cannot read the answers.
    """

    def decorate(answer: Answer) -> View:
        @wraps(answer)
        def view(request: HttpRequest) -> HttpResponse:
            leave_session_alone(request)
            if request.method != method:
                why = f"{request.method} is not allowed here: use {method}."
                return _json({"error": why}, status=405, headers={"Allow": method})
            try:
                return _json(answer(request))
            except No as no:
                return _json(no.body, status=no.status)
            except Exception as error:  # logged as Django logs what a view raises
                return _failed(request, error)

        for alias in connections:
            transaction.non_atomic_requests(alias)(view)
        return csrf_exempt(login_not_required(view))

    return decorate


def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
    """The answer to a request that raised: 4xx for what the caller sent, 503 for what passes."""
    status, why = next((status, why) for kinds, status, why in REASONS if isinstance(error, kinds))
    response = _json({"error": why}, status=status)
    if status == 500 or isinstance(error, DatabaseError):
        got_request_exception.send(sender=None, request=request)
    log_response(
        "%s: %s",
        response.reason_phrase,
        request.path,
        response=response,
        request=request,
        exception=error,
    )
    return response


def read_json(
    request: HttpRequest, decoder: msgspec.json.Decoder[T], *, most: int, example: str
) -> T:
    """What the body says, of whatever content type. Raises No (400) for more than `most` bytes,
    and for what is not such as the `example`."""
    body = request.read(most + 1)
    if len(body) > most:
        raise No(400, f"The body has more than {most} bytes.")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise No(400, f"The body must be JSON such as {example}: {error}") from error


def _json(
    body: dict[str, Any] | None, *, status: int = 200, headers: dict[str, str] | None = None
) -> HttpResponse:
    headers = {"Cache-Control": "no-store", "Vary": "Cookie", **(headers or {})}
    if body is None:
        return HttpResponse(status=204, headers=headers)
    return HttpResponse(
        msgspec.json.encode(body), content_type="application/json", status=status, headers=headers
    )
