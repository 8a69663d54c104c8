"""`manage.py presence_devserver`: a substitute for Centrifugo in development and tests."""

from __future__ import annotations

import asyncio
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from presence.management import command
from presence_devtools.devserver.config import ConfigError, load


class Command(command.Command):
    help = "Runs a Centrifugo-compatible server in one process: for development and tests only."
    # It uses nothing of the site, and starts in whatever state the site is.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--config",
            type=Path,
            default=Path("centrifugo.json"),
            help="Centrifugo's configuration file; CENTRIFUGO_* variables override it.",
        )

    def handle(self, *args: Any, config: Path, **options: Any) -> None:
        """Serve until a signal. Exits with 1 and one line if it cannot."""
        try:
            from presence_devtools.devserver.server import serve
        except ImportError as error:
            raise CommandError(
                "presence_devserver needs aiohttp: "
                "pip install 'django-presence-centrifugo[devserver]'"
            ) from error
        try:
            settings, warnings = load(config, os.environ)
        except ConfigError as error:
            raise CommandError(str(error)) from error
        self._say("for development and tests only: one process, everything in memory")
        for warning in warnings:
            self._say(f"warning: {warning}")
        try:
            asyncio.run(serve(settings, self._say))
        except (OSError, OverflowError) as error:  # of a port beyond 65535
            reason = getattr(error, "strerror", None) or error
            raise CommandError(f"cannot listen: {reason}") from error

    def _say(self, line: str) -> None:
        self.stderr.write(f"presence_devserver: {line}")
