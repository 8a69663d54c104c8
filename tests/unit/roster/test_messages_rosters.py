"""diff, apply and hold_leaves: pure functions over rosters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence.exceptions import InvalidMessage
from presence.roster import messages
from presence.roster.grace import hold_leaves
from presence.roster.messages import (
    Diff,
    Event,
    Leaving,
    Member,
    Reload,
    Roster,
    Snapshot,
    diff,
)
from tests.feed_reader import Gap, apply, decode_publication

WIRE = Path(__file__).parents[2] / "fixtures" / "wire"
SEQUENCES = json.loads((WIRE / "sequences.json").read_text())


def roster(*ids: str, anonymous: int = 0, **issued: float) -> Roster:
    members = {key: Member(key, key.title()) for key in ids}
    return Roster(members, anonymous, {key: issued.get(key, 0.0) for key in ids})


def hold(
    old: Roster,
    seen: Roster,
    leaving: Leaving | None = None,
    *,
    now: float = 100.0,
    grace: float = 10.0,
    believe: bool = True,
) -> tuple[Roster, Leaving]:
    return hold_leaves(old, seen, leaving or Leaving(), now=now, grace=grace, believe=believe)


@pytest.mark.parametrize("case", SEQUENCES, ids=[case["name"] for case in SEQUENCES])
def test_apply_of_shared_sequences_gives_their_result(case: dict[str, Any]) -> None:
    """Malformed bytes raise InvalidMessage, unknown types are None: both change nothing."""
    snapshot = messages.decode(json.dumps(case["snapshot"]).encode(), Snapshot)
    fetch = False
    for publication in case["publications"]:
        try:
            message = decode_publication(json.dumps(publication).encode())
        except InvalidMessage:
            continue
        try:
            snapshot = apply(snapshot, message) if message else snapshot
        except Gap:
            fetch = True
    assert {
        "version": snapshot.version,
        "members": [member.id for member in snapshot.members],
        "names": [member.name for member in snapshot.members],
        "total": snapshot.total,
        "anonymous": snapshot.anonymous,
        "listed": snapshot.listed,
        "fetch": fetch,
    } == case["expect"]


def test_apply_without_effect_returns_the_same_snapshot() -> None:
    snapshot = Snapshot("e", 3, [Member("a", "A")], total=1)
    old = Diff(epoch="e", base=1, version=2, leaves=["a"], total=0, anonymous=0)
    for publication in (old, Event("saved"), Reload("e", 3, 1.0)):
        assert apply(snapshot, publication) is snapshot


def test_apply_with_gap_says_what_to_do() -> None:
    with pytest.raises(Gap, match="fetch the snapshot"):
        apply(Snapshot("e", 3), Reload("other", 1, 1.0))


def test_diff_of_two_rosters_separates_joins_leaves_and_updates() -> None:
    old = roster("ada", "alan", anonymous=2)
    new = Roster({"ada": Member("ada", "Ada King"), "grace": Member("grace", "Grace")}, 1)
    change = diff(old, new)
    assert [m.id for m in change.joins] == ["grace"]
    assert [m.id for m in change.leaves] == ["alan"]
    assert [m.name for m in change.updates] == ["Ada King"]
    assert (change.total, change.anonymous, change.was_anonymous) == (2, 1, 2)


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        (roster(), roster(), False),
        (roster("ada"), roster("ada"), False),
        (roster("ada"), roster("ada", ada=5.0), False),
        (roster(anonymous=1), roster(anonymous=2), True),
        (roster(), roster("ada"), True),
    ],
)
def test_change_without_visible_difference_is_falsy(
    old: Roster, new: Roster, *, differs: bool
) -> None:
    assert bool(diff(old, new)) is differs


class TestHolding:
    def test_hold_leaves_of_missing_member_keeps_them_for_the_grace(self) -> None:
        kept, leaving = hold(roster("ada", "alan"), roster("ada"), now=100)
        assert (list(kept.members), leaving.members) == (["ada", "alan"], {"alan": 100})
        kept, leaving = hold(kept, roster("ada"), leaving, now=109.9)
        assert (list(kept.members), leaving.members) == (["ada", "alan"], {"alan": 100})
        kept, leaving = hold(kept, roster("ada"), leaving, now=110)
        assert (list(kept.members), bool(leaving)) == (["ada"], False)

    def test_hold_leaves_after_page_reload_has_no_leave(self) -> None:
        kept, leaving = hold(roster("ada"), roster(), now=100)
        kept, leaving = hold(kept, roster("ada"), leaving, now=105)
        assert (list(kept.members), bool(leaving)) == (["ada"], False)
        _, leaving = hold(kept, roster(), leaving, now=111)
        assert leaving.members == {"ada": 111}, "another absence has a grace of its own"

    def test_hold_leaves_without_grace_removes_at_once(self) -> None:
        kept, leaving = hold(roster("ada", anonymous=2), roster(), grace=0)
        assert (kept.members, kept.anonymous, bool(leaving)) == ({}, 0, False)

    def test_hold_leaves_without_belief_keeps_members_and_counts_no_time(self) -> None:
        old = roster("ada", anonymous=3)
        kept, leaving = hold(old, roster(), now=100, believe=False, grace=0)
        assert (list(kept.members), kept.anonymous) == (["ada"], 3)
        kept, leaving = hold(kept, roster(), leaving, now=200, believe=False)
        kept, leaving = hold(kept, roster(), leaving, now=201)
        assert (list(kept.members), kept.anonymous) == (["ada"], 3), "one believed poll so far"
        kept, leaving = hold(kept, roster(), leaving, now=211)
        assert (list(kept.members), kept.anonymous, bool(leaving)) == ([], 0, False)

    def test_hold_leaves_without_belief_takes_joins(self) -> None:
        kept, _ = hold(roster("ada"), roster("alan", anonymous=1), believe=False)
        assert (list(kept.members), kept.anonymous) == (["ada", "alan"], 1)

    def test_hold_leaves_after_clock_was_set_back_keeps_for_the_grace_only(self) -> None:
        kept, leaving = hold(roster("ada", anonymous=1), roster(), now=5000)
        kept, leaving = hold(kept, roster(), leaving, now=100)
        assert list(kept.members) == ["ada"]
        kept, leaving = hold(kept, roster(), leaving, now=110)
        assert (kept.members, kept.anonymous) == ({}, 0)

    def test_hold_leaves_of_anonymous_count_shows_the_highest_of_the_grace(self) -> None:
        old, leaving = roster(anonymous=5), Leaving()
        shown = []
        for now, count in ((100, 3), (104, 4), (108, 2), (110, 2), (114, 2), (118, 2)):
            old, leaving = hold(old, roster(anonymous=count), leaving, now=now)
            shown.append(old.anonymous)
        assert shown == [5, 5, 5, 4, 4, 2]
        assert not leaving

    def test_hold_leaves_of_higher_anonymous_count_ends_the_hold(self) -> None:
        kept, leaving = hold(roster(anonymous=5), roster(anonymous=3))
        kept, leaving = hold(kept, roster(anonymous=6), leaving, now=101)
        assert (kept.anonymous, bool(leaving)) == (6, False)

    def test_hold_leaves_with_joins_orders_by_arrival_then_id(self) -> None:
        kept, _ = hold(roster("mia", "ada"), roster("zoe", "ada", "bea", "mia"))
        assert list(kept.members) == ["mia", "ada", "bea", "zoe"]

    def test_hold_leaves_of_returning_member_keeps_their_place(self) -> None:
        kept, leaving = hold(roster("mia", "ada"), roster("ada"), now=100)
        kept, _ = hold(kept, roster("ada", "mia"), leaving, now=101)
        assert list(kept.members) == ["mia", "ada"]


class TestNewestInfo:
    OLD = Roster({"ada": Member("ada", "Ada")}, 0, {"ada": 10.0})
    NEW = Roster({"ada": Member("ada", "Ada King")}, 0, {"ada": 20.0})

    def test_newest_info_of_newer_signature_is_taken(self) -> None:
        kept, _ = hold(self.OLD, self.NEW)
        assert (kept.members["ada"].name, kept.issued["ada"]) == ("Ada King", 20.0)

    def test_newest_info_of_older_tab_is_ignored(self) -> None:
        kept, _ = hold(self.NEW, self.OLD)
        assert kept == self.NEW

    def test_newest_info_of_held_member_is_kept(self) -> None:
        kept, leaving = hold(self.NEW, roster(), now=100)
        kept, _ = hold(kept, self.OLD, leaving, now=101)
        assert kept == self.NEW

    def test_newest_info_of_equal_age_is_taken(self) -> None:
        again = Roster({"ada": Member("ada", "Ada B.")}, 0, {"ada": 20.0})
        kept, _ = hold(self.NEW, again)
        assert kept.members["ada"].name == "Ada B."


IDS = st.sampled_from("abcdef")
ROSTERS = st.builds(
    lambda names, anonymous: Roster(
        {key: Member(key, name) for key, name in names.items()}, anonymous
    ),
    st.dictionaries(IDS, st.sampled_from(["x", "y"])),
    st.integers(0, 4),
)


@given(st.lists(ROSTERS, max_size=12), st.sampled_from([0.0, 3.0]), st.data())
def test_apply_of_committed_changes_gives_the_committed_roster(
    readings: list[Roster], grace: float, data: st.DataObject
) -> None:
    """A client that applies every diff shows the committed members, in order, for any input."""
    committed, leaving, shown = Roster(), Leaving(), Snapshot("e")
    for now, seen in enumerate(readings):
        before = committed
        committed, leaving = hold(
            before, seen, leaving, now=float(now), grace=grace, believe=data.draw(st.booleans())
        )
        change = diff(before, committed)
        published = Diff(
            epoch="e",
            base=shown.version,
            version=shown.version + 1,
            joins=change.joins,
            leaves=[member.id for member in change.leaves],
            updates=change.updates,
            total=change.total,
            anonymous=change.anonymous,
        )
        shown = apply(shown, messages.decode(messages.encode(published), Diff))
        assert shown.members == list(committed.members.values())
        assert (shown.total, shown.anonymous) == (committed.total, committed.anonymous)
        assert seen.members.keys() <= committed.members.keys()
        assert committed.anonymous >= seen.anonymous
        round_trip = msgspec.json.decode(msgspec.json.encode(leaving), type=Leaving)
        assert round_trip == leaving
