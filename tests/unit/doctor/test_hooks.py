"""Findings of the doctor about the site's hooks, called for real users."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from presence.doctor import hooks
from presence.doctor.findings import Finding

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return User.objects.create(username="ada", first_name="Ada")


@pytest.fixture(autouse=True)
def no_hooks(settings: Any) -> None:
    for name in ("USER_INFO", "VISIBLE", "FETCH"):
        setattr(settings, f"PRESENCE_{name}", None)


def examine() -> list[Finding]:
    return list(hooks.examine())


def test_hooks_unset_report_nothing(ada: User) -> None:
    assert examine() == []


def test_hooks_without_users_are_not_reported_ok(settings: Any) -> None:
    settings.PRESENCE_USER_INFO = lambda user: {}
    assert [finding.level for finding in examine()] == ["skipped"]


def test_hooks_that_return_valid_values_are_ok(settings: Any, ada: User) -> None:
    settings.PRESENCE_USER_INFO = lambda user: {"name": user.first_name}
    settings.PRESENCE_VISIBLE = lambda user: True
    settings.PRESENCE_FETCH = lambda ids: {key: {"team": "red"} for key in ids}
    assert [finding.level for finding in examine()] == ["ok", "ok", "ok"]


@pytest.mark.parametrize("name", ["PRESENCE_USER_INFO", "PRESENCE_VISIBLE", "PRESENCE_FETCH"])
def test_hook_that_raises_is_a_problem_that_names_the_setting(
    settings: Any, ada: User, name: str
) -> None:
    def fail(asked: object) -> None:
        raise LookupError("no profile")

    setattr(settings, name, fail)
    (finding,) = examine()
    assert finding.level == "problem"
    assert name in finding.text
    assert "no profile" in finding.text


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("PRESENCE_USER_INFO", lambda user: {"avatar": "A" * 100_000}),
        ("PRESENCE_FETCH", lambda ids: {key: {"avatar": "A" * 100_000} for key in ids}),
    ],
)
def test_hook_that_returns_too_much_is_a_warning_with_the_limit(
    settings: Any, ada: User, name: str, function: Any
) -> None:
    setattr(settings, name, function)
    (finding,) = examine()
    assert finding.level == "warning"
    for word in (name, f"user {ada.pk}", "avatar", "100"):
        assert word in finding.text
    assert "4096 bytes" in finding.remedy


def test_hook_visible_that_returns_none_is_a_problem(settings: Any, ada: User) -> None:
    settings.PRESENCE_VISIBLE = lambda user: None
    (finding,) = examine()
    assert finding.level == "problem"
    assert "PRESENCE_VISIBLE" in finding.text
