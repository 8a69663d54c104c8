"""The store behind a real sentinel: passwords, a database, and a primary that dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from presence.backends.redis.store import RedisStore
from presence.centrifugo.gateway import Gateway
from presence.doctor import redis as doctor
from presence.exceptions import StoreError
from presence.sync.context import Options
from presence.sync.tick import Sync
from presence_devtools.servers import wait_until
from tests.clusters import redis_sentinel
from tests.unit.fakes import ROOM, FakeCentrifugo

WELL = ["redis.reachable", "redis.eviction", "redis.writable"]


def test_sentinel_failover_is_followed(settings: Any, tmp_path: Path) -> None:
    """The store continues with the replica in new epochs, as the last writes may be lost."""
    centrifugo = FakeCentrifugo()

    def tick(user: str) -> str:
        centrifugo.enter(ROOM, user, user, "Ada")
        assert sync.tick([ROOM]).errors == 0
        return str(centrifugo.delivered[ROOM][-1]["type"])

    with redis_sentinel(tmp_path) as running:
        store = RedisStore(running.url)
        sync = Sync(store, Gateway(centrifugo), Options(grace=0.0), announce=None)
        assert levels(settings, running.url) == dict.fromkeys(WELL, "ok")
        alone = f"redis://:opensesame@127.0.0.1:{running.sentinel}"
        assert levels(settings, alone)["redis.mode"] == "problem"
        tick("u1")
        assert tick("u2") == "presence.diff"
        before = store.load_states([ROOM])

        running.kill_primary()
        with pytest.raises(StoreError) as raised:
            store.load_states([ROOM])
        assert "sesame" not in str(raised.value)
        wait_until(lambda: answers(store), "the sentinel has made the replica the primary")

        after = store.load_states([ROOM])
        assert after.run != before.run
        assert after.states[ROOM].epoch == before.states[ROOM].epoch
        assert tick("u3") == "presence.reload"
        assert store.load_states([ROOM]).states[ROOM].epoch != before.states[ROOM].epoch
        assert tick("u4") == "presence.diff"


def levels(settings: Any, url: str) -> dict[str, str]:
    """Return the findings of the doctor."""
    settings.PRESENCE_REDIS_URL = url
    return {finding.id: finding.level for finding in doctor.examine()}


def answers(store: RedisStore) -> bool:
    try:
        return bool(store.load_states([ROOM]).run)
    except StoreError:
        return False


def test_sentinel_url_without_sentinel_raises_store_error() -> None:
    url = "redis+sentinel://:sesame@127.0.0.1:9/mymaster?sentinel_password=opensesame"
    with pytest.raises(StoreError, match="no sentinel names a primary") as raised:
        RedisStore(url).load_states([ROOM])
    assert "sesame" not in str(raised.value)
    assert raised.value.__cause__ is None
