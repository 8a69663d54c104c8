"""Faults of Redis: the store of the site, and the broker of its tasks."""

from __future__ import annotations

import signal
import time

from presence_devtools.servers import wait_until
from tests.faults.site import BOUND, Site, room


def test_redis_restarted_without_persistence_begins_a_new_epoch(site: Site) -> None:
    with room(site, "lost") as here:
        site.redis.stop(signal.SIGKILL)
        here.crowd.go("ada")
        here.crowd.come("dan")
        site.redis.start()
        here.end()
        here.judge()


def test_broker_down_and_back_shows_the_truth(site: Site) -> None:
    with room(site, "broker") as here:
        site.broker.stop()
        here.crowd.go("ada")
        here.crowd.come("dan")
        site.broker.start()
        here.wait_for_tick()
        here.judge()


def test_redis_replies_of_one_second_show_the_truth(site: Site) -> None:
    with room(site, "slow") as here:
        site.to_redis.delay = 1.0
        here.crowd.go("ada")
        here.crowd.come("dan")
        time.sleep(5.0)  # the fault itself
        site.to_redis.delay = 0.0
        here.end()
        here.judge()


def test_redis_cut_in_mid_reply_shows_the_truth(site: Site) -> None:
    with room(site, "cut") as here:
        here.crowd.go("ada")
        here.crowd.come("dan")
        for _ in range(8):
            site.to_redis.cut = True
            wait_until(lambda: not site.to_redis.cut, "a reply is cut")
        here.end()
        here.judge()


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


def test_redis_whose_disk_is_full_shows_the_truth_once_it_is_not(site: Site) -> None:
    with room(site, "disk") as here, site.redis_client() as client:
        # A save into a file whose name a directory has fails for root, too.
        (site.directory / "redis" / "dump.rdb").mkdir()
        client.config_set("save", "3600 1")
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "MISCONF")
        here.crowd.go("ada")
        here.crowd.come("dan")
        time.sleep(3.0)  # the fault itself
        client.config_set("save", "")
        here.end()
        here.judge()


def test_redis_demoted_refuses_writes_until_it_is_primary_again(site: Site) -> None:
    with room(site, "demoted") as here, site.redis_client() as client:
        client.replicaof("127.0.0.1", "1")
        here.crowd.go("ada")
        here.crowd.come("dan")
        time.sleep(3.0)  # the fault itself
        client.replicaof("NO", "ONE")
        here.end()
        here.judge(within=BOUND)
