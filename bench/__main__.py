"""`make bench`: run every case, print ratios, and fail if noise cannot explain a figure."""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

from bench import browser, cursors, freshness, report, ticks
from bench.bounds import BOUNDS, FULL, HOUR, QUICK, SMALL, Sizes, figures
from bench.crowd import Crowd
from bench.site import config
from presence_devtools import servers
from presence_devtools.servers import ROOT
from tests.browser.one_page_site import open_stage

RESULTS = ROOT / "bench" / "results.json"
PLOT = ROOT / "docs" / "growth.svg"
READERS = 10
"""Connections that receive the cursors that Python publishes."""
PARTS = ("ticks", "cursors", "freshness")
PACKAGES = ("cent", "requests", "redis", "hiredis", "msgspec", "celery", "django")


def main() -> int:
    """Run and print the cases; with --write, also write results.json and the plot."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="sizes that only show that it works")
    parser.add_argument("--write", action="store_true", help="write results.json and the plot")
    parser.add_argument("--long", action="store_true", help="as many cursor moves as an hour has")
    parser.add_argument("--only", choices=PARTS, help="one part of the cases")
    chosen = parser.parse_args()
    if chosen.only and chosen.write:
        parser.error("results are written of whole runs: leave out --only or --write")
    real = servers.centrifugo_binary() is not None
    sizes = QUICK if chosen.quick else FULL if real else SMALL
    judged = sizes is FULL
    if chosen.long:
        sizes = replace(sizes, heap_moves=HOUR)
    _allow_files(sizes.million + 3000)
    setting = _setting()
    print(report.heading(setting), flush=True)
    started = time.monotonic()
    results: dict[str, Any] = {}
    parts = [chosen.only] if chosen.only else PARTS
    if "ticks" in parts:
        results |= _ticks(sizes)
    if "cursors" in parts:
        results["cursors"] = _cursors(sizes)
        print(report.cursors(results["cursors"]), flush=True)
    if "freshness" in parts:
        results["freshness"] = freshness.run(sizes.fresh)
        print(report.freshness(results["freshness"]), flush=True)
    found = figures(results, linear_from=sizes.linear_from)
    verdicts = {name: BOUNDS[name].judge(value) for name, value in found.items()}
    print(report.figures(found, verdicts if judged else {}), flush=True)
    setting |= {"load_after": os.getloadavg()[0], "seconds": round(time.monotonic() - started)}
    if chosen.write:
        _write(RESULTS, _rounded({"setting": setting, "figures": found, **results}))
        PLOT.write_text(growth_plot(results["growth"]))
    return int(judged and "FAILED" in verdicts.values())


def _ticks(sizes: Sizes) -> dict[str, Any]:
    """Run the cases of ticks, and print each when it is done."""
    results: dict[str, Any] = {"thousand": ticks.thousand(sizes)}
    print(report.thousand(results["thousand"], sizes), flush=True)
    results |= ticks.large(sizes)
    replayed, results["one_room_mb"] = ticks.replayed(sizes)
    results["growth"]["replayed"] = ticks.medians(replayed)
    results["doubled"]["replayed"] = ticks.doubled(replayed)
    results["published"] = ticks.published(sizes.listed)
    results["applied"] = browser.applied()
    print(report.large(results), report.applied(results["applied"]), sep="\n", flush=True)
    return results


def _cursors(sizes: Sizes) -> dict[str, Any]:
    """Run the cases of cursors; `browser` is None without a Chromium."""
    limit = {"PRESENCE_CURSOR_LIMIT": str(browser.MOVING)}
    with tempfile.TemporaryDirectory() as name, patch.dict(os.environ, limit):
        directory = Path(name)
        with open_stage(directory, config(directory)) as stage:
            crowd = Crowd(stage.centrifugo.ws_url, servers.TOKEN_SECRET)
            try:
                crowd.connect({f"r{n}": [cursors.CHANNEL] for n in range(READERS)})
                written = cursors.written(stage, sizes)
            finally:
                crowd.close()
            with browser.chromium() as chromium:
                shown = chromium and {
                    "latency": browser.latency(chromium, stage, sizes),
                    "frames": browser.frames(chromium, stage, sizes),
                    "memory": browser.memory(chromium, stage, sizes),
                    "chromium": chromium.version,
                }
    return {"writes": written, "browser": shown}


def growth_plot(lines: dict[str, ticks.Growth]) -> str:
    """Draw how a tick's time grows, as SVG."""
    names = {
        "channels": "channels of 10 members",
        "members": "members in one channel",
        "replayed": "members in one, replayed",
    }
    kinds = {"steady": "unchanged", "first": "all new"}
    named = {
        f"{names[what]}: {kinds[kind]}": {float(size): spent for size, spent in line.items()}
        for what, by_kind in lines.items()
        for kind, line in by_kind.items()
    }
    return report.draw("Seconds of one tick", "channels, or members", "seconds", named)


def _setting() -> dict[str, Any]:
    """Return versions and the machine, without names and paths."""
    return {
        "centrifugo": servers.centrifugo_in_use(),
        "redis": _said(servers.redis_binary(), "--version").split("v=")[-1].split()[0],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": os.getloadavg()[0],
    }


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _allow_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        sys.exit(f"{number} open files are needed, {hard} allowed: raise the limit (ulimit -n)")
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def _write(path: Path, results: dict[str, Any]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
