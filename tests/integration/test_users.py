"""`last_seen` and `refresh` on a real Redis: round trips and results."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User

from presence import services
from presence.backends.base import Writes
from presence.manager import PresenceManager
from presence.users import last_seen, refresh
from tests.websocket_clients import Swarm

ADA = User(pk=42, username="ada", first_name="Ada")


@pytest.fixture
def site(online: Any) -> Any:
    online.PRESENCE_LEAVE_GRACE = 0.0
    return online


def tick(*channels: str) -> None:
    report = services.sync().tick(list(channels))
    assert not report.errors, report.failures


def names(key: str) -> list[str]:
    return [record["name"] for record in PresenceManager.list_presences(key)]


def test_user_calls_take_one_round_trip_each(site: Any, round_trips: list[object]) -> None:
    services.store().write(Writes(last_seen={str(n): 1_700_000_000.0 for n in range(500)}))
    round_trips.clear()
    found = last_seen(range(1_000))
    assert len(round_trips) == 1
    assert [key for key, at in found.items() if at] == list(range(500))
    refresh(ADA)
    assert len(round_trips) == 2


def test_refreshed_profile_is_in_every_room_after_the_next_tick(site: Any, swarm: Swarm) -> None:
    keys = [f"users:{time.monotonic_ns()}:{n}" for n in range(2)]
    rooms = [f"presence:{key}" for key in keys]
    swarm.connect("42", *rooms, name="Old name")
    PresenceManager.join_presence(keys[1], "42", {"name": "Old name"}, source="a page")
    tick(*rooms)
    assert [names(key) for key in keys] == [["Old name"]] * 2

    refresh(ADA)
    tick(*rooms)
    assert [names(key) for key in keys] == [["Ada"]] * 2

    site.PRESENCE_VISIBLE = lambda user: False
    refresh(ADA)
    tick(*rooms)
    assert [names(key) for key in keys] == [[], []]
    found = last_seen([ADA, 43])
    assert found[43] is None
    left = found[42]
    assert left is not None
    assert abs((datetime.now(UTC) - left).total_seconds()) < 60

    site.PRESENCE_VISIBLE = None
    refresh(ADA)
    tick(*rooms)
    assert [names(key) for key in keys] == [["Ada"]] * 2
