"""Base class of the commands of this app."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from presence.conf import Range

INTERRUPTED = 130
PIPE_CLOSED = 141
"""Exit statuses: 128 and the number of the signal, SIGINT or SIGPIPE, as a shell has it."""


class Command(BaseCommand):
    """Ends quietly when interrupted, or when the reader of its output goes away, as `head` does."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command. Exits with INTERRUPTED at a Ctrl-C."""
        try:
            return super().execute(*args, **options)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as `manage.py` does. Exits with PIPE_CLOSED when output has no reader any more."""
        try:
            try:
                super().run_from_argv(argv)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            # Otherwise the interpreter would write the rest at its end, and print an error.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                os.dup2(nowhere, stream.fileno())
            sys.exit(PIPE_CLOSED)


def number(
    name: str, given: object, allowed: Range, *, whole: bool = False, kind: str = "number"
) -> float:
    """Return the option `name` as a number in its range. Raises CommandError."""
    try:
        value: float = (int if whole else float)(str(given))
    except ValueError:
        value = float("nan")
    if value not in allowed:
        what = f"{'whole ' if whole else ''}{kind}"
        raise CommandError(f"{name} {str(given)!r:.40} is not a {what} {allowed}")
    return value
