"""The demo's documents: views of both kinds track the user who opens a document."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from presence import services
from presence.exceptions import StoreDamaged
from presence.manager import PresenceManager
from presence.roster.channel_names import room
from project.documents.models import Document
from project.documents.samples import SAMPLES

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.ROOT_URLCONF = "project.urls"


@pytest.fixture
def document() -> Document:
    Document.objects.all().delete()
    return Document.objects.create(title="Moth in relay 70")


def test_class_based_view_tracks_the_user_who_opens_it(
    as_ada: Client, ada: User, document: Document
):
    key = f"document:{document.pk}"
    page = as_ada.get(document.get_absolute_url()).content.decode()
    (record,) = PresenceManager.list_presences(key)
    assert (record["id"], record["name"]) == (str(ada.pk), "Ada Lovelace")
    assert f'data-presence-channel="{room(key)}"' in page
    assert "<presence-heartbeat" in page
    assert "<bdi>Ada Lovelace</bdi>" in page
    assert as_ada.get("/documents/0/").status_code == 404
    assert PresenceManager.presence_count("document:0") == 0


def test_async_view_tracks_the_user_who_opens_it(ada: User):
    client = AsyncClient()
    client.force_login(ada)
    page = async_to_sync(client.get)("/reading-room/").content.decode()
    (record,) = PresenceManager.list_presences("reading-room")
    assert record["id"] == str(ada.pk)
    assert "<presence-heartbeat" in page
    assert 'data-presence-grant="' in page


@pytest.mark.parametrize("path", ["/documents/{}/", "/reading-room/"])
@pytest.mark.parametrize("call", ["save_member", "load_members"])
def test_demo_page_with_unreadable_room_shows_no_members(
    as_ada: Client, document: Document, monkeypatch: pytest.MonkeyPatch, path: str, call: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise StoreDamaged("the roster cannot be read")

    monkeypatch.setattr(services.store(), call, fail)
    answer = as_ada.get(path.format(document.pk))
    assert answer.status_code == 200
    assert "<bdi>Ada Lovelace</bdi>" not in answer.content.decode()


@pytest.mark.parametrize(
    ("path", "key"), [("/documents/{}/", "document:{}"), ("/reading-room/",) * 2]
)
def test_visitor_not_signed_in_is_one_member_by_page_and_websocket(
    client: Client, document: Document, path: str, key: str
):
    key = key.strip("/").format(document.pk)
    page = client.get(path.format(document.pk)).content.decode()
    assert PresenceManager.list_presences(key) == [], "a session that was just made proves nothing"
    tokens = re.findall(r'data-presence-lifelines="([^"]+)"', page)
    client.post("/presence/heartbeat/", {"tokens": tokens}, "application/json")
    for _ in range(2):
        (record,) = PresenceManager.list_presences(key)
        assert re.fullmatch(r"anon_\w+", record["id"])
        assert f'data-presence-self-id="{record["id"]}"' in page
        page = client.get(path.format(document.pk)).content.decode()


@pytest.mark.parametrize("headers", [{}, {"Sec-Purpose": "prefetch"}])
def test_demo_page_asked_for_without_a_visit_makes_no_session(
    client: Client, document: Document, headers: dict[str, str]
):
    ask = client.get if headers else client.head
    assert ask(f"/documents/{document.pk}/", headers=headers).status_code == 200
    assert "sessionid" not in client.cookies
    assert PresenceManager.list_presences(f"document:{document.pk}") == []


def test_admin_shows_presence_of_documents(client: Client, document: Document):
    client.force_login(User.objects.create_superuser("grace"))
    assert (
        'class="presence-admin"'
        in client.get(f"/admin/documents/document/{document.pk}/change/").content.decode()
    )
    assert b"field-here_now" in client.get("/admin/documents/document/").content


def test_document_list_adds_its_reader_to_no_room(as_ada: Client, document: Document):
    page = as_ada.get("/documents/").content.decode()
    assert page.count('data-count="0"') == 1
    assert "presence-heartbeat" not in page


def test_first_migration_creates_sample_documents():
    migration = import_module("project.documents.migrations.0001_initial")
    Document.objects.all().delete()
    migration.fill(apps, None)
    assert Document.objects.count() == len(SAMPLES)
