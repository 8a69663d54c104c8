"""What everybody in the crowd does, and with which tokens."""

from __future__ import annotations

import time
from dataclasses import dataclass

from presence.centrifugo.tokens import Issuer
from presence_devtools.crowd.people import signed, user_id

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What everybody in the crowd does. Times are seconds.

    `cursors` is the channel to move on, "" for none. A pointer that rests shows that it is still
    there every `keep_alive`.
    """

    url: str
    secret: str
    lifetime: float
    channel: str
    cursors: str
    interval: float
    keep_alive: float
    tracked: bool

    def issuer(self, number: int) -> Issuer:
        """Makes the tokens of person `number`."""
        now = time.time()
        return Issuer(
            secret=self.secret,
            user_id=user_id(number),
            info=signed(number, now=now),
            now=now,
            lifetime=self.lifetime,
            tracked=self.tracked,
        )
