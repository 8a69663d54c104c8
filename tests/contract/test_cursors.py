"""The namespace `cursors`: permissions to watch and to move, and the messages to subscribers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import cent
import pytest
import websockets
from centrifuge import ClientDisconnectedError, ReplyError

from presence_devtools import servers
from tests.contract.clients import Subscribed, Visitor, token
from tests.contract.conftest import Browse, Visit

pytestmark = pytest.mark.asyncio

PLACE = {"x": 0.4125, "y": 0.7301}
# Less than a connection has that owes a pong: what comes within it did not wait for one.
AT_ONCE = 10.0
ALMOST_64_KIB = 65_000
BEYOND_64_KIB = 66_000


async def watch(visit: Visit, cursors: str, user: str = "7") -> tuple[Visitor, Subscribed]:
    visitor = await visit(token(user))
    return visitor, await visitor.subscribe(cursors, token(user, channel=cursors))


async def publication(subscribed: Subscribed) -> Any:
    return (await subscribed.events.next("publication")).pub


async def test_cursor_subscription_without_token_is_refused(visit: Visit, cursors: str) -> None:
    visitor = await visit(token())
    subscribed = visitor.begin(cursors)
    await subscribed.subscription.subscribe()
    assert (await subscribed.events.next("unsubscribed")).code == 103


@pytest.mark.parametrize("claims", [{"channel": "cursors:other"}, {"sub": "7"}])
async def test_cursor_token_of_another_channel_or_user_is_refused(
    visit: Visit, cursors: str, claims: dict[str, Any]
) -> None:
    visitor = await visit(token())
    subscribed = visitor.begin(cursors, token(**{"channel": cursors, **claims}))
    await subscribed.subscription.subscribe()
    assert (await visitor.events.next("disconnected")).code == 3500


async def test_move_arrives_with_the_user_who_moved(visit: Visit, cursors: str) -> None:
    _, watching = await watch(visit, cursors)
    mover = await visit(token(info={"name": "Ada"}))
    moving = await mover.subscribe(cursors, token(channel=cursors, info={"role": "guest"}))
    await moving.subscription.publish(PLACE)
    for subscribed in (watching, moving):
        seen = await publication(subscribed)
        assert (seen.data, seen.offset) == (PLACE, 0)
        assert (seen.info.user, seen.info.client) == ("42", mover.id)
        assert (seen.info.conn_info, seen.info.chan_info) == ({"name": "Ada"}, {"role": "guest"})


async def test_moves_of_browsers_reach_each_other(browse: Browse, cursors: str) -> None:
    mover, watcher = await browse(token(info={"name": "Ada"})), await browse(token("7"))
    own = (await mover.next("connected"))["client"]
    await mover.subscribe(cursors, token=token(channel=cursors))
    await watcher.subscribe(cursors, token=token("7", channel=cursors))
    assert "error" not in await mover.ask("publish", channel=cursors, data=PLACE)
    event = await watcher.next("publication", cursors)
    assert event["data"] == PLACE
    assert event["info"] == {"user": "42", "client": own, "connInfo": {"name": "Ada"}}
    assert (await mover.next("publication", cursors))["info"]["client"] == own
    refused = await mover.ask("publish", channel=cursors, data=[1])
    assert refused["error"]["code"] == 107


async def test_move_with_forged_user_arrives_with_the_real_user(
    visit: Visit, centrifugo: servers.Centrifugo, cursors: str
) -> None:
    """The forged user is in the payload and in the command, sent without a public client."""
    _, watching = await watch(visit, cursors)
    forged = {"user": "7", "client": "x", "conn_info": {"name": "Bob"}}
    commands: list[dict[str, Any]] = [
        {"connect": {"token": token(info={"name": "Eve"})}},
        {"subscribe": {"channel": cursors, "token": token(channel=cursors), "info": forged}},
        {"publish": {"channel": cursors, "data": {**PLACE, **forged}, "info": forged}},
    ]
    async with websockets.connect(centrifugo.ws_url) as socket:
        for number, command in enumerate(commands, 1):
            await socket.send(json.dumps({"id": number, **command}))
        seen = await publication(watching)
    assert seen.data == {**PLACE, **forged}
    assert (seen.info.user, seen.info.conn_info, seen.info.chan_info) == (
        "42",
        {"name": "Eve"},
        None,
    )
    assert seen.info.client != "x"


async def test_move_without_subscription_is_refused(visit: Visit, cursors: str) -> None:
    _, watching = await watch(visit, cursors)
    visitor = await visit(token())
    assert await visitor.publish(cursors, PLACE) == 103
    subscribed = await visitor.subscribe(cursors, token(channel=cursors))
    assert await visitor.publish(cursors, {"n": 1}) == 0
    assert await visitor.publish(f"{cursors}:other", PLACE) == 103
    await subscribed.subscription.unsubscribe()
    assert await visitor.publish(cursors, PLACE) == 103
    await subscribed.subscription.subscribe()
    assert await visitor.publish(cursors, {"n": 2}) == 0
    assert [(await publication(watching)).data["n"] for _ in range(2)] == [1, 2]


async def test_move_outside_a_cursor_namespace_is_refused(visit: Visit, channel: str) -> None:
    visitor = await visit(token())
    await visitor.subscribe(channel, token(channel=channel))
    assert await visitor.publish(channel, PLACE) == 103
    assert await visitor.publish("nonsense:a", PLACE) == 102


async def test_anonymous_visitor_watches_and_may_not_move(visit: Visit, cursors: str) -> None:
    mover, _ = await watch(visit, cursors)
    nobody, watching = await watch(visit, cursors, "")
    assert await nobody.publish(cursors, PLACE) == 103
    assert await mover.publish(cursors, PLACE) == 0
    assert (await publication(watching)).info.client == mover.id


@pytest.mark.parametrize("data", [[1], "text", 1, True, None, [PLACE]])
async def test_move_that_is_no_json_object_is_refused(
    visit: Visit, cursors: str, data: Any
) -> None:
    mover, moving = await watch(visit, cursors)
    assert await mover.publish(cursors, data) == 107
    assert await mover.publish(cursors, {}) == 0
    assert (await publication(moving)).data == {}


async def test_moves_of_one_client_arrive_in_order(visit: Visit, cursors: str) -> None:
    mover, moving = await watch(visit, cursors)
    _, watching = await watch(visit, cursors, "8")
    moves = [{"n": n} for n in range(200)]
    assert set(await asyncio.gather(*(mover.publish(cursors, move) for move in moves))) == {0}
    for subscribed in (moving, watching):
        assert [(await publication(subscribed)).data for _ in moves] == moves


async def test_moves_are_not_in_the_history(visit: Visit, api: cent.Client, cursors: str) -> None:
    mover, _ = await watch(visit, cursors)
    assert await mover.publish(cursors, {"n": 1}) == 0
    with pytest.raises(ReplyError) as refused:
        await mover.client.history(cursors)
    assert refused.value.code == 108
    with pytest.raises(cent.CentApiResponseError) as error:
        api.history(cent.HistoryRequest(channel=cursors, limit=-1))
    assert error.value.code == 108
    visitor = await visit(token("8"))
    grant = token("8", channel=cursors)
    late = await visitor.subscribe(cursors, grant, recoverable=True, positioned=True)
    assert (late.context.recoverable, late.context.positioned) == (False, False)
    assert await mover.publish(cursors, {"n": 2}) == 0
    assert (await publication(late)).data == {"n": 2}


async def test_publication_by_the_server_has_no_user(
    visit: Visit, api: cent.Client, cursors: str
) -> None:
    _, watching = await watch(visit, cursors)
    data = {**PLACE, "user": "9", "meta": {"name": "Robot"}}
    api.publish(cent.PublishRequest(channel=cursors, data=data))
    seen = await publication(watching)
    assert (seen.data, seen.info, seen.offset) == (data, None, 0)


async def test_cursor_subscribers_receive_joins_and_leaves(
    visit: Visit, browse: Browse, api: cent.Client, cursors: str
) -> None:
    _, watching = await watch(visit, cursors)
    _, nobody = await watch(visit, cursors, "")
    browser = await browse(token(info={"name": "Ada"}))
    client = (await browser.next("connected"))["client"]
    await browser.subscribe(cursors, token=token(channel=cursors))
    assert client in api.presence(cent.PresenceRequest(channel=cursors)).presence
    for subscribed in (watching, nobody):
        joined = (await subscribed.events.next("join")).info
        while joined.client != client:
            joined = (await subscribed.events.next("join")).info
        assert (joined.user, joined.conn_info) == ("42", {"name": "Ada"})
    browser.process.kill()
    async with asyncio.timeout(AT_ONCE):
        for subscribed in (watching, nobody):
            assert (await subscribed.events.next("leave")).info.client == client
    assert client not in api.presence(cent.PresenceRequest(channel=cursors)).presence


async def test_cursor_subscriber_may_read_presence_stats(
    visit: Visit, browse: Browse, cursors: str
) -> None:
    browser = await browse(token())
    refused = await browser.ask("presenceStats", channel=cursors)
    assert refused["error"]["code"] == 103
    await browser.subscribe(cursors, token=token(channel=cursors))
    alone = await browser.ask("presenceStats", channel=cursors)
    assert alone["result"] == {"numClients": 1, "numUsers": 1}
    nobody, _ = await watch(visit, cursors, "")
    company = await browser.ask("presenceStats", channel=cursors)
    assert company["result"] == {"numClients": 2, "numUsers": 2}
    with pytest.raises(ReplyError) as error:
        await nobody.client.presence_stats(cursors)
    assert error.value.code == 103


async def test_frame_above_64_kib_closes_the_connection(visit: Visit, cursors: str) -> None:
    visitor, subscribed = await watch(visit, cursors)
    await subscribed.subscription.publish({"text": "x" * ALMOST_64_KIB})
    with pytest.raises(ClientDisconnectedError):
        await subscribed.subscription.publish({"text": "x" * BEYOND_64_KIB})
    assert (await visitor.events.next("connecting")).reason == "message size limit"


async def test_frame_above_64_kib_disconnects_a_browser_for_good(
    browse: Browse, cursors: str
) -> None:
    browser = await browse(token())
    await browser.subscribe(cursors, token=token(channel=cursors))
    almost = {"text": "x" * ALMOST_64_KIB}
    assert "error" not in await browser.ask("publish", channel=cursors, data=almost)
    browser.tell("publish", channel=cursors, data={"text": "x" * BEYOND_64_KIB})
    event = await browser.next("disconnected")
    assert (event["code"], event["reason"]) == (3, "message size limit exceeded")
