"""Behaviour that the scripts of the app need, through centrifuge-js."""

from __future__ import annotations

import asyncio

import cent
import pytest

from presence_devtools import servers
from tests.contract.clients import Browser, eventually, token
from tests.contract.conftest import Browse

pytestmark = pytest.mark.asyncio


async def test_browser_is_in_presence_until_it_disconnects(
    browse: Browse, api: cent.Client, channel: str
) -> None:
    browser = await browse(token(info={"name": "Ada"}))
    client = (await browser.next("connected"))["client"]
    await browser.subscribe(channel, token=token(channel=channel))
    presence = api.presence(cent.PresenceRequest(channel=channel)).presence
    assert {name: info.conn_info for name, info in presence.items()} == {client: {"name": "Ada"}}
    browser.tell("disconnect")
    await browser.next("disconnected")
    await eventually(
        lambda: not api.presence(cent.PresenceRequest(channel=channel)).presence, "it is empty"
    )


async def test_killed_browser_leaves_presence_promptly(
    browse: Browse, api: cent.Client, channel: str
) -> None:
    browser = await browse(token())
    await browser.subscribe(channel, token=token(channel=channel))
    browser.process.kill()
    await eventually(
        lambda: not api.presence(cent.PresenceRequest(channel=channel)).presence, "it is empty"
    )


async def test_connection_with_many_channels_receives_all(
    browse: Browse, api: cent.Client, channel: str
) -> None:
    browser = await browse(token())
    channels = [f"{channel}:{n}" for n in range(20)]
    await asyncio.gather(*(browser.subscribe(each, token=token(channel=each)) for each in channels))
    requests = [cent.PublishRequest(channel=each, data={"n": 1}) for each in channels]
    api.batch(cent.BatchRequest(requests=requests))
    for each in channels:
        assert (await browser.next("publication", each))["data"] == {"n": 1}


async def test_subscription_with_token_of_another_user_ends_for_good(
    browse: Browse, channel: str
) -> None:
    browser = await browse(token())
    await browser.next("connected")
    grant = token("7", channel=channel)
    browser.tell("subscribe", channel=channel, options={"token": grant})
    assert (await browser.next("disconnected"))["code"] == 3500


async def test_refused_subscription_keeps_the_connection(
    browse: Browse, api: cent.Client, channel: str
) -> None:
    browser = await browse(token())
    browser.tell("subscribe", channel=f"{channel}:closed", options={})
    event = await browser.next("unsubscribed", f"{channel}:closed")
    assert (event["code"], event["reason"]) == (103, "permission denied")
    await browser.subscribe(channel, token=token(channel=channel))
    api.publish(cent.PublishRequest(channel=channel, data={"n": 1}))
    assert (await browser.next("publication", channel))["offset"] == 1


async def test_unsubscribe_by_the_server_ends_subscription_for_good(
    browse: Browse, api: cent.Client, channel: str
) -> None:
    browser = await browse(token("unsub-js"))
    await browser.subscribe(channel, token=token("unsub-js", channel=channel))
    api.unsubscribe(cent.UnsubscribeRequest(user="unsub-js", channel=channel))
    event = await browser.next("unsubscribed", channel)
    assert (event["code"], event["reason"]) == (2000, "server unsubscribe")


async def test_connect_with_bad_token_disconnects_for_good(
    browse: Browse, centrifugo: servers.Centrifugo
) -> None:
    forged = token(secret="another-secret-of-at-least-32-bytes!")
    browser: Browser = await browse(forged)
    event = await browser.next("disconnected")
    assert (event["code"], event["reason"]) == (3500, "invalid token")
