"""Centrifugo's configuration: a JSON file, and CENTRIFUGO_* environment variables that override it.

The devserver warns of each option that it ignores, as Centrifugo warns of unknown keys. Values of
the wrong kind and options that contradict each other raise ConfigError.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NewType, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from .globs import Glob

# Sections that change nothing that a client or a backend could see.
OF_NO_CONSEQUENCE = {"log", "pid_file", "prometheus", "shutdown", "usage_stats"}
# Centrifugo ignores these too: variables that Kubernetes injects, and variables for use in values.
VARIABLE = re.compile(r"\$\{(CENTRIFUGO_VAR_[^}]+)\}")
NOT_OPTIONS = re.compile(r"CENTRIFUGO(_[A-Z0-9_]+)?_(PORT|SERVICE_)|CENTRIFUGO_VAR_")
DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)")
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
TRUTHS = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False, "": False}
DATA_FORMATS = {"", "json", "json_object", "binary"}

T = TypeVar("T")


Seconds = NewType("Seconds", float)

PRIVATE_PREFIX = "$"
NAMESPACE_BOUNDARY = ":"


@dataclass(kw_only=True)
class ChannelOptions:
    """Options of the channels of one namespace, with Centrifugo's defaults."""

    presence: bool = False
    join_leave: bool = False
    force_push_join_leave: bool = False
    history_size: int = 0
    history_ttl: Seconds = Seconds(0)
    history_meta_ttl: Seconds = Seconds(0)
    force_recovery: bool = False
    allow_subscribe_for_client: bool = False
    allow_publish_for_subscriber: bool = False
    allow_publish_for_client: bool = False
    allow_presence_for_subscriber: bool = False
    allow_presence_for_client: bool = False
    publication_data_format: str = ""
    publish_proxy_enabled: bool = False

    @property
    def keeps_history(self) -> bool:
        return self.history_size > 0 and self.history_ttl > 0


@dataclass(kw_only=True)
class Namespace(ChannelOptions):
    name: str = ""


@dataclass(kw_only=True)
class ProxyHttpSection:
    static_headers: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class ProxySection:
    """Endpoint of the site, and the headers that it is sent."""

    endpoint: str = ""
    timeout: Seconds = Seconds(1)
    include_connection_meta: bool = False
    http_headers: list[str] = field(default_factory=list)
    http: ProxyHttpSection = field(default_factory=ProxyHttpSection)


@dataclass(kw_only=True)
class ChannelProxySection:
    publish: ProxySection = field(default_factory=ProxySection)


@dataclass(kw_only=True)
class ChannelSection:
    without_namespace: ChannelOptions = field(default_factory=ChannelOptions)
    namespaces: list[Namespace] = field(default_factory=list)
    history_meta_ttl: Seconds = Seconds(30 * 24 * 3600)
    proxy: ChannelProxySection = field(default_factory=ChannelProxySection)
    max_length: int = 255


@dataclass(kw_only=True)
class TokenSection:
    hmac_secret_key: str = ""


@dataclass(kw_only=True)
class ClientSection:
    allowed_origins: list[str] = field(default_factory=list)
    token: TokenSection = field(default_factory=TokenSection)
    ping_interval: Seconds = Seconds(25)
    pong_timeout: Seconds = Seconds(8)
    expired_close_delay: Seconds = Seconds(25)
    expired_sub_close_delay: Seconds = Seconds(25)
    stale_close_delay: Seconds = Seconds(10)
    presence_update_interval: Seconds = Seconds(27)
    channel_position_check_delay: Seconds = Seconds(40)
    channel_limit: int = 128
    queue_max_size: int = 1 << 20


@dataclass(kw_only=True)
class HttpServerSection:
    address: str = ""
    port: int = 8000


@dataclass(kw_only=True)
class HttpApiSection:
    key: str = ""


@dataclass(kw_only=True)
class WebSocketSection:
    message_size_limit: int = 65536
    write_timeout: Seconds = Seconds(1)


@dataclass(kw_only=True)
class Config:
    """The options of Centrifugo that the devserver uses."""

    http_server: HttpServerSection = field(default_factory=HttpServerSection)
    client: ClientSection = field(default_factory=ClientSection)
    http_api: HttpApiSection = field(default_factory=HttpApiSection)
    channel: ChannelSection = field(default_factory=ChannelSection)
    websocket: WebSocketSection = field(default_factory=WebSocketSection)

    def channel_options(self, channel: str) -> ChannelOptions | None:
        """Return the options of the namespace of `channel`; None if there is no such namespace."""
        name, boundary, _ = channel.removeprefix(PRIVATE_PREFIX).partition(NAMESPACE_BOUNDARY)
        if not boundary:
            return self.channel.without_namespace
        return next((known for known in self.channel.namespaces if known.name == name), None)


class ConfigError(Exception):
    """Raised for a configuration that cannot be used; the message is one line with the option."""


def load(path: Path, environ: Mapping[str, str]) -> tuple[Config, list[str]]:
    """Return the configuration, and one warning for each option that is ignored.

    Raises ConfigError for a file that cannot be read and for values that cannot be used.
    """
    try:
        data = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a JSON object")
    warnings: list[str] = []
    config = _section(Config, data, "", warnings)
    known = set(_apply(config, "CENTRIFUGO", environ))
    for namespace in config.channel.namespaces:
        name = re.sub("[.-]", "_", namespace.name)
        known |= set(_apply(namespace, f"CENTRIFUGO_CHANNEL_NAMESPACES_{name}".upper(), environ))
    for variable in environ:
        ours = variable.startswith("CENTRIFUGO_") and not NOT_OPTIONS.match(variable)
        if ours and variable not in known:
            warnings.append(f"environment variable ignored: {variable}")
    proxy = config.channel.proxy.publish
    proxy.http.static_headers = {
        name: _expanded(value, environ) for name, value in proxy.http.static_headers.items()
    }
    _validate(config)
    return config, warnings


def _section(kind: type[T], data: object, path: str, warnings: list[str]) -> T:
    """Return an instance of the dataclass `kind` from a JSON object."""
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must be an object")
    kinds = get_type_hints(kind)
    values: dict[str, Any] = {}
    for raw_key, value in data.items():
        key = raw_key.lower()
        where = f"{path}.{key}" if path else key
        if key in kinds:
            values[key] = _value(kinds[key], value, where, warnings)
        elif path or key not in OF_NO_CONSEQUENCE:
            warnings.append(f"option ignored: {where}")
    return kind(**values)


def _value(kind: Any, value: object, path: str, warnings: list[str]) -> object:
    if dataclasses.is_dataclass(kind):
        return _section(kind, value, path, warnings)  # type: ignore[arg-type]
    if get_origin(kind) is dict and isinstance(value, dict):
        return {key: _value(str, each, f"{path}.{key}", warnings) for key, each in value.items()}
    if get_origin(kind) is list and isinstance(value, list):
        (item,) = get_args(kind)
        return [_value(item, each, f"{path}.[{n}]", warnings) for n, each in enumerate(value)]
    try:
        return SCALARS[kind](value)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} cannot be {value!r}") from error


def _apply(section: Any, prefix: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Set the fields of `section` from `environ`; yield the name of each possible variable."""
    for name, kind in get_type_hints(type(section)).items():
        variable = f"{prefix}_{name}".upper()
        if dataclasses.is_dataclass(kind):
            yield from _apply(getattr(section, name), variable, environ)
            continue
        yield variable
        if variable in environ:
            setattr(section, name, _from_environ(kind, environ[variable], variable))


def _from_environ(kind: Any, text: str, variable: str) -> object:
    if kind == list[str]:
        return text.split(" ") if text.strip() else []
    if kind in (list[Namespace], dict[str, str]):
        try:
            return _value(kind, msgspec.json.decode(text), variable, [])
        except msgspec.DecodeError as error:
            raise ConfigError(f"{variable} is not JSON: {error}") from error
    return _value(kind, text, variable, [])


def _expanded(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` with the variables `${CENTRIFUGO_VAR_…}` replaced by their values."""

    def look_up(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise ConfigError(f"environment variable {match[1]!r} not found")
        return environ[match[1]]

    return VARIABLE.sub(look_up, text)


def _boolean(value: object) -> bool:
    return value if isinstance(value, bool) else TRUTHS[str(value).lower()]


def _integer(value: object) -> int:
    if isinstance(value, int | str):
        return int(value)
    raise TypeError(value)


def _text(value: object) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(value)


def _seconds(value: object) -> Seconds:
    """Read a duration of Go: "1h30m", "600s", or a number of nanoseconds."""
    if isinstance(value, int):
        return Seconds(value / 1e9)
    text = str(value)
    parts = DURATION.findall(text)
    if text != "0" and "".join(number + unit for number, unit in parts) != text.lstrip("-+"):
        raise ValueError(value)
    total = sum(float(number) * UNITS[unit] for number, unit in parts)
    return Seconds(-total if text.startswith("-") else total)


SCALARS: dict[Any, Callable[[object], object]] = {
    bool: _boolean,
    int: _integer,
    str: _text,
    Seconds: _seconds,
}


def _validate(config: Config) -> None:
    """Run Centrifugo's own checks of the options that are used."""
    names = [namespace.name for namespace in config.channel.namespaces]
    for namespace in config.channel.namespaces:
        if not re.fullmatch(r"[-a-zA-Z0-9_.]{2,}", namespace.name):
            raise ConfigError(f"namespace {namespace.name!r}: invalid namespace name")
        if names.count(namespace.name) > 1:
            raise ConfigError(f"namespace {namespace.name}: name must be unique")
        _validate_channels(namespace, f"namespace {namespace.name}", config)
    _validate_channels(config.channel.without_namespace, "channel.without_namespace", config)
    if config.client.ping_interval <= config.client.pong_timeout:
        raise ConfigError("client.ping_interval must be greater than client.pong_timeout")
    for origin in config.client.allowed_origins:
        try:
            Glob(origin)
        except ValueError as error:
            raise ConfigError(f"client.allowed_origins: {error}") from error


def _validate_channels(options: ChannelOptions, where: str, config: Config) -> None:
    if bool(options.history_size) != bool(options.history_ttl):
        raise ConfigError(f"{where}: both history size and history ttl required for history")
    if options.force_recovery and not options.keeps_history:
        raise ConfigError(f"{where}: both history size and history ttl required for recovery")
    if (options.history_meta_ttl or config.channel.history_meta_ttl) < options.history_ttl:
        raise ConfigError(f"{where}: history ttl can not be greater than history meta ttl")
    if options.publication_data_format not in DATA_FORMATS:
        raise ConfigError(f"{where}: publication_data_format is unknown")
    if options.publish_proxy_enabled:
        _validate_proxy(config.channel.proxy.publish, f"{where}: channel.proxy.publish")


def _validate_proxy(proxy: ProxySection, where: str) -> None:
    if proxy.timeout <= 0:
        raise ConfigError(f"{where}: timeout not set")
    if not proxy.endpoint:
        raise ConfigError(f"{where}: endpoint not set")
    if not proxy.endpoint.startswith(("http://", "https://")):
        raise ConfigError(f"{where}: the devserver asks over http:// and https:// only")
