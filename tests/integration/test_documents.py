"""Round trips to Redis of lists, tags and the admin: one for each page."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template import engines
from django.test import Client, RequestFactory

from presence import services
from presence.manager import PresenceManager
from presence.querysets import online, with_presence
from presence.roster.messages import Member
from project.documents.models import Document
from tests.stored_rooms import fill

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(settings: Any, redis_url: str) -> None:
    settings.PRESENCE_REDIS_URL = redis_url
    settings.ROOT_URLCONF = "project.urls"


@pytest.fixture(autouse=True)
def documents() -> list[Document]:
    Document.objects.all().delete()
    return [Document.objects.create(title=f"Document {n}") for n in range(7)]


@pytest.fixture
def ada() -> User:
    return User.objects.create_superuser("ada")


def test_document_list_shows_members_in_one_round_trip(
    round_trips: list[object], ada: User, documents: list[Document]
):
    first, second, *_ = documents
    fill(services.store(), f"presence:document:{first.pk}", Member("7", "Grace"))
    PresenceManager.join_presence(f"document:{first.pk}", str(ada.pk), {"name": "Ada"})
    PresenceManager.join_presence(f"document:{second.pk}", "bot-1", {"name": "Robot"})
    round_trips.clear()
    page = Client().get("/documents/").content.decode()
    assert len(round_trips) == 1
    assert page.count('data-count="2"') == page.count('data-count="1"') == 1
    assert page.count('data-count="0"') == 3
    assert "<bdi>Grace</bdi>, <bdi>Ada</bdi>" in page


def test_querysets_read_presence_in_one_round_trip(
    round_trips: list[object], ada: User, documents: list[Document]
):
    key = f"document:{documents[0].pk}"
    for who in (str(ada.pk), "bot-1", "anon_1"):
        PresenceManager.join_presence(key, who)
    round_trips.clear()
    assert list(online(User.objects.all(), f"presence:{key}")) == [ada]
    assert len(round_trips) == 1
    assert sum(document.presence_count for document in with_presence(Document.objects.all())) == 3
    assert len(round_trips) == 2


def test_admin_list_shows_members_in_one_round_trip(
    round_trips: list[object], ada: User, documents: list[Document]
):
    client = Client()
    client.force_login(ada)
    key = f"admin:documents.document:{documents[0].pk}"
    PresenceManager.join_presence(key, "7", {"name": "Grace"})
    round_trips.clear()
    page = client.get("/admin/documents/document/").content.decode()
    assert len(round_trips) == 1
    assert page.count('<td class="field-here_now">Grace</td>') == 1


def test_template_tags_of_a_page_share_one_round_trip(round_trips: list[object], ada: User):
    PresenceManager.join_presence("site", str(ada.pk), {"name": "Ada"})
    round_trips.clear()
    source = (
        "{% load presence_tags %}{% presence_count %}{% presence_list as people %}"
        "{% for person in people %}{{ person.name }}{% endfor %}{% is_present ada %}"
    )
    request = RequestFactory().get("/")
    page = engines["django"].from_string(source).render({"ada": ada}, request)
    assert page == "1AdaTrue"
    assert len(round_trips) == 1
