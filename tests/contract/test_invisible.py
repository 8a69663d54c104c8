"""Hidden users: findings of the doctor about each configuration, and pushes for our tokens."""

from __future__ import annotations

import time
from typing import Any

import cent
import jwt
import pytest

from presence.centrifugo.tokens import Issuer
from presence.doctor import invisible
from presence.doctor.findings import Finding
from presence.roster.people import UserClaims
from presence_devtools import servers
from tests.contract.clients import token
from tests.contract.conftest import CHANNEL, PRESENCE, Serve, Visit, api_of

PUSHED = {"join_leave": True, "force_push_join_leave": True}
ASKED = {"join_leave": True, "allow_presence_for_subscriber": True}
ROSTER = {**PRESENCE, "name": "roster", "presence": False}


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_VISIBLE = lambda user: True


def use(settings: Any, server: servers.Centrifugo, *channels: str) -> None:
    for name, value in server.environment.items():
        setattr(settings, name, value)
    settings.PRESENCE_CHANNELS = list(channels)


def told(finding: Finding) -> tuple[str, str]:
    """Return the level of a finding, and the option that its remedy begins with."""
    return finding.level, next((w for w in finding.remedy.split() if "_" in w), "")


JOINS, ASKS, FINE = (
    ("problem", "join_leave"),
    ("problem", "allow_presence_for_subscriber"),
    ("ok", ""),
)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [FINE]),
        (PUSHED, [JOINS]),
        ({"join_leave": True}, [FINE]),
        ({"force_push_join_leave": True}, [FINE]),
        (ASKED, [JOINS, ASKS]),
        ({"allow_presence_for_subscriber": True}, [ASKS]),
        ({"allow_presence_for_client": True}, [ASKS]),
        ({"allow_presence_for_anonymous": True}, [FINE]),
    ],
)
def test_doctor_finds_namespace_that_reveals_hidden_users(
    serve: Serve,
    settings: Any,
    options: dict[str, Any],
    expected: list[tuple[str, str]],
) -> None:
    use(settings, serve({}, [{**PRESENCE, **options}]), "presence:*")
    findings = list(invisible.examine())
    assert [told(finding) for finding in findings] == expected
    assert {finding.id for finding in findings} == {"websocket.invisible"}
    assert all("namespace 'presence'" in finding.text for finding in findings)


def test_doctor_checks_channels_of_the_site_and_their_feeds(serve: Serve, settings: Any) -> None:
    chat = {"name": "chat", "presence": True, **PUSHED}
    server = serve(
        {},
        [chat, {**ROSTER, **PUSHED}],
        without_namespace={"presence": True, "allow_presence_for_subscriber": True},
    )
    use(settings, server, "chat:*", "lobby", "nowhere:*", "*")
    found = {finding.text: told(finding) for finding in invisible.examine()}
    assert list(found.values()) == [("skipped", ""), JOINS, ("skipped", ""), ASKS, JOINS]
    assert "the pattern '*'" in next(iter(found))
    assert any("nowhere:presence-doctor (error 102)" in text for text in found)
    assert "Take" not in "".join(found)


def test_doctor_connection_is_announced_to_no_client(serve: Serve, settings: Any) -> None:
    """Its connection is hidden and has ended, and the history is empty."""
    server = serve({}, [PRESENCE])
    use(settings, server, "presence:*")
    assert [told(finding) for finding in invisible.examine()] == [FINE]
    channel = "presence:presence-doctor"
    api = api_of(server)
    assert api.history(cent.HistoryRequest(channel=channel, limit=9)).publications == []
    connection, subscription, *_ = invisible.commands([channel])
    for asked in (connection["connect"], subscription["subscribe"]):
        signed = jwt.decode(asked["token"], servers.TOKEN_SECRET, ["HS256"])["info"]
        assert signed.keys() == {"iat", "hidden"}


def test_doctor_without_api_reports_nothing_about_hidden_users(serve: Serve, settings: Any) -> None:
    use(settings, serve({}, [PRESENCE]), "presence:*")
    settings.CENTRIFUGO_API_KEY = "another"
    (finding,) = invisible.examine()
    assert (finding.level, finding.text) == (
        "skipped",
        "Not checked, because Centrifugo's server API does not answer",
    )


@pytest.mark.asyncio
async def test_tokens_of_hidden_users_push_no_join_or_leave(serve: Serve, visit: Visit) -> None:
    """The tokens hide users also in a namespace with pushes, until its configuration is
    corrected."""
    server = serve({}, [{**PRESENCE, **PUSHED}])

    def issuer(user: str, *, hidden: bool) -> Issuer:
        now = time.time()
        info = UserClaims(iat=now, hidden=hidden)
        secret = servers.TOKEN_SECRET
        return Issuer(secret=secret, user_id=user, info=info, now=now, lifetime=60.0)

    watching = await visit(token("1"), url=server.ws_url)
    subscribed = await watching.subscribe(CHANNEL, token("1", channel=CHANNEL))
    for user, hidden in (("2", True), ("3", False)):
        tokens = issuer(user, hidden=hidden)
        visitor = await visit(tokens.connection(), url=server.ws_url)
        await visitor.subscribe(CHANNEL, tokens.subscription(CHANNEL, quietly=hidden))
        await visitor.client.disconnect()
    moves = [(await subscribed.events.next("join")).info.user for _ in range(2)]
    assert [*moves, (await subscribed.events.next("leave")).info.user] == ["1", "3", "3"]
    assert "leave" not in subscribed.events.passed
