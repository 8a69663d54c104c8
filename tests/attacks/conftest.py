"""A site on a real Redis and a real Centrifugo, a victim and an attacker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from presence import services
from presence.roster.messages import Member
from presence_devtools.servers import Centrifugo
from tests.attacks.sockets import RawClient
from tests.stored_rooms import fill

SECRET_ROOM = "presence:secret"
VICTIM = "Victoria Secret"
"""Name that only people who may see SECRET_ROOM may read."""

Connect = Callable[..., RawClient]


@pytest.fixture
def site(settings: Any, redis_url: str, centrifugo: Centrifugo) -> Any:
    """Return the settings of a site on real servers."""
    settings.PRESENCE_REDIS_URL = redis_url
    for name, value in centrifugo.environment.items():
        setattr(settings, name, value)
    return settings


@pytest.fixture
def mallory(db: None) -> User:
    return User.objects.create(username="mallory", is_staff=True)


@pytest.fixture
def as_mallory(mallory: User) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(mallory)
    return client


@pytest.fixture
def secret_room(site: Any) -> str:
    """Return a room with the victim in it."""
    fill(services.store(), SECRET_ROOM, Member("77", VICTIM))
    return SECRET_ROOM


@pytest.fixture
def connect(centrifugo: Centrifugo) -> Iterator[Connect]:
    """Open websockets of attackers, which end with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(RawClient(centrifugo.ws_url, **options))
