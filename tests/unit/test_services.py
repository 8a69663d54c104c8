"""The parts of a process: shared ones, and those that are made again."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import override_settings

from presence import services, signals
from presence.conf import conf
from presence.sync.context import threads
from presence.testing import FakePresence
from presence.testing.clock import Inline


def receiver(**_: Any) -> None:
    """Hears nothing."""


def test_syncs_of_one_process_share_a_cache_and_the_last_look() -> None:
    assert services.sync().cache is services.sync().cache
    assert services.sync().last_look is services.sync().last_look


@pytest.mark.parametrize("setting", ["PRESENCE_PREFIX", "PRESENCE_REDIS_URL"])
def test_services_of_another_store_share_no_cache_with_the_first(
    settings: Any, setting: str
) -> None:
    before = services.sync()
    setattr(settings, setting, "redis://127.0.0.1:1/7" if "URL" in setting else "another")
    after = services.sync()
    assert after.store is not before.store
    assert after.cache is not before.cache
    assert after.last_look is not before.last_look


def test_sync_announces_only_where_a_signal_has_receivers() -> None:
    assert services.sync().announce is None
    signals.presence_left.connect(receiver)
    try:
        assert services.sync().announce is signals.send
    finally:
        signals.presence_left.disconnect(receiver)


def test_replaced_services_hold_within_the_block_alone() -> None:
    before = services.sync()
    with FakePresence() as fake, override_settings(PRESENCE_PREFIX="another"):
        within = services.sync()
        assert within.store is fake.store
        assert within.gateway._transport is fake.centrifugo
        assert (within.executor, within.clock) == (Inline, fake.clock)
        assert within.cache is not before.cache
        fake.advance(1000)
        assert services.now() > time.time() + 999
    after = services.sync()
    assert after.store is not fake.store
    assert (after.executor, after.clock) == (threads, time.monotonic)
    assert services.now() < time.time() + 1


def test_redis_timeout_is_by_default_that_of_centrifugo(settings: Any) -> None:
    settings.CENTRIFUGO_TIMEOUT = 7.0
    assert conf.PRESENCE_REDIS_TIMEOUT == 7.0
    settings.PRESENCE_REDIS_TIMEOUT = 0.5
    assert (conf.PRESENCE_REDIS_TIMEOUT, conf.CENTRIFUGO_TIMEOUT) == (0.5, 7.0)


def test_store_is_made_with_the_timeout_of_redis(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(services, "make_store", lambda name, **options: given.update(options))
    settings.PRESENCE_REDIS_TIMEOUT = 0.5
    services.store()
    services.store.cache_clear()
    assert given["timeout"] == 0.5
