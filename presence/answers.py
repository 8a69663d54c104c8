"""How our endpoints are asked and how they answer.

Every answer with a body is JSON and is stored nowhere; one that is no says why in `error`.
Nothing redirects to a login page, which a script could only take for a failure that passes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import msgspec
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse

from presence.idle import leave_session_alone

__all__ = ["No", "answers", "read_json"]

View = Callable[[HttpRequest], HttpResponse]
Answer = Callable[[HttpRequest], dict[str, Any] | None]
T = TypeVar("T")


class No(Exception):
    """An answer other than 200: `why`, and whatever `more` is to be in the body."""

    def __init__(self, status: int, why: str, **more: Any) -> None:
        super().__init__(why)
        self.status = status
        self.body = {"error": why, **more}


def answers(method: str) -> Callable[[Answer], View]:
    """Make a view of a function that returns what is answered to `method` (None: nothing, 204),
    or raises No. It needs no login, whatever the site's middleware asks of its own views."""

    def decorate(answer: Answer) -> View:
        @wraps(answer)
        def view(request: HttpRequest) -> HttpResponse:
            leave_session_alone(request)
            if request.method != method:
                why = f"{request.method} is not allowed here: use {method}."
                return _json({"error": why}, status=405, headers={"Allow": method})
            try:
                body = answer(request)
            except No as no:
                return _json(no.body, status=no.status)
            if body is None:
                return HttpResponse(status=204, headers={"Vary": "Cookie"})
            return _json(body)

        return login_not_required(view)

    return decorate


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
    body: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None
) -> HttpResponse:
    return HttpResponse(
        msgspec.json.encode(body),
        content_type="application/json",
        status=status,
        headers={"Cache-Control": "no-store", "Vary": "Cookie", **(headers or {})},
    )
