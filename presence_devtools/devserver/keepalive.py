"""Timers that end a connection: no connect command, no pong, an expired token."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from .clock import Timers
from .codes import (
    CONNECTION_EXPIRED,
    EXPIRED,
    MALFORMED,
    NO_PONG,
    STALE,
    HangUpError,
    RefusedError,
)
from .wire import PING, ExpiryResult

if TYPE_CHECKING:
    from .session import Session


class KeepAlive:
    """Timers of one connection. The first one closes it unless `start` is called in time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._clock = session.node.clock
        self._options = session.node.config.client
        self._timers = Timers(self._clock)
        self._expire_at = 0.0
        self._owes_pong = False
        self._timers.set("stale", self._options.stale_close_delay, lambda: session.close(STALE))

    def start(self) -> None:
        """Begin to ping a connection that has sent `connect`, and to check its subscriptions."""
        self._timers.cancel("stale")
        # Spread, so that clients that connected at once are not pinged at once.
        spread = random.uniform(0.5, 1)  # noqa: S311
        self._timers.set("check", self._options.presence_update_interval * spread, self._check)
        if self._options.ping_interval > 0:
            self._timers.set("ping", self._options.ping_interval * spread, self._ping)

    def stop(self) -> None:
        self._timers.cancel_all()

    def expire_at(self, moment: float) -> ExpiryResult:
        """Close the connection some time after `moment` (0: never). Returns the client's reply.

        Refuses a moment in the past (110).
        """
        self._timers.cancel("expire")
        if not moment:
            return ExpiryResult()
        ttl = int(moment) - int(self._clock.now())
        if ttl < 0:
            raise RefusedError(EXPIRED)
        delay = ttl + self._options.expired_close_delay
        self._timers.set("expire", delay, lambda: self._session.close(CONNECTION_EXPIRED))
        return ExpiryResult(expires=True, ttl=ttl)

    def pong(self) -> None:
        """Take the answer to a ping. An answer without a ping ends the connection (3501)."""
        if not self._owes_pong:
            raise HangUpError(MALFORMED)
        self._owes_pong = False
        self._timers.cancel("pong")

    def _ping(self) -> None:
        self._owes_pong = True
        self._session.send(PING)
        if self._options.pong_timeout > 0:
            timeout = self._options.pong_timeout
            self._timers.set("pong", timeout, lambda: self._session.close(NO_PONG))
        self._timers.set("ping", self._options.ping_interval, self._ping)

    def _check(self) -> None:
        self._timers.set("check", self._options.presence_update_interval, self._check)
        self._session.subscriptions.check()
