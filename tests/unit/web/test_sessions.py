"""Sessions of users: the channel in their tokens, and what signing in and out revokes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import jwt
import pytest
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends import db, signed_cookies
from django.db import transaction
from django.db.models.signals import post_save, pre_delete
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.test.utils import isolate_apps

from presence import services
from presence.access import revoke
from presence.apps import _revoke_at_sign_out as connect_receivers
from presence.backends.memory import MemoryStore
from presence.backends.revocations import Revocation
from presence.centrifugo.tokens import make_grant
from presence.exceptions import InvalidChannel, StoreError
from presence.roster.channel_names import matches, session_channel, session_pattern
from presence.sync.context import threads
from presence.testing import Clock
from presence.web import sessions
from presence.web.sessions import session_of
from presence.web.views import tokens

pytestmark = pytest.mark.django_db

SECRET = "a-secret-of-thirty-two-bytes-or-more"
ROOM = "presence:doc:42"


@pytest.fixture(autouse=True)
def store(settings: Any) -> Iterator[MemoryStore]:
    settings.CENTRIFUGO_TOKEN_SECRET = SECRET
    store = MemoryStore(clock=Clock(1_000_000.0))
    with services.replaced(
        store=store, gateway=services.gateway(), executor=threads, clock=lambda: 1_000_000.0
    ):
        yield store


def revoked(store: MemoryStore) -> list[Revocation]:
    return [each.revocation for each in store.load_revocations(limit=100).kept]


def subs(client: Client, user: User | None) -> list[str]:
    """Return the channels that the connection token of a page subscribes to."""
    grant = make_grant(ROOM, str(user.pk) if user else "", now=services.now())
    answer = client.post("/presence/tokens/", {"grants": [grant]}, "application/json").json()
    claims = jwt.decode(
        answer["connection"], SECRET, ["HS256"], options={"verify_exp": False, "verify_iat": False}
    )
    return list(claims["subs"])


def request_with(session: Any, cookie: str = "") -> HttpRequest:
    request = RequestFactory().get("/")
    request.session, request.user = session, AnonymousUser()
    if cookie:
        request.COOKIES["sessionid"] = cookie
    return request


def test_token_of_a_user_has_a_channel_of_the_session(as_ada: Client, ada: User) -> None:
    (session,) = [name for name in subs(as_ada, ada) if name.startswith("session:")]
    again = Client()
    again.force_login(ada)
    (other,) = [name for name in subs(again, ada) if name.startswith("session:")]
    assert session != other, "another device"
    assert session.partition(".")[0] == other.partition(".")[0], "the same user"
    key = as_ada.session.session_key
    assert key not in session, "nobody can guess the key from it"


def test_token_of_a_visitor_has_none() -> None:
    client = Client()
    client.session["basket"] = 1
    assert subs(client, None) == ["presence.tick"]


def test_token_of_a_user_without_a_session_has_a_channel_that_a_revocation_of_the_user_finds(
    as_ada: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an API signs users in by a header."""
    monkeypatch.setattr("presence.web.views.session_of", lambda _: "")
    (name,) = [name for name in subs(as_ada, ada) if name.startswith("session:")]
    assert matches(session_pattern(str(ada.pk), ""), name)


def test_log_out_revokes_the_session_of_the_token(
    as_ada: Client, ada: User, store: MemoryStore
) -> None:
    (session,) = [name for name in subs(as_ada, ada) if name.startswith("session:")]
    as_ada.logout()
    (found,) = revoked(store)
    assert session_channel(found.user, found.session) == session


def test_log_out_after_a_new_password_revokes_the_pages_from_before_it(
    ada: User, store: MemoryStore
) -> None:
    """The key of the session changes with the password."""
    request = request_with(db.SessionStore())
    login(request, ada, backend="django.contrib.auth.backends.ModelBackend")
    before, key = session_of(request), request.session.session_key
    update_session_auth_hash(request, ada)
    assert request.session.session_key != key
    assert session_of(request) == before


def test_log_out_after_signing_in_again_revokes_the_pages_from_before_it(ada: User) -> None:
    request = request_with(db.SessionStore())
    login(request, ada, backend="django.contrib.auth.backends.ModelBackend")
    before = session_of(request)
    update_session_auth_hash(request, ada)
    login(request, ada, backend="django.contrib.auth.backends.ModelBackend")
    assert session_of(request) == before


def test_user_who_signs_in_where_another_was_revokes_the_session_of_before(
    ada: User, store: MemoryStore
) -> None:
    """As tools do with which staff act as a user."""
    request = request_with(db.SessionStore())
    login(request, ada, backend="django.contrib.auth.backends.ModelBackend")
    request.session.save()
    before, key = session_of(request), request.session.session_key
    assert revoked(store) == []
    acting = request_with(db.SessionStore(key), cookie=key)
    grace = User.objects.create(username="grace")
    login(acting, grace, backend="django.contrib.auth.backends.ModelBackend")
    assert revoked(store) == [Revocation(session=before)]
    acting.session.save()
    assert session_of(acting) not in ("", before)


def test_staff_who_act_as_a_user_with_django_hijack_revoke_their_session_and_back(
    ada: User, store: MemoryStore, settings: Any
) -> None:
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "hijack"]
    settings.ROOT_URLCONF = "tests.unit.web.hijack_urls"
    User.objects.filter(pk=ada.pk).update(is_superuser=True, is_active=True)
    grace = User.objects.create(username="grace")
    client = Client()
    client.force_login(ada)
    (own,) = [name for name in subs(client, ada) if name.startswith("session:")]
    assert client.post("/hijack/acquire/", {"user_pk": grace.pk}).status_code == 302
    (acting,) = [name for name in subs(client, grace) if name.startswith("session:")]
    (first,) = revoked(store)
    assert own.endswith(first.session)
    assert client.post("/hijack/release/").status_code == 302
    (again,) = [name for name in subs(client, ada) if name.startswith("session:")]
    _, second = revoked(store)
    assert acting.endswith(second.session)
    assert len({own, acting, again}) == 3


def test_session_in_a_cookie_is_the_same_after_it_was_saved(
    ada: User, store: MemoryStore, settings: Any
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    request = request_with(signed_cookies.SessionStore())
    login(request, ada, backend="django.contrib.auth.backends.ModelBackend")
    request.session.save()
    before = session_of(request)
    later = request_with(signed_cookies.SessionStore(request.session.session_key))
    later.session["basket"] = [1]
    later.session.save()
    assert session_of(later) == before != ""


def test_deactivated_and_deleted_users_are_revoked(
    ada: User, store: MemoryStore, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        ada.save()
        User.objects.create(username="new", is_active=False)
    assert revoked(store) == []
    with django_capture_on_commit_callbacks(execute=True):
        ada.is_active = False
        ada.save()
        assert revoked(store) == [], "until the commit, she gets tokens that nothing revokes"
    assert revoked(store) == [Revocation(str(ada.pk))]
    grace = User.objects.create(username="grace")
    pk = str(grace.pk)
    with django_capture_on_commit_callbacks(execute=True):
        grace.delete()
    assert Revocation(pk) in revoked(store)


def test_user_whose_deletion_is_rolled_back_is_not_revoked(
    ada: User, store: MemoryStore, django_capture_on_commit_callbacks: Any
) -> None:
    committed = django_capture_on_commit_callbacks(execute=True)
    with committed, suppress(LookupError), transaction.atomic():
        ada.delete()
        raise LookupError
    assert User.objects.filter(username="ada").exists()
    assert revoked(store) == []


def test_user_who_is_saved_as_a_proxy_or_child_is_revoked(
    ada: User,
    store: MemoryStore,
    django_capture_on_commit_callbacks: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with isolate_apps("django.contrib.auth") as registry:

        class Staff(User):
            class Meta:
                app_label = "auth"
                proxy = True

    monkeypatch.setattr("presence.apps.apps", registry)
    connect_receivers()
    try:
        staff = Staff(pk=ada.pk, username="ada", is_active=False)
        with django_capture_on_commit_callbacks(execute=True):
            staff.save()
        assert revoked(store) == [Revocation(str(ada.pk))]
    finally:
        post_save.disconnect(sessions.saved, sender=Staff)
        pre_delete.disconnect(sessions.deleted, sender=Staff)


def test_user_without_a_session_is_found_where_the_user_is_revoked(ada: User) -> None:
    request = RequestFactory().post(
        "/presence/tokens/",
        {"grants": [make_grant(ROOM, str(ada.pk), now=services.now())]},
        "application/json",
    )
    request.user = ada
    answer = json.loads(tokens(request).content)
    claims = jwt.decode(answer["connection"], options={"verify_signature": False})
    (_, session) = claims["subs"]
    assert matches(session_pattern(str(ada.pk), ""), session)
    assert session not in (session_channel(str(ada.pk), "s"), session_pattern("", ""))


def test_log_out_while_the_store_is_down_works_and_is_logged(
    as_ada: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise StoreError("Redis is down")

    monkeypatch.setattr(MemoryStore, "revoke", down)
    as_ada.logout()
    assert "revocation=not-kept" in caplog.text


def test_revoke_names_users_sessions_and_channels(
    as_ada: Client, ada: User, store: MemoryStore
) -> None:
    key = as_ada.session.session_key
    revoke(user=ada, channel=ROOM)
    revoke(user=ada.pk, channel="cursors:doc:42")
    revoke(session=key)
    revoke(user=ada)
    found = revoked(store)
    assert {*found} >= {Revocation(str(ada.pk)), Revocation(str(ada.pk), "", ROOM)}
    assert len({*found}) == 3, "a room and its cursors are revoked together"
    (session,) = [each.session for each in found if each.session]
    as_ada.logout()
    assert Revocation(str(ada.pk), session) in revoked(store)


def test_revoke_of_nobody_or_of_no_channel_is_an_error(ada: User, store: MemoryStore) -> None:
    with pytest.raises(ValueError, match="user"):
        revoke(channel=ROOM)
    with pytest.raises(InvalidChannel):
        revoke(user=ada, channel="chat:7")
    with pytest.raises(ValueError, match="primary key"):
        revoke(user=User())
    assert revoked(store) == []
