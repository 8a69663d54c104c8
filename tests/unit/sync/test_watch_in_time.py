"""Looks show each join within two looks and each leave within the grace and two looks, whatever
comes between the steps of a look."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest

from tests.unit.fakes import ROOM, Site

OTHER = "presence:other"
USERS = ("u1", "u2", "u3", "u4")
GRACE = 10.0


class Minute:
    """Looks each second, and in each second at most one member of a room who comes, goes, or does
    both: between the counts and the poll, between the poll and the commit, or after the look."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.site = Site(grace=GRACE)
        self.here: dict[tuple[str, str], str] = {}
        self.moved: dict[tuple[str, str], float] = {}
        self.steps: dict[str, list[Callable[[], None]]] = {}

    def run(self) -> None:
        for request in ("survey", "poll"):
            self.site.centrifugo.after[request] = partial(self.take, request)
        for _ in range(60):
            self.steps = {"survey": [], "poll": [], "soon": [], "late": []}
            self.plan(ROOM)
            self.plan(OTHER)
            assert self.site.sync.look()
            self.assert_in_time()
            self.take("survey", "poll", "soon")  # the first two if there was no poll
            if self.random.random() < 0.3:
                self.site.tick(0.5)
            self.take("late")
            self.site.clock.advance(1)

    def take(self, *names: str) -> None:
        for name in names:
            while self.steps[name]:
                self.steps[name].pop(0)()

    def plan(self, room: str) -> None:
        user = self.random.choice(USERS)
        first = self.random.randrange(4)
        last = self.random.randrange(first, 4)
        moves = [self.go] if (room, user) in self.here else [self.come]
        if self.random.random() < 0.5:
            moves = [self.come, self.go] if moves == [self.come] else []
        for when, move in zip((first, last), moves, strict=False):
            [*self.steps.values()][when].append(partial(move, room, user))

    def come(self, room: str, user: str) -> None:
        client = f"{user}-{self.site.clock()}-{len(self.moved)}"
        self.site.centrifugo.enter(room, client, user, user)
        self.here[room, user], self.moved[room, user] = client, self.site.clock()

    def go(self, room: str, user: str) -> None:
        self.site.centrifugo.quit(room, self.here.pop((room, user)))
        self.moved[room, user] = self.site.clock()

    def assert_in_time(self) -> None:
        now = self.site.clock()
        for (room, user), at in self.moved.items():
            is_shown = user in self.site.ids(room)
            if (room, user) in self.here:
                assert is_shown or now - at < 2, (room, user, now, at)
            else:
                assert not is_shown or now - at < GRACE + 2, (room, user, now, at)


@pytest.mark.parametrize("block", range(4))
def test_looks_show_each_join_and_each_leave_in_time(block: int) -> None:
    for seed in range(15 * block, 15 * block + 15):
        Minute(seed).run()
