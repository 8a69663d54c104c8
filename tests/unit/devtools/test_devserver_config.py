"""Centrifugo's configuration as the devserver reads it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from presence_devtools import servers
from presence_devtools.devserver.config import Config, ConfigError, load
from presence_devtools.devserver.globs import Glob


def read(tmp_path: Path, data: Any, **environ: str) -> tuple[Config, list[str]]:
    path = tmp_path / "centrifugo.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return load(path, environ)


def test_config_of_the_project_is_used_without_a_warning() -> None:
    config, warnings = load(servers.CONFIG, {})
    assert warnings == []
    assert config.http_server.port == 8001
    options = config.channel_options("presence:a")
    assert options is not None
    assert (options.presence, options.history_size, options.history_ttl) == (True, 100, 600)
    assert config.channel_options("nonsense:a") is None
    assert config.channel_options("unnamed") is config.channel.without_namespace


def test_config_from_environment_overrides_the_file(tmp_path: Path) -> None:
    config, warnings = read(
        tmp_path,
        {"http_api": {"key": "file"}, "channel": {"namespaces": [{"name": "a-b.c"}]}},
        CENTRIFUGO_HTTP_API_KEY="environment",
        CENTRIFUGO_HTTP_SERVER_ADDRESS="127.0.0.1",
        CENTRIFUGO_HTTP_SERVER_PORT="8123",
        CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY="secret",
        CENTRIFUGO_CLIENT_ALLOWED_ORIGINS="http://a:* http://b",
        CENTRIFUGO_CLIENT_PING_INTERVAL="1m30s",
        CENTRIFUGO_CHANNEL_NAMESPACES_A_B_C_PRESENCE="true",
    )
    assert warnings == []
    assert config.http_api.key == "environment"
    assert (config.http_server.address, config.http_server.port) == ("127.0.0.1", 8123)
    assert config.client.token.hmac_secret_key == "secret"
    assert config.client.allowed_origins == ["http://a:*", "http://b"]
    assert config.client.ping_interval == 90
    assert config.channel.namespaces[0].presence


def test_config_reads_namespaces_from_the_environment(tmp_path: Path) -> None:
    namespaces = '[{"name": "chat", "presence": true}]'
    config, _ = read(tmp_path, {}, CENTRIFUGO_CHANNEL_NAMESPACES=namespaces)
    assert [(each.name, each.presence) for each in config.channel.namespaces] == [("chat", True)]


def test_config_reads_the_publish_proxy(tmp_path: Path) -> None:
    prefix = "CENTRIFUGO_CHANNEL_PROXY_PUBLISH"
    config, warnings = read(
        tmp_path,
        {
            "channel": {
                "proxy": {"publish": {"http": {"static_headers": {"X-File": "a"}}}},
                "namespaces": [{"name": "cursors"}],
            }
        },
        CENTRIFUGO_CHANNEL_NAMESPACES_CURSORS_PUBLISH_PROXY_ENABLED="true",
        CENTRIFUGO_VAR_KEY="secret",
        **{
            f"{prefix}_ENDPOINT": "http://site/publish/",
            f"{prefix}_TIMEOUT": "3s",
            f"{prefix}_INCLUDE_CONNECTION_META": "true",
            f"{prefix}_HTTP_HEADERS": "Cookie Origin",
            f"{prefix}_HTTP_STATIC_HEADERS": '{"X-API-Key": "<${CENTRIFUGO_VAR_KEY}>"}',
        },
    )
    assert warnings == []
    assert config.channel.namespaces[0].publish_proxy_enabled
    proxy = config.channel.proxy.publish
    assert (proxy.endpoint, proxy.timeout) == ("http://site/publish/", 3)
    assert (proxy.include_connection_meta, proxy.http_headers) == (True, ["Cookie", "Origin"])
    assert proxy.http.static_headers == {"X-API-Key": "<secret>"}


@pytest.mark.parametrize(
    ("publish", "message"),
    [
        ({}, "endpoint not set"),
        ({"endpoint": "http://site", "timeout": "0s"}, "timeout not set"),
        ({"endpoint": "grpc://site"}, "http:// and https:// only"),
        ({"endpoint": "http://site", "http": {"static_headers": {"A": "${CENTRIFUGO_VAR_X}"}}},
         "environment variable 'CENTRIFUGO_VAR_X' not found"),
        ({"endpoint": "http://site", "http": {"static_headers": "A"}}, "cannot be 'A'"),
    ],
)  # fmt: skip
def test_config_with_unusable_publish_proxy_raises(
    tmp_path: Path, publish: Any, message: str
) -> None:
    namespaces = [{"name": "cursors", "publish_proxy_enabled": True}]
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, {"channel": {"proxy": {"publish": publish}, "namespaces": namespaces}})


def test_config_with_unused_incomplete_publish_proxy_loads(tmp_path: Path) -> None:
    read(tmp_path, {"channel": {"proxy": {"publish": {}}, "namespaces": [{"name": "cursors"}]}})


def test_config_with_unsupported_options_warns_once_for_each(tmp_path: Path) -> None:
    _, warnings = read(
        tmp_path,
        {
            "redis": {"address": "x"},
            "usage_stats": {"disabled": True},
            "client": {"concurrency": 8},
            "channel": {"namespaces": [{"name": "chat", "delta_publish": True}]},
        },
        CENTRIFUGO_NONSENSE="1",
        CENTRIFUGO_VAR_MINE="1",
        CENTRIFUGO_SERVICE_HOST="1",
        OTHER="1",
    )
    assert warnings == [
        "option ignored: redis",
        "option ignored: client.concurrency",
        "option ignored: channel.namespaces.[0].delta_publish",
        "environment variable ignored: CENTRIFUGO_NONSENSE",
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must hold a JSON object"),
        ({"http_server": {"port": "eighty"}}, r"http_server\.port cannot be 'eighty'"),
        ({"client": []}, "client must be an object"),
        ({"client": {"ping_interval": "soon"}}, r"client\.ping_interval cannot be 'soon'"),
        ({"client": {"ping_interval": "5s"}}, "ping_interval must be greater than"),
        ({"client": {"allowed_origins": ["["]}}, "allowed_origins: unclosed"),
        ({"channel": {"namespaces": [{"name": "a"}]}}, "namespace 'a': invalid"),
        ({"channel": {"namespaces": [{"name": "ab"}, {"name": "ab"}]}}, "must be unique"),
        ({"channel": {"namespaces": [{"name": "ab", "history_size": 1}]}}, "both history size"),
        ({"channel": {"namespaces": [{"name": "ab", "force_recovery": True}]}}, "for recovery"),
        ({"channel": {"without_namespace": {"presence": "perhaps"}}}, "cannot be 'perhaps'"),
        ({"channel": {"without_namespace": {"publication_data_format": "xml"}}}, "is unknown"),
    ],
)
def test_config_with_invalid_value_raises_one_line_that_names_it(
    tmp_path: Path, data: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        read(tmp_path, data)
    assert "\n" not in str(error.value)


def test_config_without_file_raises_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.json: No such file"):
        load(tmp_path / "nowhere.json", {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("600s", 600), ("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5), ("0", 0), (2_000_000_000, 2)],
)
def test_config_duration_is_read_in_seconds(tmp_path: Path, text: Any, seconds: float) -> None:
    config, _ = read(tmp_path, {"client": {"expired_close_delay": text}})
    assert config.client.expired_close_delay == seconds


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("presence:*", "presence:a:b", True),
        ("presence:*", "roster:a", False),
        ("{presence,roster}:*", "roster:a", True),
        ("{a,b{c,d}}", "bd", True),
        ("room-?", "room-1", True),
        ("room-?", "room-12", False),
        ("[a-c]x", "bx", True),
        ("[a-c]x", "dx", False),
        ("[!ab]x", "cx", True),
        ("[!ab]x", "ax", False),
        (r"a\*b", "a*b", True),
        (r"a\*b", "axb", False),
        ("a.c", "abc", False),
        ("http://localhost:*", "http://localhost:8000", True),
        ("*", "", True),
    ],
)
def test_glob_matches_as_in_centrifugo(pattern: str, text: str, matches: bool) -> None:
    assert Glob(pattern).matches(text) is matches


@pytest.mark.parametrize("pattern", ["[", "[]", "{a", "[z-a]"])
def test_glob_that_is_malformed_raises_value_error(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern"):
        Glob(pattern)


def test_glob_of_many_stars_is_quick() -> None:
    began = time.process_time()
    assert not Glob("*a" * 40 + "b").matches("a" * 255)
    assert time.process_time() - began < 1
