"""The frames of websockets with and without a hidden user: nobody else receives another byte."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from presence import services
from presence.centrifugo.gateway import result_of
from presence.centrifugo.tokens import make_grant
from presence.mixins import LiveCursorMixin
from presence.roster.merge import connections_of
from presence_devtools.servers import wait_until
from tests.attacks.conftest import Connect
from tests.attacks.sockets import PATIENCE, RawClient, is_refused

pytestmark = pytest.mark.django_db

STEPS = (
    ("enters", "bob"), ("enters", "zoe"), ("moves", "bob"), ("moves", "zoe"), ("enters", "zoe"),
    ("enters", "bob"), ("reloads", "zoe"), ("moves", "zoe"), ("reloads", "bob"), ("leaves", "bob"),
    ("moves", "zoe"), ("signs_out", "zoe"), ("enters", "bob"), ("enters", "zoe"),
    ("signs_out", "bob"), ("moves", "zoe"), ("leaves", "zoe"), ("enters", "bob"),
)  # fmt: skip
"""Actions and their users: zoe is the hidden user."""

RANDOM = {
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}": "<client>",
    r'"(epoch|node|session)":"[^"]+"': r'"\1":"<random>"',
    r'"session:[^"]+"': '"<session>"',
    r'"(ttl|iat|timestamp)":[\d.]+': r'"\1":"<time>"',
}
"""Values that differ from run to run, also with the same users."""


class Surface(LiveCursorMixin):
    """A view whose code moves the cursor of the user of its request."""

    def __init__(self, user: User, key: str) -> None:
        self.request = RequestFactory().get("/")
        self.request.user = user
        self.presence_key = key


class Tab(NamedTuple):
    """An open page; `pointing`: it is subscribed to the cursors."""

    socket: RawClient
    pointing: bool


class Visitor:
    """A browser. Its tabs are live in a room and among its cursors, where they may be."""

    def __init__(self, user: User | None, room: str, connect: Connect) -> None:
        self.user, self.room, self._connect = user, room, connect
        self.cursors = room.replace("presence:", "cursors:")
        self.client = Client()
        self.tabs: list[Tab] = []
        self.pushed = {"join": 0, "leave": 0}

    def enters(self) -> None:
        if self.user and "_auth_user_id" not in self.client.session:
            self.client.force_login(self.user)
        owner = str(self.user.pk) if self.user else ""
        grants = [make_grant(name, owner, now=time.time()) for name in (self.room, self.cursors)]
        body = json.dumps({"grants": grants})
        answer = self.client.post("/presence/tokens/", body, content_type="application/json").json()
        socket = self._connect(max_queue=None).connect(answer["connection"])
        for name in (self.room, self.cursors):
            token = answer["channels"].get(name, {}).get("token", "")
            asked = socket.ask("subscribe", channel=name, token=token, join_leave=True)
            assert is_refused(asked) == (not token), asked
        self.tabs.append(Tab(socket, bool(token)))
        self.pushed["join"] += bool(token)

    def moves(self) -> None:
        """Move the cursor, from each tab as a hostile script may, and from Python."""
        assert self.user
        for tab in self.tabs:
            asked = tab.socket.ask("publish", channel=self.cursors, data={"x": 0.5, "y": 0.125})
            assert is_refused(asked) == (not tab.pointing), asked
        Surface(self.user, self.room.removeprefix("presence:")).handle_cursor_move(0.25, 0.75)
        assert services.outbox.flush(5.0)

    def leaves(self) -> None:
        self.tabs[-1].socket.__exit__()
        self._forget(self.tabs[-1:])

    def reloads(self) -> None:
        self.leaves()
        self.enters()

    def signs_out(self) -> None:
        """Sign out, which ends all tabs at the next tick."""
        self.client.logout()
        tick()
        for tab in self.tabs:
            assert tab.socket.wait_until_closed()
        self._forget(list(self.tabs))

    def _forget(self, tabs: list[Tab]) -> None:
        self.tabs = [tab for tab in self.tabs if tab not in tabs]
        self.pushed["leave"] += sum(tab.pointing for tab in tabs)


class Play:
    """The steps, but those of `without`, and what two who watch receive: a user and a stranger."""

    def __init__(self, connect: Connect, people: dict[str, User], *, without: str) -> None:
        self.room = f"presence:frames:{time.monotonic_ns():020}"
        self.watching = [Visitor(who, self.room, connect) for who in (people["ada"], None)]
        self.others = {name: Visitor(people[name], self.room, connect) for name in ("bob", "zoe")}
        self.without = without

    def frames(self) -> list[list[str]]:
        """Return what came with each step, sorted: threads decide what comes first."""
        for watcher in self.watching:
            watcher.enters()
        return [self.step(number, *step) for number, step in enumerate(STEPS)]

    def step(self, number: int, step: str, name: str) -> list[str]:
        if name != self.without:
            getattr(self.others[name], step)()
        elif step == "signs_out":
            tick()
        self.settle()
        tick()
        for channel in (self.room, self.watching[0].cursors):
            # What comes in the channel after this is of the next step.
            assert services.gateway().send([(channel, {"mark": f"step-{number}."})]) == [None]
        return [f"{step} {name}", *sorted(self.heard(f"step-{number}."))]

    def settle(self) -> None:
        """Wait until Centrifugo knows who is there, and has told those who watch."""
        visitors = [*self.watching, *self.others.values()]
        tabs = sum(len(visitor.tabs) for visitor in visitors)
        wait_until(lambda: clients_in(self.room) == tabs, "all are there", timeout=PATIENCE)
        for place, watcher in enumerate(self.watching):
            # Nobody is told of their own join.
            joins = sum(visitor.pushed["join"] for visitor in visitors) - place - 1
            watcher.tabs[0].socket.wait_for('"join": {', joins)
            leaves = sum(visitor.pushed["leave"] for visitor in visitors)
            watcher.tabs[0].socket.wait_for('"leave": {', leaves)

    def heard(self, mark: str) -> list[str]:
        """Return what those who watch heard, up to the mark in both channels."""
        found = []
        for place, watcher in enumerate(self.watching):
            socket = watcher.tabs[0].socket
            socket.ask("presence", channel=watcher.cursors)
            socket.wait_for(mark, 2)
            found += [f"{place} {self.steady(line)}" for line in socket.lines]
            socket.lines.clear()
        return found

    def steady(self, line: str) -> str:
        """Return the message without what is random."""
        line = line.replace(self.room.partition(":")[2], "<key>")
        for pattern, instead in RANDOM.items():
            line = re.sub(pattern, instead, line)
        if line.startswith('{"push"'):
            return line
        # A reply lists channels and clients in any order.
        return str(sorted(re.split("[{},]", line)))


def clients_in(room: str) -> int:
    (reply,) = services.gateway().presence([room])
    return len(connections_of(result_of(reply)))


def tick() -> None:
    report = services.sync().tick()
    assert not report.errors, report.failures


@pytest.fixture
def play(site: Any, connect: Connect) -> Callable[[str], list[list[str]]]:
    site.PRESENCE_CHANNELS = ["presence:frames:*"]
    site.PRESENCE_LEAVE_GRACE = 0.0
    site.PRESENCE_VISIBLE = lambda user: user.username != "zoe"
    people = {
        name: User.objects.create(username=name, first_name=name.title())
        for name in ("ada", "bob", "zoe")
    }
    return lambda without: Play(connect, people, without=without).frames()


def test_frames_with_hidden_user_are_those_without(play: Callable[[str], list[list[str]]]):
    without, with_hidden = play("zoe"), play("")
    assert with_hidden == without
    text = str(without)
    for expected in ('"joins":[{', '"leaves":["', '"x": 0.5', '"x":0.25', '"join":{', '"leave":{'):
        assert expected in text, expected


def test_frames_with_visible_user_differ(play: Callable[[str], list[list[str]]], site: Any):
    """The comparison finds a user who is seen."""
    without = play("zoe")
    site.PRESENCE_VISIBLE = None
    with_visible = play("")
    steps = [step[0] for step, other in zip(with_visible, without, strict=True) if step != other]
    assert {f"{does} zoe" for does in ("enters", "moves", "reloads", "signs_out")} <= set(steps)
