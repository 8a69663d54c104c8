"""The publish proxy: the request to the site before a publication, and what its answer means.

`site` sends the request.
"""

from __future__ import annotations

import msgspec

from .api_wire import Published
from .codes import INTERNAL, Disconnect, Error, HangUpError, RefusedError
from .config import ChannelOptions
from .node import Node
from .wire import NONE, ClientInfo, Publication, Raw, own


class Question(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The request to the site. Fields without a default are always written."""

    client: str
    transport: str
    protocol: str
    encoding: str
    user: str
    channel: str
    data: Raw = NONE
    meta: Raw = NONE


class Answer(msgspec.Struct):
    """The answer of the site. Without error and disconnect, the publication is allowed."""

    result: Published | None = None
    error: Error | None = None
    disconnect: Disconnect | None = None


class ProxiedPublish(msgspec.Struct, kw_only=True):
    """A client's publication that waits for the answer of the site.

    It holds the client's data of the moment it asked. If the client has disconnected before the
    answer comes, the message is published nevertheless, as Centrifugo does.
    """

    channel: str
    options: ChannelOptions
    data: Raw
    info: ClientInfo
    meta: Raw = NONE

    def question(self) -> bytes:
        """Return the body of the request to the site."""
        question = Question(
            client=self.info.client,
            transport="websocket",
            protocol="json",
            encoding="json",
            user=self.info.user,
            channel=self.channel,
            data=self.data,
            meta=self.meta,
        )
        return msgspec.json.encode(question)

    def conclude(self, node: Node, body: bytes | None) -> None:
        """Publish if the site allows it. `body` is its answer, None if there was none.

        Raises RefusedError with the site's error (100 for an answer that cannot be used),
        HangUpError with its disconnect.
        """
        answer = _decode(body)
        if answer.disconnect is not None:
            raise HangUpError(answer.disconnect)
        if answer.error is not None:
            raise RefusedError(answer.error)
        how = answer.result or Published()
        publication = Publication(
            data=own(how.data) or self.data, info=self.info, version=how.version
        )
        node.publish(
            self.channel,
            publication,
            None if how.skip_history else self.options,
            idempotency_key=how.idempotency_key,
            version_epoch=how.version_epoch,
        )


def _decode(body: bytes | None) -> Answer:
    try:
        return msgspec.json.decode(body or b"", type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(INTERNAL) from error
