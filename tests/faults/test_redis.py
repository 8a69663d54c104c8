"""Faults of Redis: the store of the site, and the broker of its tasks."""

from __future__ import annotations

import os
import signal
import time

import pytest
import redis

from presence_devtools.servers import wait_until
from tests.faults.site import BOUND, Site, room


@pytest.mark.fault("Redis is restarted without persistence")
def test_redis_restarted_without_persistence_begins_a_new_epoch(site: Site) -> None:
    with room(site, "lost") as here:
        site.redis.stop(signal.SIGKILL)
        here.crowd.go("ada")
        here.crowd.come("dan")
        site.redis.start()
        here.end()
        here.judge()


@pytest.mark.fault("the broker is down, and back")
def test_broker_down_and_back_shows_the_truth(site: Site) -> None:
    with room(site, "broker") as here:
        site.broker.stop()
        here.crowd.go("ada")
        here.crowd.come("dan")
        site.broker.start()
        here.wait_for_tick()
        here.judge()


@pytest.mark.fault("Redis takes a second for each reply")
def test_redis_replies_of_one_second_show_the_truth(site: Site) -> None:
    with room(site, "slow") as here:
        site.to_redis.delay = 1.0
        here.crowd.go("ada")
        here.crowd.come("dan")
        time.sleep(5.0)  # the fault itself
        site.to_redis.delay = 0.0
        here.end()
        here.judge()


@pytest.mark.fault("Redis is cut off in the middle of a reply")
def test_redis_cut_in_mid_reply_shows_the_truth(site: Site) -> None:
    with room(site, "cut") as here:
        here.crowd.go("ada")
        here.crowd.come("dan")
        for _ in range(8):
            site.to_redis.cut = True
            wait_until(lambda: not site.to_redis.cut, "a reply is cut")
        here.end()
        here.judge()


@pytest.mark.fault("Redis is out of memory (`-OOM`)")
def test_redis_without_memory_shows_the_truth_once_it_has_some(site: Site) -> None:
    with room(site, "memory") as here, site.redis_client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        here.crowd.go("ada")
        here.crowd.come("dan")
        time.sleep(3.0)  # the fault itself
        client.config_set("maxmemory", "0")
        here.end()
        here.judge()


@pytest.mark.fault("the disk under Redis is full (`-MISCONF`)")
def test_redis_whose_disk_is_full_shows_the_truth_once_it_is_not(site: Site) -> None:
    with room(site, "disk") as here, site.redis_client() as client:
        # A save into a file whose name a directory has fails for root, too.
        in_the_way = site.directory / "redis" / "dump.rdb"
        in_the_way.mkdir()
        client.config_set("save", "3600 1")
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "MISCONF")
        here.crowd.go("ada")
        here.crowd.come("dan")
        time.sleep(3.0)  # the fault itself
        client.config_set("save", "")
        in_the_way.rmdir()
        here.end()
        here.judge()


@pytest.mark.fault("Redis is demoted on open connections (`-READONLY`)")
def test_redis_demoted_refuses_writes_until_it_is_primary_again(site: Site) -> None:
    with room(site, "demoted") as here, site.redis_client() as client:
        client.replicaof("127.0.0.1", "1")
        here.crowd.go("ada")
        here.crowd.come("dan")
        time.sleep(3.0)  # the fault itself
        client.replicaof("NO", "ONE")
        here.end()
        here.judge(within=BOUND)


@pytest.mark.fault("Redis is restarted with persistence")
@pytest.mark.fault("Redis loads its data (`-LOADING`)")
def test_redis_that_loads_its_data_begins_a_new_epoch_with_the_same_people(site: Site) -> None:
    with room(site, "kept") as here, site.redis_client() as client:
        before = here.snapshot()["epoch"]
        client.mset({f"padding:{number}": os.urandom(4096) for number in range(100)})
        client.save()
        site.redis.stop(signal.SIGKILL)
        here.crowd.go("ada")
        here.crowd.come("dan")
        usual = site.redis.command
        delayed = ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"]
        site.redis.command = [*usual, *delayed]
        answers, site.redis.answers = site.redis.answers, lambda: loads(client)
        site.redis.start()
        wait_until(lambda: not loads(client), "it has loaded")
        site.redis.command, site.redis.answers = usual, answers
        here.end()
        here.judge()
        assert here.snapshot()["epoch"] != before
        client.delete(*client.keys("padding:*"))


def loads(client: redis.Redis) -> bool:
    """Return whether Redis answers -LOADING."""
    try:
        client.ping()
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:  # it does not listen yet
        return False
    return False
