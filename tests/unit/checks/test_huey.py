"""Mistakes of a site that runs its ticks in Huey: the checks, and the doctor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as site
from django.core import checks
from huey import MemoryHuey, RedisHuey
from huey.api import Huey

import presence.tasks
from presence import queues
from presence.doctor import celery, huey, ticks
from presence.queues import celery as queues_celery
from presence.sync.statistics import Statistics
from presence.tasks.huey import Tasks
from tests.unit.checks.test_site import found, only
from tests.unit.doctor.test_conclusions import levels

APPS = [app for app in site.INSTALLED_APPS if app != "django_celery_beat"]
HUEY = {"name": "shop", "url": "redis://127.0.0.1:6379/0", "immediate": False}
SITE: dict[str, Any] = {
    "ASYNC_BACKEND": "huey",
    "INSTALLED_APPS": [*APPS, queues.HUEY_APP],
    "HUEY": HUEY,
}


@pytest.fixture(autouse=True)
def site_s(monkeypatch: pytest.MonkeyPatch) -> Huey:
    """The Huey that djhuey made once for the process: override_settings does not change it."""
    made = RedisHuey("shop")
    monkeypatch.setattr("huey.contrib.djhuey.HUEY", made)
    return made


# Checks


def test_checks_of_a_good_site_with_huey_find_nothing() -> None:
    assert found(**SITE) == {}


def test_w020_is_for_huey_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "huey_installed", lambda: False)
    message = only("presence.W020", **{**SITE, "INSTALLED_APPS": APPS})
    assert "django-presence-centrifugo[huey]" in str(message.hint)


def test_w021_is_for_a_missing_app_of_huey() -> None:
    message = only("presence.W021", **{**SITE, "INSTALLED_APPS": APPS})
    assert queues.HUEY_APP in str(message.hint)


def test_w022_is_for_an_unset_huey() -> None:
    assert "immediate" in str(only("presence.W022", **{**SITE, "HUEY": None}).hint)


def test_w023_is_for_immediate_mode(site_s: Huey) -> None:
    site_s.immediate = True
    assert '"immediate": False' in str(only("presence.W023", **SITE).hint)


def test_w023_is_for_a_queue_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huey.contrib.djhuey.HUEY", MemoryHuey("shop"))
    assert "huey.RedisExpireHuey" in str(only("presence.W023", **SITE).hint)


@pytest.mark.parametrize(
    ("interval", "consumer", "warns"),
    [
        (0.5, {}, True),
        (1.0, {}, False),
        (5.0, {"scheduler_interval": 10}, True),
        (10.0, {"scheduler_interval": 10, "workers": 2}, False),
    ],
)
def test_w024_is_for_an_interval_shorter_than_the_scheduler_s(
    interval: float, consumer: dict[str, int], warns: bool
) -> None:
    changes = {"PRESENCE_INTERVAL": interval, "HUEY": HUEY | {"consumer": consumer}}
    messages = found(**{**SITE, **changes})
    assert list(messages) == (["presence.W024"] if warns else [])


def test_w024_is_for_a_huey_that_is_not_a_dict_too() -> None:
    only("presence.W024", **{**SITE, "HUEY": MemoryHuey("shop"), "PRESENCE_INTERVAL": 0.5})


def test_w006_is_for_memory_with_a_consumer() -> None:
    assert "redis" in str(only("presence.W006", **SITE, PRESENCE_BACKEND="memory").hint)


def test_checks_of_a_site_with_huey_never_look_at_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    def imported() -> None:
        raise AssertionError("Celery is not to be looked at")

    monkeypatch.setattr(queues, "celery_installed", imported)
    assert found(**SITE) == {}


@pytest.mark.parametrize("backend", ["rq", 3])
def test_unknown_queue_is_an_error_of_the_checks_alone(backend: object, settings: Any) -> None:
    """Only the check reports it: the site starts and serves pages."""
    assert isinstance(only("presence.E001", ASYNC_BACKEND=backend), checks.Error)
    settings.ASYNC_BACKEND = backend
    assert queues.chosen() == ""
    assert queues_celery.project_app() is None


# The doctor


@pytest.fixture
def examined(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the settings of a good site, whose doctor does not wait long."""
    monkeypatch.setattr(huey, "PATIENCE", 0.2)
    for name, value in SITE.items():
        setattr(settings, name, value)
    return settings


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Huey:
    """Return the site's Huey with our tasks, without a consumer."""
    made = MemoryHuey("shop")
    monkeypatch.setattr("huey.contrib.djhuey.HUEY", made)
    monkeypatch.setattr(presence.tasks, "answer", Tasks(made).answer)
    return made


@pytest.fixture
def consumer(queue: Huey) -> Iterator[None]:
    """Run a consumer."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.01):
            if task := queue.dequeue():
                queue.execute(task)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    ended.set()
    thread.join()


def test_doctor_of_a_site_with_celery_skips_huey() -> None:
    assert levels(huey.examine()) == {}


def test_doctor_of_a_site_with_huey_skips_celery(examined: Any) -> None:
    assert levels(celery.examine()) == {}


def test_doctor_without_huey_finds_a_problem(
    examined: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "huey_installed", lambda: False)
    assert levels(huey.examine()) == {"huey.app": "problem"}


def test_doctor_without_the_app_of_huey_finds_a_problem(examined: Any) -> None:
    examined.INSTALLED_APPS = APPS
    assert levels(huey.examine()) == {"huey.app": "problem"}


def test_doctor_in_immediate_mode_finds_a_problem(examined: Any, site_s: Huey) -> None:
    site_s.immediate = True
    (finding,) = huey.examine()
    assert (finding.level, finding.id) == ("problem", "huey.app")
    assert '"immediate": False' in finding.remedy


def test_doctor_in_silenced_immediate_mode_skips_the_consumer(examined: Any, site_s: Huey) -> None:
    site_s.immediate = True
    examined.SILENCED_SYSTEM_CHECKS = ["presence.W023"]
    assert levels(huey.examine()) == {"huey.consumer": "skipped"}


def test_doctor_with_a_consumer_reports_ok(
    examined: Any, queue: Huey, consumer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huey, "PATIENCE", 30.0)
    assert levels(huey.examine()) == {"huey.app": "ok", "huey.consumer": "ok"}
    assert queue.all_results() == {}


def test_doctor_without_a_consumer_finds_a_problem(examined: Any, queue: Huey) -> None:
    first, second = huey.examine()
    assert (first.level, second.id, second.level) == ("ok", "huey.consumer", "problem")
    assert "wait: 1" in second.text
    assert "run_huey" in second.remedy


def test_doctor_with_a_storage_that_is_down_finds_a_problem(
    examined: Any, queue: Huey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise OSError("no such file")

    monkeypatch.setattr(queue.storage, "enqueue", down)
    _, finding = huey.examine()
    assert (finding.id, finding.level) == ("huey.storage", "problem")
    assert "no such file" in finding.text


@pytest.mark.parametrize("began", [None, 0.0])
def test_doctor_without_ticks_names_the_consumer(began: float | None) -> None:
    statistics = Statistics(now=1000.0, began=began, history=[], behind={})
    (finding,) = ticks.judge(statistics, interval=60.0, queue="huey")
    assert finding.level == "problem"
    assert "run_huey" in finding.remedy
    assert "celery" not in f"{finding.text} {finding.remedy}"
