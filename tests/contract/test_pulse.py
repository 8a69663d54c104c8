"""The pulse reaches all pages, over their own connection and over one of the site."""

from __future__ import annotations

import time
from typing import Any

import cent
import msgspec
import pytest

from presence.centrifugo.gateway import Gateway
from presence.centrifugo.http import HttpTransport
from presence.centrifugo.tokens import Issuer
from presence.roster.channel_names import PULSE
from presence.roster.messages import Pulse, encode
from presence.roster.people import UserClaims
from presence_devtools import servers
from tests.contract.clients import eventually, token
from tests.contract.conftest import Browse, Serve, Visit, api_of

pytestmark = pytest.mark.asyncio

SHOWN = {"presence": True, "join_leave": True, "force_push_join_leave": True}
"""Options for channels without a namespace that would show all visitors to each other."""
KEPT = {"history_size": 10, "history_ttl": "600s", "force_recovery": True}


def issuer(user_id: str = "", *, lifetime: float = 60.0) -> Issuer:
    info = UserClaims(name="Ada", iat=time.time())
    return Issuer(
        secret=servers.TOKEN_SECRET, user_id=user_id, info=info, now=time.time(), lifetime=lifetime
    )


def publish(server: servers.Centrifugo, every: float = 60.0) -> None:
    """Publish a pulse as a tick does."""
    gateway = Gateway(HttpTransport(server.api_url, servers.API_KEY))
    pulse = msgspec.Raw(encode(Pulse(every=every)))
    assert gateway.send([(PULSE, pulse)]) == [None]


@pytest.mark.parametrize("user_id", ["42", ""], ids=["signed in", "anonymous"])
async def test_pulse_reaches_a_page_through_its_connection_token(
    centrifugo: servers.Centrifugo, browse: Browse, user_id: str
) -> None:
    browser = await browse(issuer(user_id).connection())
    assert (await browser.next("subscribed", PULSE))["recoverable"] is False
    publish(centrifugo)
    assert await browser.next("publication", PULSE) == {
        "on": "publication",
        "channel": PULSE,
        "data": {"type": "presence.tick", "every": 60.0},
    }


@pytest.mark.parametrize("user_id", ["42", ""], ids=["signed in", "anonymous"])
async def test_pulse_reaches_a_connection_of_the_site_by_its_token(
    centrifugo: servers.Centrifugo, browse: Browse, user_id: str
) -> None:
    browser = await browse(token(user_id))
    await browser.subscribe(PULSE, token=issuer(user_id).subscriptions()[PULSE])
    publish(centrifugo)
    event = await browser.next("publication", PULSE)
    assert (event["data"], "info" in event) == ({"type": "presence.tick", "every": 60.0}, False)


async def test_connection_with_a_renewed_token_still_gets_the_pulse(
    centrifugo: servers.Centrifugo, visit: Visit
) -> None:
    renewed: list[str] = []

    async def renew() -> str:
        renewed.append(issuer("42").connection())
        return renewed[-1]

    visitor = await visit(issuer("42", lifetime=2.0).connection(), get_token=renew)
    await eventually(lambda: bool(renewed), "the token is renewed")
    publish(centrifugo)
    publication = await visitor.events.next("publication")
    assert (publication.channel, publication.pub.offset) == (PULSE, 0)
    assert "disconnected" not in visitor.events.passed


@pytest.mark.parametrize("options", [SHOWN, KEPT], ids=["shown", "kept"])
async def test_pulse_in_any_configuration_shows_no_visitor_and_is_not_recovered(
    serve: Serve, browse: Browse, options: dict[str, Any]
) -> None:
    server = serve({}, [], without_namespace=options)
    own = await browse(issuer("1").connection(), url=server.ws_url)
    given = await browse(token("2"), url=server.ws_url)
    subscribed = [
        await own.next("subscribed", PULSE),
        await given.subscribe(PULSE, token=issuer("2").subscriptions()[PULSE]),
    ]
    assert not any(each["recoverable"] or each["positioned"] for each in subscribed)
    late = await browse(issuer("3").connection(), url=server.ws_url)
    await late.next("subscribed", PULSE)
    publish(server)
    for browser in (own, given, late):
        await browser.next("publication", PULSE)
        assert not {"join", "leave"} & {*browser.passed(PULSE)}
    api = api_of(server)
    if options is SHOWN:
        assert api.presence(cent.PresenceRequest(channel=PULSE)).presence == {}
    else:
        request = cent.HistoryRequest(channel=PULSE, limit=-1)
        assert api.history(request).publications == []


async def test_message_that_a_client_published_names_the_client(
    serve: Serve, browse: Browse
) -> None:
    """By this a page tells a forged pulse, where a site lets visitors publish."""
    server = serve({}, [], without_namespace={"allow_publish_for_subscriber": True})
    browser = await browse(issuer("1").connection(), url=server.ws_url)
    await browser.next("subscribed", PULSE)
    pulse = {"type": "presence.tick", "every": 1e9}
    assert "error" not in await browser.ask("publish", channel=PULSE, data=pulse)
    assert (await browser.next("publication", PULSE))["info"]["user"] == "1"
