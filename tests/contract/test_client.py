"""Connections of browsers: tokens, subscriptions, publishing, presence."""

from __future__ import annotations

import asyncio
from typing import Any

import cent
import pytest
from centrifuge import ReplyError

from presence_devtools import servers
from tests.contract.clients import Visitor, eventually, soon, token
from tests.contract.conftest import Visit

pytestmark = pytest.mark.asyncio


async def refused(visitor: Visitor) -> int:
    """Connect, and return the code of the final disconnect."""
    await visitor.client.connect()
    return int((await visitor.events.next("disconnected")).code)


async def code_of(visitor: Visitor, channel: str, token: str = "") -> int:
    """Subscribe, and return the code of the error that ended it."""
    subscribed = visitor.begin(channel, token)
    await subscribed.subscription.subscribe()
    return int((await subscribed.events.next("unsubscribed")).code)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("", 3501),
        ("a.b.c", 3500),
        (token(secret="another-secret-of-at-least-32-bytes!"), 3500),
        (token(channel="presence:a"), 3500),
        (token(sub=42), 3500),
    ],
    ids=["none", "junk", "forged", "subscription token", "numeric sub"],
)
async def test_connect_with_bad_token_disconnects_for_good(
    centrifugo: servers.Centrifugo, bad: str, code: int
) -> None:
    assert await refused(Visitor(centrifugo.ws_url, bad)) == code


async def test_connect_with_expired_token_asks_for_a_new_one(visit: Visit) -> None:
    asked = asyncio.Event()

    async def get_token() -> str:
        asked.set()
        return token()

    await visit(token(exp=soon(-10)), get_token=get_token)
    assert asked.is_set()


async def test_connect_with_token_for_unknown_namespace_is_refused(
    centrifugo: servers.Centrifugo,
) -> None:
    for claims in ({"channels": ["nonsense:a"]}, {"subs": {"nonsense:a": {}}}):
        assert await refused(Visitor(centrifugo.ws_url, token(**claims))) == 102


async def test_connect_with_token_without_expiry_or_user_succeeds(
    visit: Visit, channel: str
) -> None:
    visitor = await visit(token(""))
    subscribed = await visitor.subscribe(channel, token("", channel=channel))
    assert subscribed.context.recoverable


async def test_subscribe_without_token_is_refused(visit: Visit, channel: str) -> None:
    assert await code_of(await visit(token()), channel) == 103


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nonsense:a", 102),
        ("presence:é", 107),
        ("presence:" + "x" * 247, 107),
        ("presence:" + "x" * 246, 103),
        ("presence:a b", 103),
        ("unnamed", 103),
        ("$presence:a", 103),
    ],
)
async def test_subscribe_to_invalid_channel_is_refused_by_code(
    visit: Visit, name: str, code: int
) -> None:
    assert await code_of(await visit(token()), name) == code


async def test_subscribe_with_forged_token_is_refused(visit: Visit, channel: str) -> None:
    forged = token(channel=channel, secret="another-secret-of-at-least-32-bytes!")
    visitor = await visit(token())
    assert await code_of(visitor, channel, forged) == 103


async def test_subscribe_with_connection_token_is_refused(visit: Visit, channel: str) -> None:
    assert await code_of(await visit(token()), channel, token()) == 103


@pytest.mark.parametrize(
    "claims",
    [{"user": "7"}, {"channel": "presence:other"}, {"client": "somebody"}],
    ids=["user", "channel", "client"],
)
async def test_subscribe_with_token_of_another_user_is_refused_for_good(
    visit: Visit, channel: str, claims: dict[str, Any]
) -> None:
    visitor = await visit(token())
    subscribed = visitor.begin(channel, token(**{"channel": channel, **claims}))
    await subscribed.subscription.subscribe()
    assert (await visitor.events.next("disconnected")).code == 3500


async def test_subscribe_with_expired_token_asks_for_a_new_one(visit: Visit, channel: str) -> None:
    asked: list[str] = []

    async def get_token(wanted: str) -> str:
        asked.append(wanted)
        return token(channel=channel)

    visitor = await visit(token())
    expired = token(channel=channel, exp=soon(-10))
    await visitor.subscribe(channel, expired, get_token=get_token)
    assert asked == [channel]


async def test_subscribe_twice_is_refused(visit: Visit, channel: str) -> None:
    visitor = await visit(token(channels=[channel]))
    assert await code_of(visitor, channel, token(channel=channel)) == 105


async def test_presence_of_a_client_has_the_documented_fields(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    visitor = await visit(token(info={"name": "Ada"}))
    await visitor.subscribe(channel, token(channel=channel, info={"role": "guest"}))
    presence = api.presence(cent.PresenceRequest(channel=channel)).presence
    (info,) = presence.values()
    assert (info.user, info.client) == ("42", visitor.id)
    assert (info.conn_info, info.chan_info) == ({"name": "Ada"}, {"role": "guest"})


async def test_presence_drops_client_that_unsubscribes(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    visitor = await visit(token())
    subscribed = await visitor.subscribe(channel, token(channel=channel))
    await subscribed.subscription.unsubscribe()
    await eventually(lambda: not clients(api, channel), "the presence is empty")


async def test_presence_drops_closed_client_promptly(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    staying = await visit(token("7"))
    await staying.subscribe(channel, token("7", channel=channel))
    visitor = await visit(token())
    await visitor.subscribe(channel, token(channel=channel))
    assert clients(api, channel) == {staying.id, visitor.id}
    await visitor.client.disconnect()
    await eventually(lambda: clients(api, channel) == {staying.id}, "the client is gone")
    channels = api.channels(cent.ChannelsRequest(pattern=channel)).channels
    assert channels[channel].num_clients == 1


def clients(api: cent.Client, channel: str) -> set[str]:
    return set(api.presence(cent.PresenceRequest(channel=channel)).presence)


async def test_connect_subscribes_the_channels_of_the_token(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    visitor = await visit(token(channels=[channel]))
    context = await visitor.events.next("subscribed")
    assert (context.channel, context.recoverable, context.positioned) == (channel, True, True)
    assert clients(api, channel) == {visitor.id}
    api.publish(cent.PublishRequest(channel=channel, data={"n": 1}))
    publication = await visitor.events.next("publication")
    assert (publication.channel, publication.pub.data) == (channel, {"n": 1})


async def test_connect_subscribes_the_subs_of_the_token_and_not_its_channels(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    other = f"{channel}:other"
    visitor = await visit(token(subs={channel: {"info": {"role": "guest"}}}, channels=[other]))
    context = await visitor.events.next("subscribed")
    assert (context.channel, context.recoverable, context.positioned) == (channel, True, True)
    (info,) = api.presence(cent.PresenceRequest(channel=channel)).presence.values()
    assert (info.client, info.chan_info) == (visitor.id, {"role": "guest"})
    assert clients(api, other) == set()


async def test_presence_and_history_by_client_are_refused(visit: Visit, channel: str) -> None:
    visitor = await visit(token())
    await visitor.subscribe(channel, token(channel=channel))
    calls: list[tuple[Any, str, int]] = [
        (visitor.client.presence, channel, 103),
        (visitor.client.presence_stats, channel, 103),
        (visitor.client.presence, "unnamed", 108),
        (visitor.client.presence_stats, "unnamed", 108),
        (visitor.client.history, "unnamed", 108),
        (visitor.client.presence, "nonsense:a", 102),
    ]
    for call, name, code in calls:
        with pytest.raises(ReplyError) as error:
            await call(name)
        assert error.value.code == code


async def test_rpc_by_client_is_refused(visit: Visit) -> None:
    visitor = await visit(token())
    with pytest.raises(ReplyError) as error:
        await visitor.client.rpc("anything", {})
    assert error.value.code == 108


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:8000", True),
        ("http://127.0.0.1:9", True),
        ("HTTP://LOCALHOST:8000", True),
        ("https://localhost:8000", False),
        ("http://example.org", False),
    ],
)
async def test_websocket_accepts_only_allowed_origins(
    centrifugo: servers.Centrifugo, visit: Visit, origin: str, allowed: bool
) -> None:
    if allowed:
        await visit(token(), headers={"Origin": origin})
        return
    visitor = Visitor(centrifugo.ws_url, token(), headers={"Origin": origin})
    await visitor.client.connect()
    error = (await visitor.events.next("error")).error
    await visitor.client.disconnect()
    assert "403" in str(error)
