"""A browser that is subscribed to a channel."""

from __future__ import annotations

from presence.testing.centrifugo import Client, FakeCentrifugo

__all__ = ["Connection"]


class Connection:
    """What `connect` returns: open until `close`, or until the end of its `with` block.

    `member_id` is the id that a room lists them under; of anonymous visitors, one that is used
    only where PRESENCE_ANONYMOUS is "list".
    """

    def __init__(self, centrifugo: FakeCentrifugo, channel: str, client: Client) -> None:
        self._centrifugo = centrifugo
        self._client = client
        self.channel = channel
        self.member_id = client.member_id
        centrifugo.subscribe(channel, client)

    def close(self) -> None:
        """End it, as a page that is closed does; the next tick begins to see it. Once is enough."""
        self._centrifugo.unsubscribe(self.channel, self._client.id)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Connection of {self.member_id!r} to {self.channel!r}>"
