"""Publishing: delivery, history, and recognition of repeated publications."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cent
import pytest
import requests

from tests.contract.clients import Subscribed, token
from tests.contract.conftest import Visit

Post = Callable[..., requests.Response]
pytestmark = pytest.mark.asyncio


async def subscribed(visit: Visit, channel: str) -> Subscribed:
    visitor = await visit(token())
    return await visitor.subscribe(channel, token(channel=channel))


async def test_publication_reaches_subscriber_with_its_offset(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    reader = await subscribed(visit, channel)
    request = cent.PublishRequest(channel=channel, data={"text": "<é>"})
    api.publish(request)
    publication = (await reader.events.next("publication")).pub
    assert publication.data == {"text": "<é>"}
    assert (publication.offset, publication.info) == (1, None)


async def test_publish_with_repeated_idempotency_key_delivers_once(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    reader = await subscribed(visit, channel)

    def publish(n: int, key: str) -> Any:
        request = cent.PublishRequest(channel=channel, data={"n": n}, idempotency_key=key)
        return api.publish(request)

    first, again, other = publish(1, "a"), publish(2, "a"), publish(3, "b")
    assert first == again
    assert (first.offset, other.offset) == (1, 2)
    assert [(await reader.events.next("publication")).pub.data["n"] for _ in range(2)] == [1, 3]


async def test_idempotency_key_in_another_channel_publishes(
    api: cent.Client, channel: str, request: pytest.FixtureRequest
) -> None:
    other = f"{channel}:other"
    for each in (channel, other):
        asked = cent.PublishRequest(channel=each, data={}, idempotency_key="a")
        assert api.publish(asked).offset == 1


async def test_publish_with_equal_or_lower_version_is_dropped(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    reader = await subscribed(visit, channel)

    def publish(version: int, epoch: str) -> int:
        request = cent.PublishRequest(
            channel=channel,
            data={"version": version, "epoch": epoch},
            version=version,
            version_epoch=epoch,
        )
        return int(api.publish(request).offset)

    assert publish(5, "a") == 1
    assert publish(5, "a") == 1
    assert publish(4, "a") == 1
    assert publish(6, "a") == 2
    assert publish(1, "b") == 3
    assert publish(6, "a") == 4
    kept = api.history(cent.HistoryRequest(channel=channel, limit=-1)).publications
    expected = [(5, "a"), (6, "a"), (1, "b"), (6, "a")]
    assert [(each.data["version"], each.data["epoch"]) for each in kept] == expected
    got = [(await reader.events.next("publication")).pub.data for _ in expected]
    assert [(data["version"], data["epoch"]) for data in got] == expected


async def test_publish_without_version_resets_the_version(api: cent.Client, channel: str) -> None:
    def publish(**version: Any) -> int:
        return int(api.publish(cent.PublishRequest(channel=channel, data={}, **version)).offset)

    assert publish(version=7, version_epoch="a") == 1
    assert publish() == 2
    assert publish(version=7, version_epoch="a") == 3


async def test_publish_with_skip_history_is_delivered_and_not_kept(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    reader = await subscribed(visit, channel)
    result = api.publish(cent.PublishRequest(channel=channel, data={"n": 1}, skip_history=True))
    assert (result.offset, result.epoch) == (0, "")
    publication = (await reader.events.next("publication")).pub
    assert (publication.data, publication.offset) == ({"n": 1}, 0)
    assert api.history(cent.HistoryRequest(channel=channel, limit=-1)).publications == []


async def test_publish_in_parallel_loses_nothing(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    reader = await subscribed(visit, channel)
    commands = [cent.PublishRequest(channel=channel, data={"n": n}) for n in range(50)]
    replies = api.batch(cent.BatchRequest(requests=commands, parallel=True)).replies
    assert sorted(each.offset for each in replies) == list(range(1, 51))
    got = [(await reader.events.next("publication")).pub for _ in range(50)]
    assert [each.offset for each in got] == list(range(1, 51))
    assert sorted(each.data["n"] for each in got) == list(range(50))


async def test_publish_in_a_batch_keeps_the_order(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    reader = await subscribed(visit, channel)
    commands = [cent.PublishRequest(channel=channel, data={"n": n}) for n in range(50)]
    api.batch(cent.BatchRequest(requests=commands))
    assert [(await reader.events.next("publication")).pub.data["n"] for _ in range(50)] == list(
        range(50)
    )


async def test_publication_reaches_no_client_without_subscription(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    reader = await subscribed(visit, channel)
    await reader.subscription.unsubscribe()
    api.publish(cent.PublishRequest(channel=channel, data={"n": 1}, skip_history=True))
    await reader.subscription.subscribe()
    await reader.events.next("subscribed")
    api.publish(cent.PublishRequest(channel=channel, data={"n": 2}))
    assert (await reader.events.next("publication")).pub.data == {"n": 2}
