"""The system checks: one test for each id, with the cause and the remedy."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab
from django.contrib.auth.models import User
from django.core import checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings
from django.urls import path

from presence import queues
from presence.backends.memory import MemoryStore
from presence.checks import TAG, schedule, values
from presence.conf import NAMES, RANGES
from presence.doctor import examination
from presence.queues import celery

GOOD = {
    "CENTRIFUGO_API_KEY": "key",
    "CENTRIFUGO_TOKEN_SECRET": "s" * 32,
    "ROOT_URLCONF": "project.urls",
}
urlpatterns = [path("nothing-of-presence/", lambda request: None, name="nothing")]


def found(**settings: Any) -> dict[str, checks.CheckMessage]:
    """Return the messages by id, with these settings over good ones."""
    with override_settings(**{**GOOD, **settings}):
        messages = checks.run_checks(tags=[TAG])
    assert all(message.hint for message in messages)
    return {str(message.id): message for message in messages}


def only(message_id: str, **settings: Any) -> checks.CheckMessage:
    messages = found(**settings)
    assert list(messages) == [message_id]
    return messages[message_id]


def site_app(**conf: Any) -> Celery:
    """Return a Celery application of a project, which is not made the current one."""
    app = Celery("shop", set_as_current=False, fixups=[])
    app.conf.update(conf)
    return app


def test_checks_of_a_good_site_find_nothing() -> None:
    assert found() == {}


def test_checks_are_registered() -> None:
    with override_settings(**{**GOOD, "CENTRIFUGO_API_KEY": ""}), pytest.raises(SystemCheckError):
        call_command("check")


WRONG = {
    "CENTRIFUGO_TIMEOUT": 0,
    "PRESENCE_REDIS_TIMEOUT": 0,
    "PRESENCE_INTERVAL": "60",
    "PRESENCE_LEAVE_GRACE": -1,
    "PRESENCE_BATCH_SIZE": 0,
    "PRESENCE_LIST_LIMIT": 1.5,
    "PRESENCE_ANONYMOUS": "yes",
    "PRESENCE_TOKEN_LIFETIME": float("inf"),
    "PRESENCE_USER_INFO": "no.such.module",
    "PRESENCE_AUTHORIZE": 3,
    "PRESENCE_CHANNELS": "presence:*",
    "PRESENCE_CURSOR_TIMEOUT": 0.5,
    "PRESENCE_CURSOR_INTERVAL": 0.01,
    "PRESENCE_CURSOR_LIMIT": 0,
    "PRESENCE_CURSOR_TRACK": 1,
}


def wrong(name: str) -> object:
    return WRONG.get(name, b"text is not bytes")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_e001_is_for_a_wrong_type_or_range(name: str) -> None:
    message = only("presence.E001", **{name: wrong(name)})
    assert isinstance(message, checks.Error)
    assert message.msg.startswith(name)
    assert name in str(message.hint)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("PRESENCE_CURSOR_INTERVAL", 1.01, "from 0.016 to 1"),
        ("PRESENCE_CURSOR_INTERVAL", float("nan"), "from 0.016 to 1"),
        ("PRESENCE_CURSOR_TIMEOUT", 0.99, "from 1 to 3600"),
        ("PRESENCE_CURSOR_TIMEOUT", float("inf"), "from 1 to 3600"),
        ("PRESENCE_CURSOR_TRACK", "yes", "True or False"),
    ],
)
def test_e001_says_what_is_allowed(name: str, value: object, wanted: str) -> None:
    assert wanted in str(only("presence.E001", **{name: value}).hint)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("PRESENCE_CURSOR_INTERVAL", value) for value in (0.016, 1, 1.0)],
        *[("PRESENCE_CURSOR_TIMEOUT", value) for value in (1, 3600.0)],
    ],
)
def test_e001_is_not_for_the_ends_of_a_range(name: str, value: object) -> None:
    assert found(**{name: value}) == {}


NUMBERS = [
    *(0.0, -1, 1e-9, 1e10, 1e300, 10**400, float("nan"), float("inf"), -float("inf")),
    *(True, "5", b"5", None, Decimal(5), timedelta(seconds=5), [5], 5j),
]


def fits(name: str, number: object) -> bool:
    return number == 0 and not isinstance(number, bool) and RANGES[name].off


@pytest.mark.parametrize("number", NUMBERS, ids=[repr(number)[:20] for number in NUMBERS])
@pytest.mark.parametrize("name", sorted(RANGES))
def test_e001_is_for_a_number_that_would_break_later(name: str, number: object) -> None:
    expected = [] if fits(name, number) else ["presence.E001"]
    assert [i for i in found(**{name: number}) if i.startswith("presence.E")] == expected


@pytest.mark.parametrize("name", sorted(RANGES))
def test_range_of_a_setting_fits_timers_and_redis(name: str) -> None:
    allowed = RANGES[name]
    whole = name.endswith(("SIZE", "LIMIT"))
    for number in (allowed.minimum, allowed.maximum):
        messages = found(**{name: int(number) if whole else number})
        assert not [i for i in messages if i.startswith("presence.E")]
    # Timers of browsers have 32 bits, and Redis takes whole milliseconds.
    assert whole or (1000 * allowed.maximum < 2**31 and round(1000 * allowed.minimum) >= 1)


@pytest.mark.parametrize("name", sorted(NAMES - set(RANGES) - {"PRESENCE_CURSOR_TRACK"}))
def test_e001_is_for_a_string_that_is_not_utf_8(name: str) -> None:
    value: object = "lone \ud800 surrogate"
    messages = found(**{name: [value] if name == "PRESENCE_CHANNELS" else value})
    assert "presence.E001" in messages


@pytest.mark.parametrize("prefix", ["", "two words", "{tag}", "x" * 101, "naïve", "line\n"])
def test_e001_is_for_a_prefix_that_keys_cannot_have(prefix: str) -> None:
    only("presence.E001", PRESENCE_PREFIX=prefix)


@pytest.mark.parametrize("key", [" key", "key\n", "ké"])
def test_e001_is_for_an_api_key_that_no_header_takes(key: str) -> None:
    assert key not in str(only("presence.E001", CENTRIFUGO_API_KEY=key))


def test_e012_is_for_a_token_secret_that_cannot_sign() -> None:
    pem = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----"
    assert pem not in str(only("presence.E012", CENTRIFUGO_TOKEN_SECRET=pem))


def test_w015_is_for_a_batch_larger_than_a_shard() -> None:
    only("presence.W015", PRESENCE_BATCH_SIZE=100, PRESENCE_SHARD_SIZE=10)
    assert found(PRESENCE_BATCH_SIZE=10, PRESENCE_SHARD_SIZE=10) == {}


@pytest.mark.parametrize(
    "url",
    [
        f"redis://{'x' * 64}.example.com",
        "redis://a..b",
        "redis://host/0?socket_timeout=1e300",
        "redis://host/0?socket_timeout=-1",
        "redis+sentinel://host/primary?socket_connect_timeout=0",
        "redis+cluster://host?socket_timeout=nan",
    ],
)
def test_e006_is_for_a_url_that_would_break_in_use(url: str) -> None:
    only("presence.E006", PRESENCE_REDIS_URL=url)


def test_e004_is_for_a_host_that_cannot_be_looked_up() -> None:
    only("presence.E004", CENTRIFUGO_API_URL=f"http://{'x' * 64}.example.com/api")


class LateObject:
    async def __call__(self, *_: Any) -> bool:
        return True


async def late(*_: Any) -> bool:
    return True


@pytest.mark.parametrize("hook", [late, LateObject(), "tests.unit.checks.test_site.late"])
@pytest.mark.parametrize("name", values.HOOKS)
def test_e011_is_for_an_async_hook(name: str, hook: object) -> None:
    message = only("presence.E011", **{name: hook})
    assert name in message.msg
    assert "plain function" in str(message.hint)


@pytest.mark.parametrize("name", ["CENTRIFUGO_API_KEY", "CENTRIFUGO_TOKEN_SECRET"])
def test_e001_shows_no_secret(name: str) -> None:
    message = only("presence.E001", **{name: b"sesame"})
    assert "sesame" not in f"{message.msg} {message.hint}"


def test_e002_is_for_a_missing_api_key() -> None:
    assert "http_api.key" in str(only("presence.E002", CENTRIFUGO_API_KEY="").hint)


def test_e003_is_for_a_missing_token_secret() -> None:
    message = only("presence.E003", CENTRIFUGO_TOKEN_SECRET="")
    assert "client.token.hmac_secret_key" in str(message.hint)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8001/api", "ws://host/api", "http://:8001/api"])
def test_e004_is_for_an_api_url_that_is_not_http(url: str) -> None:
    assert "/api" in str(only("presence.E004", CENTRIFUGO_API_URL=url).hint)


@pytest.mark.parametrize("url", ["", "http://host/connection/websocket", "ws:///", "wss://h:port/"])
def test_e005_is_for_a_websocket_url_that_is_not_one(url: str) -> None:
    assert "wss://" in str(only("presence.E005", CENTRIFUGO_WS_URL=url).hint)


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "redis://:p#1@host/0"])
def test_e006_is_for_a_redis_url_that_is_not_one(url: str) -> None:
    assert "redis://" in str(only("presence.E006", PRESENCE_REDIS_URL=url).hint)


@pytest.mark.parametrize("backend", ["postgres", "no.such.Store", "presence.roster.Member"])
def test_e007_is_for_an_unknown_backend(backend: str) -> None:
    assert backend in only("presence.E007", PRESENCE_BACKEND=backend).msg


@pytest.mark.parametrize(
    "pattern",
    ["presence:[a", "{presence:*", "presence:*}", "presence:\\", "presence:[a-z0-9]*"],
)
def test_e008_is_for_an_invalid_pattern(pattern: str) -> None:
    message = only("presence.E008", PRESENCE_CHANNELS=["presence:*", pattern])
    assert repr(pattern) in message.msg


def test_e009_is_for_no_pattern() -> None:
    only("presence.E009", PRESENCE_CHANNELS=[])


@pytest.mark.parametrize(
    "channel", ["", "two words", "presence:" + "x" * 300, "$presence:x", "cursors:x"]
)
def test_e010_is_for_an_invalid_default_channel(channel: str) -> None:
    only("presence.E010", PRESENCE_CHANNEL=channel)


def test_w011_is_for_urls_that_are_not_included() -> None:
    message = only("presence.W011", ROOT_URLCONF=__name__)
    assert f"urlpatterns of {__name__}" in str(message.hint)


def test_w011_is_not_for_processes_without_urls() -> None:
    assert found(ROOT_URLCONF=None) == {}


def test_w001_is_for_an_unknown_name_and_suggests_ours() -> None:
    message = only("presence.W001", PRESENCE_INTERVALL=60)
    assert isinstance(message, checks.Warning)
    assert "PRESENCE_INTERVALL" in message.msg
    assert message.hint == "Did you mean PRESENCE_INTERVAL?"


def test_w001_suggests_nothing_for_a_name_like_no_other() -> None:
    assert "Did you mean" not in str(only("presence.W001", PRESENCE_ZZZ=1).hint)


def test_w001_is_not_for_our_names() -> None:
    assert "presence.W001" not in found(PRESENCE_HEARTBEAT=30)


def test_w002_is_for_the_old_name_of_the_schedule() -> None:
    message = only("presence.W002", CELERYBEAT_SCHEDULE={})
    assert "CELERY_BEAT_SCHEDULE" in str(message.hint)


def test_w003_is_for_a_default_channel_that_is_not_polled() -> None:
    message = only("presence.W003", PRESENCE_CHANNELS=["presence:doc:*"])
    assert "PRESENCE_CHANNELS" in str(message.hint)


def test_w013_is_for_a_pattern_of_cursors() -> None:
    only("presence.W013", PRESENCE_CHANNELS=["presence:*", "cursors:*"])


def test_w014_is_for_a_heartbeat_longer_than_half_the_timeout() -> None:
    only("presence.W014", PRESENCE_HEARTBEAT=31)
    assert found(PRESENCE_HEARTBEAT=10, PRESENCE_TIMEOUT=20) == {}


def test_w004_is_for_a_short_secret() -> None:
    only("presence.W004", CENTRIFUGO_TOKEN_SECRET="short")


def test_w005_is_for_a_plain_websocket_of_pages_with_tls() -> None:
    settings = {"SECURE_SSL_REDIRECT": True, "CENTRIFUGO_WS_URL": "ws://example.com/ws"}
    only("presence.W005", **settings)
    assert found(**{**settings, "CENTRIFUGO_WS_URL": "wss://example.com/ws"}) == {}


def test_w006_is_for_memory_with_a_worker() -> None:
    assert "redis" in str(only("presence.W006", PRESENCE_BACKEND="memory").hint)


def test_w006_is_not_for_a_site_without_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery, "project_app", lambda: None)
    monkeypatch.setattr(queues, "celery_installed", lambda: False)
    assert found(PRESENCE_BACKEND="memory") == {}


def test_checks_take_a_backend_of_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(PRESENCE_BACKEND=f"{__name__}.OwnStore") == {}


class OwnStore(MemoryStore):
    shared = True

    def __init__(self, *, url: str, prefix: str, timeout: float) -> None:
        super().__init__()


def test_w007_is_for_missing_static_files() -> None:
    only("presence.W007", INSTALLED_APPS=["django_celery_beat", "presence"], TEMPLATES=TEMPLATES)


TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]


@pytest.mark.parametrize("templates", [[], [{"BACKEND": TEMPLATES[0]["BACKEND"]}]])
def test_w008_is_for_templates_without_the_request(templates: list[Any]) -> None:
    only("presence.W008", TEMPLATES=templates)


def test_w009_is_for_a_missing_celery_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery, "_app", None)
    monkeypatch.setattr("celery.current_app", Celery("default", set_as_current=False))
    message = only("presence.W009")
    assert "project/__init__.py" in str(message.hint)


@pytest.mark.parametrize(
    "entries", [{}, {"other": {"task": "shop.tasks.tidy", "schedule": 60.0}}, {"odd": None}]
)
def test_w010_is_for_a_missing_entry_of_beat(
    monkeypatch: pytest.MonkeyPatch, entries: dict[str, Any]
) -> None:
    monkeypatch.setattr(celery, "_app", site_app(beat_schedule=entries))
    monkeypatch.setattr(schedule, "database_installed", lambda: False)
    assert celery.TICK in str(only("presence.W010").hint)


def test_w010_is_not_where_the_tables_may_hold_the_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery, "_app", site_app(beat_schedule={}))
    assert found() == {}


@pytest.mark.parametrize(("when", "seconds"), [(5, 5.0), (crontab(), None), ("never", None)])
def test_schedule_in_settings_reads_the_seconds_of_an_entry(
    when: object, seconds: float | None
) -> None:
    app = site_app(beat_schedule={"tick": {"task": celery.TICK, "schedule": when}})
    assert schedule.in_settings(app) == [schedule.Entry("tick", seconds)]


class TestUserNames:
    @pytest.fixture(autouse=True)
    def by_email(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(User, "USERNAME_FIELD", "email")

    def test_w016_for_users_who_sign_in_by_email_names_the_setting(self) -> None:
        message = only("presence.W016", PRESENCE_USER_INFO=None)
        assert "auth.User signs in by e-mail" in message.msg
        assert "Set PRESENCE_USER_INFO" in str(message.hint)

    def test_w016_is_for_a_field_that_is_email_by_name_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(User, "USERNAME_FIELD", "username")
        assert found(PRESENCE_USER_INFO=None) == {}
        monkeypatch.setattr(User, "EMAIL_FIELD", "username")
        only("presence.W016", PRESENCE_USER_INFO=None)

    def test_w016_is_not_for_a_site_with_user_info(self) -> None:
        assert found(PRESENCE_USER_INFO=lambda user: {"name": user.first_name}) == {}

    def test_w016_is_not_for_a_missing_user_model(self) -> None:
        assert "presence.W016" not in found(AUTH_USER_MODEL="nowhere.User", PRESENCE_USER_INFO=None)

    @pytest.mark.django_db
    def test_doctor_shows_w016_with_its_remedy(self) -> None:
        with override_settings(**GOOD, PRESENCE_USER_INFO=None):
            told = {finding.id: finding for finding in examination.settings()}
        assert told["presence.W016"].level == "warning"
        assert "PRESENCE_USER_INFO" in told["presence.W016"].remedy
