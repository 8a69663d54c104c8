"""Huey's tasks on a Huey in memory, whose consumer lives by a clock that tests turn."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Any

import huey.api
import huey.utils
import pytest
from huey import MemoryHuey, RedisExpireHuey

from presence import services
from presence.backends.memory import MemoryStore
from presence.exceptions import StoreError
from presence.queues.huey import QuickHuey
from presence.sync.statistics import Report
from presence.tasks import jobs
from presence.tasks.huey import AHEAD, Tasks, slots
from tests.unit.fakes import Clock

START = 1_700_000_000.0


class Cluster:
    """Consumers on one Huey and one store; `ran` and `looked` have the moment of each tick and of
    each look that was run."""

    def __init__(self) -> None:
        self.clock = Clock(START)
        self.huey = MemoryHuey("test")
        self.tasks = Tasks(self.huey, clock=self.clock)
        self.store = MemoryStore(clock=self.clock)
        self.ran: list[float] = []
        self.looked: list[float] = []
        self.shards: list[Any] = []

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now, UTC).replace(tzinfo=None)

    def tick(self, **_: Any) -> Report:
        """Stands for the sync's."""
        self.ran.append(self.clock.now)
        return Report()

    def look(self) -> Report | None:
        """Stands for the sync's."""
        self.looked.append(self.clock.now)
        return None

    def plan(self) -> None:
        """Run the scheduler's work of each minute, from the start of its consumer."""
        for task in self.huey.read_periodic(self.now):
            self.huey.enqueue(task)

    def schedule(self) -> None:
        """Run the scheduler's work of each second."""
        for task in self.huey.read_schedule(self.now):
            self.huey.enqueue(task)

    def work(self) -> None:
        """Run the work of a worker until no task waits."""
        while (task := self.huey.dequeue()) is not None:
            self.huey.execute(task, self.now)

    def live(self, seconds: float, starts: tuple[float, ...] = (0.0,), step: float = 1.0) -> None:
        """Let time pass with consumers that start after so many seconds from now, and stay."""
        began = self.clock.now
        for second in range(int(seconds / step)):
            self.clock.now = began + second * step
            self.schedule()
            for start in starts:
                age = second * step - start
                if age >= 0 and age % 60 == 0:
                    self.plan()
            self.work()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(services, "sync", lambda: cluster)
    monkeypatch.setattr(services, "store", cache(lambda: cluster.store))
    for module in (huey.api, huey.utils):
        monkeypatch.setattr(module, "utcnow", lambda: cluster.now)
    settings.PRESENCE_INTERVAL = 60.0
    settings.PRESENCE_WATCH = 0
    return cluster


@pytest.fixture(autouse=True)
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connections of this thread are those of other tests."""
    monkeypatch.setattr("huey.contrib.djhuey.close_old_connections", lambda: None)


def gaps(moments: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(moments)]


# Slots


@pytest.mark.parametrize("every", [1.0, 2.5, 5.0, 7.0, 13.0, 45.0, 60.0, 90.0, 100.0, 3600.0])
def test_plan_runs_one_tick_an_interval(cluster: Cluster, settings: Any, every: float) -> None:
    settings.PRESENCE_INTERVAL = every
    cluster.live(max(600.0, 4 * every))
    slots_run = [moment // every for moment in cluster.ran]
    assert len(slots_run) >= 4
    assert set(gaps(slots_run)) == {1.0}
    # The first may be of a slot that had begun before there was a consumer.
    assert all(moment % every < 1.0 for moment in cluster.ran[1:])


@pytest.mark.parametrize(
    ("now", "every", "planned"),
    [
        (1000.0, 60.0, [1020, 1080]),
        (1019.9, 60.0, [1020, 1080]),
        (1020.0, 60.0, [1020, 1080]),
        (1037.9, 60.0, [1020, 1080]),
        (1038.1, 60.0, [1080]),
        (1000.0, 100.0, [1000]),
        (2000.0, 3600.0, []),
        (3599.0, 3600.0, [3600]),
        (4000.0, 3600.0, [3600]),
        (1000.0, 30.0, [1020, 1050, 1080]),
    ],
)
def test_slots_are_those_of_the_next_minute_and_more(
    now: float, every: float, planned: list[float]
) -> None:
    assert [slot * every for slot in slots(now, every)] == planned


@pytest.mark.parametrize("every", [1.0, 7.0, 60.0, 90.0])
def test_slots_of_two_plannings_leave_none_out(every: float) -> None:
    for late in (0.0, 0.5, 17.0, AHEAD - 60.0):
        before, after = slots(START, every), slots(START + 60.0 + late, every)
        assert not before or not after or after[0] <= before[-1] + 1


def test_ticks_of_two_consumers_run_once(cluster: Cluster, settings: Any) -> None:
    settings.PRESENCE_INTERVAL = 5.0
    cluster.live(300.0, starts=(0.0, 0.0, 13.0, 59.0))
    assert len(cluster.ran) == 60
    assert set(gaps(cluster.ran)) == {5.0}


def test_ticks_of_a_consumer_that_restarts_run_once(cluster: Cluster, settings: Any) -> None:
    settings.PRESENCE_INTERVAL = 10.0
    cluster.live(120.0, starts=tuple(float(n) for n in range(0, 120, 3)))
    assert len(cluster.ran) == 12
    assert set(gaps(cluster.ran)) == {10.0}


def test_ticks_that_waited_an_interval_are_dropped(cluster: Cluster, settings: Any) -> None:
    settings.PRESENCE_INTERVAL = 5.0
    cluster.live(10.0)
    assert len(cluster.ran) == 2
    cluster.clock.advance(3600.0)  # nobody was there for an hour
    cluster.schedule()
    cluster.work()
    assert len(cluster.ran) == 2
    cluster.live(10.0)
    assert len(cluster.ran) == 4


def test_ticks_go_on_after_the_clock_is_set_back(cluster: Cluster, settings: Any) -> None:
    settings.PRESENCE_INTERVAL = 30.0
    cluster.live(120.0)
    cluster.clock.advance(-3600.0)
    cluster.ran.clear()
    cluster.live(7200.0)
    assert len(cluster.ran) == 240
    assert set(gaps(cluster.ran)) == {30.0}


def test_ticks_of_a_busy_worker_are_dropped_but_the_last(cluster: Cluster, settings: Any) -> None:
    settings.PRESENCE_INTERVAL = 5.0
    cluster.plan()
    cluster.work()
    for _ in range(31):
        cluster.clock.advance(1.0)
        cluster.schedule()
    cluster.work()
    assert cluster.ran == [START, START + 31.0]


def test_plan_that_waited_a_minute_is_dropped(cluster: Cluster) -> None:
    for _ in range(3):
        cluster.plan()
        cluster.clock.advance(60.0)
    cluster.clock.advance(1.0)
    cluster.work()
    assert cluster.huey.scheduled_count() == 0


def test_ticks_of_a_former_interval_are_dropped(cluster: Cluster, settings: Any) -> None:
    settings.PRESENCE_INTERVAL = 5.0
    cluster.live(1.0)
    settings.PRESENCE_INTERVAL = 20.0
    cluster.ran.clear()
    cluster.live(120.0, starts=(1.0,))
    assert cluster.ran == [START + 1.0, *(START + moment for moment in range(20, 120, 20))]


def test_ticks_of_an_interval_below_a_second_come_every_second(
    cluster: Cluster, settings: Any
) -> None:
    settings.PRESENCE_INTERVAL = 0.2
    cluster.live(30.0)
    assert len(cluster.ran) == 30


def test_ticks_of_a_huey_in_local_time_run(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    cluster = Cluster()
    cluster.huey.utc = False
    monkeypatch.setattr(services, "sync", lambda: cluster)
    monkeypatch.setattr(services, "store", cache(lambda: cluster.store))
    monkeypatch.setattr(
        Cluster, "now", property(lambda self: datetime.fromtimestamp(self.clock.now))
    )
    settings.PRESENCE_INTERVAL = 5.0
    cluster.live(60.0)
    assert len(cluster.ran) == 12


def test_tick_while_the_store_is_down_is_logged(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(*_: Any, **__: Any) -> bool:
        raise StoreError("Redis: connection refused")

    monkeypatch.setattr(cluster.store, "claim_slot", down)
    cluster.live(120.0)
    assert cluster.ran == []
    assert "tick=failed" in caplog.text


def test_looks_while_the_store_is_down_are_logged_once_an_interval(
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    settings: Any,
) -> None:
    def down(*_: Any, **__: Any) -> bool:
        raise StoreError("Redis: connection refused")

    settings.PRESENCE_INTERVAL, settings.PRESENCE_WATCH = 60.0, 1.0
    monkeypatch.setattr(cluster.store, "claim_slot", down)
    cluster.live(180.0)
    assert caplog.text.count("look=failed") == 3
    assert caplog.text.count("tick=failed") == 3


# What a task leaves behind


def test_tasks_leave_no_results(cluster: Cluster, settings: Any) -> None:
    settings.PRESENCE_INTERVAL = settings.PRESENCE_WATCH = 1.0
    cluster.live(120.0)
    assert (len(cluster.ran), len(cluster.looked)) == (120, 120)
    assert cluster.huey.all_results() == {}
    assert cluster.huey.scheduled_count() <= 4 * AHEAD


def test_hand_out_runs_the_shard(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "sync_shard", lambda shard: cluster.shards.append(shard))
    for number in (1, 2):
        assert cluster.tasks.hand_out({"number": number})
    assert cluster.shards == []
    cluster.work()
    assert cluster.shards == [{"number": 1}, {"number": 2}]


def test_hand_out_of_a_shard_that_waited_is_dropped(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "sync_shard", lambda shard: cluster.shards.append(shard))
    cluster.tasks.hand_out({"number": 1})
    cluster.clock.advance(61.0)
    cluster.work()
    assert cluster.shards == []


def test_hand_out_while_the_storage_is_down_is_logged(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise ConnectionError("connection refused")

    monkeypatch.setattr(cluster.huey.storage, "enqueue", down)
    assert not cluster.tasks.hand_out({"number": 3})
    assert "shard=not-handed-out number=3" in caplog.text


# Looks


@pytest.mark.parametrize("every", [1.0, 2.5, 7.0, 60.0])
def test_plan_runs_one_look_every_presence_watch_seconds(
    cluster: Cluster, settings: Any, every: float
) -> None:
    settings.PRESENCE_WATCH = every
    cluster.live(600.0)
    slots_run = [moment // every for moment in cluster.looked]
    assert len(slots_run) >= 10
    assert set(gaps(slots_run)) == {1.0}


def test_plan_without_watch_runs_no_look(cluster: Cluster) -> None:
    cluster.live(120.0)
    assert (len(cluster.ran), cluster.looked) == (2, [])


def test_looks_below_a_second_come_every_second(cluster: Cluster, settings: Any) -> None:
    settings.PRESENCE_WATCH = 0.2
    cluster.live(30.0)
    assert len(cluster.looked) == 30


def test_looks_that_waited_are_dropped_but_the_last_two(cluster: Cluster, settings: Any) -> None:
    settings.PRESENCE_WATCH = 1.0
    cluster.plan()
    cluster.work()
    cluster.looked.clear()
    for _ in range(20):
        cluster.clock.advance(1.0)
        cluster.schedule()
    cluster.clock.advance(0.5)
    cluster.work()
    assert cluster.looked == [START + 20.5] * 2


def test_looks_of_two_consumers_run_once(cluster: Cluster, settings: Any) -> None:
    settings.PRESENCE_WATCH = 2.0
    cluster.live(120.0, starts=(0.0, 13.0))
    assert set(gaps(cluster.looked)) == {2.0}


def test_looks_of_a_former_pace_are_dropped(cluster: Cluster, settings: Any) -> None:
    settings.PRESENCE_WATCH = 1.0
    cluster.live(3.0)
    settings.PRESENCE_WATCH = 0
    cluster.live(30.0, starts=())
    assert len(cluster.looked) == 3


# The doctor's Huey


def test_quick_huey_leaves_other_storages_alone(cluster: Cluster) -> None:
    quick = QuickHuey(cluster.huey, timeout=1.0)
    assert quick.huey is cluster.huey
    quick.close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://me:sesame@shop:6380/3", {"host": "shop", "port": 6380, "db": 3}),
        ("rediss://shop?ssl_cert_reqs=none", {"host": "shop", "ssl_cert_reqs": "none"}),
        ("unix:///run/redis.sock?db=2&socket_timeout=90", {"path": "/run/redis.sock", "db": 2}),
    ],
)
def test_quick_huey_uses_the_same_redis_with_short_timeouts(
    url: str, address: dict[str, Any]
) -> None:
    theirs = RedisExpireHuey("shop", url=url)
    quick = QuickHuey(theirs, timeout=1.5)
    storage = quick.huey.storage
    made = storage.conn.connection_pool.make_connection()
    assert (made.socket_timeout, made.socket_connect_timeout) == (1.5, 1.5)
    assert address.items() <= storage.conn.connection_pool.connection_kwargs.items()
    assert storage.queue_key == theirs.storage.queue_key
    assert theirs.storage.conn.connection_pool is not storage.conn.connection_pool
    quick.close()
