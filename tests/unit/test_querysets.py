"""Querysets that know who is present."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.core.paginator import Paginator
from django.db.models import (
    CASCADE,
    BigAutoField,
    CharField,
    Model,
    OneToOneField,
    Prefetch,
    UUIDField,
    Value,
)
from django.test.utils import isolate_apps
from django.utils import timezone

from presence import services
from presence.backends.memory import MemoryStore
from presence.exceptions import InvalidChannel, StoreError
from presence.querysets import _key_of, online, with_presence
from presence.roster.messages import Member
from project.documents.models import Document
from tests.stored_rooms import fill

pytestmark = pytest.mark.django_db

ROOM = "presence:doc:42"


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> None:
    def present(*args: object, **options: object) -> None:
        raise StoreError("no Redis")

    monkeypatch.setattr(MemoryStore, "load_members", present)


def users(count: int) -> list[User]:
    return [User.objects.create(username=f"user{n}") for n in range(count)]


def documents(count: int) -> list[Document]:
    Document.objects.all().delete()
    return [Document.objects.create(title=f"Document {n}") for n in range(count)]


def enter(channel: str, *users: object) -> None:
    fill(services.store(), channel, *(Member(str(user), f"User {user}") for user in users))


# Who of a table is online


def test_online_filters_the_users_of_a_channel(settings: Any):
    ada, alan, grace = users(3)
    enter(ROOM, ada.pk, grace.pk)
    assert list(online(User.objects.order_by("pk"), ROOM)) == [ada, grace]
    assert online(User.objects.exclude(pk=ada.pk), ROOM).filter(is_active=True).get() == grace
    assert list(online(User.objects.all())) == []
    settings.PRESENCE_CHANNEL = "presence:lobby"
    enter("presence:lobby", alan.pk)
    assert online(User.objects).get() == alan


def test_online_reads_once(reads: list[Sequence[str]]):
    enter(ROOM, *(user.pk for user in users(5)))
    found = online(User.objects.all(), ROOM)
    assert found.count() == len(found) == 5
    assert reads == [[ROOM]]


def test_online_ignores_ids_that_no_user_has():
    (ada,) = users(1)
    others = ["bot", "anon_0123456789abcdef", f" {ada.pk}", f"0{ada.pk}", "1_0", "٤٢", "9" * 30]
    enter(ROOM, ada.pk, *others)
    assert list(online(User.objects.all(), ROOM)) == [ada]


def test_online_takes_string_keys():
    session = Session.objects.create(session_key="a b", expire_date=timezone.now())
    enter(ROOM, "a b", "x" * 41)
    assert list(online(Session.objects.all(), ROOM)) == [session]


@isolate_apps("project.documents")
def test_online_takes_a_relation_as_primary_key():
    class Profile(Model):  # noqa: DJ008
        user = OneToOneField(User, CASCADE, primary_key=True, related_name="+")

        class Meta:
            app_label = "documents"

    enter(ROOM, 7, "bot")
    assert str(online(Profile.objects.all(), ROOM).query).endswith('"user_id" IN (7)')


def test_key_of_takes_only_the_string_of_the_key():
    key = uuid.UUID(int=1)
    assert _key_of(str(key), UUIDField()) == key
    assert _key_of(key.hex, UUIDField()) is None  # Not the text of the key, so of nobody.
    assert _key_of("7", BigAutoField()) == 7
    assert _key_of("07", BigAutoField()) is None
    assert _key_of("abc", CharField(max_length=2)) is None


def test_online_with_a_wrong_channel_or_no_store_raises(down: None):
    with pytest.raises(InvalidChannel, match="spaces"):
        online(User.objects.all(), "two words")
    with pytest.raises(StoreError):
        online(User.objects.all(), ROOM)


def test_online_with_a_presence_key_raises(ada: User):
    with pytest.raises(InvalidChannel, match="PRESENCE_CHANNELS"):
        online(User.objects.all(), "doc:42")


# Who is at each object


def test_with_presence_adds_people_to_each_object(reads: list[Sequence[str]]):
    first, second, third = documents(3)
    enter(f"presence:document:{first.pk}", 7, 8)
    enter(f"presence:document:{third.pk}", 8)
    found = with_presence(Document.objects.all())
    assert [each.presence_count for each in found] == [2, 0, 1]
    assert [[p["name"] for p in each.presences] for each in found] == [
        ["User 7", "User 8"],
        [],
        ["User 8"],
    ]
    assert reads == [[f"presence:document:{first.pk}", f"presence:document:{second.pk}",
                      f"presence:document:{third.pk}"]]  # fmt: skip


def test_with_presence_reads_a_page_in_one_round_trip(reads: list[Sequence[str]]):
    documents(7)
    paginator = Paginator(with_presence(Document.objects.all()), 3)
    assert paginator.count == 7
    assert reads == []
    page = list(paginator.page(2))
    assert [each.presence_count for each in page] == [0, 0, 0]
    assert reads == [[f"presence:document:{each.pk}" for each in page]]


def test_with_presence_survives_later_queryset_methods(reads: list[Sequence[str]]):
    first, second, _ = documents(3)
    enter(f"presence:document:{second.pk}", 7)
    found = with_presence(Document.objects.all())
    assert found.filter(pk=second.pk).get().presence_count == 1
    assert found.exclude(pk=first.pk).order_by("pk")[0].presence_count == 1
    assert found.in_bulk()[second.pk].presence_count == 1
    assert found[1:2][0].presence_count == 1
    assert len(reads) == 4
    assert found.exists()
    assert list(found.values_list("pk", flat=True))
    assert Document.objects.filter(pk__in=found).count() == 3
    assert len(reads) == 4


def test_with_presence_works_with_prefetch(reads: list[Sequence[str]]):
    ada, alan, grace = users(3)
    for name, members in (("a", [ada, alan]), ("b", [grace])):
        Group.objects.create(name=name).user_set.add(*members)
    enter(f"presence:user:{alan.pk}", 7)
    at_users = with_presence(User.objects.all(), key="user:{pk}")
    groups = Group.objects.prefetch_related(Prefetch("user_set", queryset=at_users))
    counts = [[user.presence_count for user in group.user_set.all()] for group in groups]
    assert counts == [[0, 1], [0]]
    assert len(reads) == 1


def test_with_presence_iterator_reads_a_chunk_at_a_time(reads: list[Sequence[str]]):
    documents(5)
    found = with_presence(Document.objects.all()).iterator(chunk_size=2)
    assert next(found).presence_count == 0  # type: ignore[attr-defined]
    assert len(reads) == 1
    assert len(list(found)) == 4
    assert [len(each) for each in reads] == [2, 2, 1]


def test_with_presence_key_takes_attributes():
    documents(1)
    (ada,) = users(1)
    enter(f"presence:desk/{ada.pk}/{{x}}:Document-0", 7)
    found = Document.objects.annotate(slug=Value("Document-0"))
    for each in with_presence(found, key=f"desk/{ada.pk}/{{{{x}}}}:{{slug}}"):
        assert each.presence_count == 1
    session = Session.objects.create(session_key="k", expire_date=timezone.now())
    enter(f"presence:at:{session.expire_date.year}", 7)
    (found,) = with_presence(Session.objects.all(), key="at:{expire_date.year}")
    assert found.presence_count == 1


@pytest.mark.parametrize("path", ["slug", "title.owner", "text"])
def test_with_presence_without_an_attribute_names_it(path: str):
    documents(1)
    with pytest.raises(ValueError, match=rf"needs {{{path}}}.*Document"):
        list(with_presence(Document.objects.all(), key="wiki:{" + path + "}"))


def test_with_presence_with_an_invalid_key_or_values_raises():
    documents(1)
    with pytest.raises(InvalidChannel, match="spaces"):
        list(with_presence(Document.objects.all(), key="wiki:{title}"))
    with pytest.raises(TypeError, match="values"):
        with_presence(Document.objects.values("pk"))


def test_with_presence_while_the_store_is_down_raises(down: None):
    documents(1)
    with pytest.raises(StoreError):
        list(with_presence(Document.objects.all()))


def test_with_presence_of_no_objects_reads_nothing(reads: list[Sequence[str]]):
    assert list(with_presence(Document.objects.none())) == []
    assert list(with_presence(Document.objects.filter(pk=0))) == []
    assert reads == []


def test_with_presence_iterates_async(reads: list[Sequence[str]]):
    documents(3)
    found = with_presence(Document.objects.all())

    async def iterate() -> None:
        assert [each.presence_count async for each in found] == [0, 0, 0]
        assert len(reads) == 1
        assert [each.presence_count async for each in found.aiterator(chunk_size=2)] == [0, 0, 0]
        first = await found.afirst()
        assert first
        assert first.presence_count == 0

    async_to_sync(iterate)()
