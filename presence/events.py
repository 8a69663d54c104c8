"""Events for everybody in a room: told to who listens now, kept nowhere."""

from __future__ import annotations

from typing import Any

import msgspec

from presence import services
from presence.roster import messages, validation
from presence.roster.channel_names import feed_of
from presence.roster.types import Event

__all__ = ["broadcast"]


def broadcast(channel: str, event: str, payload: dict[str, Any] | None = None) -> None:
    """Publish an event to every page that shows or watches `channel`.

    `event` is a text of 1 to 100 characters, `payload` a dict of JSON; together they must fit into
    wire.MAX_PUBLICATION (8 KiB). Raises ValueError where they are not that, CentrifugoError where
    Centrifugo did not take it: then nobody may have got it, or some.
    """
    name = validation.event_of(event)
    given = validation.json_of("payload", payload, most=messages.MAX_PUBLICATION)
    data = messages.encode(Event(name, msgspec.json.decode(given) if given else {}))
    if len(data) > messages.MAX_PUBLICATION:
        raise ValueError(
            f"The event has {len(data)} bytes: with its payload it must have at most "
            f"{messages.MAX_PUBLICATION}"
        )
    (error,) = services.gateway().send([(feed_of(channel), msgspec.Raw(data))])
    if error:
        raise error
