"""The store on a real Redis Cluster: three primaries, one of them with a replica."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from presence.backends.redis.keys import Keys
from presence.backends.redis.store import RedisStore
from presence.backends.redis.urls import Client, make_client
from presence.centrifugo.gateway import Gateway
from presence.doctor import redis as doctor
from presence.exceptions import StoreError
from presence.sync.context import Options
from presence.sync.tick import Sync
from presence.testing.contract import BackendContract, Clock
from presence_devtools.servers import wait_until
from tests import stored_rooms
from tests.clusters import RunningCluster, client, redis_cluster
from tests.unit.fakes import FakeCentrifugo

ROOMS = [f"presence:{number}" for number in range(30)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with redis_cluster(tmp_path_factory.mktemp("cluster"), replicas=[0]) as cluster:
        yield cluster


@pytest.fixture
def cluster(running: RunningCluster) -> RunningCluster:
    """Return an empty cluster. The slots of the primaries are as the previous test left them."""
    running.flush()
    return running


@pytest.fixture
def store(cluster: RunningCluster) -> RedisStore:
    return RedisStore(cluster.url)


class Visits:
    """Ticks that add a member to each room."""

    def __init__(self, store: RedisStore) -> None:
        self.centrifugo = FakeCentrifugo()
        options = Options(batch_size=10, grace=0.0)
        self.sync = Sync(store, Gateway(self.centrifugo), options, announce=None)
        self.count = 0

    def tick(self) -> set[str]:
        """Return the types of the messages that the tick published, after a join in each room."""
        self.count += 1
        before = {room: len(self.centrifugo.delivered[room]) for room in ROOMS}
        for room in ROOMS:
            self.centrifugo.enter(room, f"c{self.count}", f"u{self.count}", "Ada")
        report = self.sync.tick(ROOMS)
        assert (report.errors, report.failures, report.refused) == (0, [], 0)
        assert report.members == self.count * len(ROOMS)
        new = [self.centrifugo.delivered[room][before[room] :] for room in ROOMS]
        assert [len(messages) for messages in new] == [1] * len(ROOMS)
        return {message["type"] for (message,) in new}


@pytest.fixture
def visits(store: RedisStore) -> Visits:
    visits = Visits(store)
    visits.tick()
    return visits


def test_cluster_spreads_rooms_over_its_primaries(
    cluster: RunningCluster, store: RedisStore, visits: Visits
) -> None:
    assert visits.tick() == {"presence.diff"}
    for port in cluster.primaries():
        with client(port) as node:
            assert node.dbsize() > 5
    assert store.known_channels().polled.keys() == set(ROOMS)
    assert stored_rooms.rosters(store, ROOMS).keys() == set(ROOMS)
    snapshots = store.load_snapshots(ROOMS)
    assert list(snapshots) == ROOMS
    assert all(snapshot.snapshot and snapshot.polled for snapshot in snapshots.values())


def test_cluster_calls_take_one_round_trip_for_each_primary(
    store: RedisStore, visits: Visits, round_trips: list[object]
) -> None:
    members = [(room, f"u{number}", "tab") for number in range(300) for room in ROOMS]
    for ask in (
        lambda: store.load_states(ROOMS),
        lambda: store.load_snapshots(ROOMS),
        lambda: store.touch_members(members, timeout=60),
    ):
        round_trips.clear()
        ask()
        assert len(round_trips) == 3
    round_trips.clear()
    store.claim_slot(ROOMS[0], 1, seconds=1.0)
    assert len(round_trips) == 1


def test_cluster_after_script_flush_loads_scripts_again(
    cluster: RunningCluster, visits: Visits
) -> None:
    for port in cluster.primaries():
        with client(port) as node:
            node.script_flush()
    assert visits.tick() == {"presence.diff"}


def test_cluster_that_moves_a_slot_loses_nothing(
    cluster: RunningCluster, store: RedisStore, visits: Visits
) -> None:
    """The keys move first, and the old primary redirects; then the slot moves, and the client
    learns that from an error. Nothing is lost, so the epochs stay."""
    run, key = store.load_states([]).run, Keys("presence").channel(ROOMS[7])
    cluster.move_keys(key)
    assert visits.tick() == {"presence.diff"}
    cluster.move_slot(key)
    assert visits.tick() == {"presence.diff"}
    assert store.load_states([]).run == run


def test_cluster_client_used_by_threads_at_first_call_succeeds(store: RedisStore) -> None:
    """The threads share a client that has not discovered the cluster yet."""
    with ThreadPoolExecutor(8) as threads:
        claimed = [
            threads.submit(store.claim_slot, room, 1, seconds=60.0)
            for room in ROOMS
            for _ in range(4)
        ]
    assert sum(future.result() for future in claimed) == len(ROOMS)


def test_cluster_cursors_use_the_clock_of_their_primary(store: RedisStore) -> None:
    for room in ROOMS:
        at = store.save_cursors(room, {"ada": b"{}"}, timeout=10.0)
        assert store.load_cursors(room, timeout=10.0) == {"ada": (at, b"{}")}


def test_cluster_with_one_reachable_host_is_found(cluster: RunningCluster) -> None:
    port = cluster.primaries()[1]
    store = RedisStore(f"redis+cluster://127.0.0.1:9,127.0.0.1:{port}", timeout=1.0)
    assert store.load_states(ROOMS).run


def test_cluster_url_without_cluster_raises_store_error(
    redis_url: str, cluster: RunningCluster
) -> None:
    for url, said in [
        ("redis+cluster://:sesame@127.0.0.1:9", "one reachable node"),
        (redis_url.replace("redis:", "redis+cluster:"), "Cluster mode is not enabled"),
        (cluster.url.replace("//", "//me:sesame@"), "invalid username-password"),
    ]:
        with pytest.raises(StoreError, match=said) as raised:
            RedisStore(url).load_states(ROOMS)
        assert "PRESENCE_REDIS_URL" in str(raised.value)
        assert "sesame" not in str(raised.value)


def test_doctor_on_cluster_reports_ok_and_names_the_url_scheme(
    settings: Any, cluster: RunningCluster
) -> None:
    settings.PRESENCE_REDIS_URL = cluster.url
    found = {finding.id: finding.level for finding in doctor.examine()}
    assert found == dict.fromkeys(["redis.reachable", "redis.eviction", "redis.writable"], "ok")
    settings.PRESENCE_REDIS_URL = f"redis://127.0.0.1:{cluster.primaries()[0]}/0"
    *_, last = doctor.examine()
    assert (last.id, last.level) == ("redis.mode", "problem")
    assert "redis+cluster://" in last.remedy


@pytest.fixture(scope="module")
def found(running: RunningCluster) -> Client:
    """Return a client that has discovered the cluster, which takes longer than most tests."""
    return make_client(running.url, timeout=5.0)


class TestContract(BackendContract):
    """The contract of every backend, on the cluster."""

    @pytest.fixture
    def backend(self, found: Client, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> RedisStore:
        """Its keys have a prefix of their own, as flushing a cluster takes long."""
        monkeypatch.setattr(
            "presence.backends.redis.connection.make_client", lambda *_, **__: found
        )
        return RedisStore("", prefix=uuid.uuid4().hex, clock=clock)


def test_cluster_after_failover_starts_a_new_run(
    cluster: RunningCluster, visits: Visits, store: RedisStore
) -> None:
    """A replica takes over, first as planned and then from a killed primary. The other nodes
    report it only when asked, and the rooms start new epochs, as writes may be lost."""
    idle = RedisStore(cluster.url)
    before = idle.load_states([]).run
    cluster.fail_over()
    planned = idle.load_states([]).run
    assert planned != before
    assert visits.tick() == {"presence.reload"}
    assert visits.tick() == {"presence.diff"}
    assert store.load_states([]).run == planned == RedisStore(cluster.url).load_states([]).run

    lone = RedisStore(f"redis+cluster://127.0.0.1:{cluster.pair[0]}")
    assert lone.load_states(ROOMS).run == planned
    cluster.kill_primary()
    with pytest.raises(StoreError):
        store.load_states(ROOMS)
    wait_until(lambda: answers(store), "the store finds the new primary")
    wait_until(lambda: answers(lone), "so does one whose URL names none that is up")
    assert visits.tick() == {"presence.reload"}
    assert visits.tick() == {"presence.diff"}


def answers(store: RedisStore) -> bool:
    try:
        return bool(store.load_states(ROOMS).run)
    except StoreError:
        return False
