"""The demo's settings from the environment: converted, with clear errors."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from presence.conf import NAMES
from presence_devtools.servers import CONFIG
from project.environment import APP_SETTINGS, app_settings, names

SETTINGS = Path(__file__).parents[3] / "project" / "settings.py"
SECRETS = ("SECRET_KEY", "CENTRIFUGO_API_KEY", "CENTRIFUGO_TOKEN_SECRET")


@pytest.fixture
def settings_from(monkeypatch):
    """Return the settings of a process with only the given variables."""
    for name in {*APP_SETTINGS, *SECRETS, "DEBUG", "ALLOWED_HOSTS", "CELERY_BROKER_URL"}:
        monkeypatch.delenv(name, raising=False)

    def load(**environ: str) -> dict[str, object]:
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            return runpy.run_path(str(SETTINGS))

    return load


def test_environment_can_set_every_setting_of_the_app():
    assert set(APP_SETTINGS) == NAMES


def test_environment_values_are_converted(settings_from):
    settings = settings_from(
        PRESENCE_INTERVAL="0.5",
        PRESENCE_BATCH_SIZE="7",
        PRESENCE_CURSOR_TRACK="yes",
        PRESENCE_CHANNELS="presence:*, {presence,chat}:*",
        PRESENCE_REDIS_URL="redis://elsewhere:1/2",
    )

    assert settings["PRESENCE_INTERVAL"] == 0.5
    assert settings["PRESENCE_BATCH_SIZE"] == 7
    assert settings["PRESENCE_CURSOR_TRACK"] is True
    assert settings["PRESENCE_CHANNELS"] == ["presence:*", "{presence,chat}:*"]
    assert settings["PRESENCE_REDIS_URL"] == "redis://elsewhere:1/2"


def test_environment_without_value_keeps_the_default_of_the_app():
    assert app_settings({"PRESENCE_WATCH": "", "HOME": "/"}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PRESENCE_INTERVAL", "often"),
        ("PRESENCE_INTERVAL", "nan"),
        ("PRESENCE_INTERVAL", "inf"),
        ("PRESENCE_LEAVE_GRACE", "-1"),
        ("PRESENCE_BATCH_SIZE", "1.5"),
        ("PRESENCE_CURSOR_TRACK", "perhaps"),
        ("DEBUG", "2"),
    ],
)
def test_environment_value_that_is_invalid_names_the_variable(settings_from, name, value):
    with pytest.raises(ImproperlyConfigured, match=f"variable {name} is wrong: expected"):
        settings_from(**{name: value})


def test_development_secrets_equal_those_of_centrifugo_json(settings_from):
    settings = settings_from()
    config = CONFIG.read_text()

    assert f'"key": "{settings["CENTRIFUGO_API_KEY"]}"' in config
    assert f'"hmac_secret_key": "{settings["CENTRIFUGO_TOKEN_SECRET"]}"' in config
    assert settings["CENTRIFUGO_API_URL"] == "http://127.0.0.1:8001/api"


@pytest.mark.parametrize("missing", SECRETS)
def test_production_without_secrets_fails(settings_from, missing):
    given = dict.fromkeys(SECRETS, "a secret") | {missing: ""}

    with pytest.raises(ImproperlyConfigured, match=missing):
        settings_from(DEBUG="0", **given)


def test_production_hashes_static_files(settings_from):
    settings = settings_from(DEBUG="0", **dict.fromkeys(SECRETS, "a secret"))

    backend = settings["STORAGES"]["staticfiles"]["BACKEND"]
    assert backend == "whitenoise.storage.CompressedManifestStaticFilesStorage"


def test_beat_ticks_at_the_interval(settings_from):
    schedule = settings_from(PRESENCE_INTERVAL="2.5")["CELERY_BEAT_SCHEDULE"]

    assert schedule["update-presence"]["schedule"].total_seconds() == 2.5
    assert schedule["update-presence"]["task"] == "presence.tasks.update_presence"


def test_broker_defaults_to_the_redis_of_the_app(settings_from):
    assert settings_from(PRESENCE_REDIS_URL="redis://a/1")["CELERY_BROKER_URL"] == "redis://a/1"
    assert settings_from(CELERY_BROKER_URL="redis://b/2")["CELERY_BROKER_URL"] == "redis://b/2"


def test_pattern_list_is_split_at_commas_outside_braces():
    assert names(" a, b,,c ") == ["a", "b", "c"]
    assert names('["a:*", "b:*"]') == ["a:*", "b:*"]
    assert names("[ab]:*,c") == ["[ab]:*", "c"]
    with pytest.raises(ValueError, match="a list such as"):
        names('["a", 1]')
