"""Pages, tokens and snapshots on a real Redis and a real Centrifugo (or the devserver)."""

from __future__ import annotations

import json
import re
import socket
import time
from html import unescape
from typing import Any

import jwt
import pytest
import websockets.exceptions
import websockets.sync.client
from centrifuge import Client as Websocket
from centrifuge import ClientEventHandler
from django.contrib.auth.models import User
from django.test import Client

from presence import services
from presence.roster.messages import Member
from presence_devtools.servers import TOKEN_SECRET, Centrifugo, free_port
from tests.stored_rooms import fill
from tests.websocket_clients import Swarm

pytestmark = pytest.mark.django_db

SITE = "presence:site"


@pytest.fixture
def site(settings: Any, redis_url: str) -> Any:
    """Return the settings of the demo site on a Redis of its own."""
    settings.PRESENCE_REDIS_URL = redis_url
    return settings


@pytest.fixture
def online(site: Any, centrifugo: Centrifugo) -> Any:
    """Return the settings of the demo site with a Centrifugo as well."""
    for name, value in centrifugo.environment.items():
        setattr(site, name, value)
    return site


def front(client: Client) -> str:
    response = client.get("/")
    assert response.status_code == 200
    return str(response.content.decode())


def attribute(page: str, name: str) -> str:
    """Return the value of `data-presence-<name>` of the page's widget."""
    match = re.search(rf'<presence-roster[^>]*? data-presence-{name}="([^"]*)"', page, re.DOTALL)
    assert match, f"no data-presence-{name}"
    return unescape(match[1])


def members_in(page: str) -> list[str]:
    widget = page[: page.index("<template")]
    return [unescape(name) for name in re.findall(r' data-presence-name="([^"]*)"', widget)]


def snapshot_of(page: str, client: Client) -> Any:
    return client.get(attribute(page, "snapshot"), {"grant": attribute(page, "grant")})


def exchange(page: str, client: Client) -> Any:
    return client.post(
        attribute(page, "tokens"),
        {"grants": [attribute(page, "grant")]},
        content_type="application/json",
    )


def test_page_lists_the_members(site: Any):
    people = [
        Member("1", "Ada Lovelace", {"color": "#7c4dbe"}),
        Member("2", "<script>alert(1)</script>"),
        Member("3", "🦊" * 3000 + "\u202e"),
    ]
    fill(services.store(), SITE, *people, anonymous=2)
    client = Client()
    page = front(client)
    assert members_in(page) == [person.name for person in people]
    assert "<script>alert" not in page
    assert (attribute(page, "total"), attribute(page, "anonymous")) == ("3", "2")
    assert (attribute(page, "version"), attribute(page, "epoch")) == ("1", "e1")
    assert (attribute(page, "offset"), attribute(page, "stream")) == ("7", "StBPPVJn")
    assert 0 <= float(attribute(page, "age")) < 60
    assert not client.cookies.get("sessionid"), "no session is made just to render"

    answer = snapshot_of(page, client)
    assert [member["name"] for member in answer.json()["members"]] == members_in(page)
    assert not answer.cookies


@pytest.mark.parametrize("connected", [True, False], ids=["connected", "new connection"])
def test_widget_takes_one_round_trip(site: Any, round_trips: list[object], connected: bool):
    fill(services.store(), SITE, Member("1", "Ada"))
    if not connected:
        services.store.cache_clear()
    round_trips.clear()
    assert members_in(front(Client())) == ["Ada"]
    assert len(round_trips) == 1


def test_widget_counts_a_room_above_the_list_limit(site: Any):
    fill(services.store(), SITE, *(Member(str(n), f"User {n}") for n in range(10_000)))
    client = Client()
    page = front(client)
    assert (attribute(page, "total"), attribute(page, "listed")) == ("10000", "false")
    assert members_in(page) == []
    answer = snapshot_of(page, client).json()
    assert (answer["total"], answer["listed"], answer["members"]) == (10_000, False, [])


@pytest.mark.parametrize("silent", [False, True], ids=["refuses", "never answers"])
def test_page_without_redis_is_served_empty(
    site: Any, silent: bool, caplog: pytest.LogCaptureFixture
):
    site.CENTRIFUGO_TIMEOUT = 0.2
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if silent:
            listener.listen()
        port = listener.getsockname()[1] if silent else free_port()
        site.PRESENCE_REDIS_URL = f"redis://127.0.0.1:{port}/0"
        client = Client()
        page = front(client)
        assert (attribute(page, "version"), attribute(page, "age")) == ("0", "")
        assert members_in(page) == []
        refused = snapshot_of(page, client)
        assert refused.status_code == 503
        assert refused["Cache-Control"] == "no-store"
        assert "try again" in refused.json()["error"]
        # What the widget needs to come back by itself needs no Redis.
        assert exchange(page, client).status_code == 200
    failures = [r for r in caplog.records if r.name in {"presence.widget", "presence.views"}]
    assert [record.exc_info is not None for record in failures] == [True, True]


def present(swarm: Swarm, answer: Any, channel: str = SITE) -> None:
    """Connect and subscribe as the widget does with the answer of the tokens endpoint."""

    async def work() -> None:
        async def token(_: Any) -> str:
            return str(answer["channels"][channel]["token"])

        client = Websocket(
            answer["url"], events=ClientEventHandler(), token=answer["connection"], timeout=20
        )
        swarm.clients.setdefault(answer["connection"], []).append(client)
        await client.connect()
        subscription = client.new_subscription(answer["channels"][channel]["feed"], get_token=token)
        await subscription.subscribe()
        await subscription.ready(timeout=20)

    swarm.run(work())


def test_page_subscribes_and_next_page_lists_the_user(online: Any, swarm: Swarm):
    online.PRESENCE_USER_INFO = lambda user: {"color": "#7c4dbe"}
    online.PRESENCE_CHANNEL = channel = f"presence:web:{time.monotonic_ns()}"
    ada = User.objects.create(username="ada", first_name="<b>Ada", last_name="🦊")
    browser, visitor = Client(), Client()
    browser.force_login(ada)
    page = front(browser)
    assert (members_in(page), attribute(page, "state")) == ([], "static")
    for client in (browser, browser, visitor):
        present(swarm, exchange(front(client), client).json(), channel)

    services.sync().tick([channel])

    page = front(browser)
    assert members_in(page) == ["<b>Ada 🦊"]
    assert re.search(rf'data-presence-member="{ada.pk}"[^>]* data-presence-self', page)
    answer = snapshot_of(front(visitor), visitor).json()
    assert answer["members"] == [
        {"id": str(ada.pk), "name": "<b>Ada 🦊", "info": {"color": "#7c4dbe"}}
    ]
    assert (answer["total"], answer["anonymous"], answer["version"]) == (1, 1, 1)


def test_watched_channel_does_not_list_the_watcher(online: Any, swarm: Swarm):
    online.PRESENCE_CHANNELS = ["presence:*", "chat:*"]
    online.PRESENCE_CHANNEL = "chat:7"
    client = Client()
    answer = exchange(front(client), client).json()
    assert answer["channels"]["chat:7"]["feed"] == "roster:chat:7"
    present(swarm, answer, "chat:7")


def ask(url: str, *commands: dict[str, Any]) -> dict[str, Any] | int:
    """Return Centrifugo's reply to the last command, or the code with which it closed."""
    with websockets.sync.client.connect(url) as connection:
        reply: dict[str, Any] = {}
        for id_, command in enumerate(commands, start=1):
            connection.send(json.dumps({"id": id_, **command}))
            try:
                while reply.get("id") != id_:
                    reply = json.loads(connection.recv(timeout=20))
            except websockets.exceptions.ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 0
        return reply


def changed(token: str, secret: str = TOKEN_SECRET, **claims: Any) -> str:
    kept = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(kept | claims, secret, "HS256")


@pytest.mark.parametrize(
    ("change", "code"),
    [({}, None), ({"exp": 1}, 109), ({"secret": "forged" * 8}, 3500)],
    ids=["ours", "expired", "forged"],
)
def test_connection_token_that_was_changed_is_refused(
    online: Any, change: dict[str, Any], code: int | None
):
    client = Client()
    answer = exchange(front(client), client).json()
    reply = ask(answer["url"], {"connect": {"token": changed(answer["connection"], **change)}})
    assert code_of(reply) == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"exp": 1}, 109),
        ({"secret": "forged" * 8}, 103),
        ({"sub": "somebody else"}, 3500),
        ({"channel": "presence:another"}, 3500),
    ],
    ids=["ours", "expired", "forged", "another user", "another channel"],
)
def test_subscription_token_that_was_changed_is_refused(
    online: Any, change: dict[str, Any], code: int | None
):
    client = Client()
    answer = exchange(front(client), client).json()
    token = changed(answer["channels"][SITE]["token"], **change)
    reply = ask(
        answer["url"],
        {"connect": {"token": answer["connection"]}},
        {"subscribe": {"channel": SITE, "token": token}},
    )
    assert code_of(reply) == code


def code_of(reply: dict[str, Any] | int) -> int | None:
    if isinstance(reply, int):
        return reply
    code: int | None = reply.get("error", {}).get("code")
    return code
