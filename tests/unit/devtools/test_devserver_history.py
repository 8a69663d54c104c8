"""Streams and idempotency keys over time."""

from __future__ import annotations

import pytest

from presence_devtools.devserver.config import ChannelOptions, Seconds
from presence_devtools.devserver.history import Broker
from presence_devtools.devserver.wire import Position, Publication, Raw
from tests.unit.devtools.devserver_clock import FakeClock

OPTIONS = ChannelOptions(
    history_size=3, history_ttl=Seconds(60), history_meta_ttl=Seconds(600), force_recovery=True
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def broker(clock: FakeClock) -> Broker:
    return Broker(clock, meta_ttl=3600)


def publish(broker: Broker, key: str = "", channel: str = "a", **options: int) -> int:
    """Publish, and return the offset of the answer, negative if nothing was delivered."""
    publication = Publication(data=Raw(b"{}"), **options)
    position, delivered = broker.publish(channel, publication, OPTIONS, idempotency_key=key)
    return position.offset if delivered else -position.offset


def offsets(broker: Broker) -> list[int]:
    found, _ = broker.history("a", OPTIONS, limit=-1)
    return [publication.offset for publication in found]


def test_idempotency_key_expires_after_five_minutes(clock: FakeClock, broker: Broker) -> None:
    assert publish(broker, "key") == 1
    clock.forward(299)
    assert publish(broker, "key") == -1
    assert publish(broker, "key", channel="b") == 1
    clock.forward(1)
    assert publish(broker, "key") == 2


def test_version_outlives_the_idempotency_key_and_the_publications(
    clock: FakeClock, broker: Broker
) -> None:
    assert publish(broker, "key", version=7) == 1
    clock.forward(400)
    assert offsets(broker) == []
    assert publish(broker, "key", version=7) == -1
    assert publish(broker, version=8) == 2


def test_history_keeps_the_newest(broker: Broker) -> None:
    for _ in range(5):
        publish(broker)
    assert offsets(broker) == [3, 4, 5]


def test_history_drops_expired_publications_and_keeps_the_position(
    clock: FakeClock, broker: Broker
) -> None:
    publish(broker)
    _, top = broker.history("a", OPTIONS)
    clock.forward(60)
    assert broker.history("a", OPTIONS, limit=-1) == ([], top)
    publish(broker)
    assert offsets(broker) == [2]


def test_history_keeps_older_publications_after_a_new_one(clock: FakeClock, broker: Broker) -> None:
    publish(broker)
    clock.forward(59)
    publish(broker)
    clock.forward(59)
    assert offsets(broker) == [1, 2]


def test_stream_unused_for_long_starts_a_new_epoch(clock: FakeClock, broker: Broker) -> None:
    publish(broker)
    _, before = broker.history("a", OPTIONS)
    clock.forward(599)
    assert broker.history("a", OPTIONS)[1] == before
    clock.forward(600)
    _, after = broker.history("a", OPTIONS)
    assert after.offset == 0
    assert after.epoch != before.epoch


def test_publish_to_a_new_stream_pushes_its_epoch(broker: Broker) -> None:
    publish(broker)
    publish(broker)
    found, top = broker.history("a", OPTIONS, limit=-1)
    assert [publication.epoch for publication in found] == [top.epoch, ""]


@pytest.mark.parametrize(
    ("since", "expected"), [(2, [3, 4, 5]), (0, [3, 4, 5]), (3, [4, 5]), (5, []), (9, [])]
)
def test_history_since_a_position_returns_later_publications(
    broker: Broker, since: int, expected: list[int]
) -> None:
    for _ in range(5):
        publish(broker)
    _, top = broker.history("a", OPTIONS)
    at = Position(offset=since, epoch=top.epoch)
    found, _ = broker.history("a", OPTIONS, limit=-1, since=at)
    assert [publication.offset for publication in found] == expected
