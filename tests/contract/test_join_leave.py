"""Join and leave pushes in a namespace that has them: their receivers and their content."""

from __future__ import annotations

from typing import Any

import cent
import pytest

from presence_devtools import servers
from tests.contract.clients import Browser, Subscribed, token
from tests.contract.conftest import CHANNEL, PRESENCE, Browse, Serve, Visit, api_of

pytestmark = pytest.mark.asyncio

PUSHED = {**PRESENCE, "join_leave": True, "force_push_join_leave": True}


def publish(server: servers.Centrifugo, channel: str = CHANNEL) -> None:
    """Publish a marker. Pushes come in order, so earlier ones have arrived when it arrives."""
    api = api_of(server)
    api.publish(cent.PublishRequest(channel=channel, data={}))


def moves(subscribed: Subscribed) -> list[str]:
    """Return the joins and leaves that were skipped."""
    return [name for name in subscribed.events.passed if name in ("join", "leave")]


def grant(user: str = "42", channel: str = CHANNEL, **claims: Any) -> str:
    return token(user, channel=channel, **claims)


async def watcher(browse: Browse, server: servers.Centrifugo) -> Browser:
    """Return a subscriber that has received its own join."""
    browser = await browse(token(), url=server.ws_url)
    own = (await browser.next("connected"))["client"]
    await browser.subscribe(CHANNEL, token=grant())
    assert (await browser.next("join", CHANNEL))["info"]["client"] == own
    return browser


async def test_join_and_leave_pushes_name_the_user(
    serve: Serve, browse: Browse, visit: Visit
) -> None:
    server = serve({}, [PUSHED])
    browser = await watcher(browse, server)
    visitor = await visit(token("7", info={"name": "Bob"}), url=server.ws_url)
    await visitor.subscribe(CHANNEL, grant("7", info={"name": "Robert", "n": 1}))
    joined = await browser.next("join", CHANNEL)
    assert joined["info"] == {
        "user": "7",
        "client": visitor.id,
        "connInfo": {"name": "Bob"},
        "chanInfo": {"name": "Robert", "n": 1},
    }
    await visitor.client.disconnect()
    assert (await browser.next("leave", CHANNEL))["info"] == joined["info"]


async def test_join_push_of_anonymous_client_has_no_user(
    serve: Serve, browse: Browse, visit: Visit
) -> None:
    server = serve({}, [PUSHED])
    browser = await watcher(browse, server)
    visitor = await visit(token(""), url=server.ws_url)
    await visitor.subscribe(CHANNEL, grant(""))
    assert (await browser.next("join", CHANNEL))["info"] == {"user": "", "client": visitor.id}


async def test_end_of_subscription_pushes_a_leave(
    serve: Serve, browse: Browse, visit: Visit
) -> None:
    server = serve({}, [PUSHED])
    browser = await watcher(browse, server)
    visitor = await visit(token("7"), url=server.ws_url)
    subscribed = await visitor.subscribe(CHANNEL, grant("7"))
    await subscribed.subscription.unsubscribe()
    assert (await browser.next("leave", CHANNEL))["info"]["client"] == visitor.id
    await subscribed.subscription.subscribe()
    joined = await browser.next("join", CHANNEL)
    while joined["info"]["client"] != visitor.id:
        joined = await browser.next("join", CHANNEL)
    api = api_of(server)
    api.disconnect(cent.DisconnectRequest(user="7"))
    assert (await browser.next("leave", CHANNEL))["info"]["client"] == visitor.id


async def test_each_connection_of_a_user_pushes_a_join(
    serve: Serve, browse: Browse, visit: Visit
) -> None:
    server = serve({}, [PUSHED])
    browser = await watcher(browse, server)
    tabs = [await visit(token("7"), url=server.ws_url) for _ in range(2)]
    for tab in tabs:
        await tab.subscribe(CHANNEL, grant("7"))
    joined = [(await browser.next("join", CHANNEL))["info"] for _ in tabs]
    assert joined == [{"user": "7", "client": tab.id} for tab in tabs]
    await tabs[0].client.disconnect()
    assert (await browser.next("leave", CHANNEL))["info"] == joined[0]


async def test_client_that_recovers_pushes_a_join_again(
    serve: Serve, browse: Browse, visit: Visit
) -> None:
    server = serve({}, [PUSHED])
    browser = await watcher(browse, server)
    visitor = await visit(token("7"), url=server.ws_url)
    subscribed = await visitor.subscribe(CHANNEL, grant("7"))
    assert (await browser.next("join", CHANNEL))["info"]["client"] == visitor.id
    api = api_of(server)
    api.disconnect(cent.DisconnectRequest(user="7", disconnect=cent.Disconnect(code=3100)))
    assert (await browser.next("leave", CHANNEL))["info"]["client"] == visitor.id
    assert (await subscribed.events.next("subscribed")).recovered
    again = (await browser.next("join", CHANNEL))["info"]
    assert (again["user"], again["client"] != visitor.id) == ("7", True)


async def test_join_push_reaches_only_subscribers_that_may_receive_it(
    serve: Serve, visit: Visit
) -> None:
    other = "presence:b"
    server = serve({}, [PUSHED])
    elsewhere = await visit(token("1"), url=server.ws_url)
    there = await elsewhere.subscribe(other, grant("1", other))
    gone = await elsewhere.subscribe(CHANNEL, grant("1"))
    await gone.events.next("join")
    await gone.subscription.unsubscribe()
    await gone.events.next("unsubscribed")
    visitor = await visit(token("7"), url=server.ws_url)
    subscribed = await visitor.subscribe(CHANNEL, grant("7"))
    await subscribed.events.next("join")
    await visitor.client.disconnect()
    publish(server, other)
    await there.events.next("publication")
    assert moves(there) == ["join"], "its own"
    await gone.subscription.subscribe()
    assert (await gone.events.next("join")).info.client == elsewhere.id
    assert moves(gone) == [], "neither its own leave nor what came after"


@pytest.mark.parametrize(
    "option", ["join_leave", "force_push_join_leave"], ids=["not pushed", "nothing to push"]
)
async def test_join_leave_without_both_options_pushes_nothing(
    serve: Serve, visit: Visit, option: str
) -> None:
    server = serve({}, [{**PRESENCE, option: True}])
    watching, coming = [await visit(token(user), url=server.ws_url) for user in "12"]
    subscribed = await watching.subscribe(CHANNEL, grant("1"))
    await coming.subscribe(CHANNEL, grant("2"))
    publish(server)
    await subscribed.events.next("publication")
    assert moves(subscribed) == []


async def test_subscriber_that_asks_receives_joins_and_leaves(serve: Serve, visit: Visit) -> None:
    allowed = {**PRESENCE, "join_leave": True, "allow_presence_for_subscriber": True}
    server = serve({}, [allowed])
    quiet, asking, coming = [await visit(token(user), url=server.ws_url) for user in "123"]
    unasked = await quiet.subscribe(CHANNEL, grant("1"))
    asked = await asking.subscribe(CHANNEL, grant("2"), join_leave=True)
    assert (await asked.events.next("join")).info.user == "2"
    await coming.subscribe(CHANNEL, grant("3"))
    assert (await asked.events.next("join")).info.user == "3"
    assert set((await asking.client.presence(CHANNEL)).clients) == {quiet.id, asking.id, coming.id}
    publish(server)
    await unasked.events.next("publication")
    assert moves(unasked) == []


async def test_token_can_turn_off_join_and_leave_pushes(serve: Serve, visit: Visit) -> None:
    server = serve({}, [PUSHED])
    watching, hidden, deaf = [await visit(token(user), url=server.ws_url) for user in "123"]
    subscribed = await watching.subscribe(CHANNEL, grant("1"))
    no = {"value": False}
    await hidden.subscribe(CHANNEL, grant("2", override={"join_leave": no}))
    told = await deaf.subscribe(CHANNEL, grant("3", override={"force_push_join_leave": no}))
    seen = [(await subscribed.events.next("join")).info.user for _ in range(2)]
    assert seen == ["1", "3"]
    publish(server)
    await told.events.next("publication")
    assert moves(told) == []
