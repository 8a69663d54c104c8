"""What the server API does to connections: disconnect, unsubscribe, subscribe, refresh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cent
import pytest
import requests

from tests.contract.clients import soon, token
from tests.contract.conftest import Visit

Post = Callable[..., requests.Response]
pytestmark = pytest.mark.asyncio


async def test_disconnect_is_final_unless_it_says_otherwise(visit: Visit, api: cent.Client) -> None:
    visitor = await visit(token("gone"))
    api.disconnect(cent.DisconnectRequest(user="gone"))
    context = await visitor.events.next("disconnected")
    assert (context.code, context.reason) == (3503, "force disconnect")


async def test_disconnect_with_a_code_of_ones_own(visit: Visit, api: cent.Client) -> None:
    visitor = await visit(token("coded"))
    reason = cent.Disconnect(code=4500, reason="enough")
    api.disconnect(cent.DisconnectRequest(user="coded", disconnect=reason))
    context = await visitor.events.next("disconnected")
    assert (context.code, context.reason) == (4500, "enough")


async def test_disconnect_with_a_code_to_come_back_after(visit: Visit, api: cent.Client) -> None:
    visitor = await visit(token("back"))
    reason = cent.Disconnect(code=3000, reason="again")
    api.disconnect(cent.DisconnectRequest(user="back", disconnect=reason))
    assert (await visitor.events.next("connected")).client != visitor.id


async def test_disconnect_spares_the_whitelist_and_other_clients(
    visit: Visit, api: cent.Client
) -> None:
    first, second, other = [await visit(token(user)) for user in ("twice", "twice", "other")]
    api.disconnect(cent.DisconnectRequest(user="twice", whitelist=[second.id]))
    await first.events.next("disconnected")
    api.disconnect(cent.DisconnectRequest(user="twice", client=other.id))
    for spared in (second, other):
        assert spared.client.state.value == "connected"


async def test_unsubscribe_is_final(visit: Visit, api: cent.Client, channel: str) -> None:
    visitor = await visit(token("unsub"))
    subscribed = await visitor.subscribe(channel, token("unsub", channel=channel))
    api.unsubscribe(cent.UnsubscribeRequest(user="unsub", channel=channel))
    context = await subscribed.events.next("unsubscribed")
    assert (context.code, context.reason) == (2000, "server unsubscribe")
    assert api.presence(cent.PresenceRequest(channel=channel)).presence == {}


async def test_unsubscribe_may_name_one_client(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    visitors = [await visit(token("one")) for _ in range(2)]
    grant = token("one", channel=channel)
    subscriptions = [await visitor.subscribe(channel, grant) for visitor in visitors]
    request = cent.UnsubscribeRequest(user="one", channel=channel, client=visitors[0].id)
    api.unsubscribe(request)
    await subscriptions[0].events.next("unsubscribed")
    presence = api.presence(cent.PresenceRequest(channel=channel)).presence
    assert set(presence) == {visitors[1].id}


async def test_unsubscribe_of_an_unknown_namespace_is_refused(api: cent.Client) -> None:
    with pytest.raises(cent.CentApiResponseError) as error:
        api.unsubscribe(cent.UnsubscribeRequest(user="one", channel="nonsense:a"))
    assert error.value.code == 102


async def test_subscribe_makes_a_server_side_subscription(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    visitor = await visit(token("sub"))
    request = cent.SubscribeRequest(user="sub", channel=channel, info={"i": 1}, data={"d": 1})
    api.subscribe(request)
    context = await visitor.events.next("subscribed")
    assert (context.channel, context.data, context.recoverable) == (channel, {"d": 1}, True)
    (info,) = api.presence(cent.PresenceRequest(channel=channel)).presence.values()
    assert info.chan_info == {"i": 1}
    api.publish(cent.PublishRequest(channel=channel, data={"n": 1}))
    assert (await visitor.events.next("publication")).pub.data == {"n": 1}
    api.unsubscribe(cent.UnsubscribeRequest(user="sub", channel=channel))
    assert (await visitor.events.next("unsubscribed")).channel == channel


@pytest.mark.parametrize(("channel_", "code"), [("", 107), ("nonsense:a", 102)])
async def test_subscribe_is_refused_by_code(post: Post, channel_: str, code: int) -> None:
    assert post("subscribe", {"user": "a", "channel": channel_}).json()["error"]["code"] == code


@pytest.mark.parametrize("options", [{"expired": True}, {"expire_at": 5}])
async def test_refresh_can_expire_a_connection(
    visit: Visit, api: cent.Client, options: dict[str, Any]
) -> None:
    visitor = await visit(token("expired"))
    api.refresh(cent.RefreshRequest(user="expired", **options))
    context = await visitor.events.next("connecting")
    assert (context.code, context.reason) == (3005, "connection expired")


async def test_refresh_can_prolong_a_connection(visit: Visit, api: cent.Client) -> None:
    visitor = await visit(token("longer", exp=soon(600)))
    api.refresh(cent.RefreshRequest(user="longer", expire_at=soon(1200)))
    api.refresh(cent.RefreshRequest(user="longer"))
    await visitor.client.ready()
    assert visitor.client.state.value == "connected"
