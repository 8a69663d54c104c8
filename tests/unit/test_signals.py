"""Signals: of what they are sent, to whom, how often, in which order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.dispatch import Signal

from presence import signals
from presence.backends.base import WriteResult, Writes
from presence.backends.memory import MemoryStore
from presence.centrifugo.gateway import Gateway
from presence.exceptions import CommandError, StoreError
from presence.roster.messages import Change, Member
from presence.sync.context import Options
from presence.sync.publish import SIGNAL_PATIENCE
from presence.sync.tick import Sync
from tests.unit.fakes import ROOM, FakeCentrifugo, Inline, Site

ADA, ALAN = Member("ada", "Ada"), Member("alan", "Alan")
NAMES = {
    signals.presence_joined: "joined",
    signals.presence_left: "left",
    signals.presence_updated: "updated",
    signals.channel_occupied: "occupied",
    signals.channel_vacated: "vacated",
}


@pytest.fixture
def heard() -> Iterator[list[tuple[Any, ...]]]:
    """(name, sender, version, ids) of every signal."""
    heard: list[tuple[Any, ...]] = []

    def receiver(
        signal: Signal,
        sender: str,
        channel: str,
        members: list[Member],
        version: int,
        epoch: str,
        **more: Any,
    ) -> None:
        assert (sender, epoch, more) == (channel, "e1", {})
        heard.append((NAMES[signal], channel, version, [member.id for member in members]))

    for signal in NAMES:
        signal.connect(receiver)
    yield heard
    for signal in NAMES:
        signal.disconnect(receiver)


def send(version: int, change: Change) -> None:
    signals.send(ROOM, version, change, "e1")


def test_wanted_tells_whether_a_signal_has_receivers() -> None:
    def receiver(**_: Any) -> None:
        """Hears nothing."""

    assert not signals.wanted()
    for signal in NAMES:
        signal.connect(receiver)
        assert signals.wanted()
        signal.disconnect(receiver)
    assert not signals.wanted()


def test_send_of_a_first_join_sends_occupied_then_joined(heard: list[tuple[Any, ...]]) -> None:
    send(1, Change(joins=[ADA, ALAN], total=2))
    both = ["ada", "alan"]
    assert heard == [("occupied", ROOM, 1, both), ("joined", ROOM, 1, both)]


def test_send_of_a_change_sends_joined_left_updated(heard: list[tuple[Any, ...]]) -> None:
    change = Change([ADA], [ALAN], [ADA], total=1, was_occupied=True)
    send(2, change)
    assert heard == [
        ("joined", ROOM, 2, ["ada"]),
        ("left", ROOM, 2, ["alan"]),
        ("updated", ROOM, 2, ["ada"]),
    ]


def test_send_of_the_last_leave_sends_left_then_vacated(heard: list[tuple[Any, ...]]) -> None:
    send(3, Change(leaves=[ADA], was_occupied=True))
    assert heard == [("left", ROOM, 3, ["ada"]), ("vacated", ROOM, 3, ["ada"])]


def test_send_for_an_occupied_room_sends_no_vacated(heard: list[tuple[Any, ...]]) -> None:
    send(1, Change(joins=[ADA], leaves=[ALAN], total=1, was_occupied=True))
    send(2, Change(leaves=[ADA], anonymous=1, was_occupied=True))
    assert [signal[0] for signal in heard] == ["joined", "left", "left"]


def test_send_for_visitors_sends_occupied_and_vacated(heard: list[tuple[Any, ...]]) -> None:
    send(1, Change(anonymous=1))
    send(2, Change(anonymous=2, was_anonymous=1, was_occupied=True))
    send(3, Change(anonymous=0, was_anonymous=2, was_occupied=True))
    assert heard == [("occupied", ROOM, 1, []), ("vacated", ROOM, 3, [])]


def test_send_of_a_reload_without_changes_sends_nothing(heard: list[tuple[Any, ...]]) -> None:
    send(1, Change(total=3, was_occupied=True))
    assert heard == []


def test_send_logs_a_receiver_that_raises_and_calls_the_others(
    heard: list[tuple[Any, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_: Any) -> None:
        raise RuntimeError("receiver down")

    signals.presence_joined.connect(broken)
    try:
        with caplog.at_level(logging.ERROR, "presence.signals"):
            send(1, Change(joins=[ADA], total=1, was_occupied=True))
    finally:
        signals.presence_joined.disconnect(broken)
    assert heard == [("joined", ROOM, 1, ["ada"])]
    (where,) = [record for record in caplog.records if record.name == "django.dispatch"]
    assert where.exc_info is not None
    (which,) = [record for record in caplog.records if record.name == "presence.signals"]
    assert "broken channel=presence:room version=1 error=RuntimeError" in which.getMessage()


class TestThroughTheSync:
    """When the sync announces: `site.announced` stands for the signals."""

    def versions(self, site: Site) -> list[int]:
        return [version for _, version, *_ in site.announced]

    def test_sync_sends_each_change_once_in_order(self) -> None:
        site = Site(grace=0.0)
        for n in range(4):
            site.centrifugo.enter(ROOM, f"c{n}", f"u{n}", "x")
            site.tick(1)
            site.tick(1)
        assert self.versions(site) == [1, 2, 3, 4]
        assert [change.joins[0].id for _, _, change, _ in site.announced] == [
            "u0",
            "u1",
            "u2",
            "u3",
        ]
        assert site.store.load_states([ROOM]).states[ROOM].unsignalled == ()

    def test_sync_sends_nothing_before_the_diff_is_published(self) -> None:
        site = Site()
        site.centrifugo.enter(ROOM, "c", "ada", "Ada")
        site.centrifugo.errors["publish", ROOM] = CommandError(100, "internal server error")
        site.tick()
        assert site.announced == []
        site.centrifugo.errors.clear()
        site.tick(1)
        assert self.versions(site) == [1]

    def test_sync_sends_again_after_a_crash(self) -> None:
        site = Site(grace=0.0)
        site.centrifugo.enter(ROOM, "c", "ada", "Ada")
        crash_once(site)
        with pytest.raises(Crash):
            site.tick()
        site.tick(1)
        assert site.announced == [], "its own worker may be just about to send them"
        site.tick(SIGNAL_PATIENCE)
        assert self.versions(site) == [1]
        site.tick(SIGNAL_PATIENCE * 2)
        assert self.versions(site) == [1]

    def test_sync_sends_again_after_a_crash_for_an_empty_room(self) -> None:
        site = Site(grace=0.0)
        site.centrifugo.enter(ROOM, "c", "ada", "Ada")
        site.tick()
        site.centrifugo.quit(ROOM, "c")
        crash_once(site)
        with pytest.raises(Crash):
            site.tick(1)
        site.tick(SIGNAL_PATIENCE + 1)
        assert [change.leaves[0].id for _, _, change, _ in site.announced[1:]] == ["ada"]

    def test_sync_sends_twice_if_the_store_fails_afterwards(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site = Site()
        site.centrifugo.enter(ROOM, "c", "ada", "Ada")
        with monkeypatch.context() as patch:
            patch.setattr(site.store, "_signalled", lambda *_: raise_(StoreError("down")))
            assert site.tick().errors == 1
        site.tick(SIGNAL_PATIENCE + 1)
        assert self.versions(site) == [1, 1], "the version tells the repeat"

    def test_sync_publishes_before_receivers_run(self) -> None:
        site = Site()
        rooms = [f"presence:{n}" for n in range(4)]
        options, committed, published = Options(batch_size=1), list[int](), list[int]()
        for room in rooms:
            site.centrifugo.enter(room, "c", "ada", "Ada")

        def receiver(*_: object) -> None:
            stored = site.store.load_snapshots(rooms).values()
            committed.append(sum(snapshot.snapshot is not None for snapshot in stored))
            published.append(len(site.centrifugo.delivered))

        sync = Sync(site.store, site.gateway, options, announce=receiver, executor=Inline)
        assert sync.tick().joins == 4
        assert published == committed
        assert len(published) == 4

    def test_sync_without_receivers_forgets_unsent_signals(self) -> None:
        site = Site()
        site.centrifugo.enter(ROOM, "c", "ada", "Ada")
        crash_once(site)
        with pytest.raises(Crash):
            site.tick()
        site.clock.advance(SIGNAL_PATIENCE + 1)
        quiet = Sync(site.store, site.gateway, Options(), announce=None, executor=Inline)
        assert quiet.tick().errors == 0
        assert site.store.load_states([ROOM]).states[ROOM].unsignalled == ()

    def test_sync_without_receivers_leaves_no_unsent_signals(self) -> None:
        site = Site()
        site.centrifugo.enter(ROOM, "c", "ada", "Ada")
        quiet = Sync(site.store, site.gateway, Options(), announce=None, executor=Inline)
        assert quiet.tick().published == 1
        assert site.store.load_states([ROOM]).states[ROOM].unsignalled == ()

    def test_sync_sends_unsent_signals_in_order(self) -> None:
        site = Site(grace=0.0)
        for n in range(3):
            site.centrifugo.enter(ROOM, f"c{n}", f"u{n}", "x")
            crash_once(site)
            with pytest.raises(Crash):
                site.tick(1)
        site.tick(SIGNAL_PATIENCE + 3)
        assert self.versions(site) == [1, 2, 3]


class Crash(BaseException):
    """The end of a process."""


def raise_(error: Exception) -> None:
    raise error


def crash_once(site: Site) -> None:
    """The next time something is acknowledged, the process ends right after it."""
    write = site.store.write

    def crashing(writes: Writes) -> WriteResult:
        written = write(writes)
        if writes.acknowledgements:
            site.store.write = write  # type: ignore[method-assign]
            raise Crash
        return written

    site.store.write = crashing  # type: ignore[method-assign]


def test_sync_calls_receivers_in_the_thread_of_the_tick() -> None:
    """They may use its database connection; the threads of a tick have none that is closed."""
    heard: list[threading.Thread] = []
    centrifugo = FakeCentrifugo()
    for n in range(5):
        centrifugo.enter(f"presence:{n}", "c", "ada", "Ada")
    sync = Sync(
        MemoryStore(),
        Gateway(centrifugo),
        Options(batch_size=1),
        announce=lambda *_: heard.append(threading.current_thread()),
    )
    assert sync.tick().published == 5
    assert heard == [threading.current_thread()] * 5
