"""Common parts of the commands: a closed pipe, and numbers in a range."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command, load_command_class

from presence.conf import RANGES, Range
from presence.management.command import CommandError, number

ROOT = Path(__file__).parents[3]
COMMANDS = [
    ["presence_doctor", "--json"],
    ["presence_doctor", "--help"],
    ["presence_sync", "--help"],
    ["presence_crowd", "--help"],
    ["presence_devserver", "--help"],
]
NOWHERE = {
    "PRESENCE_REDIS_URL": "redis://127.0.0.1:1/0",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/1",
    "CENTRIFUGO_API_URL": "http://127.0.0.1:1/api",
    "CENTRIFUGO_WS_URL": "ws://127.0.0.1:1/connection/websocket",
}


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_command_ends_quietly_when_its_reader_has_gone(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        ended = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, **NOWHERE},
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    # argparse lets a help text that nobody reads go, and ends with 0.
    assert b"Broken" not in ended.stderr
    assert b"Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) <= 1
    assert ended.returncode in (0, 141)


@pytest.mark.parametrize(
    "name", ["presence_doctor", "presence_sync", "presence_crowd", "presence_devserver"]
)
def test_command_that_is_interrupted_ends_with_130(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    command = load_command_class("presence", name)
    monkeypatch.setattr(command, "handle", interrupt)
    with pytest.raises(SystemExit, match="130"):
        call_command(command)


@pytest.mark.parametrize("given", ["1e300", "1e-9", "nan", "inf", "-1", "", "five", "9" * 5000])
def test_number_out_of_its_range_is_refused(given: str) -> None:
    with pytest.raises(CommandError, match=r"--every .* is not a number from 0.05 to 86400$"):
        number("--every", given, RANGES["PRESENCE_INTERVAL"])


def test_number_that_must_be_whole_is_refused_with_a_fraction() -> None:
    with pytest.raises(CommandError, match="whole number from 1 to 9"):
        number("--users", "2.5", Range(1, 9), whole=True)
    assert number("--users", "9", Range(1, 9), whole=True) == 9
