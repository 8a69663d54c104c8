"""`manage.py presence_sync`: ticks without Celery."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from presence import services
from presence.conf import RANGES, conf
from presence.conf.hooks import like_a_request
from presence.exceptions import InvalidChannel
from presence.management import command
from presence.roster.channel_names import validate_channel
from presence.sync.statistics import Report


class Command(command.Command):
    """Polls Centrifugo, and commits and publishes the changes."""

    help = (
        "Run ticks without Celery: one (the default), or one every few seconds, with looks in "
        "between. A member who is gone counts as `held` in the first poll without them, and in "
        "`leaves` in the first poll PRESENCE_LEAVE_GRACE seconds later."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Define the options."""
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--once", action="store_true", help="run one tick (the default)")
        how.add_argument("--every", metavar="S", help="run a tick every S seconds")
        parser.add_argument(
            "--channel",
            action="append",
            metavar="C",
            help="sync this channel alone (may be given several times)",
        )
        parser.add_argument(
            "--watch",
            metavar="W",
            help="with --every: look every W seconds for channels to poll before the next tick "
            "(default: PRESENCE_WATCH; 0: no looks)",
        )
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object for each tick and look"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the ticks. Exits with 1 when anything failed."""
        show = self._print_json if options["json"] else self._print_line
        # The output of the command says what a tick does; its log would say it twice.
        with _silenced(logging.getLogger("presence.sync"), when=options["verbosity"] < 2):
            try:
                only = _channels(options["channel"])
                if options["watch"] is not None and (options["every"] is None or only):
                    raise CommandError("--watch needs --every, and cannot be used with --channel")
                if options["every"] is None:
                    failures = self._tick(only, show).failures
                else:
                    every = _seconds("--every", options["every"], "PRESENCE_INTERVAL")
                    failures = self._loop(only, every, _watch(options["watch"], only), show)
            except ImproperlyConfigured as error:
                raise CommandError(_one_line(str(error))) from error
        if failures:
            more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            raise CommandError(_one_line(f"{failures[0]}{more}"))

    def _tick(
        self, only: list[str] | None, show: Callable[[Report], None], every: float | None = None
    ) -> Report:
        terminal = sys.stderr.isatty()
        progress = _progress if terminal else None
        with like_a_request(alone=True):
            report = services.sync().tick(only, interval=every, progress=progress)
        if terminal:
            _show("\r\033[K")
        show(report)
        return report

    def _look(self, show: Callable[[Report], None]) -> Report | None:
        """Look, and show the report if anything was polled. Returns None as Sync.look does."""
        with like_a_request(alone=True):
            report = services.sync().look()
        if report and report.channels:
            show(report)
        return report

    def _loop(
        self, only: list[str] | None, every: float, watch: float, show: Callable[[Report], None]
    ) -> NoReturn:
        """Tick and look until interrupted; late ticks and looks are skipped, not made up for."""
        due, failures = time.monotonic(), _Failures()
        next_look = due + watch if watch else inf
        while True:
            time.sleep(max(0.0, min(due, next_look) - time.monotonic()))
            report: Report | None
            if tick := due <= next_look:
                report = self._tick(only, show, every)
                due = max(due + every, time.monotonic())
            else:
                report = self._look(show)
                next_look = max(next_look + watch, time.monotonic())
            if report and (line := failures.line(report, tick=tick)):
                self.stderr.write(_one_line(f"presence_sync: {line}"))

    def _print_json(self, report: Report) -> None:
        self.stdout.write(json.dumps(report.as_dict()))
        self.stdout.flush()

    def _print_line(self, report: Report) -> None:
        self.stdout.write(report.line())


class _Failures:
    """Failures to print: the beginning and the end of an outage, and others once a tick."""

    def __init__(self) -> None:
        self._outage = False
        self._printed = False

    def line(self, report: Report, *, tick: bool) -> str:
        """Return the line for a tick or a look; "" for none."""
        if tick:
            self._printed = False
        if report.outage != self._outage:
            self._outage = report.outage
            return report.failures[0] if report.outage else "works again"
        if report.outage or self._printed or not report.failures:
            return ""
        self._printed = True
        return report.failures[0]


def _progress(done: int, total: int) -> None:
    _show(f"\r{done} of {total} channels")


def _show(text: str) -> None:
    # Not through the command's own stderr, which would paint it as an error.
    sys.stderr.write(text)
    sys.stderr.flush()


@contextmanager
def _silenced(logger: logging.Logger, *, when: bool) -> Iterator[None]:
    level = logger.level
    if when:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _seconds(name: str, text: str, setting: str) -> float:
    return command.number(name, text, RANGES[setting], kind="number of seconds")


def _watch(text: str | None, only: list[str] | None) -> float:
    """Return the seconds between two looks; 0 for none, as with a choice of channels."""
    if text is not None:
        return _seconds("--watch", text, "PRESENCE_WATCH")
    return 0.0 if only else conf.PRESENCE_WATCH


def _channels(names: list[str] | None) -> list[str] | None:
    try:
        return None if names is None else list(dict.fromkeys(map(validate_channel, names)))
    except InvalidChannel as error:
        raise CommandError(f"--channel: {error}") from error
