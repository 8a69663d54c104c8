"""Code of the site that fails: what it costs, and what the log says."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import IntegrityError, transaction
from django.http import Http404
from django.utils.translation import gettext_lazy

from presence.conf import hooks
from presence.conf.hooks import fit
from presence.manager import PresenceManager
from presence.mixins import PresenceMixin
from presence.roster.validation import MAX_META
from presence.signals import presence_joined
from presence.testing import FakePresence
from presence.web.access import authorise
from presence.web.visitors import Visitor, describe, is_visible
from presence.web.widget import widget_for
from tests.unit.http_requests import request_of

ROOM = "presence:doc:42"
ADA = User(pk=42, username="ada@example.org")


class Odd:
    def __bool__(self) -> bool:
        raise RuntimeError("neither yes nor no")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def raising(error: Exception) -> Callable[..., Any]:
    def hook(*_: Any) -> Any:
        raise error

    return hook


async def late(*_: Any) -> bool:
    return True


FAILING = [
    *map(raising, [Http404(), ObjectDoesNotExist(), TypeError("x"), RecursionError(), Mute()]),
    raising(IntegrityError("x")),
    late,
    lambda *_: Odd(),
    "no.such.module.hook",
]


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.PRESENCE_USER_INFO = None
    hooks._logged.clear()


@pytest.mark.parametrize("hook", FAILING)
class TestFailing:
    def test_authorize_that_fails_denies_and_is_logged(
        self, settings: Any, caplog: pytest.LogCaptureFixture, hook: Any
    ) -> None:
        settings.PRESENCE_AUTHORIZE = hook
        assert authorise(request_of(ADA), ROOM) is False
        (record,) = caplog.records
        assert "PRESENCE_AUTHORIZE" in record.message
        assert ROOM in record.message
        assert record.exc_info
        assert widget_for(ROOM, request_of(ADA)).denied

    def test_visible_that_fails_hides_and_is_logged(
        self, settings: Any, caplog: pytest.LogCaptureFixture, hook: Any
    ) -> None:
        settings.PRESENCE_VISIBLE = hook
        assert is_visible(ADA) is False
        assert "PRESENCE_VISIBLE" in caplog.text
        found = widget_for(ROOM, request_of(ADA))
        assert (found.live, found.self_id) == (True, "")

    def test_user_info_that_fails_leaves_the_default_name(
        self, settings: Any, caplog: pytest.LogCaptureFixture, hook: Any
    ) -> None:
        settings.PRESENCE_USER_INFO = hook
        signed = describe(Visitor("42", ADA), now=1.0)
        assert "@" not in signed.name
        assert signed.info == {}
        assert "PRESENCE_USER_INFO" in caplog.text
        assert "user=42" in caplog.text

    def test_fetch_that_fails_names_the_setting(self, settings: Any, hook: Any) -> None:
        settings.PRESENCE_FETCH = hook
        fetch = hooks.fetch()
        assert fetch
        with pytest.raises(hooks.HookFailed, match="PRESENCE_FETCH"):
            fetch(["42"])


SECRET = "a-secret-of-the-database"


def quoting(*_: Any, **__: Any) -> Any:
    """Raise what a driver raises that quotes its connection string."""
    raise ConnectionError(f"no route to postgres://app:{SECRET}@db/app (password={SECRET})")


@pytest.mark.parametrize(
    "call",
    [
        lambda: authorise(request_of(ADA), ROOM),
        lambda: describe(Visitor("42", ADA), now=1.0),
    ],
    ids=["PRESENCE_AUTHORIZE", "PRESENCE_USER_INFO"],
)
def test_hook_that_quotes_a_secret_is_logged_without_it(
    settings: Any, caplog: pytest.LogCaptureFixture, call: Callable[[], Any]
) -> None:
    settings.DATABASES["default"]["PASSWORD"] = SECRET
    settings.PRESENCE_AUTHORIZE = settings.PRESENCE_USER_INFO = quoting
    call()
    assert "no route to" in caplog.text
    assert SECRET not in caplog.text


def test_fetch_that_quotes_a_secret_raises_without_it(settings: Any) -> None:
    settings.DATABASES["default"]["PASSWORD"] = SECRET
    settings.PRESENCE_FETCH = quoting
    fetch = hooks.fetch()
    assert fetch
    with pytest.raises(hooks.HookFailed, match="no route to") as raised:
        fetch(["42"])
    assert raised.value.__cause__ is None
    assert SECRET not in str(raised.value)


def test_receiver_that_quotes_a_secret_has_it_masked_in_our_line(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DATABASES["default"]["PASSWORD"] = SECRET
    mute = raising(Mute())
    presence_joined.connect(quoting)
    presence_joined.connect(mute)
    try:
        with FakePresence() as site:
            PresenceManager.join_presence("doc:42", "42")
            site.tick()
    finally:
        presence_joined.disconnect(quoting)
        presence_joined.disconnect(mute)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("presence.")]
    assert any("receiver=quoting" in line for line in ours)
    assert SECRET not in "\n".join(ours)


def test_hook_error_that_is_cut_shows_no_half_of_a_secret(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DATABASE = {"PASSWORD": SECRET}
    settings.PRESENCE_AUTHORIZE = raising(RuntimeError("x" * 178 + SECRET))
    assert not authorise(request_of(ADA), ROOM)
    assert SECRET[:6] not in caplog.text


def test_authorize_that_raises_permission_denied_denies_without_a_log(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PRESENCE_AUTHORIZE = raising(PermissionDenied())
    assert not authorise(request_of(ADA), ROOM)
    assert caplog.records == []


def test_fetch_with_one_bad_member_keeps_the_others(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    found = {
        "1": {"team": "Blue", "photo": "x" * 100_000},
        2: {"team": "Red"},
        "3": object(),
        "4": None,
        "5": {"at": float("nan"), "team": "Green"},
    }
    settings.PRESENCE_FETCH = lambda ids: found
    with FakePresence() as site:
        for number in range(1, 6):
            PresenceManager.join_presence("doc:42", str(number))
        site.tick()
        teams = {record["id"]: record.get("team") for record in site.present(ROOM)}
        assert teams == {"1": "Blue", "2": "Red", "3": None, "4": None, "5": "Green"}
    for word in ("PRESENCE_FETCH", "part=photo", "user=3", "part=at"):
        assert word in caplog.text


def test_receivers_that_fail_stop_neither_the_tick_nor_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []

    async def fails_later(**_: Any) -> None:
        raise RuntimeError("later")

    def fails(**_: Any) -> None:
        raise Http404

    def hears(channel: str, **_: Any) -> None:
        heard.append(channel)

    receivers: list[Any] = [fails, fails_later, hears]
    for receiver in receivers:
        presence_joined.connect(receiver, weak=False)
    try:
        with FakePresence() as site:
            PresenceManager.join_presence("doc:42", "1")
            assert site.tick().errors == 0
    finally:
        for receiver in receivers:
            presence_joined.disconnect(receiver)
    assert heard == [ROOM]
    assert "fails_later" in caplog.text


class View(PresenceMixin):
    presence_key = "doc:42"

    def __init__(self, user: Any) -> None:
        self.request = request_of(user)

    def handle_presence_join(self, presence: Any) -> None:
        raise ObjectDoesNotExist

    handle_presence_leave = handle_presence_join


def test_handlers_that_fail_leave_the_member_tracked(caplog: pytest.LogCaptureFixture) -> None:
    with FakePresence():
        view = View(User(pk=7, username="grace"))
        assert view.track_presence() is not None
        assert PresenceManager.presence_count("doc:42") == 1
        assert view.untrack_presence() is not None
    for name in ("handle_presence_join", "handle_presence_leave"):
        assert f"name={name}" in caplog.text


@pytest.mark.django_db
class TestTransactions:
    def breaks(self, *_: Any) -> bool:
        Group.objects.create(name="made by the hook")
        for _ in range(2):
            with transaction.atomic(savepoint=False):
                Group(name="twice").save(force_insert=True)
        return True

    def test_call_of_a_failing_hook_keeps_the_transaction_usable(self, settings: Any) -> None:
        settings.PRESENCE_AUTHORIZE = self.breaks
        with transaction.atomic():
            Group.objects.create(name="of the page")
            assert not authorise(request_of(ADA), ROOM)
            assert [group.name for group in Group.objects.all()] == ["of the page"]
        assert Group.objects.count() == 1

    def test_call_of_a_hook_that_hides_its_error_keeps_the_transaction_usable(
        self, settings: Any
    ) -> None:
        def hides(*_: Any) -> bool:
            try:
                return self.breaks()
            except IntegrityError:
                return True

        settings.PRESENCE_AUTHORIZE = hides
        with transaction.atomic():
            assert authorise(request_of(ADA), ROOM)
            assert not Group.objects.exists()

    def test_call_of_a_hook_that_writes_keeps_the_rows(self, settings: Any) -> None:
        settings.PRESENCE_AUTHORIZE = lambda *_: Group.objects.get_or_create(name="a")[1]
        with transaction.atomic():
            assert authorise(request_of(ADA), ROOM)
        assert Group.objects.count() == 1

    def test_call_of_a_hook_without_queries_makes_none(
        self, settings: Any, django_assert_num_queries: Any
    ) -> None:
        settings.PRESENCE_AUTHORIZE = lambda *_: True
        with django_assert_num_queries(0):
            assert authorise(request_of(ADA), ROOM)


class TestFit:
    @pytest.mark.parametrize(
        ("value", "kept"),
        [
            (gettext_lazy("Yes"), "Yes"),
            (Decimal("1.5"), "1.5"),
            ({"b", "a"}, ["a", "b"]),
            ("A\ud800", "A?"),
            *[(bad, None) for bad in (b"x", float("inf"), object(), ADA, {("a",): 1})],
        ],
    )
    def test_fit_keeps_a_part_as_json_or_leaves_it_out(self, value: Any, kept: Any) -> None:
        parts, left_out = fit({"part": value, "rest": 1})
        assert parts == ({"rest": 1} if kept is None else {"part": kept, "rest": 1})
        assert (kept is None) == ("part" in left_out)

    def test_fit_leaves_out_the_largest_parts_first(self) -> None:
        parts, left_out = fit({"a": "x" * 3000, "b": "x" * 90_000, "c": "x" * 3000, "d": 1})
        assert (parts.keys(), left_out.keys()) == ({"a", "d"}, {"b", "c"})
        assert str(MAX_META) in left_out["b"]

    def test_fit_keeps_exactly_the_limit(self) -> None:
        info = {"a": "x" * (MAX_META - 8)}
        assert fit(info) == (info, {})
        assert fit({"a": "x" * (MAX_META - 7)}).parts == {}
        assert fit({"a": "x" * 10}, reserved={"b": "x" * (MAX_META - 24)}).left_out == {}
        assert fit({"a": "x" * 10}, reserved={"b": "x" * (MAX_META - 25)}).left_out == {}
        assert fit({"a": "x" * 12}, reserved={"b": "x" * (MAX_META - 24)}).parts == {}

    def test_fit_cuts_a_name_before_leaving_it_out(self) -> None:
        parts, left_out = fit({"name": "x" * 10_000, "color": "#fff"})
        assert parts == {"name": "x" * 200, "color": "#fff"}
        assert "200" in left_out["name"]

    def test_fit_leaves_out_deep_and_wide_parts(self) -> None:
        deep: Any = []
        for _ in range(5000):
            deep = [deep]
        wide: Any = []
        for _ in range(20):
            wide = [wide] * 10
        assert fit({"deep": deep, "wide": wide, "rest": 1}).parts == {"rest": 1}


def test_user_info_that_is_too_large_is_logged_once(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PRESENCE_USER_INFO = lambda user: {"name": "Ada", "avatar": "x" * 100_000, "n": 1}
    for _ in range(3):
        signed = describe(Visitor("42", ADA), now=1.0)
    assert (signed.name, signed.info) == ("Ada", {"n": 1})
    (record,) = caplog.records
    for word in ("PRESENCE_USER_INFO", "user=42", "part=avatar"):
        assert word in record.message


def test_join_presence_with_too_large_a_meta_leaves_parts_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with FakePresence(), caplog.at_level(logging.ERROR, "presence.hooks"):
        record = PresenceManager.join_presence("doc:42", "7", {"name": "Bot", "log": "x" * 5000})
        assert record["meta"] == {"name": "Bot"}
    assert "source=join_presence user=7 part=log" in caplog.text


def test_track_presence_with_too_large_a_meta_leaves_parts_out(settings: Any) -> None:
    settings.PRESENCE_USER_INFO = lambda user: {"name": "Grace", "photo": "x" * 9000, "bell": "\a"}
    with FakePresence():
        record = View(User(pk=7, username="grace")).track_presence({"a": 1, "b": "x" * 9000})
        assert record is not None
        assert record["meta"] == {"name": "Grace", "user_id": "7", "a": 1}
