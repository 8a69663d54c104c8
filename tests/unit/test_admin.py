"""PresenceAdminMixin: the banner of change pages, the column of lists, and all else left alone."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone

from presence import services
from presence.admin import PresenceAdminMixin, admin_channel
from presence.backends.memory import MemoryStore
from presence.centrifugo.tokens import read_grant
from presence.exceptions import InvalidChannel, StoreError
from presence.roster.channel_names import validate_channel
from presence.roster.messages import Member
from project.documents.models import Document
from project.urls import urlpatterns as demo
from tests.stored_rooms import fill

pytestmark = pytest.mark.django_db

CELLS = re.compile(r'<(?:td|th) class="field-here_now">(.*?)</(?:td|th)>')


class Proxy(Document):
    class Meta:
        proxy = True
        app_label = "documents"


class Page(PresenceAdminMixin, admin.ModelAdmin):
    list_display = ("title", "here_now")
    list_editable = ("title",)
    list_display_links = ("here_now",)
    list_per_page = 3
    change_form_template = "own_change_form.html"


class Key(PresenceAdminMixin, admin.ModelAdmin):
    list_display = ("session_key",)


site = admin.AdminSite(name="own")
site.register(Proxy, Page)
site.register(Session, Key)
urlpatterns = [*demo, path("own/", site.urls)]


@pytest.fixture(autouse=True)
def memory(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.ROOT_URLCONF = __name__
    own = '{% extends "admin/change_form.html" %}{% block form_top %}OWN{% endblock %}'
    loaders = [
        ("django.template.loaders.locmem.Loader", {"own_change_form.html": own}),
        "django.template.loaders.filesystem.Loader",
        "django.template.loaders.app_directories.Loader",
    ]
    (engine,) = settings.TEMPLATES
    options = {**engine["OPTIONS"], "loaders": loaders}
    settings.TEMPLATES = [{**engine, "APP_DIRS": False, "OPTIONS": options}]
    ContentType.objects.clear_cache()  # It may know of one that an earlier test made.


@pytest.fixture
def grace() -> User:
    return User.objects.create_superuser("grace")


@pytest.fixture
def client(grace: User) -> Client:
    client = Client()
    client.force_login(grace)
    return client


@pytest.fixture
def document() -> Document:
    Document.objects.all().delete()
    return Document.objects.create(title="Moth")


def html(client: Client, url: str, **data: Any) -> str:
    response = client.post(url, data) if data else client.get(url)
    assert response.status_code == 200
    return str(response.content.decode())


def channels_in(page: str) -> list[str]:
    return re.findall(r'<presence-roster[^>]*data-presence-channel="([^"]*)"', page)


def url_of(document: Document, name: str = "admin", what: str = "document") -> str:
    return f"/{name}/documents/{what}/{document.pk}/change/"


# The channel


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        ("abc", "abc"),
        ("two words", "two%20words"),
        ("a/b:c#d%", "a%2Fb%3Ac%23d%25"),
        ("é", "%C3%A9"),
        ("", ""),
    ],
)
def test_admin_channel_encodes_characters_a_channel_cannot_have(key: str, encoded: str):
    channel = admin_channel(Session(session_key=key))
    assert validate_channel(channel) == f"presence:admin:sessions.session:{encoded}"


def test_admin_channel_of_a_long_key_uses_its_digest():
    first, second = (admin_channel(Session(session_key="é" * 200 + end)) for end in "ab")
    assert first != second
    assert validate_channel(first) == first


def test_admin_channel_of_a_proxy_is_that_of_its_table():
    assert admin_channel(Proxy(pk=7)) == admin_channel(Document(pk=7))
    assert admin_channel(Document(pk=7)) == "presence:admin:documents.document:7"


def test_mixin_after_model_admin_raises():
    with pytest.raises(TypeError, match="before ModelAdmin"):
        type("Wrong", (admin.ModelAdmin, PresenceAdminMixin), {})


# The banner


def test_change_page_has_the_widget_of_its_object(client: Client, document: Document):
    fill(services.store(), admin_channel(document), Member("99", "Ada Lovelace"))
    page = html(client, url_of(document))
    assert channels_in(page) == [f"presence:admin:documents.document:{document.pk}"]
    assert "Ada Lovelace" in page
    grant = re.search(r'data-presence-grant="([^"]*)"', page)
    assert grant
    assert read_grant(grant[1]).channel == admin_channel(document)


def test_change_page_keeps_a_template_of_the_site(client: Client, document: Document):
    page = html(client, url_of(document, "own", "proxy"))
    assert "OWN" in page
    assert channels_in(page) == [admin_channel(document)]


def test_change_popup_has_the_banner(client: Client, document: Document):
    page = html(client, url_of(document) + "?_popup=1")
    assert 'name="_popup"' in page
    assert channels_in(page) == [admin_channel(document)]


@pytest.mark.parametrize("end", ["add/", "add/?_popup=1", "{pk}/history/", "{pk}/delete/", ""])
def test_other_admin_pages_have_no_banner(client: Client, document: Document, end: str):
    page = html(client, "/admin/documents/document/" + end.format(pk=document.pk))
    assert "presence-admin" not in page


def test_change_form_with_errors_has_the_banner(client: Client, document: Document):
    assert channels_in(html(client, url_of(document), text="")) == [admin_channel(document)]
    assert client.post(url_of(document), {"title": "Bug"}).status_code == 302


def test_change_form_with_another_key_opens_no_other_channel(client: Client):
    session = Session.objects.create(session_key="mine", expire_date=timezone.now())
    page = html(client, "/own/sessions/session/mine/change/", session_key="other", session_data="")
    assert channels_in(page) == [admin_channel(session)]


def test_change_page_of_a_key_in_any_script_has_the_widget(client: Client):
    session = Session.objects.create(session_key="clé à", expire_date=timezone.now())
    page = html(client, f"/own/sessions/session/{session.pk}/change/")
    assert channels_in(page) == ["presence:admin:sessions.session:cl%C3%A9%20%C3%A0"]


def test_change_page_with_view_permission_has_the_banner(document: Document):
    ada = User.objects.create(username="ada", is_staff=True)
    client = Client()
    client.force_login(ada)
    assert client.get(url_of(document)).status_code == 403
    ada.user_permissions.add(Permission.objects.get(codename="view_document"))
    assert channels_in(html(client, url_of(document))) == [admin_channel(document)]


def test_change_page_that_the_site_denies_shows_nobody(
    client: Client, document: Document, settings: Any
):
    fill(services.store(), admin_channel(document), Member("99", "Ada Lovelace"))
    settings.PRESENCE_AUTHORIZE = lambda request, channel: not channel.startswith("presence:admin:")
    page = html(client, url_of(document))
    assert channels_in(page) == []
    assert "data-presence-grant" not in page


def test_change_page_of_a_missing_object_redirects(client: Client):
    assert client.get("/admin/documents/document/0/change/").status_code == 302


# The column


@pytest.fixture
def documents() -> list[Document]:
    Document.objects.all().delete()
    return [Document.objects.create(title=f"Document {n}") for n in range(5)]


def column(page: str) -> list[str]:
    return [re.sub(r"<[^>]*>", "", cell) for cell in CELLS.findall(page)]


def test_list_shows_people_at_each_object(
    client: Client, documents: list[Document], reads: list[Sequence[str]]
):
    some = [Member(str(n), f"User {n}") for n in range(5)]
    fill(services.store(), admin_channel(documents[0]), *some[:2])
    fill(services.store(), admin_channel(documents[2]), *some)
    page = html(client, "/admin/documents/document/?o=1")
    assert column(page) == ["User 0, User 1", "-", "User 0, User 1, User 2 +2", "-", "-"]
    assert reads == [[admin_channel(each) for each in documents]]


def test_list_page_takes_one_query_and_one_round_trip(
    client: Client, documents: list[Document], reads: list[Sequence[str]]
):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        html(client, "/own/documents/proxy/?o=1&p=2")
    tables = [query["sql"] for query in queries if 'FROM "documents_document"' in query["sql"]]
    assert len([sql for sql in tables if "COUNT" not in sql]) == 1
    assert reads == [[admin_channel(each) for each in documents[3:]]]


def test_list_without_the_column_reads_nothing(client: Client, reads: list[Sequence[str]]):
    html(client, "/own/sessions/session/")
    assert reads == []


def test_list_that_is_editable_saves(client: Client, documents: list[Document]):
    data: dict[str, Any] = {"form-TOTAL_FORMS": 3, "form-INITIAL_FORMS": 3, "_save": "Save"}
    for n, each in enumerate(documents[:3]):
        data |= {f"form-{n}-id": each.pk, f"form-{n}-title": f"New {n}"}
    assert client.post("/own/documents/proxy/?o=1", data).status_code == 302
    documents[2].refresh_from_db()
    assert documents[2].title == "New 2"


def test_list_while_the_store_is_down_shows_a_question_mark(
    client: Client,
    documents: list[Document],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def present(*args: object, **options: object) -> None:
        raise StoreError("no Redis")

    monkeypatch.setattr(MemoryStore, "load_members", present)
    with caplog.at_level(logging.ERROR, "presence"):
        assert column(html(client, "/admin/documents/document/")) == ["?"] * 5
    assert len(caplog.records) == 1


@pytest.mark.parametrize("debug", [True, False])
def test_list_of_unpolled_channels_logs_and_raises_in_debug(
    client: Client,
    documents: list[Document],
    settings: Any,
    debug: bool,
    caplog: pytest.LogCaptureFixture,
):
    settings.PRESENCE_CHANNELS = ["chat:*"]
    (engine,) = settings.TEMPLATES
    options = {**engine["OPTIONS"], "debug": debug}
    settings.TEMPLATES = [{**engine, "OPTIONS": options}]
    if debug:
        with pytest.raises(InvalidChannel, match="PRESENCE_CHANNELS"):
            client.get("/admin/documents/document/")
        with pytest.raises(InvalidChannel, match="PRESENCE_CHANNELS"):
            client.get(url_of(documents[0]))
        return
    with caplog.at_level(logging.ERROR, "presence"):
        assert column(html(client, "/admin/documents/document/")) == ["?"] * 5
        assert channels_in(html(client, url_of(documents[0]))) == [""]
    assert len(caplog.records) == 2


def test_list_shows_nobody_at_objects_without_view_permission(
    client: Client, documents: list[Document], monkeypatch: pytest.MonkeyPatch
):
    fill(services.store(), admin_channel(documents[0]), Member("99", "Ada"))
    fill(services.store(), admin_channel(documents[1]), Member("99", "Ada"))

    def may_view(self: object, request: HttpRequest, obj: Document | None = None) -> bool:
        return obj is None or obj.pk == documents[1].pk

    monkeypatch.setattr(Page, "has_view_or_change_permission", may_view)
    assert column(html(client, "/own/documents/proxy/?o=1")) == ["-", "Ada", "-"]
