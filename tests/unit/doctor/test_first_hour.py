"""Findings of the doctor about clocks, origins, templates and beat's entries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from celery import Celery
from celery.schedules import crontab
from django.db import OperationalError
from django.test import override_settings

from presence.checks import schedule, site
from presence.checks.schedule import Entry
from presence.checks.values import check_names
from presence.doctor import celery, clocks, origins, templates, ticks, websocket
from presence.doctor.clocks import Clocks
from presence.doctor.findings import Findings, problem, warning
from presence.management.commands import presence_doctor
from presence.queues import celery as queue
from presence.queues.celery import TICK, WATCH
from presence.sync.statistics import Report, Statistics, Tick

HOUR = 3600.0
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def levels(findings: Findings) -> list[tuple[str, str]]:
    return [(finding.id, finding.level) for finding in findings]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Clocks({"Redis": 0.2, "Centrifugo": 0.0}), ["ok"]),
        (Clocks({"Redis": 4.0, "Centrifugo": -4.0}), ["ok"]),
        (Clocks({"Redis": HOUR, "Centrifugo": 0.0}), ["problem"]),
        (Clocks({"Redis": 0.0, "Centrifugo": -HOUR}), ["problem"]),
        (Clocks({"Redis": HOUR, "Centrifugo": HOUR}), ["problem"]),
        (Clocks({"Redis": None, "Centrifugo": 0.0}), ["ok", "skipped"]),
        (Clocks({"Redis": None, "Centrifugo": None}), ["skipped", "skipped"]),
        (Clocks({"Redis": 0.0, "Centrifugo": 0.0}, tick=-30.0), ["ok"]),
        (Clocks({"Redis": 0.0, "Centrifugo": 0.0}, tick=HOUR), ["problem"]),
    ],
)
def test_clocks_that_differ_are_one_finding(found: Clocks, expected: list[str]) -> None:
    assert [level for _, level in levels(clocks.judge(found))] == expected


def test_clocks_finding_names_the_machine_and_the_direction() -> None:
    (found,) = clocks.judge(Clocks({"Redis": 0.0, "Centrifugo": -HOUR}))
    assert "Centrifugo is 60 minutes behind this machine" in found.text
    assert "expired" in found.text


@pytest.mark.parametrize(
    ("redis", "worker", "watch", "expected"),
    [
        (0.0, 2.0, 1.0, ["warning"]),
        (-2.0, 0.0, 1.0, ["warning"]),
        (0.0, 0.9, 1.0, []),
        (0.0, -2.0, 1.0, []),
        (2.0, 2.0, 1.0, []),
        (0.0, 2.0, 2.5, []),
        (0.0, 2.0, 0.0, []),
    ],
)
def test_clock_of_a_worker_at_which_looks_expire_is_a_warning(
    redis: float, worker: float, watch: float, expected: list[str]
) -> None:
    agree, *found = clocks.judge(Clocks({"Redis": redis, "the worker": worker}), watch=watch)
    assert agree.level == "ok"
    assert [finding.level for finding in found] == expected
    assert all("PRESENCE_WATCH" in finding.text for finding in found)


def test_clocks_finding_blames_this_machine_where_the_others_agree() -> None:
    (found,) = clocks.judge(Clocks({"Redis": -HOUR, "Centrifugo": -HOUR + 1}))
    assert "this machine is 60 minutes ahead of Redis and Centrifugo" in found.text


@override_settings(PRESENCE_REDIS_URL="redis://127.0.0.1:1/0")
def test_clocks_measured_include_that_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    tick = Tick(id="t", started=50.0, finished=51.0, clock_ahead=HOUR, report=Report())
    known = Statistics(now=60.0, began=50.0, history=[tick], behind={})
    monkeypatch.setattr(clocks.statistics, "read", lambda _: known)
    monkeypatch.setattr(clocks, "_redis_ahead", lambda _: -1.0)
    monkeypatch.setattr(clocks, "centrifugo_ahead", lambda **_: 0.0)

    found = clocks.measure()

    assert found == Clocks({"Redis": -1.0, "the worker": HOUR - 1.0, "Centrifugo": 0.0}, tick=-10.0)
    (finding,) = clocks.judge(found)
    assert "the worker is 60 minutes ahead of this machine" in finding.text


@override_settings(PRESENCE_REDIS_URL="redis://127.0.0.1:1/0", PRESENCE_INTERVAL=60)
@pytest.mark.parametrize(("ahead", "finished"), [(None, 60.0), (HOUR, 60.0 - HOUR)])
def test_clocks_worker_is_not_blamed_where_that_of_redis_was_put_right_since(
    monkeypatch: pytest.MonkeyPatch, ahead: float | None, finished: float
) -> None:
    tick = Tick(id="t", started=finished, finished=finished, clock_ahead=ahead, report=Report())
    known = Statistics(now=60.0, began=finished, history=[tick], behind={})
    monkeypatch.setattr(clocks.statistics, "read", lambda _: known)
    monkeypatch.setattr(clocks, "_redis_ahead", lambda _: 0.0)
    monkeypatch.setattr(clocks, "centrifugo_ahead", lambda **_: 0.0)
    assert set(clocks.measure().ahead) == {"Redis", "Centrifugo"}


def test_token_is_not_called_ok_where_the_clocks_differ() -> None:
    assert levels(websocket.token(0, None, "", ahead=-HOUR)) == [("websocket.token", "skipped")]
    assert levels(websocket.token(0, None, "", ahead=1.0)) == [("websocket.token", "ok")]


def test_centrifugo_clock_is_read_from_the_date_of_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    date = "Thu, 01 Jan 2026 12:00:00 GMT"

    class Response:
        headers: ClassVar[dict[str, str | None]] = {"Date": date}

    monkeypatch.setattr(HTTPConnection, "request", lambda *_: None)
    monkeypatch.setattr(HTTPConnection, "getresponse", lambda _: Response())
    assert clocks.centrifugo_ahead(clock=lambda: NOW.timestamp() + 0.9) == 0.0
    assert clocks.centrifugo_ahead(clock=lambda: NOW.timestamp() - HOUR) == HOUR
    assert clocks.centrifugo_ahead(clock=lambda: NOW.timestamp() + HOUR + 1) == -HOUR
    Response.headers = {"Date": None}
    assert clocks.centrifugo_ahead() is None


def test_ticks_dated_in_the_future_are_not_called_fresh() -> None:
    began = Statistics(now=1000.0, began=1000.0 + HOUR, history=[], behind={})
    assert levels(ticks.judge(began, interval=60.0)) == [("ticks.fresh", "skipped")]


@override_settings(CSRF_TRUSTED_ORIGINS=["https://a.example.com", "https://*.example.org"])
def test_origins_that_the_settings_name_are_each_tried() -> None:
    tried: list[str] = []
    found = origins.examine(lambda origin: bool(tried.append(origin)))
    assert levels(found) == [("websocket.origin", "problem")]
    assert tried == ["https://a.example.com"]


@pytest.mark.parametrize(
    ("given", "allowed", "level"),
    [
        ({"ALLOWED_HOSTS": ["example.com"]}, "https://example.com", "ok"),
        ({"ALLOWED_HOSTS": [".example.com"]}, "https://www.example.com", "ok"),
        ({"ALLOWED_HOSTS": ["example.com"]}, "https://other.example.com", "problem"),
        ({"ALLOWED_HOSTS": ["localhost"]}, "http://localhost:8000", "ok"),
        ({"ALLOWED_HOSTS": [], "DEBUG": True}, "http://127.0.0.1:8000", "ok"),
        ({"ALLOWED_HOSTS": [], "DEBUG": True}, "", "problem"),
        ({"ALLOWED_HOSTS": ["*"]}, "http://localhost:8000", "skipped"),
        ({"ALLOWED_HOSTS": ["*"]}, "", "problem"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://*.example.com"]}, "", "problem"),
    ],
)
def test_origins_are_guessed_where_the_settings_name_none(
    given: dict[str, Any], allowed: str, level: str
) -> None:
    with override_settings(**{"CSRF_TRUSTED_ORIGINS": [], **given}):
        found = list(origins.examine(lambda origin: origin == allowed))
    assert [(finding.id, finding.level) for finding in found] == [("websocket.origin", level)]
    assert level == "problem" or allowed in found[0].text


ENGINE = "django.template.backends.django.DjangoTemplates"


def test_templates_that_no_engine_finds_are_a_problem() -> None:
    with override_settings(TEMPLATES=[{"BACKEND": ENGINE, "APP_DIRS": False}]):
        (found,) = templates.examine()
    assert found.level == "problem"
    assert "APP_DIRS" in found.remedy


def test_template_of_the_site_with_a_mistake_is_a_problem(tmp_path: Any) -> None:
    own = tmp_path / "presence" / "_member.html"
    own.parent.mkdir()
    own.write_text("{% if %}")
    engine = {"BACKEND": ENGINE, "APP_DIRS": True, "DIRS": [tmp_path]}
    with override_settings(TEMPLATES=[engine]):
        (found,) = templates.examine()
    assert found.level == "problem"
    assert "presence/_member.html" in found.text
    assert levels(templates.examine()) == [("templates.load", "ok")]


def row(**fields: Any) -> Any:
    given = {
        **{"last_run_at": NOW - timedelta(seconds=30), "start_time": None, "expires": None},
        **{"one_off": False, "total_run_count": 7, "crontab": None, "solar": None, "clocked": None},
        "interval": object(),
        **fields,
    }
    return SimpleNamespace(**given, schedule=given["crontab"])


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, ""),
        ({"last_run_at": None}, ""),
        ({"start_time": NOW - DAY, "expires": NOW + DAY}, ""),
        ({"interval": None, "crontab": crontab()}, ""),
        ({"expires": NOW - DAY}, "expired at 2025-12-31"),
        ({"expires": (NOW - DAY).replace(tzinfo=None)}, "expired"),
        ({"start_time": NOW + DAY}, "starts at 2026-01-02"),
        ({"one_off": True, "total_run_count": 1}, "has run"),
        ({"one_off": True, "total_run_count": 0}, "will run once"),
        ({"last_run_at": NOW + DAY}, "in the future"),
        ({"interval": None}, "no schedule"),
        ({"interval": None, "clocked": object(), "one_off": True}, "clocked"),
        ({"interval": None, "clocked": object()}, "clocked"),
    ],
)
def test_row_of_beat_that_is_never_due_says_why(fields: dict[str, Any], why: str) -> None:
    found = schedule._never(row(**{"total_run_count": 0} | fields), NOW)
    assert (why in found) if why else found == ""


@pytest.mark.parametrize(
    ("args", "kwargs", "amiss"),
    [("[]", "{}", False), (None, None, False), ([], {}, False), ("[1]", "{}", True)],
)
def test_entry_with_arguments_is_a_problem(args: Any, kwargs: Any, amiss: bool) -> None:
    assert bool(schedule._amiss(args, kwargs)) is amiss


ENTRY = {"update-presence": {"task": TICK, "schedule": 60.0}}


def app(**conf: Any) -> Celery:
    made = Celery("shop", set_as_current=False, fixups=[])
    made.conf.update(conf)
    return made


@override_settings(CELERY_BEAT_SCHEDULE=ENTRY)
@pytest.mark.parametrize("tables", [True, False])
def test_schedule_that_the_application_does_not_read_names_the_namespace(
    monkeypatch: pytest.MonkeyPatch, tables: bool
) -> None:
    monkeypatch.setattr(schedule, "database_installed", lambda: tables)
    monkeypatch.setattr(schedule, "in_database", lambda _: [])
    monkeypatch.setattr(queue, "_app", app())
    (found,) = celery.beat(app())
    assert found.level == "problem"
    assert 'namespace="CELERY"' in found.remedy
    messages = list(site.check_celery())
    # Where there are tables, they may hold the entry.
    assert [message.id for message in messages] == ([] if tables else ["presence.W010"])
    assert all('namespace="CELERY"' in str(message.hint) for message in messages)


@pytest.mark.parametrize(
    ("looks", "watch", "level", "says"),
    [
        ({"watch-presence": {"task": WATCH, "schedule": 1.0}}, 1.0, "ok", "sends looks"),
        ({"watch-presence": {"task": WATCH, "schedule": 5.0}}, 1.0, "warning", "every 5 s"),
        ({}, 1.0, "warning", "Joins show only with the ticks, within 60 s"),
        ({}, 0.0, "skipped", "PRESENCE_WATCH is 0"),
    ],
)
def test_beat_without_an_entry_for_looks_says_what_it_costs(
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    looks: dict[str, Any],
    watch: float,
    level: str,
    says: str,
) -> None:
    settings.PRESENCE_INTERVAL, settings.PRESENCE_WATCH = 60.0, watch
    settings.CELERY_BEAT_SCHEDULE = ENTRY | looks
    monkeypatch.setattr(schedule, "database_installed", lambda: False)
    made = app(beat_schedule=ENTRY | looks)
    monkeypatch.setattr(queue, "_app", made)
    tick, look = celery.beat(made)
    assert (tick.level, look.id, look.level) == ("ok", "looks.entry", level)
    assert says in look.text
    assert list(site.check_celery()) == []


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (None, "has not been started since"),
        ([Entry("w", 1.0, enabled=False)], "'w' of beat sends no look: it is disabled"),
        ([Entry("w", 1.0, never="it is one-off, and has run")], "no look: it is one-off"),
        ([Entry("w", 1.0, amiss="it has arguments")], "no look: it has arguments"),
        ([Entry("w", None)], "by a calendar"),
    ],
)
def test_entry_for_looks_that_sends_none_says_why(
    settings: Any, entries: list[Entry] | None, says: str
) -> None:
    settings.PRESENCE_WATCH = 1.0
    (found,) = celery.watch(entries)
    assert (found.id, found.level) == ("looks.entry", "warning")
    assert says in found.text


def test_entry_for_looks_beside_an_idle_one_is_ok(settings: Any) -> None:
    settings.PRESENCE_WATCH = 1.0
    assert levels(celery.watch([Entry("a", 1.0, enabled=False), Entry("b", 1.0)])) == [
        ("looks.entry", "ok")
    ]


def test_entry_for_looks_that_beat_is_yet_to_copy_is_noted(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.PRESENCE_INTERVAL, settings.PRESENCE_WATCH = 60.0, 1.0
    rows = {TICK: [Entry("update-presence", 60.0)], WATCH: []}
    monkeypatch.setattr(schedule, "database_installed", lambda: True)
    monkeypatch.setattr(schedule, "in_database", rows.__getitem__)
    made = app(
        beat_schedule=ENTRY | {"watch-presence": {"task": WATCH, "schedule": 1.0}},
        beat_scheduler="django_celery_beat.schedulers:DatabaseScheduler",
    )
    assert levels(celery.beat(made)) == [("beat.entry", "ok"), ("looks.entry", "warning")]


@override_settings(CELERY_BEAT_SCHEDULE=ENTRY)
def test_beat_entry_without_tables_names_the_namespace_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> list[Entry]:
        raise OperationalError("no such table")

    monkeypatch.setattr(schedule, "database_installed", lambda: True)
    monkeypatch.setattr(schedule, "in_database", absent)
    unmigrated, unread = celery.beat(app())
    assert "migrate" in unmigrated.remedy
    assert 'namespace="CELERY"' in unread.remedy
    (unmigrated,) = celery.beat(app(beat_schedule=ENTRY))
    assert "migrate" in unmigrated.remedy


@override_settings(CELERY_BROKER_URL="redis://127.0.0.1:6379/1")
@pytest.mark.parametrize("answers", [None, OSError("Connection refused")])
@pytest.mark.parametrize(
    ("conf", "remedy"),
    [({}, 'namespace="CELERY"'), ({"broker_url": "redis://127.0.0.1:6379/1"}, "CELERY_BROKER_URL")],
)
def test_worker_with_a_broker_url_that_is_not_read_names_the_namespace(
    monkeypatch: pytest.MonkeyPatch, answers: OSError | None, conf: dict[str, str], remedy: str
) -> None:
    def ask(*_: Any, **__: Any) -> None:
        if answers:
            raise answers

    monkeypatch.setattr(celery, "_tasks", ask)
    (found,) = celery.worker(app(**conf))
    assert found.level == "problem"
    assert remedy in found.remedy


def test_ticks_that_never_ran_tell_whether_beat_or_worker_is_missing() -> None:
    never = Statistics(now=1000.0, began=None, history=[], behind={})
    (found,) = ticks.judge(never, interval=90.0)
    assert "worker.answers" in found.remedy
    assert "90 s after the start" in found.remedy


def test_doctor_count_of_one_is_singular() -> None:
    findings = [problem("a", "", ""), warning("b", "", ""), warning("c", "", "")]
    assert presence_doctor._count(findings) == "1 problem, 2 warnings, 0 ok"


@override_settings(PRESENCE_INTERVAL=60, PRESENCE_WATCH=1)
def test_entry_that_beat_copied_into_its_table_is_one_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedule, "database_installed", lambda: True)
    rows = {TICK: [Entry("update-presence", 60.0)], WATCH: [Entry("watch-presence", 1.0)]}
    monkeypatch.setattr(schedule, "in_database", rows.__getitem__)
    assert levels(celery.beat(app(beat_schedule=ENTRY))) == [
        ("beat.entry", "ok"),
        ("looks.entry", "ok"),
    ]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("PRESENCE_INTERVALL", "PRESENCE_INTERVAL"),
        ("PRESENSE_TIMEOUT", "PRESENCE_TIMEOUT"),
        ("CENTRIFUGO_TIMEOUTS", "CENTRIFUGO_TIMEOUT"),
        ("CENTRIFUGE_TIMEOUT", "CENTRIFUGO_TIMEOUT"),
    ],
)
def test_name_near_to_one_of_ours_is_suggested(name: str, near: str) -> None:
    with override_settings(**{name: 60}):
        (found,) = check_names()
    assert found.hint == f"Did you mean {near}?"


@pytest.mark.parametrize("name", ["CENTRIFUGO_REGION", "CENTRIFUGO_API_KEY_OLD", "REDIS_URL"])
def test_name_of_the_sites_own_is_left_alone(name: str) -> None:
    with override_settings(**{name: "x"}):
        assert list(check_names()) == []
