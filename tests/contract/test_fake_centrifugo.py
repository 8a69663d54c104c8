"""The Centrifugo of presence.testing answers the gateway as a real one does."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from presence.centrifugo.gateway import Gateway, Publication
from presence.centrifugo.http import HttpTransport
from presence.centrifugo.tokens import Issuer
from presence.roster.merge import read_presence
from presence.roster.messages import Position
from presence.roster.people import UserClaims
from presence.testing import FakeCentrifugo
from presence.testing.centrifugo import Client
from presence_devtools import servers
from tests.contract.conftest import Visit

SIGNED = UserClaims(name="Ada Lovelace", info={"color": "#4363d8"}, iat=1_700_000_000.5)


@pytest.fixture
def real(centrifugo: servers.Centrifugo) -> Gateway:
    return Gateway(HttpTransport(centrifugo.api_url, servers.API_KEY))


@pytest.mark.asyncio
async def test_fake_and_server_return_the_same_presence(
    real: Gateway, visit: Visit, channel: str
) -> None:
    issuer = Issuer(
        secret=servers.TOKEN_SECRET, user_id="42", info=SIGNED, now=time.time(), lifetime=60.0
    )
    visitor = await visit(issuer.connection())
    await visitor.subscribe(channel, issuer.subscription(channel))
    made_up = FakeCentrifugo()
    made_up.subscribe(channel, Client(visitor.id, "42", SIGNED))
    fake = Gateway(made_up)
    assert presence(fake, channel) == presence(real, channel)
    assert read_presence(raw(fake, channel)) == read_presence(raw(real, channel))
    for pattern in (channel, "presence:*", "other:*"):
        assert counted(fake, pattern, channel) == counted(real, pattern, channel)
    assert presence(fake, channel + ":empty") == presence(real, channel + ":empty")
    assert fake.recount([channel])[1].clients == real.recount([channel])[1].clients


def test_fake_and_server_return_the_same_positions(real: Gateway, channel: str) -> None:
    assert offsets(Gateway(FakeCentrifugo()), channel) == offsets(real, channel)


def offsets(gateway: Gateway, channel: str) -> list[int]:
    """Return the position of the stream after each step."""
    steps = [
        gateway.positions([channel]),
        publish(gateway, channel, 1),
        publish(gateway, channel, 1),
        publish(gateway, channel, 2),
    ]
    assert gateway.send([(channel, msgspec.Raw(b'{"gone":true}'))]) == [None]
    steps += [gateway.positions([channel]), publish(gateway, channel, 3)]
    found = [position for (position,) in steps if isinstance(position, Position)]
    assert len(found) == len(steps)
    assert len({position.epoch for position in found}) == 1
    return [position.offset for position in found]


def publish(gateway: Gateway, channel: str, version: int) -> list[Any]:
    data = msgspec.Raw(b'{"version":%d}' % version)
    return gateway.publish(
        [Publication(feed=channel, data=data, channel=channel, epoch="e1", version=version)]
    )


def counted(gateway: Gateway, pattern: str, channel: str) -> int | None:
    return gateway.survey([pattern]).clients.get(channel)


def raw(gateway: Gateway, channel: str) -> bytes:
    (reply,) = gateway.presence([channel])
    assert isinstance(reply, msgspec.Raw)
    return bytes(reply)


def presence(gateway: Gateway, channel: str) -> dict[str, Any]:
    return msgspec.json.decode(raw(gateway, channel))["presence"]
