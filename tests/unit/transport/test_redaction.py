"""No message shows a secret: values are named by type, URLs by host and port, text is masked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from presence import services
from presence.backends.redis.store import RedisStore
from presence.centrifugo.gateway import Gateway
from presence.centrifugo.http import HttpTransport
from presence.checks import TAG
from presence.conf import NAMES, conf, masked, traceable
from presence.doctor import examination
from presence.doctor.findings import Finding, ok
from presence.exceptions import CentrifugoError, StoreError
from presence.transport.redaction import Redactor, address, secrets_in, shown

SECRET = "S3CRET-sesame"


class Odd:
    def __repr__(self) -> str:
        return f"<Odd {SECRET}>"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (1e300, "1e+300"),
        (-3, "-3"),
        (10**400, "a value of type int"),
        ("fast", "'fast'"),
        ("60", "'60'"),
        ("shop.users.info", "'shop.users.info'"),
        ("", "empty"),
        (f"redis://:{SECRET}@host/0", "a value of type str"),
        (SECRET.encode(), "a value of type bytes"),
        ([SECRET], "a value of type list"),
        ({"password": SECRET}, "a value of type dict"),
        (Odd(), "a value of type Odd"),
    ],
)
def test_shown_value_that_may_be_secret_is_its_type(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://127.0.0.1:8001/api", "http://127.0.0.1:8001"),
        (f"redis://me:{SECRET}@host:6379/0?password={SECRET}", "redis://host:6379"),
        (f"redis+sentinel://:{SECRET}@a:1,b:2/primary/0", "redis+sentinel://a:1,b:2"),
        (f"unix:///run/redis.sock?password={SECRET}", "unix:///run/redis.sock"),
        (f"rediss://:{SECRET}@[::1]:6380/0", "rediss://[::1]:6380"),
        (f"redis://:S3C@{SECRET}@host/0", "redis://host"),
        # Where a part of the password would look like the host or the port.
        (f"redis://:S3C/{SECRET}@host/0", "a redis:// URL"),
        (f"redis://:a@{SECRET}/b@host/0", "a redis:// URL"),
        (f"redis://me:{SECRET}", "a redis:// URL"),
        (f"redis://:{SECRET}@host:port/0", "a redis:// URL"),
        (SECRET, "a string that is not a URL"),
        (SECRET.encode(), "a value of type bytes"),
    ],
)
def test_address_of_a_url_is_scheme_host_and_port(url: object, text: str) -> None:
    assert address(url) == text


@pytest.mark.parametrize(
    "text",
    [
        f"cannot connect to https://{SECRET}@host/path",
        f"cannot connect to https://me:{SECRET}@host/path",
        f"Connection(host='h', password='{SECRET}', db=0)",
        f"{{'username': 'me', 'password': '{SECRET}'}}",
        f"{{'sentinel_password': b'{SECRET}'}}",
        f"GET /snapshot/?grant={SECRET}&x=1",
    ],
)
def test_redactor_of_unknown_logins_and_options_masks_them(text: str) -> None:
    assert SECRET not in Redactor().text(text)


@pytest.mark.parametrize(
    "text", ["the password: what is wrong", "presence:token:42", "invalid username-password pair"]
)
def test_redactor_of_plain_sentences_changes_nothing(text: str) -> None:
    assert Redactor().text(text) == text


def test_secrets_in_nested_settings_are_found() -> None:
    given = {
        "url": f"redis://me:{SECRET}0@host/0",
        "connection": {"password": f"{SECRET}1", "host": "host"},
        "servers": [f"amqp://me:{SECRET}2@host//", f"amqp://me:{SECRET}3@host//"],
        "raw": f"redis://:{SECRET}4@host".encode(),
        "KEY_PREFIX": "presence",
    }
    found = set(secrets_in(given))
    assert {f"{SECRET}{number}" for number in range(5)} <= found
    assert "presence" not in found


@override_settings(
    HUEY={"connection": {"password": "of-huey"}},
    DATABASES={"other": {"PASSWORD": "of-database"}},
    CACHES={"default": {"LOCATION": "redis://:of-cache@host/0"}},
    SECRET_KEY_FALLBACKS=["of-yesterday"],
    CELERY_BROKER_URL="sentinel://:of-broker@a:1;sentinel://:of-broker@b:2",
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_masked_text_with_secret_of_another_setting_hides_it() -> None:
    text = masked("of-huey of-database of-cache of-yesterday of-broker")
    assert text == "*** *** *** *** ***"


def raised_by(function: Callable[[], object]) -> Exception:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    "held",
    ["key of-the-api", b"key of-the-api", {"X-API-Key": "of-the-api"}, (1, ["of-the-api"])],
)
def test_cause_with_secret_in_a_variable_comes_without_its_frames(held: object) -> None:
    def send() -> None:
        headers = held
        raise ConnectionError(f"refused {len(str(headers))}")

    redactor = Redactor(words=["of-the-api"])
    error = raised_by(send)
    assert redactor.cause(error) is error
    assert error.__traceback__ is None


def test_cause_without_secrets_keeps_its_frames() -> None:
    def send(other: str) -> None:
        raise ConnectionError(f"refused {len(other)}")

    error = raised_by(lambda: send("harmless"))
    assert Redactor(words=["of-the-api"]).cause(error) is error
    assert error.__traceback__


def test_cause_with_secret_in_its_traceback_is_none() -> None:
    redactor = Redactor(words=[SECRET])
    inner = ValueError(f"AUTH {SECRET}")
    outer = RuntimeError("harmless")
    outer.__cause__ = inner
    assert redactor.cause(outer) is None
    assert redactor.cause(ValueError("harmless")) is not None


PLANTED = [
    SECRET.encode(),
    [SECRET],
    {"url": SECRET},
    (f"redis://:{SECRET}@host",),
    f"redis://:{SECRET}@host:port/0",
    f"http://me:{SECRET}@",
    f"{SECRET} with blanks\n",
    Odd(),
]


@pytest.mark.parametrize("value", PLANTED, ids=[type(value).__name__ for value in PLANTED])
@pytest.mark.parametrize("name", sorted(NAMES - {"PRESENCE_CHANNEL"}))
def test_checks_and_errors_of_wrong_setting_do_not_show_its_value(name: str, value: object) -> None:
    with override_settings(**{name: value}):
        messages = checks.run_checks(tags=[TAG])
        said = "".join(f"{message.msg} {message.hint}" for message in messages)
        try:
            getattr(conf, name)
        except ImproperlyConfigured as error:
            said += repr(error) + repr(error.__cause__)
    assert SECRET not in said


UNUSABLE = {
    "PRESENCE_REDIS_URL": [
        f"redis://:{SECRET}@127.0.0.1:1/0",
        f"redis+cluster://:{SECRET}@127.0.0.1:1",
        f"redis+sentinel://:{SECRET}@127.0.0.1:1/primary/0?sentinel_password={SECRET}",
        f"rediss://me:{SECRET}@127.0.0.1:1/0?ssl_cert_reqs={SECRET}",
        f"redis://127.0.0.1:1/0?password={SECRET}&bogus=1",
    ],
    "CENTRIFUGO_API_URL": [
        f"http://me:{SECRET}@127.0.0.1:1/api",
        f"http://me:{SECRET}@[/api",
        f"ftp://me:{SECRET}@127.0.0.1/api",
        f"http://127.0.0.1:1/api?api_key={SECRET}",
    ],
    "CENTRIFUGO_API_KEY": [f"{SECRET}\nX: y", f" {SECRET}", f"{SECRET}é"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in UNUSABLE.items() for value in values]
)
def test_tick_log_with_unusable_setting_shows_no_secret(
    name: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Other values lead nowhere, too: a tick that fails at once, whatever else runs here.
    settings = {
        "PRESENCE_REDIS_URL": "redis://127.0.0.1:1/0",
        "CENTRIFUGO_API_URL": "http://127.0.0.1:1/api",
        name: value,
    }
    for logger in ("", "presence"):
        caplog.set_level(logging.DEBUG, logger=logger)
    said = ""
    with override_settings(**settings):
        try:
            said = repr(services.sync().tick().failures)
        except ImproperlyConfigured as error:
            said = logging.Formatter().formatException((type(error), error, error.__traceback__))
    assert SECRET not in said + caplog.text


class Echo:
    """An old server: it repeats the arguments of a command that it does not know."""

    def run(self, *_: Any, **__: Any) -> Any:
        raise redis.ResponseError(f"ERR unknown command 'HELLO', with args: '3' 'AUTH' '{SECRET}'")


def test_store_error_with_repeated_secret_hides_it() -> None:
    store = RedisStore(f"redis://me:{SECRET}@127.0.0.1:1/0")
    store._client = Echo()  # type: ignore[assignment]
    with pytest.raises(StoreError, match="unknown command") as raised:
        store.load_states(["presence:a"])
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_gateway_error_with_key_hides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(HttpTransport("http://127.0.0.1:1/api", SECRET))

    def breaks(*_: object) -> None:
        raise ValueError(f"Invalid header value {SECRET!r}")

    monkeypatch.setattr(gateway._transport, "_post", breaks)
    with pytest.raises(CentrifugoError, match="Invalid header") as raised:
        gateway.versions()
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:1/Hidden4you/api", "http://127.0.0.1:1/api?k=Hidden4you"),
        *("http://127.0.0.1:1/api#Hidden4you", "Hidden4you in ; a wrong place"),
    ],
)
def test_gateway_error_with_url_shows_only_scheme_host_and_port(url: str) -> None:
    with pytest.raises(CentrifugoError) as raised:
        Gateway(HttpTransport(url, "key", timeout=1.0)).versions()
    link: BaseException | None = raised.value
    while link is not None:
        assert "Hidden4you" not in str(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


@override_settings(CENTRIFUGO_API_KEY=SECRET)
def test_doctor_log_of_failed_part_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks() -> Iterator[Finding]:
        yield ok("odd.first", "fine")
        raise RuntimeError(f"key {SECRET}")

    monkeypatch.setattr(examination, "PARTS", {"odd": breaks})
    caplog.set_level(logging.DEBUG, logger="presence.doctor")
    findings = list(examination.examine())
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text + repr(findings)


@override_settings(CENTRIFUGO_API_KEY=SECRET)
def test_traceable_error_is_none_where_it_shows_a_secret() -> None:
    assert traceable(RuntimeError(SECRET)) is None
    assert traceable(RuntimeError("harmless")) is not None
