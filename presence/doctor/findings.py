"""Findings of the doctor, and their wording."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from presence.exceptions import CommandError, PresenceError

_NESTED = re.compile(r"\(.*(\[Errno -?\d+\] [\w ]+|timed out|timeout=[\d.]+).*\)")
"""The wrapping of libraries around the reason of a failed connection."""

Level = Literal["ok", "warning", "problem", "skipped"]


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. `remedy` is empty if there is nothing to fix."""

    id: str
    level: Level
    text: str
    remedy: str = ""


Findings = Iterator[Finding]


def ok(check: str, text: str) -> Finding:
    return Finding(check, "ok", text)


def warning(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, "warning", text, remedy)


def problem(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, "problem", text, remedy)


def skipped(check: str, reason: str, remedy: str = "") -> Finding:
    """Make the finding of a check that was left out; `reason` is a clause."""
    return Finding(check, "skipped", f"Not checked, because {reason}", remedy)


def explained(error: PresenceError) -> tuple[str, str]:
    """Split the message of an error into what is wrong and how to fix it."""
    if isinstance(error, CommandError):
        remedy = error.REMEDIES.get(error.code, "look into Centrifugo's log")
        return f"Centrifugo answered error {error.code} ({error.message})", _sentence(remedy)
    message = _NESTED.sub(r"(\1)", str(error))
    text, _, remedy = message.rpartition(": ")
    if not text or remedy.endswith(")"):  # the last colon is not the one before a remedy
        return message, "Look into the log of the server."
    return text, _sentence(remedy)


def duration(seconds: float) -> str:
    """Format seconds for people: "8 s", "5 minutes", "3 hours", "12 days"."""
    for size, unit in ((172800, 86400), (7200, 3600), (120, 60)):
        if seconds >= size:
            name = {86400: "days", 3600: "hours", 60: "minutes"}[unit]
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.3g} s"


def _sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}."
