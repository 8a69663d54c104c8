"""`presence_doctor` as a process, on a site that runs."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from presence.backends.redis.keys import Keys
from presence.queues.celery import TICK
from presence_devtools import servers
from presence_devtools.servers import manage, wait_until
from tests.websocket_clients import Swarm

CHANNEL = "presence:doctor:room"
KEYS = Keys("presence")


@pytest.fixture(scope="module")
def site(
    centrifugo: servers.Centrifugo, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Return the environment of a site with beat and worker, after the first tick."""
    directory = tmp_path_factory.mktemp("site")
    with servers.redis_server(directory) as (url, _), ExitStack() as running:
        environment = {
            **os.environ,
            **centrifugo.environment,
            "PRESENCE_REDIS_URL": url,
            "CELERY_BROKER_URL": url.replace("/0", "/1"),
            "DATABASE_PATH": str(directory / "site.sqlite3"),
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "PRESENCE_INTERVAL": "1",
            "PYTHONPATH": str(servers.ROOT),
        }
        subprocess.run(manage("migrate", "--verbosity", "0"), env=environment, check=True)
        celery = [sys.executable, "-m", "celery", "-A", "project"]
        for part in (["worker", "--pool", "solo"], ["beat"]):
            running.enter_context(process([*celery, *part], environment, directory / part[0]))
        client = running.enter_context(redis.Redis.from_url(url))
        wait_until(lambda: bool(client.exists(KEYS.nodes)), "a tick has been done")
        yield environment


@contextmanager
def process(command: list[str], environment: dict[str, str], cwd: Path) -> Iterator[None]:
    cwd.mkdir()
    with (cwd / "log").open("wb") as log:
        running = subprocess.Popen(command, env=environment, cwd=cwd, stdout=log, stderr=log)
    try:
        yield
    finally:
        running.terminate()
        running.wait(30)


class Report:
    """Output of one run of the doctor."""

    def __init__(self, environment: dict[str, str], **changes: str) -> None:
        done = subprocess.run(
            manage("presence_doctor", "--json"),
            env={**environment, **changes},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.said = done.stdout + done.stderr
        assert "Traceback" not in self.said, self.said
        (line,) = done.stdout.splitlines()
        report: dict[str, Any] = json.loads(line)
        assert report.keys() == {"ok", "checks"}
        self.checks: list[dict[str, str]] = report["checks"]
        for check in self.checks:
            assert check.keys() == {"id", "level", "text", "remedy"}
            assert check["level"] in ("ok", "warning", "problem", "skipped")
            assert check["remedy"] or check["level"] in ("ok", "skipped")
        assert report["ok"] is (not self.of("problem"))
        assert done.returncode == (0 if report["ok"] else 1)
        assert bool(done.stderr) is not report["ok"]

    def of(self, level: str) -> set[str]:
        """Return the ids that have the level."""
        return {check["id"] for check in self.checks if check["level"] == level}

    def words(self, check_id: str, level: str = "problem") -> str:
        """Return text and remedy of the only check with this id and level."""
        (check,) = [c for c in self.checks if (c["id"], c["level"]) == (check_id, level)]
        return f"{check['text']}\n{check['remedy']}"


def test_doctor_on_working_site_reports_only_ok(site: dict[str, str], swarm: Swarm) -> None:
    swarm.connect("ada", CHANNEL)
    with redis.Redis.from_url(site["PRESENCE_REDIS_URL"]) as client:
        polled = lambda: client.zscore(KEYS.channels, CHANNEL) is not None  # noqa: E731
        wait_until(polled, "the channel has been polled")
    report = Report(site, CSRF_TRUSTED_ORIGINS="http://localhost:8000")
    assert report.of("ok") == {
        *("clocks.agree", "templates.load"),
        *("settings", "redis.reachable", "redis.eviction", "redis.writable"),
        *("centrifugo.reachable", "centrifugo.presence"),
        *("centrifugo.history", "centrifugo.publish"),
        *("cursors.namespace", "cursors.publish"),
        *("websocket.token", "websocket.ping", "websocket.subscription", "websocket.origin"),
        *("celery.app", "beat.entry", "looks.entry", "worker.answers"),
        *("ticks.fresh", "looks.fresh"),
    }
    # A Centrifugo that was built from source tells no version.
    assert report.of("skipped") <= {"centrifugo.version", "hooks.answers"}
    assert {check["level"] for check in report.checks} <= {"ok", "skipped"}


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_doctor_reports_a_wrong_clock_once_and_first(
    site: dict[str, str], tmp_path: Path, seconds: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"import time\nright = time.time\ntime.time = lambda: right() + {seconds}\n"
    )
    report = Report(site, PYTHONPATH=f"{tmp_path}{os.pathsep}{servers.ROOT}")
    assert report.of("problem") == {"clocks.agree"}
    assert report.checks[0]["id"] == "clocks.agree"
    assert "this machine" in report.words("clocks.agree")
    assert "websocket.token" not in report.of("ok")


def test_doctor_fails_where_no_page_may_connect(site: dict[str, str], tmp_path: Path) -> None:
    config = json.loads(servers.CONFIG.read_text())
    config["client"]["allowed_origins"] = ["https://other.example"]
    path = tmp_path / "closed.json"
    path.write_text(json.dumps(config))
    with servers.centrifugo_server(tmp_path, path) as other:
        report = Report(site, **other.environment)
    assert "client.allowed_origins" in report.words("websocket.origin")
    assert report.of("problem") == {"websocket.origin"}


def test_doctor_connection_is_announced_to_no_client(site: dict[str, str], swarm: Swarm) -> None:
    watcher = swarm.subscribe("watcher", "presence:presence-doctor")

    def joined() -> list[list[str]]:
        diffs = [p for p in watcher.publications if p["type"] == "presence.diff"]
        return [[member["id"] for member in diff["joins"]] for diff in diffs]

    wait_until(lambda: bool(joined()), "the watcher has been seen")
    Report(site)
    wait_until(lambda: len(watcher.publications) >= 2, "the doctor's probe has come")
    assert joined() == [["watcher"]]


def test_doctor_with_wrong_api_key_reports_it(site: dict[str, str]) -> None:
    report = Report(site, CENTRIFUGO_API_KEY="a-wrong-key")
    assert "CENTRIFUGO_API_KEY" in report.words("centrifugo.reachable")
    assert report.of("problem") == {"centrifugo.reachable"}
    assert "a-wrong-key" not in report.said


def test_doctor_with_wrong_token_secret_reports_it(site: dict[str, str]) -> None:
    secret = "another-secret-of-at-least-32-bytes"
    report = Report(site, CENTRIFUGO_TOKEN_SECRET=secret)
    assert "CENTRIFUGO_TOKEN_SECRET" in report.words("websocket.token")
    assert report.of("problem") == {"websocket.token"}
    assert secret not in report.said


def test_doctor_with_missing_namespace_reports_it(site: dict[str, str]) -> None:
    report = Report(site, PRESENCE_CHANNELS="{presence,chat}:*")
    assert '"name": "chat"' in report.words("centrifugo.presence")
    assert report.of("problem") == {"centrifugo.presence"}


def test_doctor_with_namespace_without_presence_reports_it(site: dict[str, str]) -> None:
    report = Report(site, PRESENCE_CHANNELS="presence:*,roster:*")
    assert '"presence": true' in report.words("centrifugo.presence")


def test_doctor_with_cursor_track_and_no_proxy_reports_it(site: dict[str, str]) -> None:
    report = Report(site, PRESENCE_CURSOR_TRACK="1")
    assert "does not ask Django" in report.words("cursors.publish")
    assert report.of("problem") == {"cursors.publish"}


def test_doctor_with_silent_publish_proxy_reports_it(
    site: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = f"http://127.0.0.1:{servers.free_port()}/presence/publish/"
    monkeypatch.setenv("CENTRIFUGO_CHANNEL_PROXY_PUBLISH_ENDPOINT", nowhere)
    monkeypatch.setenv("CENTRIFUGO_CHANNEL_NAMESPACES_CURSORS_PUBLISH_PROXY_ENABLED", "true")
    with servers.centrifugo_server(tmp_path) as other:
        report = Report(site, **other.environment)
    assert "no answer from its publish proxy" in report.words("cursors.publish")


def test_doctor_with_pattern_across_namespaces_skips_the_presence_check(
    site: dict[str, str],
) -> None:
    report = Report(site, PRESENCE_CHANNELS="*")
    assert "'*'" in report.words("centrifugo.presence", "skipped")


def test_doctor_with_matched_namespace_without_history_reports_it(
    site: dict[str, str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = json.loads(servers.CONFIG.read_text())
    config["channel"]["namespaces"] = [
        {"name": "presence", "presence": True, "allow_subscribe_for_client": True}
    ]
    path = tmp_path / "open.json"
    path.write_text(json.dumps(config))
    with servers.centrifugo_server(tmp_path, path) as other:
        report = Report(site, **other.environment, PRESENCE_CHANNELS="presence:*,chat:*")
    assert report.of("problem") == {
        *("centrifugo.presence", "centrifugo.history", "websocket.subscription")
    }
    assert "allow_subscribe_for_client" in report.words("websocket.subscription")
    histories = [c["remedy"] for c in report.checks if c["id"] == "centrifugo.history"]
    assert len(histories) == 2
    assert '"history_size": 100' in histories[0]
    assert any('"name": "roster"' in remedy for remedy in histories)


def test_doctor_with_namespace_that_pushes_joins_warns_of_hidden_users(
    site: dict[str, str], tmp_path: Path
) -> None:
    hiding = {**site, "PRESENCE_VISIBLE": "builtins.bool"}
    assert "websocket.invisible" in Report(hiding).of("ok")
    config = json.loads(servers.CONFIG.read_text())
    config["channel"]["namespaces"][0] |= {"join_leave": True, "force_push_join_leave": True}
    path = tmp_path / "telling.json"
    path.write_text(json.dumps(config))
    with servers.centrifugo_server(tmp_path, path) as other:
        report = Report(hiding, **other.environment)
        assert Report(site, **other.environment).of("problem") == set()
    assert "join_leave" in report.words("websocket.invisible")
    assert report.of("problem") == {"websocket.invisible"}


def test_doctor_with_default_pings_of_centrifugo_recommends_shorter_ones(
    site: dict[str, str], tmp_path: Path
) -> None:
    config = json.loads(servers.CONFIG.read_text())
    del config["client"]["ping_interval"], config["client"]["pong_timeout"]
    path = tmp_path / "slow.json"
    path.write_text(json.dumps(config))
    with servers.centrifugo_server(tmp_path, path) as other:
        report = Report(site, **other.environment)
    words = report.words("websocket.ping", "warning")
    assert "every 25 s" in words
    assert '"ping_interval": "10s"' in words


def test_doctor_without_centrifugo_reports_it(site: dict[str, str]) -> None:
    at = f"127.0.0.1:{servers.free_port()}"
    report = Report(
        site, CENTRIFUGO_API_URL=f"http://me:sesame@{at}/api", CENTRIFUGO_WS_URL=f"ws://{at}/ws"
    )
    assert "CENTRIFUGO_API_URL" in report.words("centrifugo.reachable")
    assert "CENTRIFUGO_WS_URL" in report.words("websocket.token", "skipped")
    assert "sesame" not in report.said


def test_doctor_with_wrong_centrifugo_urls_names_each_setting(
    site: dict[str, str], centrifugo: servers.Centrifugo
) -> None:
    report = Report(
        site,
        CENTRIFUGO_API_URL=f"http://127.0.0.1:{centrifugo.port}/nothing",
        CENTRIFUGO_WS_URL=f"ws://127.0.0.1:{centrifugo.port}/nothing",
    )
    assert "CENTRIFUGO_API_URL" in report.words("centrifugo.reachable")
    assert "CENTRIFUGO_WS_URL" in report.words("websocket.token")


def test_doctor_with_refused_origin_reports_it(site: dict[str, str]) -> None:
    report = Report(site, CSRF_TRUSTED_ORIGINS="https://example.com,https://*.example.com")
    assert "client.allowed_origins" in report.words("websocket.origin")


def test_doctor_without_redis_reports_it(site: dict[str, str]) -> None:
    url = f"redis://me:sesame@127.0.0.1:{servers.free_port()}/0"
    report = Report(site, PRESENCE_REDIS_URL=url)
    assert "PRESENCE_REDIS_URL" in report.words("redis.reachable")
    assert report.of("skipped") - {"centrifugo.version", "hooks.answers"} == {
        *("clocks.agree", "redis.eviction", "redis.writable", "ticks.fresh")
    }
    assert report.of("problem") == {"redis.reachable"}
    assert "sesame" not in report.said


def test_doctor_with_wrong_redis_password_reports_it(site: dict[str, str]) -> None:
    url = site["PRESENCE_REDIS_URL"].replace("redis://", "redis://me:sesame@")
    report = Report(site, PRESENCE_REDIS_URL=url)
    assert "the password" in report.words("redis.reachable")
    assert "sesame" not in report.said


def test_doctor_with_evicting_redis_warns(site: dict[str, str]) -> None:
    with redis.Redis.from_url(site["PRESENCE_REDIS_URL"]) as client:
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            report = Report(site)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "0")
    assert "noeviction" in report.words("redis.eviction", "warning")
    assert not report.of("problem")


def test_doctor_with_read_only_redis_account_reports_it(site: dict[str, str]) -> None:
    with redis.Redis.from_url(site["PRESENCE_REDIS_URL"]) as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", ">sesame", "~*", "+@read", "+info")
        client.execute_command("ACL", "SETUSER", "reader", "+time", "+select", "+hello", "+client")
    url = site["PRESENCE_REDIS_URL"].replace("redis://", "redis://reader:sesame@")
    report = Report(site, PRESENCE_REDIS_URL=url)
    assert "presence:*" in report.words("redis.writable")


def test_doctor_without_worker_reports_it(site: dict[str, str]) -> None:
    report = Report(site, CELERY_BROKER_URL=site["CELERY_BROKER_URL"].removesuffix("1") + "2")
    assert "celery -A project worker" in report.words("worker.answers")
    assert report.of("problem") == {"worker.answers"}


def test_doctor_without_broker_reports_it(site: dict[str, str]) -> None:
    url = f"redis://:sesame@127.0.0.1:{servers.free_port()}/1"
    report = Report(site, CELERY_BROKER_URL=url)
    assert "CELERY_BROKER_URL" in report.words("worker.broker")
    assert "sesame" not in report.said


@pytest.fixture
def tables(site: dict[str, str], tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return a copy of the site's database, at tmp_path / "copy"."""
    with (
        closing(sqlite3.connect(site["DATABASE_PATH"])) as original,
        closing(sqlite3.connect(tmp_path / "copy")) as copy,
    ):
        wait_until(lambda: rows(original) > 0, "beat has written its entry")
        original.backup(copy)
        yield copy


def rows(database: sqlite3.Connection) -> int:
    query = "SELECT count(*) FROM django_celery_beat_periodictask WHERE task = ?"
    (count,) = database.execute(query, [TICK]).fetchone()
    return int(count)


@pytest.mark.parametrize(
    ("change", "level", "says"),
    [
        ("UPDATE django_celery_beat_periodictask SET enabled = 0", "problem", "disabled"),
        ("UPDATE django_celery_beat_periodictask SET expires = '2020-01-01'", "problem", "expired"),
        (
            "UPDATE django_celery_beat_periodictask SET last_run_at = '2100-01-01'",
            "problem",
            "in the future",
        ),
        ("UPDATE django_celery_beat_periodictask SET args = '[1]'", "problem", "no"),
        ("DELETE FROM django_celery_beat_periodictask", "warning", "Start `celery beat`"),
        ("DROP TABLE django_celery_beat_periodictask", "problem", "manage.py migrate"),
    ],
)
def test_doctor_with_beat_entry_in_database_reports_its_state(
    site: dict[str, str],
    tables: sqlite3.Connection,
    tmp_path: Path,
    change: str,
    level: str,
    says: str,
) -> None:
    tables.execute(change)
    tables.commit()
    report = Report(site, DATABASE_PATH=str(tmp_path / "copy"))
    assert says in report.words("beat.entry", level)


def test_doctor_with_interval_other_than_beats_warns(site: dict[str, str]) -> None:
    report = Report(site, PRESENCE_INTERVAL="30")
    assert "every 1 s, and PRESENCE_INTERVAL is 30 s" in report.words("beat.interval", "warning")


def test_doctor_with_wrong_settings_still_runs_other_checks(site: dict[str, str]) -> None:
    report = Report(site, PRESENCE_ANONYMOUS="maybe", PRESENCE_CHANNEL="two words")
    assert report.of("problem") == {"presence.E001", "presence.E010"}
    assert "PRESENCE_ANONYMOUS" in report.words("presence.E001")
    assert "worker.answers" in report.of("ok")


def test_doctor_in_a_terminal_prints_findings_and_exits_1(site: dict[str, str]) -> None:
    done = subprocess.run(
        manage("presence_doctor"),
        env={**site, "CENTRIFUGO_API_KEY": "wrong"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("problem  Centrifugo at"))
    assert lines[at].endswith("refused the API key [centrifugo.reachable]")
    assert lines[at + 1].strip() == "-> CENTRIFUGO_API_KEY must equal its http_api.key."
    assert "\x1b" not in done.stdout
    assert done.returncode == 1
    assert done.stderr.strip().endswith("centrifugo.reachable")
