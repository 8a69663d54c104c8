"""The widget in async views, whose event loop allows no query for the user."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.test import AsyncClient
from django.urls import include, path

from presence import services
from presence.centrifugo.tokens import read_grant
from presence.roster.messages import Member
from presence.web import page as web_page
from tests.stored_rooms import fill

pytestmark = pytest.mark.django_db

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": ["django.template.context_processors.request"],
        },
    }
]


async def bare(request: HttpRequest) -> HttpResponse:
    return render(request, "presence/widget.html")


async def loaded(request: HttpRequest) -> HttpResponse:
    await request.auser()
    return render(request, "presence/widget.html")


async def threaded(request: HttpRequest) -> HttpResponse:
    return await sync_to_async(render)(request, "presence/widget.html")


class Urls:
    urlpatterns = (
        path("bare/", bare),
        path("loaded/", loaded),
        path("threaded/", threaded),
        path("presence/", include("presence.urls")),
    )


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    web_page.warn_once.cache_clear()
    settings.PRESENCE_BACKEND = "memory"
    settings.ROOT_URLCONF = Urls
    settings.TEMPLATES = TEMPLATES
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]
    fill(services.store(), "presence:site", Member("1", "Grace"))


@pytest.fixture
def user() -> User:
    return User.objects.create(username="ada")


def get(page: str, user: User | None = None) -> str:
    client = AsyncClient()
    if user:
        client.force_login(user)
    response = async_to_sync(client.get)(page)
    assert response.status_code == 200
    return str(response.content.decode())


def user_of_grant(page: str) -> str:
    match = re.search(r'data-presence-grant="([^"]+)"', page)
    assert match
    return read_grant(match[1]).user_id


@pytest.mark.parametrize("page", ["/loaded/", "/threaded/"])
def test_async_page_with_a_loaded_user_grants_to_the_user(user: User, page: str):
    assert user_of_grant(get(page, user)) == str(user.pk)


@pytest.mark.parametrize("page", ["/bare/", "/loaded/", "/threaded/"])
def test_async_page_for_a_visitor_grants_to_nobody(page: str):
    assert user_of_grant(get(page)) == ""


def test_async_page_without_a_loaded_user_is_static_and_says_how_to_load(
    user: User, caplog: pytest.LogCaptureFixture
):
    pages = [get("/bare/", user) for _ in range(2)]
    for page in pages:
        assert "data-presence-grant" not in page
        assert "Grace" in page
        assert "await sync_to_async(render)(request, …)" in unescape(page)
        assert "await request.auser()" in page
    (record,) = (record for record in caplog.records if record.name == "presence.widget")
    assert record.levelname == "WARNING"


def test_async_page_whose_site_cannot_be_asked_shows_nobody(user: User, settings: Any):
    settings.PRESENCE_AUTHORIZE = lambda request, channel: request.user.pk > 0
    fill(services.store(), "presence:site", Member("1", "Grace"))
    assert "Grace" not in get("/bare/", user)
    assert "Grace" in get("/threaded/", user)
