"""What looks log: a failure of each of them is one line in an interval."""

from __future__ import annotations

import logging
import threading

import pytest

from presence.exceptions import CentrifugoUnreachable, StoreError
from presence.sync.context import LOGGERS, threads
from presence.sync.statistics import Report
from tests.unit.fakes import ROOM, Site


def look(site: Site, times: int = 1) -> Report | None:
    report = None
    for _ in range(times):
        site.clock.advance(1.0)
        report = site.sync.look()
    return report


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_looks_of_an_outage_log_one_line_in_each_interval(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = Site()
    site.centrifugo.error = CentrifugoUnreachable("connection refused")
    report = look(site, 180)
    assert report is not None
    assert report.failures == ["connection refused"]
    assert warnings(caplog) == ["tick=failed error='connection refused'"] * 3


def test_looks_log_the_end_of_an_outage_once(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.centrifugo.error = CentrifugoUnreachable("connection refused")
    look(site, 5)
    site.centrifugo.error = None
    look(site, 5)
    assert warnings(caplog) == ["tick=failed error='connection refused'", "look=works-again"]


def test_look_that_has_no_turn_ends_no_outage(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site()

    def down(*_: object, **__: object) -> None:
        raise StoreError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(site.store, "begin_look", down)
        look(site)
    with monkeypatch.context() as patch:
        patch.setattr(site.store, "begin_look", lambda *_, **__: None)
        assert look(site) is None
    assert warnings(caplog) == ["tick=failed error='connection refused'"]


def test_looks_log_a_channel_with_an_unexpected_failure_once_an_interval(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("presence.sync.batch.make_commit", broken)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    look(site, 59)
    assert warnings(caplog) == [f"channel=failed name={ROOM}"]


def test_ticks_log_each_of_their_failures(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.centrifugo.error = CentrifugoUnreachable("connection refused")
    look(site)
    for _ in range(3):
        site.tick(1)
    assert warnings(caplog).count("tick=failed error='connection refused'") == 4


def test_looks_limit_no_information(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = Site()
    for user in range(5):
        site.centrifugo.enter(ROOM, f"c{user}", str(user), "Ada")
        look(site)
    done = [record for record in caplog.records if record.msg.startswith("look=done")]
    assert len(done) == 5


def test_looks_limit_what_their_threads_log(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    with site.sync.last_look.log.limited(now=0.0, every=60.0), threads(2) as pool:
        for _ in range(3):
            pool.submit(LOGGERS[0].warning, "channel=failed").result(10)
    assert warnings(caplog) == ["channel=failed"]


def test_look_that_a_thread_never_ends_limits_no_other_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = Site()
    entered, leave = threading.Event(), threading.Event()

    def look_for_ever() -> None:
        with site.sync.last_look.log.limited(now=0.0, every=60.0):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=look_for_ever)
    thread.start()
    try:
        assert entered.wait(10)
        for _ in range(3):
            LOGGERS[0].warning("channel=failed")
    finally:
        leave.set()
        thread.join()
    assert warnings(caplog) == ["channel=failed"] * 3
