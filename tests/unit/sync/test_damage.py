"""Damage in the store affects one channel, is reported with its name, and is repaired."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from presence.roster import messages
from presence.roster.commit import State, find_flaw, mark_damaged, verify
from presence.roster.messages import Member, Roster, Snapshot
from presence.testing.contract.base import commit
from tests.unit.fakes import ROOM, Site

OTHER = "presence:other"
DEEP = b'{"members":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
GARBAGE = [b"", b"garbage", b"\xff\xfe\x00", b"null", b"[]", b"{}", b'{"version":1e400}', DEEP]


@pytest.fixture
def site() -> Site:
    site = Site()
    for channel in (ROOM, OTHER):
        site.centrifugo.enter(channel, "c1", "ada", "Ada")
        site.centrifugo.enter(channel, "c2", "alan", "Alan")
    assert site.tick().joins == 4
    return site


def set_state(site: Site, **fields: object) -> None:
    room = site.store._rooms[ROOM]
    state = msgspec.structs.replace(room.state, **fields)
    site.store._rooms[ROOM] = room._replace(state=state)


def set_kept(field: str) -> Callable[[Site, bytes], None]:
    def put(site: Site, value: bytes) -> None:
        site.store._rooms[ROOM] = site.store._rooms[ROOM]._replace(**{field: value})

    return put


@pytest.mark.parametrize("value", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("field", ["roster", "snapshot"])
def test_tick_of_quiet_room_with_unreadable_data_repairs_it(
    site: Site, field: str, value: bytes
) -> None:
    set_kept(field)(site, value)
    before = site.snapshot(OTHER)
    report = site.tick(60)
    assert report.errors == 1
    assert ROOM in report.failures[0]
    assert site.ids() == ["ada", "alan"]
    assert site.diffs()[-1]["type"] == "presence.reload"
    assert site.diffs()[-1]["epoch"] == site.snapshot()["epoch"]
    assert site.snapshot(OTHER) == before, "the other room is as it was"
    assert site.tick(60).errors == 0


def test_tick_that_repairs_a_snapshot_sends_no_signals(site: Site) -> None:
    """The roster can be read: nobody came, nobody left."""
    site.announced.clear()
    set_kept("snapshot")(site, b"garbage")
    site.tick(60)
    site.tick(60)
    assert not [change for *_, change, _ in site.announced if change]


@pytest.mark.parametrize("value", [b"garbage", b"[1]", DEEP], ids=range(3))
@pytest.mark.parametrize("field", ["leaving", "pending"])
def test_tick_of_state_with_unreadable_message_repairs_it(
    site: Site, field: str, value: bytes
) -> None:
    set_state(site, **{field: value})
    site.centrifugo.enter(OTHER, "c3", "eve", "Eve")
    report = site.tick(1)
    assert (report.joins, report.errors) == (1, 1), "the other room goes on"
    assert (site.ids(), site.ids(OTHER)) == (["ada", "alan"], ["ada", "alan", "eve"])
    assert site.tick(60).errors == 0


def test_tick_of_damaged_state_keeps_readable_signals(site: Site) -> None:
    good = site.store.load_states([ROOM]).states[ROOM]
    change = commit().pending
    set_state(site, unsignalled=((1.0, b"garbage"), (2.0, change)), leaving=b"x")
    site.tick(1)
    assert good.epoch != site.store.load_states([ROOM]).states[ROOM].epoch
    site.tick(60)
    site.tick(60)
    assert site.store.load_states([ROOM]).states[ROOM].unsignalled == ()


def test_tick_with_partial_answer_repairs_no_lost_roster(site: Site) -> None:
    """Members that only reconnect cannot be told from members that left."""
    set_kept("roster")(site, b"garbage")
    before = site.snapshot()
    site.centrifugo.counted[ROOM] = 5
    site.centrifugo.quit(ROOM, "c2")
    assert site.tick(60).errors > 0
    assert site.snapshot() == before
    site.centrifugo.counted.clear()
    site.centrifugo.enter(ROOM, "c2", "alan", "Alan")
    site.tick(60)
    assert site.ids() == ["ada", "alan"]


@pytest.mark.parametrize("lost", [b"", b"{}"])
def test_tick_after_leaving_was_lost_removes_missing_members(site: Site, lost: bytes) -> None:
    """The reply is the same as in the tick that missed them, so only the digest can tell."""
    site.centrifugo.quit(ROOM, "c2")
    site.tick(1)
    assert site.ids() == ["ada", "alan"], "the grace has begun"
    set_state(site, leaving=lost)
    site.tick(60)
    site.tick(60)
    assert site.ids() == ["ada"]


def test_tick_of_damaged_room_sees_its_last_member_leave(site: Site) -> None:
    set_kept("roster")(site, b"garbage")
    for client in ("c1", "c2"):
        site.centrifugo.quit(ROOM, client)
    site.tick(60)
    assert (site.ids(), site.snapshot()["total"]) == ([], 0)


def test_commit_of_state_with_unreadable_rev_gets_a_higher_rev(site: Site) -> None:
    set_state(site, rev=0, damage=mark_damaged(State(channel=ROOM), "rev: lost").damage)
    site.tick(60)
    assert site.store.load_states([ROOM]).states[ROOM].rev > 1_000_000
    assert (site.ids(), site.tick(60).errors) == (["ada", "alan"], 0)


@pytest.mark.parametrize(
    "shown",
    [
        Snapshot("e", 3, [Member("ada", "Ada")], total=1),
        Snapshot("other", 2, [Member("ada", "Ada")], total=1),
        Snapshot("e", 2, [], total=1),
        Snapshot("e", 2, [Member("eve", "Eve")], total=1),
        Snapshot("e", 2, [Member("ada", "Ada")], total=2),
    ],
)
def test_find_flaw_in_snapshot_of_another_roster_finds_it(shown: Snapshot) -> None:
    state = State(channel=ROOM, rev=4, epoch="e", version=2, total=1)
    roster = messages.encode(Roster({"ada": Member("ada", "Ada")}))
    right = Snapshot("e", 2, [Member("ada", "Ada")], total=1)
    assert find_flaw(state, roster, messages.encode(right)) == ""
    assert find_flaw(state, roster, messages.encode(shown)) != ""


def test_verify_of_good_state_returns_that_state() -> None:
    state = State(channel=ROOM, rev=4, pending=commit().pending)
    assert verify(state) is state
