"""`manage.py presence_crowd`: fill a room with made-up people who move cursors."""

from __future__ import annotations

import asyncio
import shutil
import time
from functools import partial
from random import Random
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from presence.conf import Range, conf
from presence.exceptions import InvalidChannel
from presence.management import command
from presence.roster.channel_names import cursor_channel, validate_channel
from presence_devtools.crowd.people import Plan

MOST = 1000
"""People."""

SLOWEST = 0.05
"""Moves a second."""

SURFACE = "presence:whiteboard"
"""Default room of --cursors: few sites have a shared surface in PRESENCE_CHANNEL."""

DELIVERIES = 50_000
"""Limit of messages a second if all move at once, as each move goes to everybody. About a third
move at any time, which keeps one processor half busy (18,500 a second were measured with 50
people)."""

LONGEST = 7 * 24 * 3600.0
"""Seconds."""

LIVELY, QUIET = 0.5, 5.0
"""Seconds between two lines: on a terminal, where each replaces the last, and elsewhere."""


class Command(command.Command):
    """Runs until Ctrl-C or for --seconds; then everybody leaves."""

    help = (
        "Fill a room with made-up people: each has a websocket connection of their own to "
        "Centrifugo, with tokens signed by this site. With --cursors they move cursors there."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Define the options."""
        parser.add_argument("--users", default="50", metavar="N", help=f"1 to {MOST} (50)")
        parser.add_argument(
            "--channel",
            metavar="C",
            help=f"the room (PRESENCE_CHANNEL; with --cursors {SURFACE}, as in the demo)",
        )
        parser.add_argument(
            "--cursors", action="store_true", help="move cursors: on cursors:k in presence:k"
        )
        parser.add_argument(
            "--rate",
            metavar="R",
            help="moves a second of each while they move (1 / PRESENCE_CURSOR_INTERVAL, as in a "
            "page; fewer in a large crowd, as everybody's moves go to everybody)",
        )
        parser.add_argument("--seconds", metavar="S", help="leave after S seconds (at Ctrl-C)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the crowd. Exits with 1 if no connection succeeds."""
        try:
            from presence_devtools.crowd.gathering import gather
            from presence_devtools.crowd.guest import Refused
        except ImportError as error:
            raise CommandError(
                "presence_crowd needs centrifuge-python: "
                "pip install 'django-presence-centrifugo[crowd]'"
            ) from error
        users = int(command.number("--users", options["users"], Range(1, MOST), whole=True))
        plan = _plan(users, options)
        given = options["seconds"]
        seconds = given and command.number(
            "--seconds", given, Range(1, LONGEST), kind="number of seconds"
        )
        terminal = self.stdout.isatty()
        come = partial(
            gather,
            plan,
            users,
            seconds=seconds,
            every=LIVELY if terminal else QUIET,
            random=Random(),  # noqa: S311 (where a pointer goes)
            show=self._replace if terminal else self._print,
        )
        where = f"{plan.channel} and {plan.cursors}" if plan.cursors else plan.channel
        self._print(f"{users} people for {where}; Ctrl-C lets them go.")
        try:
            tally = asyncio.run(come())
        except Refused as error:
            raise CommandError(str(error)) from error
        if terminal:
            self._replace("")
        self._print(tally.summary(time.monotonic()))

    def _print(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _replace(self, line: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self.stdout.write(f"\r\033[K{line[:width]}", ending="")
        self.stdout.flush()


def _plan(users: int, options: dict[str, Any]) -> Plan:
    """Return the plan of the settings and options. Raises CommandError."""
    try:
        default = SURFACE if options["cursors"] else conf.PRESENCE_CHANNEL
        interval, timeout = conf.PRESENCE_CURSOR_INTERVAL, conf.PRESENCE_CURSOR_TIMEOUT
        channel = _channel(options["channel"] or default)
        if not (secret := conf.CENTRIFUGO_TOKEN_SECRET):
            raise CommandError(
                "CENTRIFUGO_TOKEN_SECRET is empty: "
                "set it to Centrifugo's client.token.hmac_secret_key."
            )
        rate = options["rate"]
        rate = rate and command.number("--rate", rate, Range(SLOWEST, 1 / interval))
        return Plan(
            url=conf.CENTRIFUGO_WS_URL,
            secret=secret,
            lifetime=conf.PRESENCE_TOKEN_LIFETIME,
            channel=channel,
            cursors=_cursors(channel) if options["cursors"] else "",
            interval=1 / rate if rate else max(interval, users**2 / DELIVERIES),
            keep_alive=min(0.45 * timeout, 4.5),
            tracked=conf.PRESENCE_CURSOR_TRACK,
        )
    except ImproperlyConfigured as error:
        raise CommandError(" ".join(str(error).split())) from error


def _channel(name: str) -> str:
    try:
        return validate_channel(name)
    except InvalidChannel as error:
        raise CommandError(f"--channel: {error}") from error


def _cursors(channel: str) -> str:
    namespace, _, key = channel.partition(":")
    if namespace != "presence" or not key:
        raise CommandError(
            f"--cursors: {channel!r} has no cursors, only rooms in 'presence:' have: "
            f"name one with --channel, such as {SURFACE}"
        )
    return cursor_channel(key)
