"""Publishes messages from a background thread, only the newest of each channel and user.

An older cursor position has no use once there is a newer one. So nothing is sent twice, and a
message that cannot be sent is dropped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

import msgspec

from presence.exceptions import CentrifugoError
from presence.transport.log_limit import LogLimit
from presence.transport.log_lines import line_logger

logger = line_logger("presence.outbox")

PAUSE: Final = 0.01
"""Seconds between two batches, in which messages collect."""
REST: Final = 1.0
"""Seconds before the next batch if one could not be sent at all."""
BATCH: Final = 1000
"""Maximum number of messages in a batch."""
WAITING: Final = 10_000
"""Maximum number of messages that wait; beyond it, the oldest are dropped."""
HOLD: Final = 1.0
"""Seconds that a fork waits for the end of a batch."""
QUIET: Final = 60.0
"""Seconds between two log lines about messages that were not sent."""

Key = tuple[str, str]
"""Channel and user."""
Send = Callable[[Sequence[tuple[str, msgspec.Raw]]], Sequence[CentrifugoError | None]]
"""Function that publishes data on channels, in order, and returns an error or None for each. May
raise CentrifugoError."""


class Coalescer:
    """Takes messages without waiting, and sends them in batches from a background thread.

    `start` runs a function in the background; `clock` returns seconds.
    """

    def __init__(
        self,
        send: Send,
        *,
        pause: float = PAUSE,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._send = send
        self._pause = pause
        self._clock = clock
        self._start = start or _in_thread
        self.renew()

    def renew(self) -> None:
        """Start again without messages. A forked process needs this: it has no background thread,
        and a lock that the thread held would never be released."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._sending = threading.Lock()
        self._waiting: dict[Key, msgspec.Raw] = {}
        self._under_way = False
        self._hurry = False
        self._working = False
        self._holder = 0
        self._lost = 0
        self._log_limit = LogLimit()

    def hold(self) -> None:
        """Allow no batch under way while this thread forks, until `release` in the parent.

        Sending takes locks of libraries, which would never be released in the child. A batch that
        takes longer than HOLD waits for an answer, without such a lock.
        """
        if self._sending.acquire(timeout=HOLD):
            self._holder = threading.get_ident()

    def release(self) -> None:
        """Allow batches again after `hold`."""
        if self._holder == threading.get_ident():
            self._holder = 0
            self._sending.release()

    def put(self, key: Key, data: msgspec.Raw) -> None:
        """Publish `data` soon on a channel for a user, in place of an older message that waits.

        Never waits, never raises.
        """
        with self._lock:
            if key not in self._waiting and len(self._waiting) >= WAITING:
                del self._waiting[next(iter(self._waiting))]
                self._lost += 1
            if not self._waiting:
                self._changed.notify_all()
            self._waiting[key] = data
            idle, self._working = not self._working, True
        if not idle:
            return
        try:
            self._start(self._run)
        except Exception:
            with self._lock:
                self._working = False
            logger.exception("outbox=not-started")

    def send(self, messages: Mapping[Key, msgspec.Raw]) -> None:
        """Publish at once, in one batch, in place of messages that wait for the same keys.

        Raises CentrifugoError if not all messages were published.
        """
        with self._sending:
            with self._lock:
                for key in messages:
                    self._waiting.pop(key, None)
            answers = self._send([(key[0], data) for key, data in messages.items()])
        for error in filter(None, answers):
            raise error

    def flush(self, timeout: float) -> bool:
        """Wait until all messages are sent or dropped; return False after `timeout` seconds."""
        with self._lock:
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not (self._waiting or self._under_way), timeout)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._changed.wait_for(lambda: self._waiting)
            try:
                rest = self.step()
            except Exception:
                rest = REST
                # Logging itself may have failed; without this thread nothing is sent any more.
                with suppress(Exception):
                    logger.exception("outbox=broken")
            with self._lock:
                self._changed.wait_for(lambda: self._hurry, rest)

    def step(self) -> float:
        """Send a batch of waiting messages. Returns the seconds to wait before the next one."""
        with self._sending:
            with self._lock:
                batch = dict(islice(self._waiting.items(), BATCH))
                for key in batch:
                    del self._waiting[key]
                self._under_way = True
                self._hurry = self._hurry and bool(self._waiting)
            try:
                sent = not batch or self._deliver(batch)
            finally:
                with self._lock:
                    self._under_way = False
                    self._changed.notify_all()
        return self._pause if sent else REST

    def _deliver(self, batch: Mapping[Key, msgspec.Raw]) -> bool:
        """Return whether the request succeeded, even if some messages were refused."""
        try:
            answers = self._send([(key[0], data) for key, data in batch.items()])
            errors = [error for error in answers if error]
        except Exception as error:
            self._failed(len(batch), error)
            return False
        if errors:
            self._failed(len(errors), errors[0])
        return True

    def _failed(self, messages: int, error: Exception) -> None:
        with self._lock:
            self._lost += messages
            if not self._log_limit.admits(self._clock(), every=QUIET):
                return
            lost, self._lost = self._lost, 0
        unforeseen = error if not isinstance(error, CentrifugoError) else None
        logger.error("outbox=not-sent messages=%d error=%s", lost, error, exc_info=unforeseen)


def _in_thread(run: Callable[[], None]) -> None:
    # A daemon thread: a process that ends does not wait for a Centrifugo that does not answer.
    threading.Thread(target=run, name="presence-outbox", daemon=True).start()
