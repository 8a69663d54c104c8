"""Calls of the server API that end a connection or a subscription."""

from __future__ import annotations

from collections.abc import Callable

import cent
import pytest
import requests

from tests.contract.clients import token
from tests.contract.conftest import Visit

Post = Callable[..., requests.Response]
pytestmark = pytest.mark.asyncio


async def test_disconnect_without_a_code_is_final(visit: Visit, api: cent.Client) -> None:
    visitor = await visit(token("gone"))
    api.disconnect(cent.DisconnectRequest(user="gone"))
    context = await visitor.events.next("disconnected")
    assert (context.code, context.reason) == (3503, "force disconnect")


async def test_disconnect_with_a_code_sends_that_code(visit: Visit, api: cent.Client) -> None:
    visitor = await visit(token("coded"))
    reason = cent.Disconnect(code=4500, reason="enough")
    api.disconnect(cent.DisconnectRequest(user="coded", disconnect=reason))
    context = await visitor.events.next("disconnected")
    assert (context.code, context.reason) == (4500, "enough")


async def test_disconnect_with_a_temporary_code_lets_the_client_reconnect(
    visit: Visit, api: cent.Client
) -> None:
    visitor = await visit(token("back"))
    reason = cent.Disconnect(code=3000, reason="again")
    api.disconnect(cent.DisconnectRequest(user="back", disconnect=reason))
    assert (await visitor.events.next("connected")).client != visitor.id


async def test_disconnect_of_one_client_keeps_the_others(visit: Visit, api: cent.Client) -> None:
    first, second, other = [await visit(token(user)) for user in ("twice", "twice", "other")]
    api.disconnect(cent.DisconnectRequest(user="twice", client=first.id))
    await first.events.next("disconnected")
    api.disconnect(cent.DisconnectRequest(user="twice", client=other.id))
    for spared in (second, other):
        assert spared.client.state.value == "connected"


async def test_unsubscribe_of_a_user_is_final(visit: Visit, api: cent.Client, channel: str) -> None:
    visitor = await visit(token("unsub"))
    subscribed = await visitor.subscribe(channel, token("unsub", channel=channel))
    api.unsubscribe(cent.UnsubscribeRequest(user="unsub", channel=channel))
    context = await subscribed.events.next("unsubscribed")
    assert (context.code, context.reason) == (2000, "server unsubscribe")
    assert api.presence(cent.PresenceRequest(channel=channel)).presence == {}


async def test_unsubscribe_of_one_client_keeps_the_others(
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
