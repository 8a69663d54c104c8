"""`manage.py presence_crowd` with a Centrifugo: its presence, and the messages to others."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import cent
import pytest
from centrifuge import PublicationContext
from django.core.management import CommandError, call_command

from presence_devtools import servers
from presence_devtools.crowd.gathering import gather
from presence_devtools.crowd.people import Plan, signed, user_id
from presence_devtools.crowd.tally import Tally
from presence_devtools.servers import free_port
from tests.websocket_clients import Recorder, Swarm

USERS = 8


@pytest.fixture
def api(centrifugo: servers.Centrifugo) -> cent.Client:
    return cent.Client(centrifugo.api_url, servers.API_KEY)


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """Return a presence key of this test."""
    return re.sub(r"[^a-z_]", "-", request.node.name)


def present(api: cent.Client, channel: str) -> dict[str, dict[str, Any]]:
    """Return the info that Centrifugo has of each connected user, by id."""
    found = api.presence(cent.PresenceRequest(channel=channel)).presence
    return {client.user: client.conn_info for client in found.values()}


@pytest.fixture
def crowd(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts the command; kill it at the end if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **settings: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            servers.manage("presence_crowd", "--users", str(USERS), *arguments),
            cwd=servers.ROOT,
            env=environment | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


class Watcher(Recorder):
    """Recorder that keeps the sender of each message."""

    def __init__(self) -> None:
        super().__init__()
        self.moves: list[tuple[Any, dict[str, Any]]] = []

    async def on_publication(self, ctx: PublicationContext) -> None:
        self.moves.append((ctx.pub.info, ctx.pub.data))


def test_crowd_connects_moves_and_disconnects(
    crowd: Callable[..., subprocess.Popen[str]],
    swarm: Swarm,
    api: cent.Client,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room, cursors = f"presence:{key}", f"cursors:{key}"
    monkeypatch.setattr("tests.websocket_clients.Recorder", Watcher)
    watcher = swarm.subscribe("watcher", cursors)
    assert isinstance(watcher, Watcher)
    process = crowd("--channel", room, "--cursors", "--rate", "10")
    people = {user_id(number): signed(number, now=0.0) for number in range(1, USERS + 1)}

    servers.wait_until(lambda: set(present(api, room)) == set(people), "all are in the room")
    servers.wait_until(
        lambda: set(present(api, cursors)) == {*people, "watcher"}, "all are at the surface"
    )
    for user, info in present(api, room).items():
        assert (info["name"], info["info"]) == (people[user].name, people[user].info)
    servers.wait_until(
        lambda: {info.user for info, _ in watcher.moves} == set(people), "all have moved"
    )
    shown = {info.user for info, data in watcher.moves if "x" in data}
    for info, data in watcher.moves:
        assert info.conn_info["name"] == people[info.user].name
        if "x" in data:
            assert 0 <= data["x"] <= 1
            assert 0 <= data["y"] <= 1

    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=servers.TIMEOUT)
    assert process.returncode == 0, errors
    assert errors == ""
    where, first, *_, last = output.splitlines()
    assert where == f"{USERS} people for {room} and {cursors}; Ctrl-C lets them go."
    assert first.startswith(f"connecting 1 of {USERS}")
    assert last.startswith(f"{USERS} were here for ")
    assert last.endswith(" 0 reconnects")
    assert present(api, room) == {}
    assert set(present(api, cursors)) == {"watcher"}
    # What they sent last, of those who were seen, is that they have gone.
    servers.wait_until(
        lambda: all(
            [data for info, data in watcher.moves if info.user == user][-1] == {"gone": True}
            for user in shown
        ),
        "all cursors have gone",
    )


def test_crowd_without_cursors_only_connects(
    crowd: Callable[..., subprocess.Popen[str]], api: cent.Client, key: str
) -> None:
    process = crowd(PRESENCE_CHANNEL=f"presence:{key}")
    servers.wait_until(lambda: len(present(api, f"presence:{key}")) == USERS, "all are there")
    assert present(api, f"cursors:{key}") == {}

    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=servers.TIMEOUT)
    assert process.returncode == 0, errors
    assert " 0 moves sent" in output.splitlines()[-1]
    assert present(api, f"presence:{key}") == {}


def test_crowd_with_seconds_ends_by_itself(
    crowd: Callable[..., subprocess.Popen[str]], key: str
) -> None:
    output, errors = crowd("--channel", f"presence:{key}", "--seconds", "1").communicate(
        timeout=servers.TIMEOUT
    )
    assert errors == ""
    assert output.splitlines()[-1].startswith(f"{USERS} were here for ")


def test_crowd_that_is_disconnected_reconnects(
    centrifugo: servers.Centrifugo, api: cent.Client, key: str
) -> None:
    lines: list[str] = []

    async def stay() -> Tally:
        plan = Plan(
            url=centrifugo.ws_url,
            secret=servers.TOKEN_SECRET,
            lifetime=60.0,
            channel=f"presence:{key}",
            cursors=f"cursors:{key}",
            interval=0.05,
            keep_alive=4.5,
            tracked=False,
        )
        work = asyncio.create_task(
            gather(plan, 3, seconds=None, every=0.05, random=Random(1), show=lines.append)
        )
        async with asyncio.timeout(servers.TIMEOUT):
            await _seen(lines, "3 of 3 connected")
            await asyncio.to_thread(
                api.disconnect,
                cent.DisconnectRequest(
                    user=user_id(2), disconnect=cent.Disconnect(code=3008, reason="try again")
                ),
            )
            await _seen(lines, "3 of 3 connected .* 1 reconnects")
        signal.raise_signal(signal.SIGINT)
        return await work

    tally = asyncio.run(stay())
    assert (tally.arrived, tally.connected, tally.reconnects) == (3, 0, 1)
    assert present(api, f"cursors:{key}") == {}


async def _seen(lines: list[str], what: str) -> None:
    while not any(re.match(what, line) for line in lines):
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("CENTRIFUGO_TOKEN_SECRET", "another-secret-of-at-least-32-bytes", "hmac_secret_key"),
        ("CENTRIFUGO_WS_URL", "{base}/nowhere", r"HTTP 404.*CENTRIFUGO_WS_URL"),
        ("CENTRIFUGO_WS_URL", "/connection/websocket", "CENTRIFUGO_WS_URL"),
        ("CENTRIFUGO_WS_URL", "{nobody}", "cannot reach Centrifugo.*CENTRIFUGO_WS_URL"),
        ("PRESENCE_CHANNEL", "lobby:a", "no namespace 'lobby'"),
    ],
)
def test_crowd_that_is_refused_prints_the_reason(
    centrifugo: servers.Centrifugo, settings: Any, setting: str, value: str, says: str
) -> None:
    for name, given in centrifugo.environment.items():
        setattr(settings, name, given)
    base = centrifugo.ws_url.removesuffix("/connection/websocket")
    nobody = f"ws://127.0.0.1:{free_port()}/connection/websocket"
    setattr(settings, setting, value.format(base=base, nobody=nobody))
    with pytest.raises(CommandError, match=says) as caught:
        call_command("presence_crowd", "--users", "2", "--seconds", "9")
    assert len(str(caught.value).splitlines()) == 1
