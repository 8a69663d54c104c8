"""Secrets in what this app shows: reprs, messages, logs, checks, the doctor, debug pages."""

from __future__ import annotations

import gc
import importlib
import inspect
import logging
import pkgutil
from collections.abc import Callable, Iterator
from io import StringIO
from traceback import format_exception
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client
from django.views.debug import ExceptionReporter

import presence
from presence import access, services
from presence.centrifugo.tokens import Issuer, make_grant
from presence.exceptions import PresenceError
from presence.manager import PresenceManager, broadcast
from presence.roster.people import UserClaims
from presence.signals import presence_joined
from presence.testing import FakePresence
from presence.web.widget import widget_for
from presence_devtools import servers
from tests.unit.http_requests import request_of

ROOM = "presence:doc:42"
SECRETS = {
    "CENTRIFUGO_API_KEY": "api-key-4c1d0b",
    "CENTRIFUGO_TOKEN_SECRET": "token-secret-93be71-of-thirty-two-bytes",
    "SECRET_KEY": "secret-key-77aa02-of-the-site",
    "REDIS": "redis-login-5e8f19",
    "DATABASE": "database-login-c07d3a",
}
ADA = User(pk=42, username="ada")


def leaks(text: str) -> list[str]:
    return [name for name, secret in SECRETS.items() if secret in text]


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    for name in ("CENTRIFUGO_API_KEY", "CENTRIFUGO_TOKEN_SECRET", "SECRET_KEY"):
        setattr(settings, name, SECRETS[name])
    port = servers.free_port()
    settings.CENTRIFUGO_API_URL = f"http://127.0.0.1:{port}/api"
    settings.PRESENCE_REDIS_URL = f"redis://:{SECRETS['REDIS']}@127.0.0.1:{port}/0"
    settings.CELERY_BROKER_URL = f"redis://:{SECRETS['REDIS']}@127.0.0.1:{port}/1"
    settings.CENTRIFUGO_TIMEOUT = settings.PRESENCE_REDIS_TIMEOUT = 0.5
    settings.SITE_DATABASE = {"PASSWORD": SECRETS["DATABASE"]}


@pytest.fixture(scope="module")
def guarded_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the host and port of a Redis that wants another password."""
    with servers.redis_server(tmp_path_factory.mktemp("guarded")) as (url, _):
        with redis.Redis.from_url(url) as client:
            client.config_set("requirepass", "another")
        yield url.partition("://")[2]


# Reprs


def objects() -> Iterator[object]:
    """Yield an object of ours of each kind that gets a secret."""
    yield Issuer(
        secret=SECRETS["CENTRIFUGO_TOKEN_SECRET"],
        user_id="42",
        info=UserClaims(name="Ada"),
        now=1.0,
        lifetime=600.0,
    )
    yield services.store()
    yield services.gateway()
    yield services.sync()


def reachable(value: object, depth: int = 8) -> Iterator[object]:
    """Yield an object, and those of ours and of its client that it refers to."""
    ours = type(value).__module__.partition(".")[0] in ("presence", "redis")
    if ours:
        yield value
    if depth and (ours or isinstance(value, dict)) and not inspect.isclass(value):
        for part in gc.get_referents(value):
            yield from reachable(part, depth - 1)


def test_repr_of_objects_that_hold_secrets_shows_none():
    kinds = set()
    for value in objects():
        for found in reachable(value):
            kinds.add(type(found).__name__)
            assert not leaks(repr(found)), type(found)
    assert kinds >= {"Issuer", "RedisStore", "Redactor", "HttpTransport", "Sync", "Options", "Pool"}


def structs() -> Iterator[type]:
    """Yield the classes of this app whose repr shows their fields."""
    for module in pkgutil.walk_packages(presence.__path__, "presence."):
        loaded = importlib.import_module(module.name)
        for _, found in inspect.getmembers(loaded, inspect.isclass):
            if found.__module__ == module.name and fields_of(found):
                yield found


def fields_of(kind: type) -> tuple[str, ...]:
    names = getattr(kind, "__struct_fields__", None) or getattr(kind, "_fields", None) or ()
    return tuple(names) or tuple(getattr(kind, "__dataclass_fields__", ()))


WORDS = ("secret", "password", "api_key", "apikey", "login", "credential", "session_key")


def test_structs_with_a_secret_field_have_a_repr_of_their_own():
    """A new class with such a field fails here until it hides it."""
    kinds = list(structs())
    assert Issuer in kinds
    assert len(kinds) > 50
    for kind in kinds:
        held = [name for name in fields_of(kind) if any(word in name for word in WORDS)]
        if held:
            assert "__repr__" in vars(kind), (kind, held)


# Hooks and receivers that quote a secret


def raising(*_: object, **__: object) -> Any:
    raise RuntimeError(f"no login for {SECRETS['DATABASE']} with {SECRETS['SECRET_KEY']}")


def holding(*_: object) -> Any:
    password = SECRETS["DATABASE"]
    raise RuntimeError(f"no login with {len(password)} letters")


def formatted(caplog: pytest.LogCaptureFixture) -> str:
    """Return the records of our loggers as a handler writes them, tracebacks included."""
    form = logging.Formatter()
    ours = [record for record in caplog.records if record.name.startswith("presence")]
    assert ours
    return "\n".join(form.format(record) for record in ours)


@pytest.mark.parametrize("hook", ["PRESENCE_AUTHORIZE", "PRESENCE_VISIBLE", "PRESENCE_USER_INFO"])
def test_hook_that_quotes_secrets_is_logged_without_them(
    hook: str, settings: Any, caplog: pytest.LogCaptureFixture
):
    settings.PRESENCE_BACKEND = "memory"
    setattr(settings, hook, raising)
    widget_for(ROOM, request_of(ADA))
    if hook == "PRESENCE_USER_INFO":
        from presence.web.visitors import describe, visitor_as

        describe(visitor_as(ADA), now=1.0)
    text = formatted(caplog)
    assert f"{hook} failed: RuntimeError: no login for ***" in text
    assert not leaks(text)


@pytest.mark.django_db
def test_fetch_and_receiver_that_quote_secrets_are_logged_without_them(
    settings: Any, caplog: pytest.LogCaptureFixture
):
    settings.PRESENCE_FETCH = raising
    presence_joined.connect(raising)
    try:
        failing = pytest.raises(AssertionError, match="PRESENCE_FETCH")
        with FakePresence() as site, site.connect(ROOM, ADA), failing as raised:
            site.tick()
    finally:
        presence_joined.disconnect(raising)
    text = formatted(caplog)
    assert "receiver=raising" in text
    assert "fetch=failed" in text
    assert not leaks(f"{text}{raised.value}")


def test_traceback_of_a_hook_with_a_secret_in_a_variable_has_no_frames(
    settings: Any, caplog: pytest.LogCaptureFixture
):
    """Error trackers keep the variables of the frames of a record."""
    settings.PRESENCE_BACKEND = "memory"
    settings.PRESENCE_AUTHORIZE = holding
    widget_for(ROOM, request_of(ADA))
    (record,) = [record for record in caplog.records if record.name == "presence.hooks"]
    assert record.exc_info
    assert "21 letters" in record.getMessage()
    assert not leaks(debug_page(record.exc_info[1]))


# Debug pages


def debug_page(error: BaseException | None) -> str:
    """Return what Django's page shows of an error with DEBUG: messages and the variables of all
    frames. (The list of the settings is Django's own.)"""
    assert error is not None
    reporter = ExceptionReporter(None, type(error), error, error.__traceback__)
    frames = reporter.get_traceback_frames()
    shown = [repr(frame.get("vars")) for frame in frames]
    return "\n".join([*shown, *format_exception(error)])


def caught(function: Callable[[], object]) -> PresenceError:
    # The error is returned without the frames of this file, which hold all secrets.
    try:
        function()
    except PresenceError as error:
        frames = error.__traceback__
        error.__traceback__ = frames.tb_next if frames else None
        return error
    raise AssertionError("nothing was raised")


CALLS: dict[str, Callable[[], object]] = {
    "broadcast": lambda: broadcast(ROOM, "saved", {}),
    "join": lambda: PresenceManager.join_presence("doc:42", "42"),
    "list": lambda: PresenceManager.list_presences("doc:42"),
    "revoke": lambda: access.revoke(user=ADA),
}


@pytest.mark.parametrize("name", CALLS)
def test_debug_page_of_a_server_that_is_down_shows_no_secret(name: str, settings: Any):
    settings.DEBUG = True
    assert leaks(debug_page(caught(CALLS[name]))) == []


@pytest.mark.parametrize("name", ["join", "list", "revoke"])
def test_debug_page_of_a_refused_redis_password_shows_no_secret(
    name: str, settings: Any, guarded_redis: str
):
    settings.DEBUG = True
    settings.PRESENCE_REDIS_URL = f"redis://:{SECRETS['REDIS']}@{guarded_redis}"
    error = caught(CALLS[name])
    assert "AuthenticationError" in str(error) or "invalid" in str(error)
    assert leaks(debug_page(error)) == []


# Answers


def get_pages(client: Client) -> Iterator[HttpResponse]:
    grant = make_grant(ROOM, "", now=services.now())
    post = {"content_type": "application/json"}
    yield client.get("/presence/snapshot/", {"grant": grant})
    yield client.post("/presence/tokens/", {"grants": [grant]}, **post)
    yield client.post("/presence/check/", {"grants": [grant]}, **post)
    yield client.post("/presence/heartbeat/", {"tokens": [grant]}, **post)
    yield client.post(
        "/presence/publish/",
        {"client": "c", "user": "42", "channel": "cursors:doc:42", "data": {"x": 0, "y": 0}},
        headers={"X-API-Key": SECRETS["CENTRIFUGO_API_KEY"]},
        **post,
    )


@pytest.mark.django_db
def test_endpoints_without_servers_answer_and_log_no_secret(
    client: Client, caplog: pytest.LogCaptureFixture
):
    client.raise_request_exception = False
    client.force_login(User.objects.create(username="grace"))
    key = client.session.session_key
    assert key
    shown = [f"{answer.content.decode()} {answer.headers}" for answer in get_pages(client)]
    client.post("/accounts/logout/")
    text = "\n".join([*shown, formatted(caplog)])
    assert leaks(text) == []
    assert key not in text


@pytest.mark.django_db
def test_publish_proxy_that_fails_has_no_secret_in_its_frames(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    client.raise_request_exception = False

    def fail(_: bytes) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("presence.web.publish_proxy._judge", fail)
    *_, answer = get_pages(client)
    assert answer.status_code == 500
    *_, record = [record for record in caplog.records if record.name == "django.request"]
    assert record.exc_info
    page = debug_page(record.exc_info[1])
    assert "unforeseen" in page
    assert leaks(page) == []


# The doctor and the checks


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.django_db
def test_doctor_without_servers_shows_no_secret(
    form: tuple[str, ...], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    said = StringIO()
    with pytest.raises(CommandError) as raised:
        call_command("presence_doctor", *form, stdout=said, stderr=said)
    text = f"{said.getvalue()}{raised.value}"
    assert len(text) > 500
    assert leaks(text) == []
    assert leaks(formatted(caplog) if caplog.records else "") == []


def test_checks_of_settings_that_are_wrong_show_no_secret(settings: Any):
    from django.core.checks import run_checks

    settings.PRESENCE_REDIS_URL = f"redis:/{SECRETS['REDIS']}@nowhere"
    settings.CENTRIFUGO_API_URL = f"http//{SECRETS['CENTRIFUGO_API_KEY']}"
    settings.CENTRIFUGO_API_KEY = f"{SECRETS['CENTRIFUGO_API_KEY']} \n"
    settings.PRESENCE_AUTHORIZE = f"no.module.{SECRETS['DATABASE']}"
    settings.PRESENCE_PREFIX = f"{{{SECRETS['REDIS']}}}"
    found = run_checks()
    assert len(found) > 3
    assert leaks("\n".join(f"{message}{message!r}" for message in found)) == []
