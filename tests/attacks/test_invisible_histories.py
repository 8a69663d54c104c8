"""Random histories with and without a hidden user: nobody else receives another byte."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import RequestContext, Template
from django.test import Client

from presence.centrifugo.tokens import make_grant
from presence.manager import PresenceManager
from presence.querysets import online
from presence.testing import FakePresence
from presence.web.page import look_up
from tests.unit.http_requests import request_of

pytestmark = pytest.mark.django_db

ROOMS = ("presence:doc:1", "presence:doc:2", "chat:7")
HIDDEN = User(pk=13, username="zenobia", first_name="Zenobia")
OTHERS = [User(pk=n, username=f"user{n}") for n in (1, 2, 3)]
SEEDS = int(os.environ.get("HISTORIES", "2"))
"""Histories for each way to show the anonymous: 60 ran once, for six minutes."""
STEPS = 16
BEGIN = 1_700_000_000.5
"""In the middle of a second: what the clock adds at each reading rounds away."""

PAGE = (
    "{% load presence_tags %}"
    '{% include "presence/widget.html" with channel=channel variant="list" %}'
    '{% include "presence/widget.html" with channel=channel variant="count" %}'
)

Step = tuple[str, int, str, float]
"""An action, a number that chooses the user or the tab, the room, and the seconds after it."""


def but_zenobia(user: User) -> bool:
    return user.username != "zenobia"


@pytest.fixture(autouse=True)
def site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PRESENCE_VISIBLE = but_zenobia
    settings.PRESENCE_CHANNELS = ["presence:*", "chat:*"]
    for user in OTHERS:
        user.save()
    HIDDEN.save()


def steps(seed: int) -> list[Step]:
    """Return a history. The steps of the hidden user begin with "hidden"."""
    chance = random.Random(seed)
    does = ["open", "open", "close", "visit", "track", "untrack", "quiet"]
    hides = ["hidden open", "hidden open", "hidden close", "hidden page"]
    rests = [0.0, 0.0, 1.0, 7.0, 11.0, 60.0, 700.0]
    return [
        (
            chance.choice(does if chance.random() < 0.5 else hides),
            chance.randrange(3),
            chance.choice(ROOMS),
            chance.choice(rests),
        )
        for _ in range(STEPS)
    ]


class History:
    """Plays a history on a site of its own, and keeps what others received."""

    def __init__(self, site: FakePresence) -> None:
        self.site = site
        self.tabs: list[Any] = []
        self.hidden: list[Any] = []
        self.received: list[Any] = []

    def play(self, history: list[Step], *, with_hidden: bool) -> list[Any]:
        now = BEGIN
        for what, number, room, rest in history:
            self.site.clock.now = now
            if what.startswith("hidden"):
                if with_hidden:
                    self.hide(what, room)
            else:
                self.do(what, number, room)
            now += rest
            self.site.clock.now = now
            self.site.tick()
            self.received.append((what, room, rest, *self.observe()))
            now += 1.0
        return self.received

    def do(self, what: str, number: int, room: str) -> None:
        user, key = OTHERS[number], room.removeprefix("presence:")
        if what == "open":
            self.tabs.append(self.site.connect(room, user))
        elif what == "close" and self.tabs:
            self.tabs.pop(number % len(self.tabs)).close()
        elif what == "visit":
            self.tabs.append(self.site.connect(room, session_key=f"session-{number}"))
        elif what == "track" and room.startswith("presence:"):
            PresenceManager.join_presence(key, str(user.pk), meta={"name": "Bot"}, source="bot")
        elif what == "untrack" and room.startswith("presence:"):
            PresenceManager.leave_presence(key, str(user.pk), source="bot")

    def hide(self, what: str, room: str) -> None:
        if what == "hidden open":
            self.hidden.append(self.site.connect(room, HIDDEN))
        elif what == "hidden close" and self.hidden:
            self.hidden.pop(0).close()
        elif what == "hidden page":
            Template(PAGE).render(RequestContext(request_of(HIDDEN), {"channel": room}))

    def observe(self) -> Iterator[object]:
        """Yield what others get now: pages, answers, feeds, signals, Python code."""
        clock = self.site.clock
        for room in ROOMS:
            now = clock.now
            for user in (OTHERS[0], AnonymousUser()):
                yield Template(PAGE).render(RequestContext(request_of(user), {"channel": room}))
                clock.now = now
            grant = make_grant(room, "", now=now)
            answer = Client().get("/presence/snapshot/", {"grant": grant})
            yield answer.status_code, dict(answer.headers), answer.content
            feed = room if room.startswith("presence:") else f"roster:{room}"
            yield self.site.centrifugo.published(feed)
            yield [msgspec.to_builtins(look_up([room], request_of(OTHERS[0])).get(room, ()))]
            clock.now = now
        for key in ("doc:1", "doc:2"):
            yield PresenceManager.list_presences(key)
            yield PresenceManager.presence_count(key)
        yield sorted(online(User.objects.all()).values_list("pk", flat=True))
        yield [
            (sent.channel, sent.version, [m.id for m in sent.members])
            for sent in self.site.signals()
        ]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    def played(history: list[Step], *, with_hidden: bool) -> list[Any]:
        epochs = itertools.count(1)
        for module in ("batch", "publish"):
            # What a server draws at random is the same in both.
            monkeypatch.setattr(f"presence.sync.{module}.new_epoch", lambda: f"e{next(epochs)}")
        with FakePresence() as site:
            return History(site).play(history, with_hidden=with_hidden)

    return played


@pytest.mark.parametrize("anonymous", ["count", "list", "ignore"])
def test_history_with_hidden_user_is_the_same_for_all_others(
    play: Callable[..., list[Any]], settings: Any, anonymous: str
):
    settings.PRESENCE_ANONYMOUS = anonymous
    for seed in range(SEEDS):
        history = steps(seed)
        without = play(history, with_hidden=False)
        with_hidden = play(history, with_hidden=True)
        for number, (expected, received) in enumerate(zip(without, with_hidden, strict=True)):
            assert received == expected, (seed, number, history[: number + 1])


def test_history_with_visible_user_differs(play: Callable[..., list[Any]], settings: Any):
    """The comparison finds a user who is seen."""
    settings.PRESENCE_VISIBLE = None
    assert play(steps(1), with_hidden=True) != play(steps(1), with_hidden=False)
