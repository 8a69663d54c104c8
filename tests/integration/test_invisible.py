"""No output of the site names a user that PRESENCE_VISIBLE hides."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import msgspec
import pytest
import websockets.sync.client
from django.contrib.auth.models import User
from django.test import Client

from presence import services, signals
from presence.manager import PresenceManager
from presence.querysets import online
from presence.users import last_seen, refresh
from tests.integration.test_web import attribute, exchange, front, members_in, snapshot_of

pytestmark = pytest.mark.django_db

PK = 987_654_321
NEEDLES = ("Zenobia", "Septimia", "zz-hidden", str(PK))
"""Strings that would reveal the user."""


def but_her(user: User) -> bool:
    return user.pk != PK


class Tab:
    """Open page: its connection to Centrifugo, and all messages that arrived."""

    def __init__(self, client: Client, channel: str) -> None:
        self.channel = channel
        self.answer = exchange(front(client), client).json()
        entry = self.answer["channels"][channel]
        self.heard: list[str] = []
        self._stack = ExitStack()
        opened = websockets.sync.client.connect(self.answer["url"])
        self._socket = self._stack.enter_context(opened)
        subscribe = {"channel": entry["feed"], "token": entry["token"], "join_leave": True}
        for n, command in enumerate(
            ({"connect": {"token": self.answer["connection"]}}, {"subscribe": subscribe}), start=1
        ):
            self._socket.send(json.dumps({"id": n, **command}))
            self._until(f'"id":{n}')

    def listen(self) -> str:
        """Return all messages up to now: pushes come in order."""
        mark = f"mark {time.monotonic_ns()}"
        raw = msgspec.Raw(msgspec.json.encode({"type": mark}))
        assert services.gateway().send([(self.channel, raw)]) == [None]
        self._until(mark)
        return "".join(self.heard)

    def _until(self, part: str) -> None:
        while not any(part in frame for frame in self.heard[-1:]):
            self.heard.append(str(self._socket.recv(timeout=20)))
        assert '"error"' not in self.heard[-1]

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def channel(online: Any) -> str:
    """Return the channel of the demo's front page, on real parts."""
    online.PRESENCE_LEAVE_GRACE = 0.0
    online.PRESENCE_VISIBLE = but_her
    online.PRESENCE_CHANNEL = f"presence:invisible:{time.monotonic_ns()}"
    return str(online.PRESENCE_CHANNEL)


@pytest.fixture
def signalled() -> Iterator[list[str]]:
    """Return the contents of all signals."""
    found: list[str] = []

    def receiver(members: list[Any], **_: Any) -> None:
        found.append(repr(members))

    for name in ("presence_joined", "presence_left", "presence_updated", "channel_occupied"):
        getattr(signals, name).connect(receiver)
    yield found
    for name in ("presence_joined", "presence_left", "presence_updated", "channel_occupied"):
        getattr(signals, name).disconnect(receiver)


def signed_in(**fields: Any) -> tuple[User, Client]:
    client, user = Client(), User.objects.create(**fields)
    client.force_login(user)
    return user, client


def tick(channel: str) -> None:
    report = services.sync().tick([channel])
    assert not report.errors, report.failures


def told(channel: str, *watching: Client) -> str:
    """Return every output of the site: pages, tags, snapshots, signals, messages and keys."""
    found: list[Any] = [
        PresenceManager.list_presences(channel.removeprefix("presence:")),
        online(User.objects.all(), channel).values_list("pk", "username"),
    ]
    for client in watching:
        page = front(client)
        found += [page, exchange(page, client).content, snapshot_of(page, client).content]
    return repr(found)


def test_invisible_user_is_in_no_message_page_or_key(
    channel: str, settings: Any, signalled: list[str]
) -> None:
    grace, as_grace = signed_in(username="grace", first_name="Grace")
    her, as_her = signed_in(pk=PK, username="zz-hidden", first_name="Zenobia", last_name="Septimia")
    stranger = Client()
    with (
        closing(Tab(as_grace, channel)) as watching,
        closing(Tab(stranger, channel)) as also_watching,
        closing(Tab(as_her, channel)) as hers,
    ):
        tick(channel)
        page = front(as_grace)
        assert members_in(page) == ["Grace"]
        assert (attribute(page, "total"), attribute(page, "anonymous")) == ("1", "1")
        assert members_in(front(as_her)) == ["Grace"], "she sees who is there"
        assert hers.answer["user"] is None
        hers.close()
        tick(channel)
        nothing = told(channel, as_grace, stranger)
        pushed = watching.listen() + also_watching.listen() + "".join(signalled)
        for needle in NEEDLES:
            assert needle not in nothing
            assert needle not in pushed
        assert '"joins":[{"id":"%d"' % grace.pk in pushed
        assert last_seen([her]) == {PK: None}


def test_user_visible_again_is_in_every_message_and_page(
    channel: str, settings: Any, signalled: list[str]
) -> None:
    """The check of the test above finds a visible user."""
    _, as_grace = signed_in(username="grace", first_name="Grace")
    her, as_her = signed_in(pk=PK, username="zz-hidden", first_name="Zenobia", last_name="Septimia")
    with closing(Tab(as_grace, channel)) as watching, closing(Tab(as_her, channel)):
        tick(channel)
        settings.PRESENCE_VISIBLE = None
        refresh(her)
        tick(channel)
        assert members_in(front(as_grace)) == ["Grace", "Zenobia Septimia"]
        pushed, everything = watching.listen(), told(channel, as_grace)
        for needle in ("Zenobia", str(PK)):
            assert needle in pushed
            assert needle in "".join(signalled)
            assert needle in everything
        settings.PRESENCE_VISIBLE = but_her
        refresh(her)
        tick(channel)
        assert '"leaves":["%d"]' % PK in watching.listen()
        assert not any(needle in told(channel, as_grace) for needle in NEEDLES)
