"""Checks of rosters on a real Redis: their round trips, and a flood of them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import RequestFactory

from presence import services
from presence.backends.base import LookState, RosterStore, Writes
from presence.centrifugo.tokens import make_grant
from presence.web.views import CHECKS, check

ROOM = "presence:flood"


@pytest.fixture(autouse=True)
def site(settings: Any, redis_url: str) -> None:
    settings.PRESENCE_REDIS_URL = redis_url


def request_of(user: int, *channels: str) -> HttpRequest:
    grants = [make_grant(channel, str(user), now=time.time()) for channel in channels]
    request = RequestFactory().post("/presence/check/", {"grants": grants}, "application/json")
    request.user = User(pk=user)
    return request


def take_due(store: RosterStore) -> list[str]:
    look = store.begin_look("look", lease=30.0, limit=10_000)
    assert look is not None
    store.write(Writes(look=LookState("look", rest=0.0)))
    return list(look.due)


def test_check_takes_three_round_trips(round_trips: list[object]) -> None:
    store = services.store()
    take_due(store)
    rooms = [f"presence:{number}" for number in range(20)]
    request = request_of(1, *rooms)
    round_trips.clear()
    assert check(request).status_code == 204
    assert len(round_trips) == 3
    assert take_due(store) == sorted(rooms)


def test_flood_of_checks_marks_a_room_once_and_rooms_of_a_visitor_up_to_the_limit() -> None:
    store = services.store()
    crowd = [request_of(1 + number % 200, ROOM) for number in range(400)]
    rooms = [f"presence:{number}" for number in range(400)]
    flood = [request_of(999, room) for room in rooms]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(check, [*crowd, *flood]))
    assert {answer.status_code for answer in answers} == {204}
    due = take_due(store)
    assert due.count(ROOM) == 1
    assert len(due) == 1 + CHECKS
