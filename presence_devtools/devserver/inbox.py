"""Incoming frames of a connection, whose commands are executed one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from .codes import MALFORMED, HangUpError, RefusedError
from .proxy import ProxiedPublish
from .wire import EmptyResult as Done
from .wire import Reply, decode_command, encode

if TYPE_CHECKING:
    from .session import Session


class Inbox:
    """Queue of commands. They wait while the site is asked, so that moves stay in order."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lines: deque[bytes] = deque()
        self._refused = False
        self._asking: tuple[int, ProxiedPublish] | None = None

    @property
    def question(self) -> bytes | None:
        """Body of the request to the site, if one is pending; `answer` continues after it."""
        return self._asking[1].question() if self._asking is not None else None

    def receive(self, frame: bytes) -> bool:
        """Execute the commands of one frame. Returns False if no more frames are to be read."""
        self._lines.extend(frame.removesuffix(b"\n").split(b"\n"))
        return self._go_on()

    def answer(self, body: bytes | None) -> bool:
        """Continue with the site's answer (None: there was none). Returns as `receive` does."""
        assert self._asking is not None, "nothing was asked"
        (command_id, publish), self._asking = self._asking, None

        def conclude() -> None:
            publish.conclude(self._session.node, body)
            self._session.send(encode(Reply(id=command_id, publish=Done())))

        self._carry_out(command_id, conclude)
        return self._go_on()

    def _go_on(self) -> bool:
        while self._lines and self._asking is None and not self._over:
            self._take(self._lines.popleft())
        return not self._over

    @property
    def _over(self) -> bool:
        return self._refused or self._session.closed

    def _take(self, line: bytes) -> None:
        try:
            command = decode_command(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._session.close(MALFORMED)
            return

        def run() -> None:
            if (publish := self._session.run(command)) is not None:
                self._asking = command.id, publish

        done = self._carry_out(command.id, run)
        self._refused = not done and command.connect is not None

    def _carry_out(self, command_id: int, step: Callable[[], None]) -> bool:
        """Run `step`, and send the error or close the connection if it is refused.

        Returns False if an error was sent."""
        try:
            step()
        except RefusedError as error:
            self._session.send(encode(Reply(id=command_id, error=error.error)))
            return False
        except HangUpError as error:
            self._session.close(error.disconnect)
        return True
