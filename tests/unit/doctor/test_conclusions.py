"""Conclusions of the doctor from given answers; tests/integration/ has the examination itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.test import override_settings

from presence.centrifugo.gateway import Reply
from presence.checks.schedule import Entry
from presence.conf import masked
from presence.doctor import (
    celery,
    centrifugo,
    cursors,
    examination,
    invisible,
    redis,
    ticks,
    websocket,
)
from presence.doctor.findings import Finding, Findings, duration, explained, ok
from presence.exceptions import CentrifugoAnswerError, CentrifugoRefused, CommandError
from presence.sync.statistics import Report, Statistics, Tick


def levels(findings: Findings) -> dict[str, str]:
    return {finding.id: finding.level for finding in findings}


NOW = 1_000_000.0


def tick(started: float = NOW - 30, **fields: Any) -> Tick:
    report = Report(**{name: fields.pop(name) for name in ("errors", "failures") if name in fields})
    return Tick(id="t", started=started, finished=started + 1, report=report, **fields)


def ticked(*history: Tick, **fields: Any) -> Statistics:
    began = history[0].started if history else None
    shown = {"now": NOW, "began": began, "behind": {}, "history": list(history)}
    return Statistics(**(shown | fields))


TWICE = [tick(overlapping=n % 2 == 0) for n in range(10)]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (ticked(), {"ticks.fresh": "problem"}),
        (ticked(tick()), {"ticks.fresh": "ok"}),
        (ticked(tick(NOW - 300)), {"ticks.fresh": "problem"}),
        (ticked(tick(NOW - 120), began=NOW - 60), {"ticks.fresh": "ok"}),
        (ticked(tick(), behind={"a": NOW - 60}), {"ticks.fresh": "ok"}),
        (
            ticked(tick(), behind={"a": NOW - 300}),
            {"ticks.fresh": "ok", "ticks.complete": "warning"},
        ),
        (ticked(tick(errors=2, failures=["x"])), {"ticks.fresh": "ok", "ticks.errors": "warning"}),
        (ticked(tick(), tick(errors=2)), {"ticks.fresh": "ok"}),
        (ticked(tick(), tick(missing=1)), {"ticks.fresh": "ok", "ticks.shards": "warning"}),
        (ticked(*[tick()] * 10, tick(missing=1)), {"ticks.fresh": "ok"}),
        (ticked(*TWICE), {"ticks.fresh": "ok", "ticks.twice": "warning"}),
        (ticked(tick(), tick(overlapping=True)), {"ticks.fresh": "ok"}),
    ],
)
def test_ticks_check_judges_the_statistics(found: Statistics, expected: dict[str, str]) -> None:
    assert levels(ticks.judge(found, interval=60.0)) == expected


def test_ticks_check_tells_the_age_of_the_last_tick() -> None:
    (found,) = ticks.judge(ticked(tick(NOW - 300)), interval=60.0)
    assert found.text == (
        "The last tick was 5 minutes ago, and PRESENCE_INTERVAL is 60 s: beat or worker stopped?"
    )


@override_settings(PRESENCE_INTERVAL=60)
@pytest.mark.parametrize(
    ("looked", "every", "level", "says"),
    [
        (NOW - 0.4, 1.0, "ok", "0.4 s ago"),
        (NOW - 46, 1.0, "ok", "46 s ago"),
        (NOW - 48, 1.0, "warning", "within 60 s"),
        (NOW - 150, 60.0, "ok", "2 minutes ago"),
        (NOW - 7200, 1.0, "warning", "The last look was 2 hours ago, and PRESENCE_WATCH is 1 s"),
        (None, 1.0, "warning", "There has been no look yet"),
    ],
)
@pytest.mark.parametrize("queue", ["celery", "huey"])
def test_looks_check_judges_the_age_of_the_last_look(
    looked: float | None, every: float, level: str, says: str, queue: str
) -> None:
    (found,) = ticks.looks(ticked(looked=looked), every=every, queue=queue)
    assert (found.id, found.level) == ("looks.fresh", level)
    assert says in found.text
    assert bool(found.remedy) is (level == "warning")


def test_looks_check_without_watch_says_nothing() -> None:
    assert list(ticks.looks(ticked(), every=0.0)) == []


@override_settings(PRESENCE_BACKEND="memory")
def test_store_checks_with_memory_backend_are_skipped() -> None:
    assert levels(ticks.examine()) == {"ticks.fresh": "skipped"}
    assert levels(redis.examine()) == {"redis.reachable": "skipped"}


@pytest.mark.parametrize(
    ("patterns", "known", "unknown"),
    [
        (["presence:*"], ["presence"], []),
        (["{presence,chat}:*", "chat:room"], ["chat", "presence"], []),
        (["{a,b{c,d}}:x?"], ["a", "bc", "bd"], []),
        (["lobby"], [""], []),
        (["*", "p[ab]:*", "presence:*"], ["presence"], ["*", "p[ab]:*"]),
    ],
)
def test_namespaces_of_patterns_are_found(
    patterns: list[str], known: list[str], unknown: list[str]
) -> None:
    assert centrifugo.namespaces(patterns) == (known, unknown)


def test_feeds_of_namespaces_are_one_for_each_feed_namespace() -> None:
    assert centrifugo.feeds_of(["", "chat", "presence"]) == [
        "roster:chat:presence-doctor",
        "presence:presence-doctor",
    ]


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize(
    ("reply", "level"),
    [
        (msgspec.Raw(b'{"presence":{}}'), "ok"),
        (CommandError(108, "not available"), "warning"),
        (CommandError(100, "internal error"), "problem"),
        (CentrifugoAnswerError("not JSON: see its log"), "problem"),
    ],
)
def test_cursors_check_judges_the_namespace(reply: Reply, level: str, tracked: bool) -> None:
    assert levels(cursors.judge(reply, tracked=tracked)) == {"cursors.namespace": level}


@pytest.mark.parametrize(("tracked", "level"), [(False, "skipped"), (True, "problem")])
def test_cursors_check_without_namespace_depends_on_cursor_track(tracked: bool, level: str) -> None:
    unknown = CommandError(102, "unknown channel")
    assert levels(cursors.judge(unknown, tracked=tracked)) == {"cursors.namespace": level}


@pytest.mark.parametrize(
    ("code", "tracked", "level", "word"),
    [
        (103, False, "ok", "Only subscribers"),
        (403, False, "ok", "publish proxy"),
        (403, True, "ok", "publish proxy"),
        (103, True, "problem", "PRESENCE_CURSOR_TRACK"),
        (0, False, "problem", "allow_publish_for_client"),
        (100, False, "problem", "no answer from its publish proxy"),
        (108, True, "problem", "no answer from its publish proxy"),
        (503, True, "problem", "log"),
        (107, False, "problem", "107"),
    ],
)
def test_publish_check_judges_the_move_of_an_unknown_client(
    code: int, tracked: bool, level: str, word: str
) -> None:
    (finding,) = cursors.publishing(code, tracked=tracked)
    assert (finding.id, finding.level) == ("cursors.publish", level)
    assert word in finding.text + finding.remedy


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (["6.9.1 OSS"], {}),
        (["v6.2.0", "6.1.0"], {"centrifugo.version": "problem"}),
        (["5.4.9"], {"centrifugo.version": "problem"}),
        (["devel"], {"centrifugo.version": "skipped"}),
        (["v0.0.0"], {"centrifugo.version": "skipped"}),
    ],
)
def test_version_check_judges_the_versions_of_centrifugo(
    versions: list[str], expected: dict[str, str]
) -> None:
    assert levels(centrifugo.version(versions)) == expected


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"redis_version": "7.2.1", "run_id": "x", "role": "master"}, {}),
        ({"redis_version": "6.0.16", "run_id": "x"}, {"redis.version": "problem"}),
        ({"redis_version": "7.2.1"}, {"redis.run": "problem"}),
        ({"run_id": "x", "role": "slave"}, {"redis.role": "problem"}),
    ],
)
def test_redis_checks_judge_the_info_of_redis(
    info: dict[str, Any], expected: dict[str, str]
) -> None:
    info = {"maxmemory_policy": "noeviction", **info}
    found = [finding for check in redis.CHECKS for finding in check(info)]
    assert levels(iter(found)) == {"redis.eviction": "ok", **expected}


GOOD_REDIS = {"redis_version": "7.2.1", "run_id": "x", "maxmemory_policy": "noeviction"}


def test_redis_checks_of_a_cluster_name_the_primary() -> None:
    infos = {"a:1": GOOD_REDIS, "b:1": {**GOOD_REDIS, "redis_version": "6.0.16"}}
    (found,) = redis.of_each(redis.version, infos)
    assert (found.level, found.text) == ("problem", "Redis 6.0.16 is too old (at b:1)")
    assert levels(redis.of_each(redis.eviction, infos)) == {"redis.eviction": "ok"}
    (found,) = redis.of_each(redis.version, {"b:1": infos["b:1"]})
    assert found.text == "Redis 6.0.16 is too old"


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [([0.0], {}), ([0.0, 0.5], {}), ([0.0, 2.5, 0.1], {"redis.clocks": "warning"})],
)
def test_clock_check_of_a_cluster_measures_each_primary(
    ahead: list[float], expected: dict[str, str]
) -> None:
    class Primary:
        def __init__(self, ahead: float) -> None:
            self.ahead = ahead

        def time(self) -> tuple[int, int]:
            return int(NOW + self.ahead), round(self.ahead % 1 * 1e6)

    primaries: Any = [Primary(seconds) for seconds in ahead]
    assert levels(redis.clocks(primaries, clock=lambda: NOW)) == expected


@pytest.mark.parametrize(
    ("info", "name"),
    [
        ({"redis_version": "7.0.15"}, "Redis 7.0.15"),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, "Valkey 8.0.1"),
    ],
)
def test_redis_name_is_that_of_its_product(info: dict[str, Any], name: str) -> None:
    assert redis.name(info) == name


@pytest.mark.parametrize(
    ("policy", "memory", "level"),
    [
        ("allkeys-lru", 1 << 30, "warning"),
        ("allkeys-lru", 0, "ok"),
        ("volatile-ttl", 1 << 30, "ok"),
        (None, 0, "skipped"),
    ],
)
def test_eviction_check_judges_policy_and_memory(
    policy: str | None, memory: int, level: str
) -> None:
    info = {"maxmemory_policy": policy, "maxmemory": memory}
    assert levels(redis.eviction(info)) == {"redis.eviction": level}


@pytest.mark.parametrize(
    ("code", "closed", "says"),
    [
        (None, 3500, "CENTRIFUGO_TOKEN_SECRET"),
        (109, None, "clocks"),
        (None, 3501, "codes"),
        (101, None, "codes"),
    ],
)
def test_token_check_explains_a_refused_connection(
    code: int | None, closed: int | None, says: str
) -> None:
    (found,) = websocket.token(code, closed, "")
    assert found.level == "problem"
    assert says in found.remedy


@pytest.mark.parametrize(
    ("greeting", "level", "says"),
    [
        ({"ping": 10, "pong": True}, "ok", "every 10 s"),
        ({"ping": 5, "pong": True}, "ok", "every 5 s"),
        ({"ping": 11, "pong": True}, "warning", "every 11 s"),
        ({"ping": 25, "pong": True}, "warning", "every 25 s"),
        ({"ping": 10}, "warning", "awaits no answer"),
        ({"pong": True}, "warning", "sends no pings"),
        ({}, "warning", "sends no pings"),
    ],
)
def test_ping_check_judges_the_reply_to_connect(
    greeting: dict[str, Any], level: str, says: str
) -> None:
    (found,) = websocket.pings(greeting)
    assert (found.id, found.level) == ("websocket.ping", level)
    assert says in found.text


def test_configurations_of_the_project_have_the_recommended_pings() -> None:
    recommended = dict(re.findall(r'"(\w+)": "(\w+)"', websocket.SET_PINGS))
    assert recommended == {"ping_interval": "10s", "pong_timeout": "4s"}
    (readme,) = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    for text in (readme, (ROOT / "centrifugo.json").read_text()):
        client = json.loads(text)["client"]
        assert {name: client[name] for name in recommended} == recommended


@pytest.mark.parametrize(
    ("codes", "level", "says"),
    [
        ([109, 103, 103], "ok", ""),
        ([109, 103, 0], "problem", "allow_subscribe_for_client"),
        ([109, 109, 103], "problem", "insecure"),
        ([103, 103, 103], "problem", "client.subscription_token"),
        ([102, 102, 102], "skipped", ""),
        ([109], "problem", "log"),
    ],
)
def test_subscription_check_judges_the_answers(codes: list[int], level: str, says: str) -> None:
    (found,) = websocket.subscription("presence:x", codes)
    assert found.level == level
    assert says in found.remedy


@pytest.mark.parametrize(
    ("codes", "joins", "expected"),
    [
        ([0, 103, 108], False, ["ok"]),
        ([0, 103, 103], True, ["problem"]),
        ([0, 103, 0], False, ["problem"]),
        ([0, 0, 0], True, ["problem", "problem"]),
        ([103, 103, 103], False, ["skipped"]),
        ([0, 103], False, ["skipped"]),
        ([], False, ["skipped"]),
    ],
)
@pytest.mark.parametrize("channel", ["presence:x", "lobby"])
def test_invisible_check_judges_what_a_subscriber_may_read(
    channel: str, codes: list[int], joins: bool, expected: list[str]
) -> None:
    found = list(invisible.judge(channel, codes, joins=joins))
    assert [finding.level for finding in found] == expected
    where = "channel.namespaces" if ":" in channel else "channel.without_namespace"
    assert all(where in each.remedy for each in found if each.level == "problem")


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], {"beat.entry": "problem"}),
        ([Entry("a", 60.0)], {"beat.entry": "ok"}),
        ([Entry("a", 60.0, enabled=False)], {"beat.entry": "problem"}),
        ([Entry("a", 60.0, enabled=False), Entry("b", 60.0)], {"beat.entry": "ok"}),
        ([Entry("a", 60.0), Entry("b", 60.0)], {"beat.entry": "ok", "beat.twice": "warning"}),
        ([Entry("a", 5.0)], {"beat.entry": "ok", "beat.interval": "warning"}),
        ([Entry("a", None)], {"beat.entry": "ok", "beat.interval": "warning"}),
        ([Entry("a", 60.0, never="it expired")], {"beat.entry": "problem"}),
        ([Entry("a", 60.0, amiss="it has arguments")], {"beat.entry": "problem"}),
        ([Entry("a", 60.0, never="it expired"), Entry("b", 60.0)], {"beat.entry": "ok"}),
    ],
)
@override_settings(PRESENCE_INTERVAL=60.0)
def test_entry_check_judges_the_entries_of_beat(
    entries: list[Entry], expected: dict[str, str]
) -> None:
    assert levels(celery.entry(entries)) == expected


def test_celery_check_without_celery_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presence.queues.celery_installed", lambda: False)
    assert levels(celery.examine()) == {"celery.app": "skipped"}


def test_celery_check_without_imported_application_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("presence.doctor.celery.project_app", lambda: None)
    (found,) = celery.examine()
    assert found.level == "problem"
    assert "project/__init__.py" in found.remedy


@override_settings(SILENCED_SYSTEM_CHECKS=["presence.W009"])
def test_celery_check_of_project_without_celery_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presence.doctor.celery.project_app", lambda: None)
    assert levels(celery.examine()) == {"celery.app": "skipped"}


@override_settings(CENTRIFUGO_TOKEN_SECRET="")
def test_token_check_without_secret_is_skipped() -> None:
    assert levels(websocket.examine()) == {"websocket.token": "skipped"}


def test_part_that_raises_becomes_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks() -> Iterator[Finding]:
        yield ok("odd.first", "fine")
        raise RuntimeError("redis://:sesame@host is odd")

    monkeypatch.setattr(examination, "PARTS", {"odd": breaks})
    first, second = examination.examine()
    assert (first.id, second.id, second.level) == ("odd.first", "odd", "problem")
    assert second.text.endswith("RuntimeError: redis://:***@host is odd")


@override_settings(PRESENCE_INTERVAL="60")
def test_part_that_needs_an_invalid_setting_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def needs() -> Iterator[Finding]:
        yield from celery.interval(Entry("a", 60.0))

    monkeypatch.setattr(examination, "PARTS", {"beat": needs})
    (found,) = examination.examine()
    assert (found.level, found.text) == (
        "skipped",
        "Not checked, because PRESENCE_INTERVAL is wrong",
    )


@override_settings(
    CENTRIFUGO_API_KEY="the-api-key",
    SECRET_KEY="the-secret-key",
    PRESENCE_REDIS_URL="redis://:p%40ss%2Fword@host/0",
)
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at redis://host:6379/0", "at redis://host:6379/0"),
        ("at redis://me:sesame@host:6379/0", "at redis://me:***@host:6379/0"),
        (
            "at redis+sentinel://me:sesame@a:1,b:2/x?sentinel_password=opensesame&db=1",
            "at redis+sentinel://me:***@a:1,b:2/x?sentinel_password=***&db=1",
        ),
        ("unix:///run/redis.sock?password=sesame)", "unix:///run/redis.sock?password=***"),
        ("at amqp://:ses:am@e@host//", "at amqp://:***@host//"),
        ("the-api-key and the-secret-key", "*** and ***"),
        ("invalid: p@ss/word, p%40ss%2Fword", "invalid: ***, ***"),
    ],
)
def test_masked_text_shows_no_secret(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    ("error", "text", "remedy"),
    [
        (
            CentrifugoRefused("http://h answered 404: check it"),
            "http://h answered 404",
            "Check it.",
        ),
        (CommandError(100, "internal"), "Centrifugo answered error 100 (internal)", "Look into"),
        (CentrifugoAnswerError("broke off (E: x)"), "broke off (E: x)", "Look into"),
    ],
)
def test_explained_error_is_split_into_text_and_remedy(error: Any, text: str, remedy: str) -> None:
    said, mended = explained(error)
    assert said == text
    assert mended.startswith(remedy)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5 s"), (8.44, "8.44 s"), (300, "5 minutes"), (7200, "2 hours"), (864000, "10 days")],
)
def test_duration_is_written_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


ROOT = Path(__file__).parents[3]
LIVE_ID = re.compile(
    r"\"((?:clocks|templates|hooks|redis|centrifugo|cursors|websocket|celery|beat|worker|huey|ticks|looks)\.[a-z]+)\""
)
STATIC_ID = re.compile(r"\"(presence\.[EW]\d{3})\"")


def test_every_check_id_is_documented() -> None:
    files = [*(ROOT / "presence/checks").glob("*.py"), *(ROOT / "presence/doctor").glob("*.py")]
    code = "".join(file.read_text() for file in files)
    ids = {*LIVE_ID.findall(code), *STATIC_ID.findall(code)}
    documented = set(re.findall(r"^\| `([^`]+)`", (ROOT / "docs/doctor.md").read_text(), re.M))
    assert documented == ids
