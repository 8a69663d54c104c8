"""Fifty processes that change the members of one room end in exactly the right list."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

from presence import services
from presence.backends.redis.store import RedisStore
from presence.manager import PresenceManager
from presence.roster.people import ServerMember
from presence.testing.contract import Clock
from presence.testing.contract.base import ROOM
from tests.processes import run_many

PROCESSES, STEPS, TIMEOUT = 50, 60, 3600.0
KEY = ROOM.removeprefix("presence:")
USERS = [f"user {n}" for n in range(10)]
EVERYBODY = "everybody"
LONG_AGO = 1_000_000_000.0


def own(who: int, number: int) -> str:
    return f"{who}:{number}"


def come_and_go(url: str, who: int) -> dict[str, Any]:
    """Add and remove users that all processes use, by sources of this process, and one user by a
    source that all share. Each look finds the sources of this process as it left them.
    """
    store, chance = RedisStore(url), random.Random(who)
    here: dict[tuple[str, str], float] = {}
    happened: Counter[str] = Counter()

    def look() -> None:
        found = store.load_members([ROOM], timeout=TIMEOUT)[ROOM].members
        mine = {(m.user, m.source) for m in found if m.source.startswith(f"{who}:")}
        assert mine == set(here), (mine, here)

    def common() -> None:
        if chance.random() < 0.5:
            record = store.save_member(ROOM, EVERYBODY, source="", meta=b"{}", timeout=TIMEOUT)
            happened["came"] += record.joined == record.beat
        elif chance.random() < 0.7:
            left = store.delete_member(ROOM, EVERYBODY, source="", timeout=TIMEOUT)
            happened["went"] += left is not None
        else:
            store.touch_member(ROOM, EVERYBODY, source="", timeout=TIMEOUT)

    for _ in range(STEPS):
        common()
        user, source = chance.choice(USERS), own(who, chance.randrange(3))
        joined = here.get((user, source))
        act = chance.choice(("join", "join", "leave", "beat", "look"))
        if act == "join":
            record = store.save_member(ROOM, user, source=source, meta=b"%d" % who, timeout=TIMEOUT)
            assert joined is None or record.joined == joined
            here[user, source] = record.joined
        elif act == "leave":
            left = store.delete_member(ROOM, user, source=source, timeout=TIMEOUT)
            assert (left and left.joined) == here.pop((user, source), None)
        elif act == "beat":
            beaten = store.touch_member(ROOM, user, source=source, timeout=TIMEOUT)
            assert beaten is (joined is not None)
        else:
            look()
    look()
    return {"here": [[*pair, joined] for pair, joined in here.items()], **happened}


def test_store_under_concurrent_processes_loses_no_member(each_redis_url: str) -> None:
    """Stale members exist already; some of them return, and readers delete the others."""
    long_ago = RedisStore(each_redis_url, clock=Clock(LONG_AGO))
    for who in range(2 * PROCESSES):
        for user in USERS:
            long_ago.save_member(ROOM, user, source=own(who, 0), meta=b"old", timeout=TIMEOUT)
    told = run_many(come_and_go, each_redis_url, processes=PROCESSES)

    store = RedisStore(each_redis_url)
    found = store.load_members([ROOM], timeout=TIMEOUT)[ROOM].members
    wanted = sorted(
        (*member, b"%d" % who) for who, all_ in enumerate(told) for member in all_["here"]
    )
    assert sorted(_told(member) for member in found if member.user != EVERYBODY) == wanted
    assert len(wanted) > PROCESSES, "there was something to lose"
    left = sum(member.user == EVERYBODY for member in found)
    assert left == sum(all_.get("came", 0) - all_.get("went", 0) for all_ in told)
    assert store.load_tracker_state(timeout=TIMEOUT).channels == {ROOM}
    assert store.load_members([ROOM], timeout=1e12)[ROOM].members == found, "nothing stale is left"


def _told(member: ServerMember) -> tuple[str, str, float, bytes]:
    return member.user, member.source, member.joined, member.meta


def come_and_go_by_the_manager(url: str, who: int) -> list[str]:
    """Join and leave as sites do. Returns the users who have a source of this process at the
    end."""
    chance, here = random.Random(who), set()
    for _ in range(STEPS // 2):
        user, act = chance.choice(USERS), chance.choice(("join", "join", "leave", "beat"))
        if act == "join":
            record = PresenceManager.join_presence(KEY, user, {"by": who}, source=own(who, 0))
            assert (record["id"], record["by"]) == (user, who)
            here.add(user)
        elif act == "leave":
            left = PresenceManager.leave_presence(KEY, user, source=own(who, 0))
            assert (left is not None) is (user in here)
            here.discard(user)
        else:
            beaten = PresenceManager.update_heartbeat(KEY, user, source=own(who, 0))
            assert beaten is (user in here)
        listed = [record["id"] for record in PresenceManager.list_presences(KEY)]
        assert len(listed) == len(set(listed))
        assert set(listed) >= here
    for user in sorted(here)[1:]:  # or everybody would be there in the end
        assert PresenceManager.leave_presence(KEY, user, source=own(who, 0))
        here.discard(user)
    return sorted(here)


def test_presence_manager_under_concurrent_processes_loses_no_member(
    settings: Any, each_redis_url: str
) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "PRESENCE_REDIS_URL": each_redis_url,
        "PRESENCE_TIMEOUT": str(TIMEOUT),
    }
    told = run_many(
        come_and_go_by_the_manager, each_redis_url, processes=PROCESSES, environment=environment
    )
    settings.PRESENCE_REDIS_URL = each_redis_url
    settings.PRESENCE_TIMEOUT = TIMEOUT
    records = PresenceManager.list_presences(KEY)
    assert sorted(record["id"] for record in records) == sorted({u for all_ in told for u in all_})
    assert PresenceManager.presence_count(KEY) == len(records)
    found = services.tracker().load_members([ROOM], timeout=TIMEOUT)[ROOM].members
    wanted = sorted((user, own(who, 0)) for who, all_ in enumerate(told) for user in all_)
    assert sorted((member.user, member.source) for member in found) == wanted
