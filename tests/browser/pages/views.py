"""The page of the stage, and signing in and out on it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import engines
from django.utils.functional import SimpleLazyObject
from django.views.generic import TemplateView

from presence.mixins import PresenceMixin

POLICIES = {
    "nonce": "; script-src NONCE; style-src NONCE",
    "dynamic": "; script-src NONCE 'strict-dynamic'; style-src NONCE",
    "trusted": "; script-src NONCE 'strict-dynamic'; style-src NONCE"
    "; require-trusted-types-for 'script'; trusted-types 'none'",
}
BLOCKING = {
    "no websocket": "default-src 'self'",
    "no requests": "default-src 'self'; connect-src 'none'",
}
"""Policies that forget what the page needs."""
BACKEND = "django.contrib.auth.backends.ModelBackend"


def page(request: HttpRequest) -> HttpResponse:
    """The page whose body is the template text in `?body=`, with the templates of `?engine=`."""
    return render(request, "page.html", {"body": body_of(request)})


class Tracked(PresenceMixin, TemplateView):
    """The same page; its visitor is in the room `presence:<room>`, as a `robot`."""

    template_name = "page.html"
    presence_key = "{room}"

    def mount(self, request: HttpRequest, **kwargs: Any) -> None:
        self.track_presence({"robot": True})

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(body=body_of(self.request), **kwargs)


def body_of(request: HttpRequest) -> str:
    text = "{% load presence_tags i18n static %}" + request.GET.get("body", "")
    return engines[request.GET.get("engine", "django")].from_string(text).render(request=request)


def enter(request: HttpRequest) -> HttpResponse:
    """Sign in as the user `?who=`, made if need be with the first name `?name=`."""
    username = request.GET["who"]
    name = request.GET.get("name", username.capitalize())
    user, _ = User.objects.get_or_create(username=username, defaults={"first_name": name})
    login(request, user, backend=BACKEND)
    return HttpResponse(str(user.pk))


def visible(user: User) -> bool:
    """PRESENCE_VISIBLE: who is called hidden is."""
    return not user.username.startswith("hidden")


def leave(request: HttpRequest) -> HttpResponse:
    """Sign out."""
    logout(request)
    return HttpResponse()


def favicon(request: HttpRequest) -> HttpResponse:
    """Nothing, so that no console complains."""
    return HttpResponse(status=204)


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: nothing but what the site serves, and the websocket; not even data: images.

    With `?policy=`, a name of POLICIES, scripts and styles need the nonce of the request instead;
    a name of BLOCKING is another policy.
    """
    websocket = urlsplit(settings.CENTRIFUGO_WS_URL)
    policy = f"default-src 'self'; connect-src 'self' {websocket.scheme}://{websocket.netloc}"

    def middleware(request: HttpRequest) -> HttpResponse:
        name = request.GET.get("policy", "")
        strict = POLICIES.get(name, "")
        if strict:
            request.csp_nonce = SimpleLazyObject(secrets.token_urlsafe)  # type: ignore[attr-defined]
        response = get_response(request)
        nonce = getattr(request, "csp_nonce", "")
        needed = policy + strict.replace("NONCE", f"'nonce-{nonce}'")
        response["Content-Security-Policy"] = BLOCKING.get(name, needed)
        return response

    return middleware
