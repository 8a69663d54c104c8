"""The log of looks: what fails in each of them is logged once an interval, as by ticks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from presence.sync.statistics import Report
from presence.transport.log_limit import LogLimit

logger = logging.getLogger("presence.sync")
LOGGERS = (logger, logging.getLogger("presence.redis"))


_limit: ContextVar[LookLog | None] = ContextVar("presence.look", default=None)
"""The log of the look that this thread is in."""


class LookLog:
    """Admits one warning or error of each kind in an interval, during a look.

    The kind is the message without its arguments. Nothing is lost: the next tick polls the same
    channels, and logs each of them.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._every = 0.0
        self._limits: dict[str, LogLimit] = {}
        self._outage = False

    def admits(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        if record.levelno < logging.WARNING:
            return True
        limit = self._limits.setdefault(record.msg, LogLimit())
        return limit.admits(self._now, every=self._every)

    @contextmanager
    def limited(self, *, now: float, every: float) -> Iterator[None]:
        """Limit what this thread logs in the block to one line of each kind in `every` seconds."""
        self._now, self._every = now, every
        before = _limit.set(self)
        try:
            yield
        finally:
            _limit.reset(before)

    def note(self, report: Report) -> None:
        """Log the first look that works after those that failed as a whole."""
        if self._outage and not report.outage:
            logger.warning("look=works-again")
        self._outage = report.outage


def _admits(record: logging.LogRecord) -> bool:
    log = _limit.get()
    return log is None or log.admits(record)


for _logger in LOGGERS:
    _logger.addFilter(_admits)
