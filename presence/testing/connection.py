"""A fake subscription of a browser to a channel."""

from __future__ import annotations

from presence.testing.centrifugo import Client, FakeCentrifugo

__all__ = ["Connection"]


class Connection:
    """Result of `connect`: open until `close` or the end of its `with` block.

    `member_id` is the id of the visitor in a roster. For anonymous visitors, it is used only if
    PRESENCE_ANONYMOUS is "list".
    """

    def __init__(self, centrifugo: FakeCentrifugo, channel: str, client: Client) -> None:
        self._centrifugo = centrifugo
        self._client = client
        self.channel = channel
        self.member_id = client.member_id
        centrifugo.subscribe(channel, client)

    def close(self) -> None:
        """Close the connection, as a closed page does. The next tick misses it. May be repeated."""
        self._centrifugo.unsubscribe(self.channel, self._client.id)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Connection of {self.member_id!r} to {self.channel!r}>"
