"""After an exception at any line of a tick, the next tick is correct."""

from __future__ import annotations

import json
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import pytest

from presence.backends.memory import MemoryStore
from presence.centrifugo.gateway import Gateway
from presence.sync.context import Options, RosterCache
from presence.sync.tick import Sync
from presence.testing.clock import Inline
from tests.interruption import interrupted_at, lines_of
from tests.unit.fakes import Clock, FakeCentrifugo

ROOMS = ["presence:a", "presence:b", "presence:c"]
OURS = [f"/presence/{package}/" for package in ("backends", "centrifugo", "roster", "sync")]


class Interrupted(BaseException):
    """An exception from a signal handler."""


class Site:
    """Rooms that change between ticks, on one store and one process."""

    def __init__(self, *, inline: bool) -> None:
        self.clock = Clock()
        self.centrifugo = FakeCentrifugo(self.clock)
        self.store = MemoryStore(clock=self.clock)
        self.announced: list[tuple[str, int]] = []
        self.known = RosterCache()
        more: Any = {"executor": Inline} if inline else {}
        self.sync = Sync(
            self.store,
            Gateway(self.centrifugo),
            Options(grace=0.0, batch_size=1),
            announce=lambda channel, version, *_: self.announced.append((channel, version)),
            cache=self.known,
            **more,
        )
        for room in ROOMS:
            self.centrifugo.enter(room, "c-ada", "ada", "Ada", iat=1.0)
        assert self.tick() == 0

    def tick(self) -> int:
        self.clock.advance(60.0)
        return self.sync.tick().errors

    def move(self) -> None:
        self.centrifugo.enter(ROOMS[0], "c-zoe", "zoe", "Zoe", iat=1.0)
        self.centrifugo.quit(ROOMS[1], "c-ada")
        self.centrifugo.enter(ROOMS[1], "c-mia", "mia", "Mia", iat=1.0)

    def assert_right(self, line: int) -> None:
        """Two more ticks, the second of which changes the rooms again."""
        assert self.tick() == 0, line
        self.assert_rosters([["ada", "zoe"], ["mia"], ["ada"]], line)
        self.centrifugo.enter(ROOMS[0], "c-bo", "bo", "Bo", iat=1.0)
        assert self.tick() == 0, line
        self.assert_rosters([["ada", "zoe", "bo"], ["mia"], ["ada"]], line)
        for room in ROOMS:
            chain = self.centrifugo.delivered[room]
            versions = [(diff.get("base"), diff["version"]) for diff in chain]
            assert versions == [(n, n + 1) for n in range(len(versions))], line

    def assert_rosters(self, wanted: list[list[str]], line: int) -> None:
        stored = self.store.load_snapshots(ROOMS)
        for room, ids in zip(ROOMS, wanted, strict=True):
            members = json.loads(stored[room].snapshot or b"{}")["members"]
            assert sorted(member["id"] for member in members) == sorted(ids), (line, room)


def test_tick_interrupted_at_any_line_leaves_the_next_one_right() -> None:
    site = Site(inline=True)
    site.move()
    lines = lines_of(site.tick, *OURS)
    assert lines > 500
    for line in range(1, lines + 1, 5):
        site = Site(inline=True)
        site.move()
        with suppress(Interrupted):
            interrupted_at(line, site.tick, Interrupted(), *OURS)
        site.assert_right(line)


def test_tick_interrupted_leaves_no_thread() -> None:
    site = Site(inline=False)
    site.move()
    lines = lines_of(site.tick, *OURS)
    before = set(threading.enumerate())
    for line in range(1, lines + 1, 23):
        site = Site(inline=False)
        site.move()
        with suppress(Interrupted):
            interrupted_at(line, site.tick, Interrupted(), *OURS)
        site.assert_right(line)
    for thread in set(threading.enumerate()) - before:
        thread.join(5.0)
        assert not thread.is_alive()


@pytest.mark.parametrize("method", ["presence", "publish"])
def test_tick_interrupted_while_it_holds_the_lock_of_a_future_ends(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A signal handler may raise between the acquiring of a lock and the block that releases it."""
    site = Site(inline=False)
    site.move()
    asked, go_on, ended, judged = (threading.Event() for _ in range(4))
    held: list[Future[Any]] = []
    batch, result = site.centrifugo.batch, Future.result

    def wait_in_batch(commands: Any, **more: Any) -> Any:
        if any(name == method for name, _ in commands):
            asked.set()
            assert go_on.wait(30.0)
        return batch(commands, **more)

    def interrupted_result(future: Future[Any], timeout: float | None = None) -> Any:
        if not asked.wait(0.2) or future.done():
            return result(future, timeout)
        future._condition.acquire()
        held.append(future)
        go_on.set()
        raise Interrupted

    monkeypatch.setattr(site.centrifugo, "batch", wait_in_batch)
    monkeypatch.setattr(Future, "result", interrupted_result)

    def run() -> None:
        with suppress(Interrupted):
            site.tick()
        ended.set()
        judged.wait(30.0)
        for future in held:
            future._condition.release()

    thread = threading.Thread(target=run)
    thread.start()
    has_ended = ended.wait(10.0)
    judged.set()
    if not has_ended:
        for future in held:
            future._condition = threading.Condition()  # type: ignore[attr-defined]
    thread.join(10.0)
    assert has_ended
    assert held
