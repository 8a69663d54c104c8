"""JSON views: how our endpoints are called and how they answer.

Every answer with a body is JSON and must not be stored; an error answer gives the reason in
`error`. Nothing redirects to a login page, which a script could only take for a failure that
passes. No request of a script keeps an idle session alive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, wraps
from typing import Any, Final, TypeVar

import msgspec
from django.contrib.auth.decorators import login_not_required
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.utils.log import log_response
from django.views.decorators.csrf import csrf_exempt

from presence.exceptions import PresenceError

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


class HttpError(Exception):
    """An error answer of a JSON view: `reason` and the fields `more` are its body."""

    def __init__(self, status: int, reason: str, **more: Any) -> None:
        super().__init__(reason)
        self.status = status
        self.body = {"error": reason, **more}


def json_view(method: str) -> Callable[[Answer], View]:
    """Make a view of a function that returns the answer to `method` (None: no content, 204).

    The function may raise HttpError; any other exception is answered as JSON as well. The view
    needs no login, no CSRF token and no transaction, whatever the site asks of its own views: those
    refuse with HTML. Nothing here changes what an account may do, and another origin cannot read
    the answers.
    """

    def decorate(answer: Answer) -> View:
        @wraps(answer)
        def view(request: HttpRequest) -> HttpResponse:
            leave_session_alone(request)
            if request.method != method:
                reason = f"{request.method} is not allowed here: use {method}."
                return _json({"error": reason}, status=405, headers={"Allow": method})
            try:
                return _json(answer(request))
            except HttpError as error:
                return _json(error.body, status=error.status)
            except Exception as error:  # logged as Django logs an exception of a view
                return _failed(request, error)

        for alias in connections:
            transaction.non_atomic_requests(alias)(view)
        return csrf_exempt(login_not_required(view))

    return decorate


def read_json(request: HttpRequest, kind: type[T], *, limit: int, example: str) -> T:
    """Decode the body, of any content type. Raises HttpError (400) for one of more than `limit`
    bytes, and for one that is not of that `kind`, as the `example` is."""
    body = request.read(limit + 1)
    if len(body) > limit:
        raise HttpError(400, f"The body has more than {limit} bytes.")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(400, f"The body must be JSON such as {example}: {error}") from error


def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer a request that raised: 4xx for a fault of the request, 503 for one that passes."""
    status, reason = next(
        (status, reason) for kinds, status, reason in REASONS if isinstance(error, kinds)
    )
    response = _json({"error": reason}, status=status)
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


def _json(
    body: dict[str, Any] | None, *, status: int = 200, headers: dict[str, str] | None = None
) -> HttpResponse:
    headers = {"Cache-Control": "no-store", "Vary": "Cookie", **(headers or {})}
    if body is None:
        return HttpResponse(status=204, headers=headers)
    return HttpResponse(
        msgspec.json.encode(body), content_type="application/json", status=status, headers=headers
    )


# Idle sessions


def leave_session_alone(request: HttpRequest) -> None:
    """Have the session saved after this request only if it is modified.

    With SESSION_SAVE_EVERY_REQUEST each request saves it, and the requests of an open page would
    keep an idle visitor signed in for ever. A session that is not one of Django's is left as it is.
    """
    session = getattr(request, "session", None)
    if isinstance(session, SessionBase) and not isinstance(session, _IdleSession):
        with suppress(TypeError):  # its layout cannot be extended
            session.__class__ = _idle_class(type(session))


class _IdleSession:
    """Mixin of a session that the middleware takes for none, unless it is modified or emptied.

    The middleware takes a request whose session has no `accessed` for one without a session, and
    looks after all views and the middleware below are done: what these modify is saved.
    """

    @property
    def accessed(self) -> bool:
        if self.modified or self.is_empty():  # type: ignore[attr-defined]
            return bool(vars(self)["accessed"])
        raise AttributeError("accessed: the session is not to be saved after this request")

    @accessed.setter
    def accessed(self, value: bool) -> None:
        vars(self)["accessed"] = value


@cache
def _idle_class(kind: Any) -> Any:
    # Django derives the salt of stored sessions from the name of their class.
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (_IdleSession, kind), names)
