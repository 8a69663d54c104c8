"""The page of the stage, and signing in and out on it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import engines

BACKEND = "django.contrib.auth.backends.ModelBackend"


def page(request: HttpRequest) -> HttpResponse:
    """The page whose body is the template text in `?body=`, with the templates of `?engine=`."""
    text = "{% load presence_tags i18n static %}" + request.GET.get("body", "")
    body = engines[request.GET.get("engine", "django")].from_string(text).render(request=request)
    return render(request, "page.html", {"body": body})


def enter(request: HttpRequest) -> HttpResponse:
    """Sign in as the user `?who=`, made if need be with the first name `?name=`."""
    username = request.GET["who"]
    name = request.GET.get("name", username.capitalize())
    user, _ = User.objects.get_or_create(username=username, defaults={"first_name": name})
    login(request, user, backend=BACKEND)
    return HttpResponse(str(user.pk))


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
    """Middleware: nothing but what the site serves, and the websocket; not even data: images."""
    websocket = urlsplit(settings.CENTRIFUGO_WS_URL)
    policy = f"default-src 'self'; connect-src 'self' {websocket.scheme}://{websocket.netloc}"

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["Content-Security-Policy"] = policy
        return response

    return middleware
