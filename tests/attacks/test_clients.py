"""A websocket of somebody who is let in, and sends more than our scripts do."""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

import jwt
import pytest
from django.contrib.auth.models import User
from django.test import Client

from presence.centrifugo.tokens import make_grant
from presence.roster.channel_names import PULSE
from tests.attacks.conftest import Connect
from tests.attacks.sockets import RawClient, is_refused

pytestmark = pytest.mark.django_db

ROOM, WATCHED, CURSORS = "presence:attacked", "roster:chat:attacked", "cursors:attacked"
FORGERIES: dict[str, dict[str, Any]] = {
    "diff": {
        "type": "presence.diff", "epoch": "e", "base": 0, "version": 1, "total": 1, "anonymous": 0,
        "joins": [{"id": "1", "name": "forged", "info": {}}], "leaves": [], "updates": [],
    },
    "reload": {"type": "presence.reload", "epoch": "forged", "version": 9, "within": 0},
    "event": {"type": "presence.event", "event": "forged", "payload": {}},
    "pulse": {"type": PULSE, "every": 1, "forged": True},
    "cursor": {"x": 0.5, "y": 0.5, "user": "1", "meta": {"name": "forged"}},
}  # fmt: skip


class Page(NamedTuple):
    """A page of a user, live in ROOM, WATCHED and CURSORS; `session` is the user's own channel."""

    socket: RawClient
    tokens: dict[str, str]
    session: str


def open_page(user: User, connect: Connect) -> Page:
    client = Client()
    client.force_login(user)
    channels = {ROOM: ROOM, "chat:attacked": WATCHED, CURSORS: CURSORS}
    grants = [make_grant(channel, str(user.pk), now=time.time()) for channel in channels]
    body = json.dumps({"grants": grants})
    answer = client.post("/presence/tokens/", body, content_type="application/json").json()
    socket = connect().connect(answer["connection"])
    tokens = {feed: answer["channels"][channel]["token"] for channel, feed in channels.items()}
    for feed, token in tokens.items():
        assert not is_refused(socket.ask("subscribe", channel=feed, token=token))
    claims = jwt.decode(answer["connection"], options={"verify_signature": False})
    (session,) = [name for name in claims["subs"] if name.startswith("session:")]
    return Page(socket, {**tokens, **answer["subs"]}, session)


@pytest.fixture(autouse=True)
def channels(site: Any) -> None:
    site.PRESENCE_CHANNELS = ["presence:*", "chat:*"]


@pytest.fixture
def victim(db: None, connect: Connect) -> Page:
    return open_page(User.objects.create(username="victim"), connect)


@pytest.fixture
def page(mallory: User, connect: Connect) -> Page:
    return open_page(mallory, connect)


@pytest.mark.parametrize("kind", FORGERIES)
def test_client_that_publishes_forged_messages_is_refused(victim: Page, page: Page, kind: str):
    for channel in (ROOM, WATCHED, PULSE, page.session, victim.session, "presence:other"):
        assert is_refused(page.socket.ask("publish", channel=channel, data=FORGERIES[kind])), (
            channel
        )
    # What comes last shows that nothing came before.
    assert not is_refused(page.socket.ask("publish", channel=CURSORS, data={"x": 0, "y": 0.125}))
    victim.socket.wait_for("0.125")
    assert "forged" not in json.dumps(victim.socket.pushes)


def test_client_that_moves_the_cursor_of_another_moves_its_own(
    victim: Page, page: Page, mallory: User
):
    assert not is_refused(page.socket.ask("publish", channel=CURSORS, data=FORGERIES["cursor"]))
    victim.socket.wait_for("forged")
    (push,) = [push for push in victim.socket.pushes if "forged" in json.dumps(push)]
    assert push["push"]["pub"]["info"]["user"] == str(mallory.pk)


def test_client_that_publishes_other_than_objects_among_cursors_is_refused(page: Page):
    for data in ([], "x", 7, None, True):
        assert is_refused(page.socket.ask("publish", channel=CURSORS, data=data))


@pytest.mark.parametrize("question", ["presence", "presence_stats", "history"])
def test_client_that_asks_who_is_there_or_what_was_is_refused(
    victim: Page, page: Page, question: str
):
    channels = [ROOM, WATCHED, PULSE, page.session, victim.session, "presence:other"]
    if question == "history":
        channels.append(CURSORS)  # Its presence is for all who may see the cursors.
    for channel in channels:
        assert is_refused(page.socket.ask(question, channel=channel)), channel


@pytest.mark.parametrize("name", ["presence:other", "roster:chat:other", "cursors:other", "other"])
def test_client_that_subscribes_without_a_token_of_the_channel_is_refused(page: Page, name: str):
    for token in ["", *page.tokens.values()]:
        assert is_refused(page.socket.ask("subscribe", channel=name, token=token))


def test_client_that_subscribes_to_the_session_of_another_is_refused(victim: Page, page: Page):
    own = page.tokens[page.session]
    for channel in (victim.session, victim.session.partition(".")[0] + ".", "session:*"):
        for token in ("", own, victim.tokens[victim.session], page.tokens[ROOM]):
            assert is_refused(page.socket.ask("subscribe", channel=channel, token=token))


def test_client_without_a_name_that_subscribes_to_anything_is_refused(
    victim: Page, connect: Connect
):
    socket = connect()
    assert is_refused(socket.ask("connect")), "no token"
    assert is_refused(connect().ask("subscribe", channel=ROOM)), "no connection"


def test_client_that_renews_with_the_token_of_another_is_refused(
    victim: Page, page: Page, mallory: User
):
    other = make_token("1")
    assert is_refused(page.socket.ask("sub_refresh", channel=ROOM, token=victim.tokens[ROOM]))
    assert is_refused(page.socket.ask("refresh", token=other))


def make_token(user: str) -> str:
    return jwt.encode({"sub": user, "exp": int(time.time()) + 60}, "a guess" * 9, "HS256")


@pytest.mark.parametrize("command", ["rpc", "send"])
def test_client_that_calls_methods_is_refused(page: Page, command: str):
    assert is_refused(page.socket.ask(command, method="x", data={}))


def test_pulse_shows_nobody_to_others(victim: Page, page: Page):
    """No joins and leaves of others come on the one channel that all pages share."""
    page.socket.ask("unsubscribe", channel=ROOM)
    page.socket.ask("subscribe", channel=ROOM, token=page.tokens[ROOM])
    assert not is_refused(page.socket.ask("publish", channel=CURSORS, data={"x": 0, "y": 0.25}))
    victim.socket.wait_for("0.25")
    channels = {push["push"].get("channel") for push in victim.socket.pushes if "push" in push}
    assert channels == {CURSORS}
