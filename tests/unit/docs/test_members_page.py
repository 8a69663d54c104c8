"""docs/members.md: its examples are one site, and its statements hold."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.db.models.signals import m2m_changed, post_save
from django.dispatch import Signal
from django.test import RequestFactory

from presence import signals
from presence.roster.messages import Change, Member
from presence.testing import FakePresence
from presence.users import last_seen

pytestmark = pytest.mark.django_db

PAGE = (Path(__file__).parents[3] / "docs" / "members.md").read_text()
ROOM = "presence:document:42"
Commit = Callable[..., Any]
TEMPLATE = "{% for user, seen in people %}{{ user }} {{ seen|date:'c' }};{% endfor %}"


def code_of(name: str) -> str:
    """Return the code of a file on the page, in order."""
    parts = re.findall(rf"^```python\n# {re.escape(name)}\n(.*?)^```", PAGE, re.M | re.S)
    assert parts, name
    return "\n".join(parts)


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = ModuleType(name)
    exec(compile(code_of(f"{name.replace('.', '/')}.py"), name, "exec"), made.__dict__)
    monkeypatch.setitem(sys.modules, name, made)
    return made


@pytest.fixture
def people(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Return the modules of the site, with its settings."""
    for line in code_of("settings.py").splitlines():
        name, _, value = line.partition(" = ")
        setattr(settings, name, value.strip('"'))
    package = ModuleType("people")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "people", package)
    names = ("presence", "receivers", "views")
    found = SimpleNamespace(**{name: module(f"people.{name}", monkeypatch) for name in names})
    yield found
    receivers = found.receivers
    post_save.disconnect(receivers.user_changed, sender=User)
    m2m_changed.disconnect(receivers.groups_changed, sender=User.groups.through)
    signals.channel_occupied.disconnect(receivers.somebody_waits)


@pytest.fixture
def site(people: SimpleNamespace) -> Iterator[FakePresence]:
    with FakePresence() as site:
        yield site


@pytest.fixture
def incognito() -> Group:
    return Group.objects.create(name="Incognito")


def shown(site: FakePresence) -> list[tuple[str, Any]]:
    return [(record["name"], record.get("teams")) for record in site.present(ROOM)]


def test_members_page_example_shows_the_documented_info(
    site: FakePresence, ada: User, django_assert_num_queries: Any
) -> None:
    ada.groups.add(Group.objects.create(name="Engines"))
    grace = User.objects.create(username="grace")
    for user in (ada, grace):
        site.connect(ROOM, user)
    site.connect("presence:other", ada)
    with django_assert_num_queries(2):
        site.tick()
    assert shown(site) == [("Ada Lovelace", ["Engines"]), ("grace", [])]
    assert {record["color"] for record in site.present(ROOM)} == {"#4363d8"}


def test_refresh_example_shows_the_new_name_at_the_next_tick(
    site: FakePresence, ada: User, django_capture_on_commit_callbacks: Commit
) -> None:
    site.connect(ROOM, ada)
    site.tick()
    with django_capture_on_commit_callbacks(execute=True):
        ada.first_name = "Augusta Ada"
        ada.save()
    site.tick()
    assert shown(site) == [("Augusta Ada Lovelace", [])]
    site.assert_signal(signals.presence_updated, ROOM, ada)
    with django_capture_on_commit_callbacks() as asked:
        ada.save(update_fields=["last_login"])
        User.objects.create(username="grace")
    assert asked == []


def test_user_who_becomes_invisible_leaves_at_the_next_tick_and_returns(
    site: FakePresence,
    ada: User,
    incognito: Group,
    django_capture_on_commit_callbacks: Commit,
) -> None:
    site.connect(ROOM, ada)
    site.tick()
    with django_capture_on_commit_callbacks(execute=True):
        ada.groups.add(incognito)
    site.assert_present(ROOM, ada)
    site.tick()
    site.assert_count(ROOM, 0)
    assert shown(site) == []
    with django_capture_on_commit_callbacks(execute=True):
        ada.groups.remove(incognito)
    site.tick()
    site.assert_present(ROOM, ada)


def test_user_who_arrives_invisible_is_in_no_roster_diff_or_signal(
    site: FakePresence, ada: User, incognito: Group
) -> None:
    ada.groups.add(incognito)
    with site.connect(ROOM, ada):
        site.tick()
        site.assert_absent(ROOM, ada)
    site.settle()
    assert site.signals() == []
    told = {(diff["total"], diff["anonymous"], *diff["joins"]) for diff in site.published(ROOM)}
    assert told <= {(0, 0)}, "that the room is polled, as any room that is watched"
    assert last_seen([ada]) == {ada.pk: None}


def test_last_seen_example_returns_the_time_of_the_leave(
    site: FakePresence, people: SimpleNamespace, ada: User, settings: Any
) -> None:
    loaders = [("django.template.loaders.locmem.Loader", {"people.html": TEMPLATE})]
    engine = {"BACKEND": "django.template.backends.django.DjangoTemplates"}
    settings.TEMPLATES = [{**engine, "OPTIONS": {"loaders": loaders}}]
    User.objects.create(username="grace")
    with site.connect(ROOM, ada):
        site.tick()
    site.settle()
    left = last_seen([ada])[ada.pk]
    assert left is not None
    assert abs((datetime.fromtimestamp(site.clock(), UTC) - left).total_seconds()) < 60
    answer = people.views.people(RequestFactory().get("/")).content.decode()
    assert answer == f"ada {left.isoformat(timespec='microseconds')};grace ;"


def test_signal_example_handles_a_repeated_signal_once(
    people: SimpleNamespace, mailoutbox: list[EmailMessage]
) -> None:
    cache.clear()
    support, came = "presence:support", Change(joins=[Member("42", "Ada")], total=1)
    signals.send(support, 1, came, "e1")
    signals.send(support, 1, came, "e1")
    signals.send(support, 5, Change(anonymous=1), "e1")
    signals.send(support, 1, came, "e2")
    signals.send(ROOM, 1, came, "e1")
    assert [mail.body for mail in mailoutbox] == ["Ada", "A visitor", "Ada"]


def test_members_page_documents_every_signal() -> None:
    named = [name for name in signals.__all__ if isinstance(getattr(signals, name), Signal)]
    assert set(re.findall(r"^\| `((?:presence|channel)_\w+)` \|", PAGE, re.M)) == set(named)
