"""Recovery of a stream from the position in a page (`since`)."""

from __future__ import annotations

from typing import Any

import cent
import pytest

from tests.contract.clients import Browser, token
from tests.contract.conftest import Browse, Visit

pytestmark = pytest.mark.asyncio


def publish(api: cent.Client, channel: str, count: int) -> None:
    """Publish {"n": offset} `count` times."""
    top = position(api, channel)["offset"]
    commands = [
        cent.PublishRequest(channel=channel, data={"n": top + n}) for n in range(1, count + 1)
    ]
    api.batch(cent.BatchRequest(requests=commands))


def position(api: cent.Client, channel: str) -> dict[str, Any]:
    """Return the position of the stream, as pages carry it; this creates the stream."""
    history = api.history(cent.HistoryRequest(channel=channel))
    return {"offset": history.offset, "epoch": history.epoch}


async def since(browser: Browser, channel: str, at: dict[str, Any] | None) -> Any:
    """Subscribe from `at`. Returns the context of `subscribed`."""
    options: dict[str, Any] = {"token": token(channel=channel)}
    if at is not None:
        options["since"] = at
    return await browser.subscribe(channel, **options)


async def publications(browser: Browser, channel: str, count: int) -> list[tuple[int, Any]]:
    found = [await browser.next("publication", channel) for _ in range(count)]
    return [(each["offset"], each["data"]["n"]) for each in found]


async def test_subscribe_without_since_recovers_nothing(
    browse: Browse, api: cent.Client, channel: str
) -> None:
    publish(api, channel, 2)
    context = await since(await browse(token()), channel, None)
    assert (context["wasRecovering"], context["recovered"]) == (False, False)
    assert (context["recoverable"], context["positioned"]) == (True, True)
    assert context["streamPosition"] == position(api, channel)


async def test_subscribe_since_a_position_recovers_every_later_publication(
    browse: Browse, api: cent.Client, channel: str
) -> None:
    publish(api, channel, 2)
    carried = position(api, channel)
    publish(api, channel, 3)
    browser = await browse(token())
    context = await since(browser, channel, carried)
    assert (context["wasRecovering"], context["recovered"]) == (True, True)
    assert context["hasRecoveredPublications"]
    publish(api, channel, 1)
    assert await publications(browser, channel, 4) == [(n, n) for n in (3, 4, 5, 6)]


async def test_subscribe_since_the_top_is_recovered(
    browse: Browse, api: cent.Client, channel: str
) -> None:
    publish(api, channel, 2)
    browser = await browse(token())
    context = await since(browser, channel, position(api, channel))
    assert (context["recovered"], context["hasRecoveredPublications"]) == (True, False)
    publish(api, channel, 1)
    assert await publications(browser, channel, 1) == [(3, 3)]


async def test_subscribe_since_an_empty_stream_recovers_from_its_beginning(
    browse: Browse, api: cent.Client, channel: str
) -> None:
    carried = position(api, channel)
    assert carried["offset"] == 0
    publish(api, channel, 2)
    browser = await browse(token())
    assert (await since(browser, channel, carried))["recovered"]
    assert await publications(browser, channel, 2) == [(1, 1), (2, 2)]


@pytest.mark.parametrize("offset", [0, 2, 9])
async def test_subscribe_since_another_epoch_recovers_nothing(
    browse: Browse, api: cent.Client, channel: str, offset: int
) -> None:
    publish(api, channel, 2)
    browser = await browse(token())
    context = await since(browser, channel, {"offset": offset, "epoch": "elsewhere"})
    assert (context["wasRecovering"], context["recovered"]) == (True, False)
    assert context["streamPosition"] == position(api, channel)
    publish(api, channel, 1)
    assert await publications(browser, channel, 1) == [(3, 3)]


async def test_subscribe_since_an_empty_epoch_matches_any(
    browse: Browse, api: cent.Client, channel: str
) -> None:
    publish(api, channel, 2)
    browser = await browse(token())
    assert (await since(browser, channel, {"offset": 0, "epoch": ""}))["recovered"]
    assert await publications(browser, channel, 2) == [(1, 1), (2, 2)]


async def test_subscribe_since_an_offset_above_the_top_recovers_nothing(
    browse: Browse, api: cent.Client, channel: str
) -> None:
    publish(api, channel, 2)
    at = {**position(api, channel), "offset": 3}
    assert not (await since(await browse(token()), channel, at))["recovered"]


async def test_subscribe_since_an_offset_lost_from_history_recovers_nothing(
    browse: Browse, api: cent.Client, channel: str
) -> None:
    publish(api, channel, 1)
    carried = position(api, channel)
    publish(api, channel, 100)
    assert (await since(await browse(token()), channel, carried))["recovered"]
    publish(api, channel, 1)
    assert not (await since(await browse(token()), channel, carried))["recovered"]


async def test_subscribe_without_recovery_option_returns_no_position(
    browse: Browse, channel: str
) -> None:
    cursors = channel.replace("presence:", "cursors:")
    context = await since(await browse(token()), cursors, {"offset": 1, "epoch": "a"})
    assert (context["recoverable"], context["positioned"]) == (False, False)
    assert not context["recovered"]


async def test_resubscribe_recovers_missed_publications(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    visitor = await visit(token())
    subscribed = await visitor.subscribe(channel, token(channel=channel))
    publish(api, channel, 1)
    await subscribed.events.next("publication")
    reason = cent.Disconnect(code=3000, reason="again")
    api.disconnect(cent.DisconnectRequest(user="42", client=visitor.id, disconnect=reason))
    publish(api, channel, 2)
    context = await subscribed.events.next("subscribed")
    assert (context.was_recovering, context.recovered) == (True, True)
    got = [(await subscribed.events.next("publication")).pub.offset for _ in range(2)]
    assert got == [2, 3]


async def test_server_side_subscription_recovers_on_reconnect(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    visitor = await visit(token(channels=[channel]))
    await visitor.events.next("subscribed")
    reason = cent.Disconnect(code=3000, reason="again")
    api.disconnect(cent.DisconnectRequest(user="42", client=visitor.id, disconnect=reason))
    publish(api, channel, 2)
    context = await visitor.events.next("subscribed")
    assert (context.was_recovering, context.recovered) == (True, True)
    got = [(await visitor.events.next("publication")).pub.offset for _ in range(2)]
    assert got == [1, 2]
