"""The functions of presence.users: last_seen and refresh."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from copy import copy
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured

from presence import services
from presence.backends.base import Writes
from presence.backends.memory import MemoryStore
from presence.exceptions import StoreError
from presence.roster.people import UserClaims
from presence.services import MARGIN
from presence.users import alast_seen, arefresh, last_seen, refresh
from tests.unit.fakes import Clock

ADA, GRACE = User(pk=42, username="ada"), User(pk=17, username="grace")
AT, LATER = 1_699_999_999.5, 1_700_000_100.0
THEN = datetime(2023, 11, 14, 22, 13, 19, 500_000, UTC)


class Counted(MemoryStore):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.asked: list[list[str]] = []

    def last_seen(self, users: Sequence[str]) -> dict[str, float]:
        self.asked.append(list(users))
        return super().last_seen(users)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, clock: Clock, settings: Any) -> Counted:
    store = Counted(clock)
    settings.PRESENCE_TOKEN_LIFETIME = 600.0
    settings.PRESENCE_USER_INFO = lambda user: {"name": user.username.title(), "color": "#fff"}
    monkeypatch.setattr(services, "store", cache(lambda: store))
    return store


NAMELESS = [AnonymousUser(), User(username="unsaved"), None, ""]


class TestLastSeen:
    def test_last_seen_is_by_primary_key_in_utc(self, store: Counted):
        store.write(Writes(last_seen={"42": AT}))
        assert last_seen([ADA, GRACE]) == {42: THEN, 17: None}
        assert store.asked == [["42", "17"]]

    def test_last_seen_takes_users_and_keys(self, store: Counted):
        key = uuid.UUID(int=7)
        store.write(Writes(last_seen={"42": AT, str(key): AT}))
        assert last_seen(iter([ADA, 42, "42", key, 5])) == {
            42: THEN,
            "42": THEN,
            key: THEN,
            5: None,
        }
        assert len(store.asked) == 1

    def test_last_seen_of_nobody_reads_nothing(self, store: Counted):
        assert last_seen([]) == {}
        assert store.asked == []

    @pytest.mark.parametrize("user", [*NAMELESS, [42], {"pk": 42}], ids=str)
    def test_last_seen_of_a_user_without_a_key_raises(self, user: Any, store: Counted):
        with pytest.raises(ValueError, match="primary key"):
            last_seen([ADA, user])
        assert store.asked == []

    def test_last_seen_while_the_store_is_down_raises(
        self, store: Counted, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(store, "last_seen", down)
        with pytest.raises(StoreError):
            last_seen([ADA])

    def test_last_seen_has_an_async_twin(self, store: Counted):
        store.write(Writes(last_seen={"42": AT}))
        assert async_to_sync(alast_seen)([ADA]) == {42: THEN}


def down(*_: Any, **__: Any) -> Any:
    raise StoreError("Redis is down: start it")


class TestRefresh:
    def profiles(self, store: Counted) -> dict[str, UserClaims]:
        noted = store.load_tracker_state(timeout=60.0).profiles
        return {user: msgspec.json.decode(raw, type=UserClaims) for user, (_, raw) in noted.items()}

    def test_refresh_stores_the_claims_of_a_token(self, store: Counted):
        refresh(ADA)
        (noted,) = self.profiles(store).items()
        key, signed = noted
        assert (key, signed.name, signed.info) == ("42", "Ada", {"color": "#fff"})
        assert signed.iat > AT

    def test_refresh_of_a_hidden_user_stores_nothing_more(self, store: Counted, settings: Any):
        settings.PRESENCE_VISIBLE = lambda user: user.username != "ada"
        refresh(ADA)
        refresh(GRACE)
        noted = self.profiles(store)
        assert noted["42"] == UserClaims(iat=noted["42"].iat, hidden=True)
        assert noted["17"].name == "Grace"

    def test_refresh_of_a_user_as_whom_staff_act_stores_their_own_claims(
        self, store: Counted, settings: Any
    ):
        settings.PRESENCE_VISIBLE = lambda user: not getattr(user, "is_hijacked", False)
        acted_as: Any = copy(ADA)
        acted_as.is_hijacked = True
        refresh(acted_as)
        assert self.profiles(store)["42"].name == "Ada"

    def test_refresh_lasts_as_long_as_older_tokens(self, store: Counted, clock: Clock):
        refresh(ADA)
        clock.advance(600.0 + MARGIN - 1)
        assert self.profiles(store).keys() == {"42"}
        clock.advance(2)
        assert self.profiles(store) == {}

    @pytest.mark.parametrize("user", NAMELESS, ids=str)
    def test_refresh_of_a_user_without_a_key_raises(self, user: Any, store: Counted):
        with pytest.raises(ValueError, match="no primary key"):
            refresh(user)
        assert self.profiles(store) == {}

    @pytest.mark.parametrize("key", [42, "42"])
    def test_refresh_of_a_key_raises(self, key: object):
        with pytest.raises(ValueError, match="give an instance"):
            refresh(key)

    def test_refresh_with_a_failing_hook_raises(self, store: Counted, settings: Any):
        settings.PRESENCE_USER_INFO = lambda user: ["no dict"]
        with pytest.raises(ImproperlyConfigured, match="PRESENCE_USER_INFO"):
            refresh(ADA)
        assert self.profiles(store) == {}

    def test_refresh_while_the_store_is_down_raises(
        self, store: Counted, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(store, "save_profile", down)
        with pytest.raises(StoreError):
            refresh(ADA)

    def test_refresh_has_an_async_twin(self, store: Counted):
        async_to_sync(arefresh)(ADA)
        assert self.profiles(store).keys() == {"42"}
