"""The store that a setting names, and parts that are made again when settings change."""

from __future__ import annotations

import re

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from presence import services
from presence.backends import BACKENDS, make_store
from presence.backends.base import RosterStore
from presence.backends.memory import MemoryStore
from presence.backends.redis.store import RedisStore

OPTIONS = {"url": "redis://127.0.0.1:1/0", "prefix": "p", "timeout": 1.0}


class Own(MemoryStore):
    """A store of somebody's own."""

    def __init__(self, *, url: str, prefix: str, timeout: float) -> None:
        super().__init__()
        self.options = {"url": url, "prefix": prefix, "timeout": timeout}


class Foreign:
    """Not a store."""

    def __init__(self, **_: object) -> None: ...


@pytest.mark.parametrize(("name", "kind"), [("redis", RedisStore), ("memory", MemoryStore)])
def test_make_store_by_name_or_path_makes_the_backend(name: str, kind: type) -> None:
    assert type(make_store(name, **OPTIONS)) is kind
    assert type(make_store(BACKENDS[name], **OPTIONS)) is kind


def test_make_store_by_path_of_a_site_passes_the_options() -> None:
    store = make_store(f"{__name__}.Own", **OPTIONS)
    assert isinstance(store, Own)
    assert store.options == OPTIONS


class Unmade(RosterStore):
    """Lacks every method of a store."""

    def __init__(self, **_: object) -> None: ...


class Bare(MemoryStore):
    """Takes no arguments."""

    def __init__(self) -> None: ...


instance = MemoryStore()


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        ("", "is no name"),
        ("Redis", "is no name"),
        ("postgres", "is no name"),
        (".redis", "is no name"),
        ("presence..redis", "is no name"),
        ("my shop.stores.Store", "is no name"),
        ("no.such.module.Store", "cannot be imported (No module named 'no')"),
        ("presence.backends.redis.store.Nothing", "has no attribute 'Nothing'"),
        (f"{__name__}.Foreign", "is no class that is a presence.backends.base.RosterStore"),
        (f"{__name__}.OPTIONS", "is no class"),
        (f"{__name__}.instance", "is no class"),
        ("presence.backends.make_store", "is no class"),
        ("presence.backends.redis", "is no class"),
        ("presence.backends.tracker.Tracker", "is no class that is"),
        (f"{__name__}.Unmade", "abstract"),
        (f"{__name__}.Bare", "unexpected keyword argument 'url'"),
    ],
)
def test_make_store_of_unknown_backend_names_the_known_ones(backend: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        make_store(backend, **OPTIONS)
    assert (repr(backend) if backend else "empty") in str(caught.value)
    assert "'redis', 'memory'" in str(caught.value)


def test_store_is_shared_only_in_redis() -> None:
    assert make_store("redis", **OPTIONS).shared
    assert not make_store("memory", **OPTIONS).shared


def test_store_of_the_process_stays_until_the_settings_change() -> None:
    with override_settings(PRESENCE_BACKEND="memory"):
        first = services.store()
        assert services.store() is first
        with override_settings(PRESENCE_PREFIX="other"):
            assert services.store() is not first


@pytest.mark.parametrize(
    "wrong", [{"PRESENCE_BACKEND": "nothing"}, {"PRESENCE_REDIS_URL": "not-a-url"}]
)
def test_store_that_cannot_be_made_raises_improperly_configured(wrong: dict[str, str]) -> None:
    settings = {"PRESENCE_BACKEND": "redis", **wrong}
    with override_settings(**settings), pytest.raises(ImproperlyConfigured):
        services.store()
