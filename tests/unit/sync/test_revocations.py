"""Revocations: whose connections looks and ticks end, and when others see it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from presence.backends.base import Writes
from presence.backends.revocations import KeptRevocation, Revocation
from presence.exceptions import CentrifugoUnreachable, CommandError
from presence.roster.channel_names import session_channel
from presence.sync import revocations, watch
from presence.sync.context import TickContext
from presence.sync.statistics import Report
from tests.unit.fakes import ROOM, Site, connection

OTHER = "presence:other"
LAPTOP, PHONE = session_channel("7", "laptop"), session_channel("7", "phone")


def look(site: Site, after: float = 1.0) -> Report:
    site.clock.advance(after)
    report = site.sync.look()
    assert report is not None
    return report


def connect(site: Site, client: str, session: str, *rooms: str, user: str = "7") -> None:
    """Connect a client whose token is signed now."""
    for channel in (session, *rooms):
        site.centrifugo.enter(channel, client, user, "Ada", iat=site.clock())


def connected(site: Site, client: str) -> list[str]:
    return sorted(name for name, there in site.centrifugo.rooms.items() if client in there)


@pytest.fixture
def site() -> Site:
    """Return a site where Ada is in a room with two devices, and all that is shown."""
    site = Site(grace=10.0, patterns=("presence:*", "chat:*"))
    connect(site, "laptop", LAPTOP, ROOM, OTHER)
    connect(site, "phone", PHONE, OTHER)
    look(site)
    site.clock.advance(60)
    return site


def test_look_after_a_log_out_closes_the_connections_of_that_session(site: Site) -> None:
    site.store.revoke([Revocation("7", "laptop")], seconds=600)
    look(site)
    assert connected(site, "laptop") == []
    assert connected(site, "phone") == [OTHER, PHONE]


def test_look_after_a_log_out_shows_the_leave_without_a_grace(site: Site) -> None:
    site.store.revoke([Revocation("7", "laptop")], seconds=600)
    look(site)
    assert site.ids(ROOM) == []
    assert site.ids(OTHER) == ["7"], "the phone is still there"


@pytest.mark.parametrize("others", [0, 3 * revocations.LIMIT])
def test_member_who_is_shown_gone_by_a_later_look_needs_no_grace_either(
    site: Site, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Centrifugo may take a moment to close connections, and others may have their turns."""
    enforce = revocations.enforce

    def slowly(ctx: TickContext, kept: Sequence[KeptRevocation]) -> bool:
        site.clock.advance(watch.SLICE)
        return enforce(ctx, kept)

    monkeypatch.setattr(revocations, "enforce", slowly)
    burst = [Revocation(f"other{n}", "s") for n in range(others)]
    site.store.revoke([Revocation("7", "laptop"), *burst], seconds=600)
    entries = site.centrifugo.rooms[ROOM].copy()
    site.centrifugo.after["end"] = lambda: site.centrifugo.rooms[ROOM].update(entries)
    look(site)
    assert site.ids(ROOM) == ["7"]
    site.centrifugo.quit(ROOM, "laptop")
    look(site)
    assert site.ids(ROOM) == []


def test_copied_token_is_closed_by_each_look_until_the_revocation_ends(site: Site) -> None:
    signed = site.clock()
    site.store.revoke([Revocation("7", "laptop")], seconds=600)
    for _ in range(599):
        site.centrifugo.enter(LAPTOP, "copy", "7", "Ada", iat=signed)
        look(site)
        assert connected(site, "copy") == []


def test_token_that_was_signed_after_the_revocation_stays(site: Site) -> None:
    site.store.revoke([Revocation("7")], seconds=600)
    look(site)
    site.clock.advance(revocations.LATE)
    connect(site, "again", LAPTOP, ROOM)
    look(site)
    assert connected(site, "again") == [ROOM, LAPTOP]
    assert site.ids(ROOM) == ["7"]


def test_revoked_user_loses_all_sessions(site: Site) -> None:
    connect(site, "other", session_channel("8", "s"), ROOM, user="8")
    site.store.revoke([Revocation("7")], seconds=600)
    look(site)
    assert connected(site, "laptop") == connected(site, "phone") == []
    assert len(connected(site, "other")) == 2


def test_session_without_its_user_is_found(site: Site) -> None:
    site.store.revoke([Revocation(session="laptop")], seconds=600)
    look(site)
    assert connected(site, "laptop") == []
    assert len(connected(site, "phone")) == 2


def test_revoked_channel_ends_with_its_feed_and_its_cursors_alone(site: Site) -> None:
    for channel in ("cursors:room", "chat:a", "roster:chat:a"):
        site.centrifugo.enter(channel, "laptop", "7", "Ada", iat=0.0)
    site.store.revoke([Revocation("7", channel=ROOM)], seconds=600)
    look(site)
    assert connected(site, "laptop") == ["chat:a", OTHER, "roster:chat:a", LAPTOP]
    assert site.ids(ROOM) == []
    site.store.revoke([Revocation("7", channel="chat:a")], seconds=600)
    look(site)
    assert connected(site, "laptop") == [OTHER, LAPTOP]
    assert site.ids(OTHER) == ["7"]


def test_revoked_channel_ends_on_newer_connections_that_use_a_token_of_before(site: Site) -> None:
    signed = site.clock()
    site.store.revoke([Revocation("7", channel="chat:a"), Revocation("7", channel=ROOM)], seconds=9)
    site.clock.advance(revocations.LATE)
    connect(site, "again", LAPTOP, OTHER, "roster:chat:a")
    connect(site, "granted", LAPTOP, ROOM)
    site.centrifugo.rooms[ROOM]["again"] = connection("7", iat=site.clock()) | {
        "chan_info": {"iat": signed}
    }
    site.centrifugo.errors["presence", "cursors:room"] = CommandError(102, "unknown channel")
    assert look(site).failures == []
    assert connected(site, "again") == [OTHER, "roster:chat:a", LAPTOP]
    assert connected(site, "granted") == [ROOM, LAPTOP]


def test_revoked_channel_ends_where_a_site_has_no_namespace_of_cursors(site: Site) -> None:
    site.centrifugo.errors["unsubscribe", "cursors:room"] = CommandError(102, "unknown channel")
    site.store.revoke([Revocation("7", channel=ROOM)], seconds=600)
    assert look(site).failures == []
    (kept,) = site.store.load_revocations(limit=9).kept
    assert not kept.is_new


def unlisted(site: Site, client: str, *rooms: str) -> None:
    """Connect a client that leaves the channel of its session."""
    connect(site, client, LAPTOP, *rooms)
    site.centrifugo.quit(LAPTOP, client)


def test_client_that_left_the_channel_of_its_session_is_closed_as_it_enters_a_room(
    site: Site,
) -> None:
    site.store.revoke([Revocation("7", "laptop")], seconds=600)
    unlisted(site, "copy", ROOM)
    own = connection("7") | {"conn_info": {"site": "own"}}
    site.centrifugo.rooms[ROOM] |= {"own": own, "other": connection("8", "Bob", iat=site.clock())}
    site.clock.advance(revocations.LATE)
    look(site)
    assert connected(site, "copy") == []
    assert connected(site, "phone") == [OTHER, PHONE]
    assert {*site.centrifugo.rooms[ROOM]} == {"own", "other"}


def test_client_that_left_the_channel_of_its_session_before_is_closed_by_the_next_tick(
    site: Site,
) -> None:
    unlisted(site, "copy", ROOM)
    site.tick(60)
    site.tick(60)
    site.store.revoke([Revocation("7")], seconds=600)
    site.tick(60)
    assert connected(site, "copy") == []


def test_client_that_left_the_channel_of_its_session_is_closed_beside_an_unreadable_room(
    site: Site,
) -> None:
    site.store.revoke([Revocation("7", "laptop")], seconds=600)
    unlisted(site, "copy", ROOM)
    site.centrifugo.enter("presence:another", "bob", "8", "Bob", iat=site.clock())
    site.centrifugo.enter(ROOM, "eve", "9", "Eve", iat=site.clock())
    site.centrifugo.raw["presence:another"] = b'{"presence":[]}'
    site.clock.advance(revocations.LATE)
    assert look(site).errors
    assert connected(site, "copy") == []


def test_tick_enforces_revocations_where_nobody_looks(site: Site) -> None:
    site.store.revoke([Revocation("7", "laptop")], seconds=600)
    site.tick(60)
    assert connected(site, "laptop") == []
    assert site.ids(ROOM) == []


def test_revocation_during_an_outage_is_enforced_by_the_first_look_after_it(site: Site) -> None:
    site.store.revoke([Revocation("7", "laptop")], seconds=600)
    site.centrifugo.error = CentrifugoUnreachable("connection refused")
    for _ in range(100):
        look(site)
    site.centrifugo.error = None
    look(site)
    assert connected(site, "laptop") == []


def test_many_revocations_take_turns(site: Site) -> None:
    """Those that were never enforced come first."""
    count = 5 * revocations.LIMIT
    site.store.revoke([Revocation(str(n), "s") for n in range(count)], seconds=600)
    for n in range(count):
        connect(site, f"c{n}", session_channel(str(n), "s"), user=str(n))
    site.centrifugo.before["end"] = lambda: site.clock.advance(watch.SLICE)
    for turn in range(1, 6):
        site.centrifugo.requests.clear()
        look(site)
        left = sum(bool(connected(site, f"c{n}")) for n in range(count))
        assert left == count - turn * revocations.LIMIT
        assert site.centrifugo.requests.count("end") == 1


def test_burst_of_revocations_is_enforced_by_one_look_while_that_is_quick(site: Site) -> None:
    site.store.revoke([Revocation(str(n), "s") for n in range(1000, 5000)], seconds=600)
    site.store.revoke([Revocation("7", "laptop")], seconds=600)
    look(site)
    assert connected(site, "laptop") == []
    site.centrifugo.requests.clear()
    look(site)
    assert site.centrifugo.requests.count("poll") == 1, "none is new: they take turns"


def test_many_users_are_searched_with_one_pattern(site: Site) -> None:
    users = [str(n) for n in range(7, 7 + revocations.FEW + 1)]
    site.store.revoke([Revocation(user) for user in users], seconds=600)
    look(site)
    assert connected(site, "laptop") == connected(site, "phone") == []


def test_site_without_the_namespace_of_sessions_goes_on_and_says_so(site: Site) -> None:
    site.centrifugo.errors["presence", LAPTOP] = CommandError(102, "unknown channel")
    site.store.revoke([Revocation("7", "laptop")], seconds=600)
    site.store.write(Writes(due={ROOM: 0.0}))
    report = look(site)
    assert report.channels == 1
    assert "namespace" in report.failures[0]


def test_site_without_revocations_asks_centrifugo_for_nothing_more(site: Site) -> None:
    site.centrifugo.requests.clear()
    look(site)
    assert site.centrifugo.requests == ["survey"]
