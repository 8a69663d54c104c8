"""Keeps what scripts ask for on their own from keeping a session alive."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

from django.http import HttpRequest

__all__ = ["leave_session_alone"]


def leave_session_alone(request: HttpRequest) -> None:
    """Have the session saved after this request only if it is modified.

    With SESSION_SAVE_EVERY_REQUEST each request saves it, and the polling of an open page would
    keep an idle visitor signed in for ever. A session of another making is left as it is.
    """
    session: Any = getattr(request, "session", None)
    kind: Any = type(session)
    if (
        session is None
        or isinstance(session, _Idle)
        or "modified" not in getattr(session, "__dict__", {})
    ):
        return
    with suppress(TypeError):  # of a layout that cannot be extended
        session.__class__ = _idle(kind)


class _Idle:
    """Of a session: tells the middleware that it is none, unless it is modified or emptied.

    The middleware takes a request whose session has no `accessed` for one without a session, and
    asks when all views and the middleware below are done: what these modify is saved.
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
def _idle(kind: Any) -> Any:
    # Django derives the salt of stored sessions from the name of their class.
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (_Idle, kind), names)
