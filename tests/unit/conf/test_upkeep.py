"""Database connections and translations around code that runs outside of a request."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection, connections, transaction

from presence import services
from presence.conf.hooks import in_thread, like_a_request
from presence.sync.statistics import Report
from presence.tasks import jobs


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return how the database connection was closed, each time."""
    found: list[str] = []
    kind = type(connections["default"])
    monkeypatch.setattr(kind, "close", lambda self: found.append("now"))
    old = "close_if_unusable_or_obsolete"
    monkeypatch.setattr(kind, old, lambda self: found.append("if old"))
    return found


class Ticks:
    """Stands for the sync."""

    def tick(self, *_: Any, **__: Any) -> Report:
        assert Group.objects.count() == 0
        return Report()

    look = tick


@pytest.mark.django_db(transaction=True)
def test_round_closes_old_connections_before_and_after(closed: list[str]) -> None:
    with like_a_request():
        assert closed == ["if old"]
    assert closed == ["if old"] * 2
    assert async_to_sync(in_thread(lambda: 7))() == 7
    assert closed == ["if old"] * 4


@pytest.mark.django_db(transaction=True)
def test_presence_sync_closes_connections_after_each_tick(
    closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "sync", Ticks)
    call_command("presence_sync", "--json")
    assert closed == ["if old", "now"]


@pytest.mark.django_db(transaction=True)
def test_worker_closes_old_connections_around_each_task(
    closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "sync", Ticks)
    jobs.update_presence(lambda _: False)
    jobs.watch_presence()
    assert closed == ["if old"] * 4


@pytest.mark.django_db(transaction=True)
def test_round_in_a_transaction_closes_no_connection(closed: list[str]) -> None:
    with transaction.atomic():
        with like_a_request(alone=True):
            Group.objects.create(name="a")
        async_to_sync(in_thread(int))()
        assert closed == []
    assert Group.objects.count() == 1


@pytest.mark.django_db
def test_round_in_debug_keeps_no_queries_of_the_last(settings: Any) -> None:
    settings.DEBUG = True
    for _ in range(3):
        with like_a_request():
            Group.objects.count()
            assert len(connection.queries_log) == 1
