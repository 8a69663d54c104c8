"""The demo's pages: signing in with one click, rooms, and static files."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from project.people import PEOPLE, user_info

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_redis(settings):
    settings.PRESENCE_BACKEND = "memory"


def test_front_page_has_the_site_wide_widget_and_everybody_to_sign_in_as(client):
    page = client.get("/").content.decode()

    assert 'data-presence-channel="presence:site"' in page
    for person in PEOPLE.values():
        assert person.full_name in page
        assert person.avatar in page


@pytest.mark.parametrize(("slug", "name"), [("launch-plan", "Launch plan"), ("my_own", "My own")])
def test_room_page_accepts_every_slug(client, slug, name):
    page = client.get(f"/rooms/{slug}/").content.decode()

    assert f'data-presence-channel="presence:room:{slug}"' in page
    assert f"<h1>{name}</h1>" in page


def test_whiteboard_cursors_belong_to_the_room_of_its_widget(client):
    page = client.get("/whiteboard/").content.decode()

    assert 'data-presence-channel="presence:whiteboard"' in page
    board = page[page.index('<section class="board"') : page.index('<p class="crowd">')]
    assert 'data-presence-channel="cursors:whiteboard"' in board
    assert '<code dir="ltr">make crowd</code>' in page


@pytest.mark.parametrize("path", ["/", "/rooms/launch-plan/", "/whiteboard/"])
def test_front_page_links_to_the_whiteboard(client, path):
    assert '<a href="/whiteboard/"' in client.get(path).content.decode()


@pytest.mark.parametrize(("language", "direction"), [("ar", "rtl"), ("de", "ltr")])
@pytest.mark.parametrize("path", ["/", "/rooms/launch-plan/", "/variants/", "/whiteboard/"])
def test_page_direction_follows_the_language(client, path, language, direction):
    page = client.get(path, headers={"Accept-Language": language}).content.decode()

    assert f'<html lang="{language}" dir="{direction}">' in page


def test_sign_in_returns_to_the_page(client):
    response = client.post("/sign-in/ada/", {"next": "/rooms/launch-plan/"})

    assert response.url == "/rooms/launch-plan/"
    page = client.get("/").content.decode()
    assert "You are <strong>Ada Lovelace</strong>" in page
    ada = User.objects.get(username="ada")
    assert not ada.has_usable_password()
    assert user_info(ada) == {"avatar": PEOPLE["ada"].avatar, "color": PEOPLE["ada"].color}

    client.post("/sign-out/")
    assert "You are <strong>" not in client.get("/").content.decode()


def test_sign_in_never_redirects_to_another_site(client):
    assert client.post("/sign-in/ada/", {"next": "https://elsewhere.example/"}).url == "/"


def test_sign_in_as_other_than_sample_people_is_refused(client):
    User.objects.create_user("root", password="secret")

    assert client.post("/sign-in/root/").status_code == 404
    assert client.get("/sign-in/ada/").status_code == 405


def test_sign_in_without_csrf_token_is_refused():
    assert Client(enforce_csrf_checks=True).post("/sign-in/ada/").status_code == 403


@pytest.mark.parametrize("debug", [True, False])
def test_admin_is_open_to_one_sample_user_with_debug(client, settings, debug):
    settings.DEBUG = True
    client.post("/sign-in/grace/")
    settings.DEBUG = debug
    client.post("/sign-in/grace/")

    assert (client.get("/admin/").status_code == 200) is debug


@pytest.mark.parametrize("path", ["/", "/whiteboard/"])
def test_pages_other_than_the_admin_have_no_inline_scripts_or_styles(client, settings, path):
    settings.CENTRIFUGO_WS_URL = "wss://live.example:444/connection/websocket"
    response = client.get(path)

    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "connect-src 'self' wss://live.example:444;" in policy
    assert "unsafe" not in policy
    page = response.content.decode()
    assert "style=" not in page
    assert "<style" not in page
    assert page.count("<script") == len(re.findall(r'<script[^>]* src="/static/presence/js/', page))
    assert "'unsafe-inline'" in client.get("/admin/login/")["Content-Security-Policy"]


def test_favicon_is_served(client):
    assert client.get("/favicon.ico").url.endswith("demo/logo.svg")


def test_collectstatic_for_production_hashes_every_file(client, settings, tmp_path):
    settings.DEBUG = False
    settings.STATIC_ROOT = tmp_path
    settings.WHITENOISE_USE_FINDERS = False
    settings.WHITENOISE_KEEP_ONLY_HASHED_FILES = True
    storage = "whitenoise.storage.CompressedManifestStaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": storage}}
    call_command("collectstatic", interactive=False, verbosity=0)

    pages = "".join(Client().get(path).content.decode() for path in ("/", "/whiteboard/"))

    urls = set(re.findall(r'"(/static/[^"]+)"', pages))
    assert any("/vendor/centrifuge." in url for url in urls)
    for url in urls:
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", url)
        assert (tmp_path / url.removeprefix("/static/")).is_file()
