"""Loggers whose messages are one line each, whatever names and errors they quote."""

from __future__ import annotations

import logging
import re

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def line_logger(name: str) -> logging.Logger:
    """Return the logger `name`. It escapes the control characters of a message, so that nobody can
    forge a line of the log with a name. Tracebacks keep their lines."""
    logger = logging.getLogger(name)
    logger.addFilter(_to_one_line)
    return logger


def _to_one_line(record: logging.LogRecord) -> bool:
    try:
        text = record.getMessage()
    except Exception:
        return True  # The handler reports it, as it does for any logger.
    if _BREAKS.search(text):
        record.msg, record.args = _BREAKS.sub(lambda found: ascii(found[0])[1:-1], text), None
    return True
