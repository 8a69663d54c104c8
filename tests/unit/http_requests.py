"""Requests as views get them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.test import RequestFactory

__all__ = ["request_of"]


def request_of(user: Any = None, session_key: str | None = None) -> HttpRequest:
    """A GET of `user`, or of nobody who is signed in."""
    request = RequestFactory().get("/")
    request.user = user or AnonymousUser()
    request.session = SimpleNamespace(session_key=session_key)  # type: ignore[assignment]
    return request
