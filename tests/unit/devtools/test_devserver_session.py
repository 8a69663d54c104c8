"""A connection over time: pings, expiry, silence. The contract tests have the rest."""

from __future__ import annotations

from typing import Any

import pytest

from presence_devtools.devserver.config import Namespace, Seconds
from presence_devtools.devserver.node import Node
from presence_devtools.devserver.wire import Publication, Raw
from tests.unit.devtools.devserver_clock import FakeClock
from tests.unit.devtools.devserver_peer import Peer, node_of


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def node(clock: FakeClock) -> Node:
    presence = Namespace(
        name="presence",
        presence=True,
        history_size=10,
        history_ttl=Seconds(600),
        force_recovery=True,
    )
    return node_of(clock, presence)


@pytest.fixture
def peer(node: Node) -> Peer:
    return Peer(node)


def test_session_without_connect_is_closed_as_stale(clock: FakeClock, peer: Peer) -> None:
    clock.forward(9)
    assert peer.wire.code == 0
    clock.forward(1)
    assert peer.wire.code == 3502


def test_session_after_connect_is_pinged(clock: FakeClock, peer: Peer) -> None:
    peer.connect()
    assert (peer.wire.messages[0]["connect"]["ping"], peer.wire.messages[0]["connect"]["pong"]) == (
        25,
        True,
    )
    peer.live(clock, 25)
    assert peer.wire.messages[1:] == [{}]
    peer.live(clock, 25 * 8)
    assert peer.wire.messages[1:] == [{}] * 9
    assert peer.wire.code == 0


def test_session_without_pong_is_closed(clock: FakeClock, node: Node, peer: Peer) -> None:
    peer.connect().subscribe()
    clock.forward(25 + 8)
    assert peer.wire.code == 3012
    assert not node.hub.presence.of("presence:a")
    assert not node.hub.clients
    assert clock.waiting == 0


def test_session_with_an_unasked_pong_is_closed(peer: Peer) -> None:
    peer.connect()
    peer.session.inbox.receive(b"{}")
    assert peer.wire.code == 3501


def test_session_with_expired_token_is_closed_after_a_delay(clock: FakeClock, peer: Peer) -> None:
    peer.connect(lasting=100)
    assert peer.wire.messages[0]["connect"]["ttl"] == 100
    peer.live(clock, 124)
    assert peer.wire.code == 0
    peer.live(clock, 1)
    assert peer.wire.code == 3005


def test_session_with_renewed_token_stays_open(clock: FakeClock, peer: Peer) -> None:
    peer.connect(lasting=100)
    peer.live(clock, 110)
    peer.say(refresh={"token": peer.token(100)})
    assert peer.wire.messages[-1]["refresh"] == {"expires": True, "ttl": 100}
    peer.live(clock, 124)
    assert peer.wire.code == 0
    peer.live(clock, 1)
    assert peer.wire.code == 3005


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"sub": "7"}, 3500),
        ({"exp": 5}, 3005),
        ({"channels": ["presence:new"]}, 3010),
        ({"channels": ["presence:old"]}, 0),
    ],
    ids=["another user", "expired", "other channels", "the same channels"],
)
def test_renewal_for_another_user_or_channel_closes(
    peer: Peer, claims: dict[str, Any], code: int
) -> None:
    peer.connect(lasting=100, channels=["presence:old"])
    claims = {"channels": ["presence:old"], **claims}
    peer.say(refresh={"token": peer.token(**claims)})
    assert peer.wire.code == code


def test_expired_subscription_ends_and_the_session_stays(
    clock: FakeClock, node: Node, peer: Peer
) -> None:
    peer.connect().subscribe(lasting=100)
    peer.live(clock, 100 + 25)
    assert len(node.hub.presence.of("presence:a")) == 1
    peer.live(clock, 28)
    unsubscribe = {"code": 2501, "reason": "subscription expired"}
    push = {"push": {"channel": "presence:a", "unsubscribe": unsubscribe}}
    assert push in peer.wire.messages
    assert not node.hub.presence.of("presence:a")
    assert peer.wire.code == 0


def test_subscription_to_a_new_stream_ends_as_insufficient(
    clock: FakeClock, node: Node, peer: Peer
) -> None:
    peer.connect().subscribe()
    options = node.config.channel_options("presence:a")
    assert options is not None
    node.publish("presence:a", Publication(data=Raw(b"{}")), options)
    options.history_meta_ttl = Seconds(1)
    node.top("presence:a", options)
    peer.live(clock, 2)
    node.publish("presence:a", Publication(data=Raw(b"{}")), options)
    unsubscribe = {"code": 2500, "reason": "insufficient state"}
    assert peer.wire.messages[-1] == {"push": {"channel": "presence:a", "unsubscribe": unsubscribe}}


@pytest.mark.parametrize("frame", [b"", b"junk", b"[]", b'{"id":1}', b'{"id":1,"subscribe":{}}'])
def test_frame_without_a_command_closes(peer: Peer, frame: bytes) -> None:
    peer.connect()
    assert not peer.session.inbox.receive(frame)
    assert peer.wire.code == 3501


def test_frame_with_several_commands_is_answered_in_order(peer: Peer) -> None:
    peer.connect()
    frame = b'{"id":2,"rpc":{}}\n{"id":3,"unsubscribe":{"channel":"a"}}\n'
    assert peer.session.inbox.receive(frame)
    assert [message["id"] for message in peer.wire.messages] == [1, 2, 3]


def test_session_after_refused_connect_reads_nothing(peer: Peer) -> None:
    assert not peer.say(connect={"token": peer.token(exp=5)})
    assert peer.wire.messages[-1]["error"]["code"] == 109
    assert not peer.say(connect={"token": peer.token()})
    assert len(peer.wire.messages) == 1


def test_session_with_129_channels_is_refused_the_last(peer: Peer) -> None:
    peer.connect()
    for n in range(128):
        peer.subscribe(f"presence:{n}")
    assert "error" not in peer.wire.messages[-1]
    peer.subscribe("presence:more")
    assert peer.wire.messages[-1]["error"]["code"] == 106
