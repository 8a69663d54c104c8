"""`manage.py presence_sync`: ticks without Celery."""

from __future__ import annotations

import json
import logging
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from presence import assembly
from presence.conf import conf
from presence.exceptions import InvalidChannel
from presence.naming import validate_channel
from presence.report import Report

__all__ = ["Command"]


class Command(BaseCommand):
    """Asks Centrifugo who is here, commits and publishes what changed."""

    help = "Run ticks without Celery: one (the default), or one every few seconds."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Define the options."""
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--once", action="store_true", help="run one tick (the default)")
        how.add_argument("--every", type=_seconds, metavar="S", help="run a tick every S seconds")
        parser.add_argument(
            "--channel",
            action="append",
            type=_channel,
            metavar="C",
            help="sync this channel alone (may be given several times)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object a tick")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the ticks. Exits with 1 when anything failed."""
        if options["verbosity"] < 2:
            # The output of the command says it all; the log would say it twice.
            logging.getLogger("presence").setLevel(logging.CRITICAL + 1)
        show = self._print_json if options["json"] else self._print_line
        only = options["channel"]
        try:
            if options["every"] is None:
                failures = self._tick(only, show).failures
            else:
                failures = self._loop(only, options["every"], show)
        except KeyboardInterrupt:
            sys.exit(130)
        if failures:
            more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            raise CommandError(f"{failures[0]}{more}".replace("\n", " "))

    def _tick(self, only: list[str] | None, show: Callable[[Report], None]) -> Report:
        terminal = sys.stderr.isatty()
        report = assembly.sync().tick(only, progress=self._progress if terminal else None)
        if terminal:
            self.stderr.write("\r\033[K", ending="")
        show(report)
        return report

    def _loop(
        self, only: list[str] | None, every: float, show: Callable[[Report], None]
    ) -> list[str]:
        """Tick until interrupted; late ticks are skipped, not made up for."""
        due = time.monotonic()
        while True:
            report = self._tick(only, show)
            for failure in report.failures[:1]:
                self.stderr.write(f"presence_sync: {failure}".replace("\n", " "))
            due = max(due + every, time.monotonic())
            self._wait(due, report.leaving, show)

    def _wait(self, due: float, leaving: list[str], show: Callable[[Report], None]) -> None:
        """Sleep until `due`; poll those whom somebody is leaving when the grace has passed."""
        grace = conf.PRESENCE_LEAVE_GRACE
        if leaving and time.monotonic() + grace < due:
            time.sleep(grace)
            self._tick(leaving, show)
        time.sleep(max(0.0, due - time.monotonic()))

    def _print_json(self, report: Report) -> None:
        self.stdout.write(json.dumps(report.as_dict()))
        self.stdout.flush()

    def _print_line(self, report: Report) -> None:
        self.stdout.write(report.line())

    def _progress(self, done: int, total: int) -> None:
        self.stderr.write(f"\r{done} of {total} channels", ending="")
        self.stderr.flush()


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def _channel(text: str) -> str:
    try:
        return validate_channel(text)
    except InvalidChannel as error:
        raise ArgumentTypeError(str(error)) from error
