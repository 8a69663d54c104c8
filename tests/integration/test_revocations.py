"""Revocations on real servers: whose connections end, when, and when others see it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jwt
import pytest
import websockets.exceptions
import websockets.sync.client
from centrifuge import Client as Websocket
from centrifuge import SubscriptionEventHandler
from django.contrib.auth.models import User
from django.test import Client
from websockets.sync.client import ClientConnection

from presence import services
from presence.access import revoke
from presence.centrifugo.gateway import REVOKED
from presence.sync.revocations import LATE
from presence_devtools import servers
from presence_devtools.servers import manage, wait_until
from tests.integration.test_chain import processes
from tests.integration.test_watch import PATIENCE, looked, roster, site
from tests.integration.test_web import exchange, front, present
from tests.websocket_clients import Swarm, connection_token

__all__ = ["site"]

pytestmark = pytest.mark.django_db

SOON = 2.0
"""Seconds within which a revocation takes effect."""


@pytest.fixture(autouse=True)
def looks(site: Any, environment: dict[str, str], tmp_path: Path) -> Iterator[None]:
    """Run looks, and no tick."""
    command = manage("presence_sync", "--every", "3600", "--json")
    with processes([command], environment, tmp_path / "sync.log"):
        wait_until(looked, "a look", timeout=PATIENCE)
        yield


@pytest.fixture
def ada() -> User:
    return User.objects.create(username="ada")


def page_of(user: User, swarm: Swarm, channel: str) -> tuple[Client, Any]:
    """Open a page of a new session. Returns the browser, and the answer of the tokens endpoint."""
    client = Client()
    client.force_login(user)
    answer = exchange(front(client), client).json()
    present(swarm, answer, channel)
    return client, answer


def session_in(answer: Any) -> str:
    """Return the channel of the session in the connection token."""
    claims = jwt.decode(answer["connection"], options={"verify_signature": False})
    (session,) = [name for name in claims["subs"] if name.startswith("session:")]
    return str(session)


def wait_until_shown(user: User, channel: str) -> None:
    wait_until(lambda: str(user.pk) in roster(channel).members, "she shows", timeout=PATIENCE)


def within(seconds: float, condition: Callable[[], bool], what: str) -> None:
    began = time.monotonic()
    wait_until(condition, what, timeout=PATIENCE)
    assert time.monotonic() - began < seconds, what


def is_closed(swarm: Swarm, answer: Any) -> bool:
    (client,) = swarm.clients[answer["connection"]]
    return str(client.state).lower().endswith("disconnected")


def test_log_out_closes_the_connections_of_the_session_alone(
    site: Any, swarm: Swarm, ada: User
) -> None:
    channel = site.PRESENCE_CHANNEL
    laptop, first = page_of(ada, swarm, channel)
    _, phone = page_of(ada, swarm, channel)
    wait_until(lambda: [*roster(channel).members] == [str(ada.pk)], "she shows", timeout=PATIENCE)
    laptop.logout()
    within(SOON, lambda: is_closed(swarm, first), "the session's page is closed")
    assert not is_closed(swarm, phone)
    assert [*roster(channel).members] == [str(ada.pk)]


def test_log_out_shows_the_leave_without_a_grace(site: Any, swarm: Swarm, ada: User) -> None:
    channel = site.PRESENCE_CHANNEL
    watcher = swarm.subscribe("watcher", channel)
    laptop, _ = page_of(ada, swarm, channel)
    wait_until_shown(ada, channel)
    laptop.logout()
    within(
        SOON,
        lambda: any(str(ada.pk) in diff["leaves"] for diff in watcher.publications),
        "others see that she is gone",
    )


def test_copied_token_is_closed_again_and_again(site: Any, swarm: Swarm, ada: User) -> None:
    channel = site.PRESENCE_CHANNEL
    laptop, answer = page_of(ada, swarm, channel)
    laptop.logout()
    within(SOON, lambda: is_closed(swarm, answer), "the page is closed")
    for _ in range(3):
        swarm.clients.pop(answer["connection"])
        present(swarm, answer, channel)
        within(SOON, lambda: is_closed(swarm, answer), "the copy is closed")


@contextmanager
def evading(answer: Any, channel: str) -> Iterator[ClientConnection]:
    """Connect with copied tokens, and leave the channel of the session."""
    commands = [
        {"connect": {"token": answer["connection"]}},
        {"unsubscribe": {"channel": session_in(answer)}},
        {"subscribe": {"channel": channel, "token": answer["channels"][channel]["token"]}},
    ]
    with websockets.sync.client.connect(answer["url"]) as socket:
        for number, command in enumerate(commands, 1):
            socket.send(json.dumps({"id": number, **command}))
            reply = json.loads(socket.recv(timeout=PATIENCE).partition("\n")[0])
            assert "error" not in reply, reply
        yield socket


def closing_code(socket: ClientConnection) -> int | None:
    """Return the code with which the server closes the connection; None if it does not."""
    end = time.monotonic() + 2 * SOON
    with suppress(websockets.exceptions.ConnectionClosed, TimeoutError):
        while True:
            if socket.recv(timeout=end - time.monotonic()) == "{}":
                socket.send("{}")
    return socket.close_code


def test_copied_token_of_a_client_that_leaves_the_channel_of_its_session_is_closed(
    site: Any, swarm: Swarm, ada: User
) -> None:
    channel = site.PRESENCE_CHANNEL
    laptop, answer = page_of(ada, swarm, channel)
    _, phone = page_of(ada, swarm, channel)
    with evading(answer, channel) as quiet:
        wait_until_shown(ada, channel)
        laptop.logout()
        assert closing_code(quiet) == REVOKED["code"], "its room is polled as the page leaves"
    for _ in range(3):
        began = time.monotonic()
        with evading(answer, channel) as again:
            assert closing_code(again) == REVOKED["code"]
        assert time.monotonic() - began < SOON
    assert not is_closed(swarm, phone)


def test_lost_channel_ends_and_the_connection_stays(site: Any, swarm: Swarm, ada: User) -> None:
    channel = site.PRESENCE_CHANNEL
    _, answer = page_of(ada, swarm, channel)
    wait_until_shown(ada, channel)
    revoke(user=ada, channel=channel)
    within(SOON, lambda: roster(channel).members == {}, "she is gone from the room")
    assert not is_closed(swarm, answer)


def test_lost_channel_ends_for_a_new_connection_with_the_token_of_before(
    site: Any, swarm: Swarm, ada: User
) -> None:
    channel = site.PRESENCE_CHANNEL
    browser, before = page_of(ada, swarm, channel)
    revoke(user=ada, channel=channel)
    within(SOON, lambda: roster(channel).members == {}, "she is gone from the room")
    time.sleep(LATE)  # the new tokens are newer than the revocation for sure
    after = exchange(front(browser), browser).json()
    present(swarm, {**after, "channels": before["channels"]}, channel)
    gateway = services.gateway()
    within(SOON, lambda: not gateway.survey([channel]).clients, "the subscription ends")
    assert not is_closed(swarm, after)
    present(swarm, after, channel)
    wait_until(lambda: str(ada.pk) in roster(channel).members, "she is let in", timeout=PATIENCE)


def test_deactivated_user_is_out_on_every_device(
    site: Any, swarm: Swarm, ada: User, django_capture_on_commit_callbacks: Any
) -> None:
    channel = site.PRESENCE_CHANNEL
    answers = [page_of(ada, swarm, channel)[1] for _ in range(2)]
    wait_until_shown(ada, channel)
    ada.is_active = False
    with django_capture_on_commit_callbacks(execute=True):
        ada.save()
    within(SOON, lambda: all(is_closed(swarm, each) for each in answers), "both are closed")
    within(SOON, lambda: roster(channel).members == {}, "she is gone")


def test_log_out_while_centrifugo_is_down_takes_effect_when_it_is_back(
    site: Any, swarm: Swarm, ada: User, centrifugo: servers.Centrifugo
) -> None:
    channel = site.PRESENCE_CHANNEL
    laptop, answer = page_of(ada, swarm, channel)
    wait_until_shown(ada, channel)
    centrifugo.server.stop()
    try:
        within(1.0, lambda: laptop.logout() is None, "the log-out is answered")
    finally:
        centrifugo.server.start()
    within(SOON, lambda: roster(channel).members == {}, "she is gone")
    wait_until(lambda: is_closed(swarm, answer), "her page is closed once it is back")


def test_nobody_gets_into_the_channel_of_a_session(site: Any, swarm: Swarm, ada: User) -> None:
    _, answer = page_of(ada, swarm, site.PRESENCE_CHANNEL)
    session = session_in(answer)

    async def enter() -> str:
        refused = asyncio.get_running_loop().create_future()

        class Refusal(SubscriptionEventHandler):
            async def on_unsubscribed(self, ctx: Any) -> None:
                refused.set_result(ctx.reason)

        client = Websocket(answer["url"], token=connection_token("grace"), timeout=20)
        await client.connect()
        await client.new_subscription(session, events=Refusal()).subscribe()
        reason = await asyncio.wait_for(refused, PATIENCE)
        await client.disconnect()
        return str(reason)

    assert swarm.run(enter()) == "permission denied"
