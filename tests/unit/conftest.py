"""A signed-in user, and the reads of rooms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from presence.backends.memory import MemoryStore


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create(username="ada", first_name="Ada", last_name="Lovelace")


@pytest.fixture
def as_ada(ada: User) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    return client


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Return the channels of each reading of presence, with the memory backend."""
    found: list[Sequence[str]] = []
    present = MemoryStore.load_members

    def counted(self: MemoryStore, channels: Sequence[str], **options: Any) -> Any:
        found.append(channels)
        return present(self, channels, **options)

    monkeypatch.setattr(MemoryStore, "load_members", counted)
    return found
