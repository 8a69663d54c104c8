"""The bench runs at small sizes, and judges its figures."""

from __future__ import annotations

import math
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from bench import browser, report, ticks
from bench.bounds import (
    APPLIED,
    BOUNDS,
    BUSY_CORE,
    CUT,
    FLOOD_LOST,
    FLOOD_SLOWEST,
    HEAP,
    JOIN,
    JOIN_MEDIAN,
    KEPT,
    LEAVE,
    LOOK,
    LOOK_PROCESSOR,
    OF_BROWSER,
    PROCESSOR,
    SWAP,
    TAB,
    Bound,
    Traffic,
    figures,
)
from bench.freshness import spread
from bench.traffic import Town
from presence_devtools.servers import ROOT


def test_bench_quick_run_prints_every_figure_and_writes_nothing() -> None:
    results = ROOT / "bench" / "results.json"
    before = results.read_bytes() if results.exists() else b""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=480,
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in BOUNDS), done.stdout
    assert (results.read_bytes() if results.exists() else b"") == before


@pytest.mark.parametrize(
    ("bound", "value", "verdict"),
    [
        (Bound(2.0, 5.0), 2.0, "ok"),
        (Bound(2.0, 5.0), 2.1, "MISSED"),
        (Bound(2.0, 5.0), 5.1, "FAILED"),
        (Bound(20.0, 8.0, at_least=True), 20.0, "ok"),
        (Bound(20.0, 8.0, at_least=True), 19.0, "MISSED"),
        (Bound(20.0, 8.0, at_least=True), 7.0, "FAILED"),
    ],
)
def test_bound_fails_only_far_above_its_target(bound: Bound, value: float, verdict: str) -> None:
    assert bound.judge(value) == verdict


THOUSAND = {"ratios": {}, "seconds": {"tick_steady_processor": 0.09}}
LOOKS = {"ratio": 1.4, "look_processor": 0.012}


def test_growth_figure_is_the_worst_doubling() -> None:
    million = {"ratio": 1.0, "first_mb": 90.0, "steady_mb": 80.0}
    doubled = {
        "channels": {"steady": {100: 9.0, 1000: 2.5, 2000: 1.2}, "first": {1000: 2.4}},
        "members": {"steady": {1000: 2.0}},
        "replayed": {"first": {25_000: 2.1}},
    }
    found = figures(
        {
            "thousand": THOUSAND,
            "looks": LOOKS,
            "million": million,
            "doubled": doubled,
            "applied": {"ratio": 0.3},
        },
        linear_from=1000,
    )
    assert found["time for twice the channels"] == 2.5
    assert found["time for twice the members"] == 2.1
    assert found["tick_million, worker's memory (MB)"] == 90.0
    assert found[APPLIED] == 0.3
    assert found[PROCESSOR] == 0.09
    assert (found[LOOK], found[LOOK_PROCESSOR]) == (1.4, 12.0)


def test_doubled_with_a_slow_round_compares_within_rounds() -> None:
    """The second round ran on a machine that was three times as slow."""
    spent = {"steady": {10: [1.0, 3.0, 1.0], 20: [2.0, 6.0, 2.0], 50: [1.0, 1.0, 1.0]}}
    assert ticks.doubled(spent) == {"steady": {10: 2.0}}
    assert ticks.medians(spent) == {"steady": {10: 1.0, 20: 2.0, 50: 1.0}}


def test_published_diff_in_a_large_room_is_as_small_as_the_change() -> None:
    sent = ticks.published((100, 1000))
    assert sent[1000]["full_list"] > 9 * sent[100]["full_list"]
    assert sent[1000]["diff"] < 1.1 * sent[100]["diff"]
    assert sent[1000]["counted"] < 200


def test_applied_without_node_is_left_out_and_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    assert browser.applied() is None
    assert f"{APPLIED}: left out" in report.applied(None)
    measured = {"ratio": 1.0, "first_mb": 90.0, "steady_mb": 80.0}
    doubled = {name: {"steady": {1: 1.0}} for name in ("channels", "members", "replayed")}
    results = {
        "thousand": THOUSAND,
        "looks": LOOKS,
        "million": measured,
        "doubled": doubled,
        "applied": None,
    }
    assert APPLIED not in figures(results, linear_from=1)


WRITES = {
    "users": 100,
    "updates_a_second": {"bulk": 20_000.0, "single": 3000.0, "dictionary": 1000.0},
    "ratios": {"bulk": 20.0, "single": 3.0},
    "written": 800,
    "kept": 799,
    "dictionary_kept": 200,
}


def test_figures_with_one_lost_cursor_fail_the_run() -> None:
    found = figures({"cursors": {"writes": WRITES, "browser": None}}, linear_from=1)
    assert BOUNDS[KEPT].judge(found[KEPT]) == "FAILED"


def test_figures_with_growing_memory_miss_that_bound() -> None:
    shown = {
        "latency": {"ratio": 0.7},
        "frames": {"script_ms": 1.5},
        "memory": {"ratio": 1.2},
    }
    found = figures({"cursors": {"writes": WRITES, "browser": shown}}, linear_from=1)
    verdicts = {name: BOUNDS[name].judge(found[name]) for name in OF_BROWSER}
    assert verdicts == {name: "MISSED" if name == HEAP else "ok" for name in OF_BROWSER}


def test_cursors_without_chromium_are_left_out_and_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM_BIN", raising=False)
    with browser.chromium() as chromium:
        assert chromium is None
    results = {"writes": WRITES, "browser": None}
    said = report.cursors(results)
    assert all(f"{name}: left out" in said for name in OF_BROWSER)
    assert not set(OF_BROWSER) & set(figures({"cursors": results}, linear_from=1))


def test_figures_of_freshness_are_those_of_the_slowest_kind() -> None:
    rows = {
        "join: user, listed room": spread([0.4, 0.5, 1.6]),
        "join: anonymous, counted room": spread([0.9, 0.9, 1.2]),
        "leave: user, listed room": spread([1.0]),
        "leave: anonymous, counted room": spread([1.4]),
        "swap: who joins": spread([2.0, 3.6]),
        "swap: who leaves": spread([9.0]),
    }
    found = figures({"freshness": {"rows": rows}}, linear_from=1)
    assert found == {JOIN_MEDIAN: 0.9, JOIN: 1.6, LEAVE: 1.4, SWAP: 3.6}
    assert not {TAB, CUT, BUSY_CORE, FLOOD_LOST} & set(found)
    assert f"{TAB}: left out" in report.freshness({"rows": rows})


def test_figures_of_a_flood_count_slow_leaves_and_lost_rooms() -> None:
    flood = {
        "joins": spread([1.0, 2.0]),
        "leaves": spread([3.0, 61.0]),
        "rest_worker_ms": 9.0,
        "looks": 0.2,
        "lost": 1,
    }
    found = figures({"freshness": {"rows": {}, "flood": flood}}, linear_from=1)
    verdicts = {name: BOUNDS[name].judge(value) for name, value in found.items()}
    assert verdicts[FLOOD_SLOWEST] == "MISSED"
    assert verdicts[FLOOD_LOST] == "FAILED"


class StillCrowd:
    """A crowd without connections."""

    def __init__(self) -> None:
        self.users: dict[str, list[str]] = {}

    def connect(self, users: dict[str, list[str]]) -> None:
        self.users |= users

    def disconnect(self, users: list[str]) -> None:
        for user in users:
            del self.users[user]


def test_town_replaces_members_and_keeps_its_rooms_full() -> None:
    traffic, crowd = Traffic(rooms=50, members=4, replaced=0.5, joined=10), StillCrowd()
    town = Town(traffic, crowd)
    town.fill()
    assert len(crowd.users) == 20
    before = set(crowd.users)
    for _ in range(10):
        town.replace(2)
    assert town.replaced == 10 * 2 * 10
    assert len(crowd.users) == 20
    assert len(before - set(crowd.users)) > 5
    joined = list(crowd.users.values())
    assert all(len(set(rooms)) == len(rooms) for rooms in joined)
    assert sum(map(len, joined)) >= 0.9 * 50 * 4


def test_firsts_are_the_first_change_after_each_move() -> None:
    """The clock of the watching page is a little behind."""
    sent, arrived = [100.0, 400.0, 700.0], [112.0, 129.0, 145.0, 398.0, 415.0, 705.0]
    assert browser.firsts(sent, arrived) == [12.0, -2.0, 5.0]
    assert browser.firsts(sent, arrived[:5]) == [12.0, -2.0, math.inf]
    assert browser.firsts(sent, [405.0, 705.0]) == [305.0, 5.0, 5.0]


def test_plot_draws_each_line_as_svg() -> None:
    drawn = report.draw("title", "x", "y", {"a < b": {10.0: 0.01, 1000.0: 1.0}, "c": {10.0: 3.0}})
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b", "c", "title"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 3
