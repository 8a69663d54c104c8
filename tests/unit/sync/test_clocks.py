"""The clock of the store, a worker or a web server was ahead, and is set back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from presence.centrifugo.tokens import GRANT_LIFETIME, Grant
from presence.exceptions import InvalidGrant
from presence.roster.grace import SKEW
from presence.roster.merge import read_presence
from presence.roster.people import UserClaims
from presence.snapshots import _serve
from presence.sync import statistics
from presence.testing.contract.base import commit
from tests.unit.fakes import ROOM, Site

HOUR = 3600.0


@pytest.fixture
def site() -> Site:
    """A room that was polled while the clock was an hour ahead."""
    site = Site(grace=0.0)
    site.clock.advance(HOUR)
    site.centrifugo.enter(ROOM, "c1", "ada", "Ada", iat=site.clock())
    assert site.tick().joins == 1
    site.clock.advance(-HOUR)
    return site


def age(site: Site) -> float | None:
    return _serve(site.store.load_snapshots([ROOM])[ROOM]).age


def test_age_after_the_clock_was_set_back_is_unknown_until_a_tick_and_right_then(
    site: Site,
) -> None:
    assert age(site) is None
    site.tick()
    site.clock.advance(8.5)
    assert age(site) == 8.5


def test_tick_after_the_clock_was_set_back_polls_the_room_in_its_turn(site: Site) -> None:
    for seconds in range(3):
        site.tick(60)
        assert site.store.known_channels().polled[ROOM] == site.clock(), seconds


def test_statistics_after_the_clock_was_set_back_have_no_future_times(site: Site) -> None:
    found = statistics.read(site.store)
    assert found.last
    assert max(found.began or 0.0, found.last.started, found.last.finished) <= found.now
    assert max(found.behind.values(), default=0.0) <= found.now
    assert found.last.clock_ahead is None, "by a clock that was set since"
    site.tick()
    last = statistics.read(site.store).last
    assert last
    assert (last.overlapping, last.report.seconds.total >= 0) == (False, True)


def test_tick_with_open_tick_from_the_future_ends_that(site: Site) -> None:
    site.clock.advance(HOUR)
    site.store.begin_tick("lost")
    site.clock.advance(-HOUR)
    site.tick(60)
    assert "lost" not in site.store.load_ticks().open


def test_tick_with_change_acknowledged_in_the_future_signals_it(site: Site) -> None:
    room = site.store._rooms[ROOM]
    site.announced.clear()
    left = ((site.clock() + HOUR, commit().pending),)
    state = msgspec.structs.replace(room.state, unsignalled=left)
    site.store._rooms[ROOM] = room._replace(state=state)
    site.tick()
    assert len(site.announced) == 1


def test_tick_with_name_signed_in_the_future_takes_the_next_name(site: Site) -> None:
    site.tick()
    site.centrifugo.enter(ROOM, "c2", "ada", "Ada King", iat=site.clock())
    site.tick(1)
    assert [member["name"] for member in site.snapshot()["members"]] == ["Ada King"]
    site.centrifugo.quit(ROOM, "c1")
    site.tick(1)
    assert [member["name"] for member in site.snapshot()["members"]] == ["Ada King"]


def test_tick_with_profile_from_the_future_takes_later_claims(site: Site) -> None:
    site.clock.advance(HOUR)
    profile = msgspec.json.encode(UserClaims(name="Ada noted", iat=site.clock()))
    site.store.save_profile("ada", profile, seconds=HOUR)
    site.clock.advance(-HOUR)
    site.tick(1)
    assert [member["name"] for member in site.snapshot()["members"]] == ["Ada noted"]
    site.centrifugo.enter(ROOM, "c2", "ada", "Ada King", iat=site.clock() + 1)
    for _ in range(3):
        site.tick(5)
        assert [member["name"] for member in site.snapshot()["members"]] == ["Ada King"]


def test_tick_with_name_signed_slightly_ahead_takes_it(site: Site) -> None:
    site.centrifugo.enter(ROOM, "c2", "ada", "Ada King", iat=site.clock() + SKEW / 2)
    site.tick(1)
    assert site.snapshot()["members"][0]["name"] == "Ada King"


def test_read_presence_of_user_hidden_in_the_future_stays_hidden() -> None:
    def reply(**infos: UserClaims) -> bytes:
        found = {c: {"user": "ada", "conn_info": signed} for c, signed in infos.items()}
        return msgspec.json.encode({"presence": found})

    now = 1_700_000_000.0
    hidden, shown = UserClaims(iat=now + HOUR, hidden=True), UserClaims(name="Ada", iat=now - 60)
    roster, _ = read_presence(reply(a=hidden, b=shown), now=now)
    assert (roster.hidden, roster.members) == (["ada"], {})
    both = msgspec.json.encode(
        {
            "presence": {
                "a": {
                    "user": "ada",
                    "conn_info": UserClaims(iat=now, hidden=True),
                    "chan_info": UserClaims(name="Ada", iat=now + HOUR),
                }
            }
        }
    )
    assert read_presence(both, now=now)[0].hidden == ["ada"]


def test_grant_from_the_future_is_valid_for_its_lifetime_only() -> None:
    Grant(ROOM, "", HOUR).check(user_id="", now=0.0)
    with pytest.raises(InvalidGrant):
        Grant(ROOM, "", 2 * GRANT_LIFETIME).check(user_id="", now=0.0)


def test_leave_while_members_are_loaded_slowly_waits_for_the_whole_grace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site(grace=10.0)
    site.centrifugo.enter(ROOM, "c1", "ada", "Ada")
    site.store.save_member(ROOM, "bot", source="", meta=b"{}", timeout=HOUR)
    site.tick()
    load = site.store.load_members

    def slow(*arguments: Any, **options: Any) -> Any:
        site.clock.advance(5)
        site.centrifugo.quit(ROOM, "c1")
        monkeypatch.undo()
        return load(*arguments, **options)

    monkeypatch.setattr(site.store, "load_members", slow)
    site.tick()
    site.tick(9)
    assert "ada" in site.ids()
    site.tick(1)
    assert "ada" not in site.ids()
