"""Reports of ticks, and their form in JSON and in the log."""

from __future__ import annotations

import json
import logging

import pytest

from presence.exceptions import CentrifugoUnreachable
from presence.sync.statistics import Report
from tests.unit.fakes import Clock

FIELDS = [
    *("channels", "changed", "members", "joins", "leaves", "updates", "anonymous", "published"),
    *("held", "errors", "seconds"),
]


def test_report_as_dict_has_the_documented_fields() -> None:
    report = Report(channels=3, failures=["x"], again={"presence:a": 5.0}, refused=1)
    shown = json.loads(json.dumps(report.as_dict()))
    assert list(shown) == FIELDS
    assert shown["seconds"] == {"total": 0.0, "read": 0.0, "store": 0.0, "publish": 0.0}


def test_report_when_changed_leaves_other_reports_alone() -> None:
    Report().fail("x")
    Report().seconds.total = 3.0
    assert (Report().failures, Report().seconds.total) == ([], 0.0)


def test_report_line_is_key_value() -> None:
    line = Report(channels=2, errors=1).line()
    pairs = dict(pair.split("=") for pair in line.split(" "))
    assert (pairs["channels"], pairs["errors"], pairs["total_s"]) == ("2", "1", "0.0")


def test_report_of_failed_channel_counts_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    report = Report()
    with caplog.at_level(logging.ERROR, "presence.sync"):
        report.failed(
            CentrifugoUnreachable("no\nanswer"),
            "presence:a",
            "presence:b",
            "presence:c",
            "presence:d",
        )
    assert (report.errors, report.failures) == (4, ["presence:a,presence:b,presence:c: no\nanswer"])
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert "name=presence:a,presence:b,presence:c channels=4" in record.getMessage()


def test_report_of_many_failures_keeps_twenty_and_counts_all() -> None:
    report = Report()
    for n in range(50):
        report.fail(ValueError() if n == 0 else f"failure {n}")
    assert (report.errors, len(report.failures), report.failures[0]) == (50, 20, "ValueError")


def test_report_timed_block_that_fails_is_added() -> None:
    report, clock = Report(), Clock()
    with report.timed("read", clock):
        clock.advance(1.5)

    def work() -> None:
        with report.timed("read", clock):
            clock.advance(2.0)
            raise OSError("x")

    with pytest.raises(OSError, match="x"):
        work()
    assert (report.seconds.read, report.seconds.store) == (3.5, 0.0)
