"""Behaviour over time: expiry, ping and pong, expired history, a server that restarts."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, NoReturn

import cent
import pytest

from tests.contract.clients import PATIENCE, eventually, soon, token
from tests.contract.conftest import CHANNEL, PRESENCE, Browse, Serve, Visit, api_of

pytestmark = pytest.mark.asyncio

HASTY = {"expired_close_delay": "1s", "expired_sub_close_delay": "1s"}


def present(api: cent.Client, channel: str = CHANNEL) -> set[str]:
    return set(api.presence(cent.PresenceRequest(channel=channel)).presence)


async def never(*_: Any) -> NoReturn:
    """Token source that does not answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def test_connection_without_renewal_ends(serve: Serve, visit: Visit) -> None:
    server = serve(HASTY, [PRESENCE])
    visitor = await visit(token(exp=soon(3)), url=server.ws_url, get_token=never)
    await visitor.subscribe(CHANNEL, token(channel=CHANNEL))
    context = await visitor.events.next("connecting")
    assert (context.code, context.reason) == (3005, "connection expired")
    await eventually(lambda: not present(api_of(server)), "the presence is empty")


async def test_subscription_without_renewal_ends(serve: Serve, visit: Visit) -> None:
    server = serve({**HASTY, "presence_update_interval": "1s"}, [PRESENCE])
    visitor = await visit(token(), url=server.ws_url)
    grant = token(channel=CHANNEL, exp=soon(4))
    subscribed = await visitor.subscribe(CHANNEL, grant, get_token=never)
    context = await subscribed.events.next("subscribing")
    assert (context.code, context.reason) == (2501, "subscription expired")


async def test_tokens_are_renewed_before_they_expire(serve: Serve, visit: Visit) -> None:
    server = serve({"presence_update_interval": "1s"}, [PRESENCE])
    asked: list[str] = []
    renewed = asyncio.Event()

    async def connection() -> str:
        asked.append("")
        return token(exp=soon(600), info={"name": "new"})

    async def subscription(channel: str) -> str:
        asked.append(channel)
        renewed.set()
        return token(channel=channel, exp=soon(600))

    visitor = await visit(token(exp=soon(4)), url=server.ws_url, get_token=connection)
    grant = token(channel=CHANNEL, exp=soon(4))
    await visitor.subscribe(CHANNEL, grant, get_token=subscription)
    async with asyncio.timeout(PATIENCE):
        await renewed.wait()
    api = api_of(server)
    await eventually(
        lambda: [info.conn_info for info in _infos(api)] == [{"name": "new"}],
        "the presence has the info of the new token",
        within=PATIENCE,
    )
    assert sorted(asked) == ["", CHANNEL]
    assert present(api) == {visitor.id}


def _infos(api: cent.Client) -> list[cent.ClientInfo]:
    return list(api.presence(cent.PresenceRequest(channel=CHANNEL)).presence.values())


async def test_client_without_pong_leaves_presence(
    serve: Serve, browse: Browse, visit: Visit
) -> None:
    server = serve({"ping_interval": "3s", "pong_timeout": "2s"}, [PRESENCE])
    api = api_of(server)
    visitor = await visit(token("7"), url=server.ws_url)
    await visitor.subscribe(CHANNEL, token("7", channel=CHANNEL))
    browser = await browse(token(), url=server.ws_url)
    await browser.subscribe(CHANNEL, token=token(channel=CHANNEL))
    assert len(present(api)) == 2
    browser.process.send_signal(signal.SIGSTOP)
    await eventually(
        lambda: present(api) == {visitor.id}, "the frozen one is gone", within=PATIENCE
    )
    browser.process.send_signal(signal.SIGCONT)
    event = await browser.next("connecting")
    while event["code"] == 0:
        event = await browser.next("connecting")
    await eventually(lambda: len(present(api)) == 2, "it is back", within=PATIENCE)
    assert visitor.client.state.value == "connected"


async def test_recovery_at_the_top_succeeds_after_history_expired(
    serve: Serve, browse: Browse
) -> None:
    server = serve({}, [{**PRESENCE, "history_ttl": "1s"}])
    api = api_of(server)
    for n in range(2):
        top = api.publish(cent.PublishRequest(channel=CHANNEL, data={"n": n}))
    at = {"offset": top.offset, "epoch": top.epoch}
    everything = cent.HistoryRequest(channel=CHANNEL, limit=-1)
    await eventually(
        lambda: not api.history(everything).publications, "it is gone", within=PATIENCE
    )
    for since, recovered in ((at, True), ({**at, "offset": 1}, False)):
        browser = await browse(token(), url=server.ws_url)
        options = {"token": token(channel=CHANNEL), "since": since}
        assert (await browser.subscribe(CHANNEL, **options))["recovered"] is recovered


async def test_namespace_with_more_options_allows_clients_more(serve: Serve, visit: Visit) -> None:
    allowed = {
        **PRESENCE,
        "force_recovery": False,
        "allow_subscribe_for_client": True,
        "allow_publish_for_client": True,
        "allow_presence_for_client": True,
    }
    server = serve({}, [allowed])
    visitor = await visit(token(), url=server.ws_url)
    subscribed = await visitor.subscribe(CHANNEL)
    assert not subscribed.context.positioned
    await visitor.client.publish(CHANNEL, {"n": 1})
    publication = (await subscribed.events.next("publication")).pub
    assert (publication.offset, publication.info.client) == (1, visitor.id)
    stats = await visitor.client.presence_stats(CHANNEL)
    assert (stats.num_clients, stats.num_users) == (1, 1)


async def test_client_that_does_not_read_is_disconnected(serve: Serve, browse: Browse) -> None:
    server = serve({}, [PRESENCE])
    api = api_of(server)
    browser = await browse(token(), url=server.ws_url)
    await browser.subscribe(CHANNEL, token=token(channel=CHANNEL))
    browser.process.send_signal(signal.SIGSTOP)
    for n in range(100):
        data = {"n": n, "text": "x" * 200_000}
        api.publish(cent.PublishRequest(channel=CHANNEL, data=data, skip_history=True))
    await eventually(lambda: not present(api), "the slow one is gone", within=PATIENCE)
    browser.process.send_signal(signal.SIGCONT)
    await eventually(lambda: len(present(api)) == 1, "it is back", within=PATIENCE)


async def test_clients_reconnect_after_a_restart_that_loses_all(
    serve: Serve, visit: Visit, browse: Browse
) -> None:
    server = serve({}, [PRESENCE])
    api = api_of(server)
    (node,) = api.info(cent.InfoRequest()).nodes
    epoch = api.publish(cent.PublishRequest(channel=CHANNEL, data={"n": 1})).epoch
    visitor = await visit(token(), url=server.ws_url)
    subscribed = await visitor.subscribe(CHANNEL, token(channel=CHANNEL))
    browser = await browse(token("7"), url=server.ws_url)
    await browser.subscribe(CHANNEL, token=token("7", channel=CHANNEL))

    await asyncio.to_thread(server.server.restart)
    context = await visitor.events.next("connecting")
    assert (context.code, context.reason) == (3001, "shutdown")
    again = await subscribed.events.next("subscribed")
    assert (again.was_recovering, again.recovered) == (True, False)
    event = await browser.next("subscribed", CHANNEL)
    assert (event["wasRecovering"], event["recovered"]) == (True, False)
    assert event["streamPosition"]["epoch"] != epoch
    assert len(present(api)) == 2
    (restarted,) = api.info(cent.InfoRequest()).nodes
    assert restarted.uid != node.uid


async def test_clients_reconnect_after_the_server_was_killed(serve: Serve, visit: Visit) -> None:
    server = serve({}, [PRESENCE])
    visitor = await visit(token(), url=server.ws_url)
    subscribed = await visitor.subscribe(CHANNEL, token(channel=CHANNEL))
    await asyncio.to_thread(server.server.stop, signal.SIGKILL)
    await visitor.events.next("connecting")
    await asyncio.to_thread(server.server.start)
    assert not (await subscribed.events.next("subscribed")).recovered
    assert len(present(api_of(server))) == 1
