"""Log lines that would repeat are admitted once in a while."""

from __future__ import annotations

from presence.transport.log_limit import LogLimit


def test_log_limit_admits_one_line_in_each_period() -> None:
    limit = LogLimit()
    admitted = [now for now in range(200) if limit.admits(float(now), every=60.0)]
    assert admitted == [0, 60, 120, 180]


def test_log_limit_that_is_held_admits_nothing_until_then() -> None:
    limit = LogLimit()
    limit.hold(100.0, seconds=60.0)
    assert not limit.admits(159.0, every=60.0)
    assert limit.admits(160.0, every=60.0)


def test_log_limit_whose_clock_is_set_back_admits_again() -> None:
    limit = LogLimit()
    assert limit.admits(7200.0, every=60.0)
    assert limit.admits(3600.0, every=60.0)
    assert not limit.admits(3630.0, every=60.0)
