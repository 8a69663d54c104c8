"""Messages of the log are one line each."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from presence.transport.log_lines import line_logger
from presence_devtools.servers import ROOT

BREAKS = ["\n", "\r", "\x0b", "\x0c", "\x1b[2K", "\x85", "\u2028", "\u2029", "\x00"]


@pytest.mark.parametrize("text", BREAKS)
def test_line_logger_with_a_control_character_writes_one_line(
    caplog: pytest.LogCaptureFixture, text: str
) -> None:
    logger = line_logger("presence.test_log_lines")
    logger.error("hook=failed name=%s error=%s", f"Eve{text}tick=done", ValueError(f"a{text}b"))
    (record,) = caplog.records
    message = record.getMessage()
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert message.startswith("hook=failed name=Eve\\")


def test_line_logger_with_plain_text_leaves_the_record_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line_logger("presence.test_log_lines").error("user=%s", "Zoë")
    (record,) = caplog.records
    assert (record.msg, record.args) == ("user=%s", ("Zoë",))


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def test_line_logger_with_an_argument_that_cannot_be_written_leaves_it_to_the_handler() -> None:
    logger = line_logger("presence.test_log_lines")
    place = (logger.name, logging.ERROR, __file__, 1)
    assert logger.filter(logging.LogRecord(*place, "error=%s", (Mute(),), None))


def test_every_logger_of_the_app_writes_one_line() -> None:
    """All modules are imported in a process of its own: other tests make loggers, too."""
    program = """
import importlib, logging, pkgutil, django
django.setup()
import presence
skipped = "presence.management presence.pytest_plugin presence.testing presence.tasks.huey".split()
for module in pkgutil.walk_packages(presence.__path__, "presence."):
    if not module.name.startswith(tuple(skipped)):
        importlib.import_module(module.name)
names = [n for n in logging.root.manager.loggerDict if n.startswith("presence.")]
loggers = [logging.getLogger(name) for name in names]
print(*sorted(logger.name for logger in loggers if not logger.filters))
"""
    environment = {"DJANGO_SETTINGS_MODULE": "project.settings", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    # What the doctor logs is the traceback of an error of its own, at the level debug.
    assert done.stdout.split() == ["presence.doctor"]


def test_loggers_are_those_of_the_standard_library() -> None:
    assert line_logger("presence.sync") is logging.getLogger("presence.sync")
