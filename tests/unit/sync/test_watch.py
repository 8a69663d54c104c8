"""Looks: what they poll, and how much."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from presence.backends.base import Counts, LookState, Writes
from presence.backends.memory import MemoryStore
from presence.backends.tracker import Tracker
from presence.exceptions import CentrifugoUnreachable, CommandError, StoreError
from presence.sync import watch
from presence.sync.statistics import RETRY, Report
from presence.sync.tick import NODES_SETTLE, Sync
from tests.interruption import interrupted_at, lines_of
from tests.unit.fakes import ROOM, Site

OTHER = "presence:other"
HOUR = 3600.0


def look(site: Site, after: float = 1.0) -> Report | None:
    """Look after some seconds, when every rest is over."""
    site.clock.advance(after)
    return site.sync.look()


def polled(site: Site, after: float = 1.0) -> int:
    report = look(site, after)
    assert report is not None
    assert not report.failures
    return report.channels


def before_poll(site: Site, act: Callable[[], object]) -> None:
    """Act after the next look has its counts, before it polls."""

    def once() -> None:
        del site.centrifugo.before["poll"]
        act()

    site.centrifugo.before["poll"] = once


def shown(site: Site) -> int:
    snapshot = site.snapshot(ROOM)
    return int(snapshot["total"] + snapshot["anonymous"])


def record_polls(site: Site, *, seconds: float = 0.0) -> list[str]:
    """Return the channels that are polled from now on; each batch takes some seconds."""
    poll, asked = site.gateway.poll, list[str]()

    def recorded(channels: list[str]) -> Any:
        asked.extend(channels)
        site.clock.advance(seconds)
        return poll(channels)

    site.gateway.poll = recorded  # type: ignore[method-assign,assignment]
    return asked


def fill(site: Site, rooms: int) -> list[str]:
    names = [f"presence:{n}" for n in range(rooms)]
    for n, name in enumerate(names):
        site.centrifugo.enter(name, f"c{n}", str(n), "Ada")
    return names


# What a look polls


def test_look_finds_a_join_without_a_tick() -> None:
    site = Site()
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    assert polled(site) == 1
    assert site.ids() == ["7"]
    assert polled(site) == 0


def test_look_polls_only_the_channels_whose_count_changed() -> None:
    site = Site()
    fill(site, 5)
    assert polled(site) == 5
    site.centrifugo.enter("presence:3", "c9", "9", "Bea")
    assert polled(site) == 1
    assert site.ids("presence:3") == ["3", "9"]


def test_look_with_new_subscribers_of_a_feed_polls_nothing() -> None:
    site = Site(patterns=("chat:*",))
    site.centrifugo.enter("chat:a", "c1", "7", "Ada")
    assert polled(site) == 1
    site.centrifugo.watchers["roster:chat:a"] = 3
    assert polled(site) == 0


def test_look_with_discovery_by_registry_finds_joins_in_registered_rooms_alone() -> None:
    site = Site(discovery="registry")
    site.store.register_channels([ROOM])
    for channel in (ROOM, "presence:beyond-the-limit"):
        site.centrifugo.enter(channel, "c1", "7", "Ada")
    assert polled(site) == 1
    assert site.ids() == ["7"]


def test_look_that_takes_long_to_begin_polls_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    load = site.store.load_tracker_state

    def slow(*, timeout: float) -> Any:
        site.clock.advance(2 * watch.SLICE)
        return load(timeout=timeout)

    monkeypatch.setattr(site.store, "load_tracker_state", slow)
    assert polled(site) == 1
    assert site.ids() == ["7"]


def test_look_confirms_a_leave_when_the_grace_ends() -> None:
    site = Site(grace=10.0)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    polled(site)
    site.centrifugo.quit(ROOM, "c1")
    assert polled(site) == 1
    assert site.ids() == ["7"]
    assert [polled(site) for _ in range(9)] == [0] * 9
    assert polled(site) == 1
    assert site.ids() == []
    assert polled(site) == 0


@pytest.mark.parametrize("write", range(1, 6))
def test_look_whose_store_fails_at_a_write_loses_no_leave(
    monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    site = Site(grace=2.0)
    site.centrifugo.enter(ROOM, "c1", "9", "Bea")
    polled(site)
    site.centrifugo.enter(ROOM, "c2", "7", "Ada")
    real, calls = site.store.write, list[Writes]()

    def failing(writes: Writes) -> Any:
        calls.append(writes)
        if len(calls) >= write:
            raise StoreError("connection refused")
        return real(writes)

    monkeypatch.setattr(site.store, "write", failing)
    look(site)
    monkeypatch.undo()
    site.centrifugo.quit(ROOM, "c2")
    for _ in range(4):
        look(site, watch.LEASE)
    assert site.ids() == ["9"]


def test_look_a_moment_before_the_grace_ends_confirms_the_leave() -> None:
    site = Site(grace=10.0)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    polled(site)
    site.centrifugo.quit(ROOM, "c1")
    polled(site)
    assert polled(site, 10.0 - 1.1 * watch.EARLY) == 0
    assert polled(site, 0.2 * watch.EARLY) == 1
    assert site.ids() == []


def test_look_leaves_half_of_a_short_grace() -> None:
    site = Site(grace=watch.EARLY)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    polled(site)
    site.centrifugo.quit(ROOM, "c1")
    assert polled(site) == 1
    assert site.ids() == ["7"]
    assert polled(site, watch.EARLY) == 1
    assert site.ids() == []


@pytest.mark.parametrize("user", ["7", ""])
def test_leave_of_a_member_that_only_a_tick_saw_is_found_by_looks(user: str) -> None:
    site = Site(grace=2.0)
    site.centrifugo.enter(ROOM, "c1", "9", "Bea")
    polled(site)
    site.centrifugo.enter(ROOM, "c2", user, "Ada")
    site.tick(0.4)
    assert shown(site) == 2
    site.centrifugo.quit(ROOM, "c2")
    assert polled(site, 0.4) == 1, "the count is the same as before"
    for _ in range(2):
        look(site)
    assert shown(site) == 1


def test_leave_of_a_member_whose_return_only_a_tick_saw_is_found_by_looks() -> None:
    site = Site(grace=10.0)
    site.centrifugo.enter(ROOM, "c1", "9", "Bea")
    site.centrifugo.enter(ROOM, "c2", "7", "Ada")
    polled(site)
    site.centrifugo.quit(ROOM, "c2")
    polled(site)
    site.centrifugo.enter(ROOM, "c3", "7", "Ada")
    site.tick(0.4)
    site.centrifugo.quit(ROOM, "c3")
    assert polled(site, 0.4) == 1, "the count is the same as before"
    for _ in range(10):
        look(site)
    assert site.ids() == ["9"]


@pytest.mark.parametrize("user", ["7", ""])
def test_leave_of_a_member_who_came_during_a_look_is_found_by_looks(user: str) -> None:
    site = Site(grace=2.0)
    site.centrifugo.enter(ROOM, "c1", "9", "Bea")
    before_poll(site, lambda: site.centrifugo.enter(ROOM, "c2", user, "Ada"))
    assert polled(site) == 1
    assert shown(site) == 2
    site.centrifugo.quit(ROOM, "c2")
    assert polled(site) == 1, "the count is the same as at the look before"
    for _ in range(2):
        look(site)
    assert shown(site) == 1


def test_member_who_leaves_during_a_look_makes_its_channel_due() -> None:
    site = Site(grace=2.0)
    site.centrifugo.enter(ROOM, "c1", "9", "Bea")
    site.centrifugo.enter(ROOM, "c2", "7", "Ada")
    before_poll(site, lambda: site.centrifugo.quit(ROOM, "c2"))
    assert polled(site) == 1
    site.centrifugo.enter(ROOM, "c3", "8", "Cy")
    assert polled(site) == 1, "the count is the same as at the look before"
    assert site.ids() == ["9", "8"]


def test_look_at_a_channel_that_is_not_counted_does_not_repeat() -> None:
    site = Site(patterns=("presence:*",))
    site.centrifugo.enter("chat:a", "c1", "7", "Ada")
    site.store.write(Writes(due={"chat:a": 0.0}))
    assert [polled(site) for _ in range(3)] == [1, 0, 0]


def test_look_confirms_each_leave_of_a_room_when_its_grace_ends() -> None:
    site = Site(grace=10.0)
    for n in range(3):
        site.centrifugo.enter(ROOM, f"c{n}", str(n), "Ada")
    polled(site)
    for n in range(3):
        site.centrifugo.quit(ROOM, f"c{n}")
        polled(site, 2)
    sizes = []
    for _ in range(11):
        look(site)
        sizes.append(len(site.ids()))
    assert sizes == [3, 3, 3, 3, 3, 2, 2, 1, 1, 0, 0]


def test_look_confirms_a_leave_that_a_tick_missed_first() -> None:
    site = Site(grace=10.0)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    polled(site)
    site.centrifugo.quit(ROOM, "c1")
    site.tick(0.5)
    assert polled(site) == 1, "the count changed"
    assert [polled(site) for _ in range(8)] == [0] * 8
    assert (polled(site), site.ids()) == (1, [])


def test_look_shows_no_leave_of_a_page_that_is_loaded_again() -> None:
    site = Site(grace=10.0)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    polled(site)
    site.centrifugo.quit(ROOM, "c1")
    polled(site)
    site.centrifugo.enter(ROOM, "c2", "7", "Ada")
    polled(site)
    for _ in range(20):
        look(site)
    assert [diff.get("leaves", []) for diff in site.diffs()] == [[]] * len(site.diffs())
    assert site.ids() == ["7"]


def test_look_polls_a_channel_whose_member_has_no_websocket() -> None:
    site = Site()
    assert polled(site) == 0
    site.store.save_member(ROOM, "7", source="", meta=b"{}", timeout=60.0)
    assert (polled(site), site.ids()) == (1, ["7"])
    assert polled(site) == 0
    site.store.delete_member(ROOM, "7", source="", timeout=60.0)
    assert (polled(site), site.ids()) == (1, []), "without a grace"
    assert polled(site) == 0


def test_look_misses_a_swap_that_the_next_tick_finds() -> None:
    site = Site(grace=0.0)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    polled(site)
    site.centrifugo.quit(ROOM, "c1")
    site.centrifugo.enter(ROOM, "c2", "8", "Bea")
    assert (polled(site), site.ids()) == (0, ["7"])
    site.tick(1)
    assert site.ids() == ["8"]


def test_look_in_a_room_that_swaps_members_marked_due_shows_them() -> None:
    """The self-check of a page that came marks the channel."""
    site = Site(grace=2.0)
    site.centrifugo.enter(ROOM, "c0", "0", "Ada")
    polled(site)
    for n in range(1, 20):
        site.centrifugo.quit(ROOM, f"c{n - 1}")
        site.centrifugo.enter(ROOM, f"c{n}", str(n), "Ada")
        site.store.write(Writes(due={ROOM: 0.0}))
        look(site, 0.5)
        assert site.ids()[-1] == str(n)
    for _ in range(3):
        look(site)
    assert site.ids() == ["19"]


# Due channels


def test_look_polls_due_channels_longest_waiting_first() -> None:
    site = Site(batch_size=1)
    names = fill(site, 3)
    look(site)
    asked = record_polls(site)
    site.store.write(Writes(due={names[0]: 0.9, names[1]: 0.1, names[2]: 0.5}))
    site.centrifugo.enter("presence:new", "c9", "9", "Bea")
    assert polled(site) == 4
    assert asked == [names[1], names[2], names[0], "presence:new"]


def test_look_leaves_a_channel_alone_until_it_is_due() -> None:
    site = Site()
    fill(site, 1)
    look(site)
    site.store.write(Writes(due={"presence:0": 3.0}))
    assert [polled(site) for _ in range(4)] == [0, 0, 1, 0]


def test_channel_marked_while_it_is_polled_is_polled_again() -> None:
    site = Site()
    site.store.write(Writes(due={ROOM: 0.0}))
    site.clock.advance(1)

    def mark() -> None:
        site.clock.advance(0.01)
        site.store.write(Writes(due={ROOM: 0.0}))

    site.centrifugo.after["poll"] = mark
    assert polled(site, 0) == 1
    del site.centrifugo.after["poll"]
    assert [polled(site), polled(site)] == [1, 0]


# The limit


def test_look_lets_none_begin_for_three_times_as_long_as_it_took() -> None:
    site = Site()
    site.centrifugo.after["survey"] = lambda: site.clock.advance(2.0)
    assert look(site) is not None
    assert look(site, 5.9) is None
    assert look(site, 0.2) is not None


def test_look_that_failed_rests_too() -> None:
    site = Site()

    def down() -> None:
        site.clock.advance(1.0)
        raise CentrifugoUnreachable("down")

    site.centrifugo.before["survey"] = down
    assert look(site) is not None
    assert look(site, 2.9) is None
    assert look(site, 0.2) is not None


def test_rest_is_counted_in_the_quarter_of_a_worker() -> None:
    assert watch.rest_after(1.0) == 3.0
    assert watch.rest_after(0.0) == 0.0
    assert watch.rest_after(HOUR) == 3 * watch.LEASE, "of a process that was stopped"


def test_look_polls_for_its_slice_and_leaves_the_rest_due() -> None:
    site = Site(batch_size=1)
    names = fill(site, 7)
    asked = record_polls(site, seconds=0.2)
    assert polled(site) == 2
    assert asked == names[:2]
    site.centrifugo.enter(names[0], "late", "late", "Bea")
    for _ in range(3):
        assert look(site, 0.5) is None
        assert polled(site, 1.0) == 2
    assert asked == [*names, names[0]], "the longest waiting first"
    assert [polled(site, 2.0), site.ids(names[0])] == [0, ["0", "late"]]


def test_looks_of_a_site_that_changes_faster_than_they_poll_take_a_quarter() -> None:
    site = Site(batch_size=1)
    names = fill(site, 40)
    look(site)
    asked = record_polls(site, seconds=0.2)
    began, busy, client = site.clock(), 0.0, 0
    while site.clock() < began + 300:
        for name in names:
            client += 1
            site.centrifugo.enter(name, f"n{client}", str(client), "Ada")
        before = site.clock()
        look(site, 0.0)
        busy += site.clock() - before
        site.clock.advance(1.0)
    assert busy <= 0.25 * (site.clock() - began) + 1.0
    shares = [asked.count(name) for name in names]
    assert max(shares) - min(shares) <= 1, "in turn"


# Several lookers


def test_look_while_another_one_looks_does_nothing() -> None:
    site = Site()
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    peer, found = site.make(site.options), list[Report | None]()
    site.centrifugo.before["survey"] = lambda: found.append(peer.look())
    assert polled(site) == 1
    assert found == [None]


def test_looks_of_two_processes_poll_each_change_once() -> None:
    site = Site()
    processes = [site.sync, site.make(site.options)]
    fill(site, 3)
    channels = []
    for n in range(6):
        site.clock.advance(1)
        report = processes[n % 2].look()
        assert report is not None
        channels.append(report.channels)
        if n == 3:
            site.centrifugo.enter(ROOM, "c9", "9", "Bea")
    assert channels == [3, 0, 0, 0, 1, 0]


def test_look_of_one_process_does_not_load_the_counts_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site, loads = Site(), list[int]()
    decoded = watch._decoded
    monkeypatch.setattr(watch, "_decoded", lambda raw: loads.append(len(raw)) or decoded(raw))
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    for _ in range(5):
        look(site)
    assert loads == []


def test_look_that_lost_its_lease_loses_no_change() -> None:
    """A process was stopped for a minute; another one looked in the meantime."""
    site = Site()
    peer = site.make(site.options)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")

    def stopped() -> None:
        del site.centrifugo.after["survey"]
        site.clock.advance(watch.LEASE + 1)
        site.centrifugo.enter(ROOM, "c2", "8", "Bea")
        assert peer.look()

    site.centrifugo.after["survey"] = stopped
    look(site)
    for _ in range(3):
        look(site)
    assert site.ids() == ["7", "8"]


# Failures


def test_look_while_centrifugo_is_down_reports_it_and_loses_nothing() -> None:
    site = Site(grace=5.0)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    look(site)
    site.centrifugo.quit(ROOM, "c1")
    look(site)
    site.centrifugo.enter(OTHER, "c2", "8", "Bea")
    site.centrifugo.error = CentrifugoUnreachable("connection refused")
    for _ in range(10):
        report = look(site)
        assert report is not None
        assert (report.channels, report.failures) == (0, ["connection refused"])
    assert site.ids() == ["7"]
    site.centrifugo.error = None
    assert polled(site) == 2
    assert (site.ids(), site.ids(OTHER)) == ([], ["8"])


def test_look_while_the_store_is_down_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()

    def down(*_: object, **__: object) -> None:
        raise StoreError("connection refused")

    monkeypatch.setattr(site.store, "begin_look", down)
    report = look(site)
    assert report is not None
    assert report.failures == ["connection refused"]


@pytest.mark.parametrize("due", [False, True])
def test_channel_whose_poll_failed_is_due_again_in_five_seconds(*, due: bool) -> None:
    site = Site()
    if due:
        site.store.write(Writes(due={ROOM: 0.0}))
    else:
        site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    site.centrifugo.errors["presence", ROOM] = CommandError(100, "internal server error")
    report = look(site)
    assert report is not None
    assert report.errors == 1
    site.centrifugo.errors.clear()
    assert [polled(site) for _ in range(6)] == [0, 0, 0, 0, 1, 0]
    assert RETRY == 5.0


@pytest.mark.parametrize("due", [False, True])
def test_batch_whose_poll_failed_is_due_again_in_five_seconds(*, due: bool) -> None:
    site = Site()
    if due:
        site.store.write(Writes(due={ROOM: 0.0}))
    else:
        site.centrifugo.enter(ROOM, "c1", "7", "Ada")

    def down() -> None:
        raise CentrifugoUnreachable("connection reset")

    site.centrifugo.before["poll"] = down
    report = look(site)
    assert report is not None
    assert report.errors == 1
    site.centrifugo.before.clear()
    assert [polled(site) for _ in range(6)] == [0, 0, 0, 0, 1, 0]


def test_channel_whose_poll_failed_in_a_tick_is_polled_by_a_look() -> None:
    site = Site()
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    look(site)
    site.centrifugo.enter(ROOM, "c2", "8", "Bea")
    site.centrifugo.errors["presence", ROOM] = CommandError(100, "internal server error")
    assert site.tick(1).errors == 1
    look(site, 0)
    site.centrifugo.errors.clear()
    for _ in range(5):
        look(site)
    assert site.ids() == ["7", "8"]


def test_channel_that_centrifugo_never_answers_for_is_not_due_again() -> None:
    site = Site()
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    site.centrifugo.errors["presence", ROOM] = CommandError(108, "not available")
    report = look(site)
    assert report is not None
    assert report.errors == 1
    assert [polled(site) for _ in range(10)] == [0] * 10


def test_channel_that_lost_a_race_is_polled_by_the_next_look() -> None:
    site = Site()
    peer = site.make(site.options)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")

    def overtake() -> None:
        del site.centrifugo.after["poll"]
        peer.tick()
        site.centrifugo.enter(ROOM, "c2", "8", "Bea")
        site.centrifugo.quit(ROOM, "c1")

    site.centrifugo.after["poll"] = overtake
    report = look(site)
    assert report is not None
    assert report.refused == 1
    assert polled(site, 0.1) == 1, "though the count is the same"
    assert site.ids() == ["7", "8"]


def test_change_that_was_not_published_is_published_by_a_look() -> None:
    site = Site()
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")

    def down() -> None:
        raise CentrifugoUnreachable("connection reset")

    site.centrifugo.before["publish"] = down
    report = look(site)
    assert report is not None
    assert report.errors == 1
    site.centrifugo.before.clear()
    assert [polled(site) for _ in range(6)] == [0, 0, 0, 0, 1, 0]
    assert [diff["version"] for diff in site.diffs()] == [1]


@pytest.mark.parametrize("raw", [b"\xff", b"[]", b'{"presence:room": 1}', b"\x81"])
def test_look_with_unreadable_counts_polls_every_channel(
    raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    fill(site, 3)
    look(site)
    site.store._counts = Counts("other", raw)
    assert polled(site) == 3
    assert "counts=unreadable" in caplog.text
    assert polled(site) == 0


def test_look_whose_store_lost_everything_polls_every_channel() -> None:
    site = Site()
    fill(site, 3)
    look(site)
    site.store._counts, site.store._due = Counts("", b""), {}
    assert polled(site) == 3
    assert polled(site) == 0


# A restart of Centrifugo


def test_look_after_a_restart_shows_nobody_leaving() -> None:
    site = Site(grace=10.0)
    names = fill(site, 5)
    look(site)
    site.centrifugo.restart()
    for _ in range(4):
        look(site)
    fill(site, 5)
    for _ in range(60):
        look(site)
    for name in names:
        assert len(site.ids(name)) == 1
        assert not any(diff.get("leaves") for diff in site.diffs(name))


def test_leave_during_the_hold_after_a_restart_is_confirmed_when_that_ends() -> None:
    site = Site(grace=10.0)
    fill(site, 2)
    look(site)
    site.centrifugo.restart()
    assert polled(site) == 2
    site.centrifugo.enter("presence:0", "c0", "0", "Ada")
    polled(site)
    for _ in range(int(NODES_SETTLE) - 2):
        look(site)
        assert site.ids("presence:1") == ["1"]
    look(site)
    assert (site.ids("presence:0"), site.ids("presence:1")) == (["0"], [])


def test_leave_at_the_end_of_the_hold_is_confirmed_after_the_grace() -> None:
    site = Site(grace=10.0)
    fill(site, 1)
    look(site)
    site.centrifugo.restart()
    look(site)
    fill(site, 1)
    look(site)
    look(site, NODES_SETTLE - 6)
    site.centrifugo.quit("presence:0", "c0")
    look(site)
    for _ in range(9):
        look(site)
        assert site.ids("presence:0") == ["0"]
    look(site)
    assert site.ids("presence:0") == []


# Clocks


def test_looks_go_on_after_the_clock_was_set_back() -> None:
    site = Site(grace=10.0)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    look(site, HOUR)
    site.centrifugo.quit(ROOM, "c1")
    look(site)
    site.clock.advance(-HOUR)
    site.centrifugo.enter(OTHER, "c2", "8", "Bea")
    assert polled(site, 0) == 1
    site.tick(1)
    for _ in range(10):
        look(site)
    assert (site.ids(), site.ids(OTHER)) == ([], ["8"])


def test_looks_go_on_after_a_rest_and_a_lease_from_the_future() -> None:
    site = Site()
    site.clock.advance(HOUR)
    site.store.begin_look("killed", lease=watch.LEASE, limit=1)
    site.clock.advance(-HOUR)
    assert look(site, 0) is not None
    site.store.begin_look("other", lease=watch.LEASE, limit=1)
    site.store.write(Writes(look=LookState("other", rest=HOUR)))
    site.clock.advance(-HOUR)
    assert look(site, 0) is not None


# Crashes


class Killed(BaseException):
    """The end of a process: nothing of it runs any more."""


class MortalStore:
    """A store whose process is killed before or after its call number `at`."""

    def __init__(self, store: MemoryStore, at: int, *, before: bool) -> None:
        self._store, self._at, self._before = store, at, before
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        real: Callable[..., Any] = getattr(self._store, name)

        def called(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls > self._at or (self._before and self.calls == self._at):
                raise Killed
            found = real(*arguments, **options)
            if self.calls == self._at:
                raise Killed
            return found

        return called


Tracker.register(MortalStore)


def changed_site(**options: Any) -> Site:
    """Return a site with a join that changes a count, a leave and a member that are due."""
    site = Site(grace=2.0, batch_size=1, **options)
    fill(site, 1)
    site.centrifugo.enter(OTHER, "c1", "7", "Ada")
    assert polled(site) == 2
    site.centrifugo.quit(OTHER, "c1")
    assert polled(site) == 1
    site.clock.advance(2.5)
    site.centrifugo.enter("presence:0", "c2", "8", "Bea")
    site.store.save_member(ROOM, "bot", source="", meta=b"{}", timeout=HOUR)
    return site


def assert_next_look_is_right(site: Site, sync: Sync, *where: object) -> None:
    site.clock.advance(watch.LEASE + 1)
    report = sync.look()
    assert report is not None, where
    assert not report.failures, where
    found = [site.ids("presence:0"), site.ids(OTHER), site.ids()]
    assert found == [["0", "8"], [], ["bot"]], where
    for room in ("presence:0", OTHER, ROOM):
        versions = [diff["version"] for diff in site.diffs(room)]
        assert versions == list(range(1, len(versions) + 1)), (room, *where)
        assert versions[-1] == site.snapshot(room)["version"], (room, *where)
    for _ in range(10):  # Each channel that was left pending is polled once more.
        site.clock.advance(1)
        assert sync.look(), where
    site.clock.advance(1)
    last = sync.look()
    assert last is not None, where
    assert last.channels == 0, where


@pytest.mark.parametrize("before", [True, False])
def test_look_killed_at_any_call_of_the_store_leaves_the_next_one_right(*, before: bool) -> None:
    killed, at = True, 0
    while killed:
        at += 1
        site = changed_site()
        sync = site.make(site.options, store=MortalStore(site.store, at, before=before))
        killed = False
        try:
            assert sync.look()
        except Killed:
            killed = True
        assert_next_look_is_right(site, site.sync, at)
    assert at > 5


@pytest.mark.parametrize("request_", ["survey", "poll", "publish"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_look_killed_at_a_request_to_centrifugo_leaves_the_next_one_right(
    request_: str, moment: str
) -> None:
    site = changed_site()
    store = MortalStore(site.store, 10**9, before=True)

    def kill() -> None:
        store._at = 0
        raise Killed

    getattr(site.centrifugo, moment)[request_] = kill
    with pytest.raises(Killed):
        site.make(site.options, store=store).look()
    getattr(site.centrifugo, moment).clear()
    assert_next_look_is_right(site, site.sync)


OURS = [f"/presence/{package}/" for package in ("backends", "centrifugo", "roster", "sync")]


def test_look_interrupted_at_any_line_leaves_the_next_one_right() -> None:
    """By an exception of a signal handler, as of a soft time limit: the process goes on."""
    site = changed_site()
    lines = lines_of(site.sync.look, *OURS)
    assert lines > 500
    for line in range(1, lines + 1, 5):
        site = changed_site()
        with suppress(Killed):
            interrupted_at(line, site.sync.look, Killed(), *OURS)
        assert_next_look_is_right(site, site.sync, line)


def test_look_with_one_failing_call_of_the_store_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at, failed = 0, True
    while failed:
        at += 1
        site = changed_site()
        store = FlakyStore(site.store, at)
        sync = site.make(site.options, store=store)
        sync.look()
        failed, store._at = store.calls >= at, 0
        assert_next_look_is_right(site, sync, at)
    assert at > 5


class FlakyStore(MortalStore):
    """A store whose call number `at` fails."""

    def __init__(self, store: MemoryStore, at: int) -> None:
        super().__init__(store, at, before=True)

    def __getattr__(self, name: str) -> Any:
        real: Callable[..., Any] = getattr(self._store, name)

        def called(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self._at:
                raise StoreError("connection reset")
            return real(*arguments, **options)

        return called
