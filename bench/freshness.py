"""Freshness: seconds from a join or a leave until another page gets its diff.

Everything is real: Redis, Centrifugo, Django, a Celery worker with beat, websocket connections and
Chromium. `python -m bench.freshness` makes all tries, in a quarter of an hour; the names of cases
after it run these alone. `make bench` makes fewer tries.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from bench import report, tabs, traffic
from bench.bounds import BOUNDS, LONG, Tries, of_freshness
from bench.live_site import GRACE, live_site
from bench.pages import (
    PATIENCE,
    Connection,
    Observer,
    Page,
    Times,
    come_and_go,
    join_of,
    leave_of,
    moment_of,
    opened,
)
from tests.browser.one_page_site import Stage
from tests.websocket_clients import connection_token, start_process

LANES = 5
"""Rooms of each kind in which pages come and go at the same time."""
SWAP_LANES = 10
LIST_LIMIT = 10
RESIDENTS = 15
"""Members who stay in a counted room."""
STOPPED = 5
"""Connections of a process that is stopped."""

CASES = ("pages", "tabs", "busy", "flood")

Rows = dict[str, list[float]]
"""Seconds of each try, by what happens."""


async def joins(stage: Stage, tries: int) -> Rows:
    """Have pages join and leave listed and counted rooms."""
    rooms = {
        (who, size): [f"presence:{who}:{size}:{n}" for n in range(LANES)]
        for who in ("user", "anonymous")
        for size in ("listed", "counted")
    }
    counted = rooms["user", "counted"] + rooms["anonymous", "counted"]
    url = stage.centrifugo.ws_url
    residents = [
        Connection(url, connection_token(f"r{n}", channels=counted)) for n in range(RESIDENTS)
    ]
    observer = Observer(stage, [room for some in rooms.values() for room in some])
    times = {kind: Times() for kind in rooms}
    async with opened(observer, *residents):
        await asyncio.gather(*(_until_counted(stage, room) for room in counted))
        await asyncio.gather(
            *(
                come_and_go(
                    stage,
                    observer,
                    [room] * (tries // LANES),
                    times[kind],
                    signed_in=kind[0] == "user",
                )
                for kind in rooms
                for room in rooms[kind]
            )
        )
    return {f"join: {who}, {size} room": t.joins for (who, size), t in times.items()} | {
        f"leave: {who}, {size} room": t.leaves for (who, size), t in times.items()
    }


async def _until_counted(stage: Stage, room: str) -> None:
    """Wait until pages count the residents and the observer."""
    for _ in range(100):
        page = Page(stage, room)
        await page.open()
        await page.leave()
        if not page.listed and page.before == RESIDENTS + 1:
            return
        await asyncio.sleep(0.2)
    raise RuntimeError(f"The residents of {room} do not show.")


async def cuts(stage: Stage, tries: int) -> Rows:
    """Stop processes that hold connections: they answer nothing, as if their network was cut."""
    users = {f"cut{n}": [f"presence:cut:{n}"] for n in range(tries)}
    observer = Observer(stage, [room for (room,) in users.values()])
    async with opened(observer):
        seen = [observer.expect(room, join_of(user)) for user, (room,) in users.items()]
        names = list(users)
        groups = [names[at : at + STOPPED] for at in range(0, tries, STOPPED)]
        processes = [
            start_process(stage.centrifugo.ws_url, {user: users[user] for user in group})
            for group in groups
        ]
        try:
            await asyncio.wait_for(asyncio.gather(*seen), PATIENCE)
            found = await asyncio.gather(
                *(
                    _stop(
                        process,
                        [observer.expect(users[user][0], leave_of(user)) for user in group],
                    )
                    for process, group in zip(processes, groups, strict=True)
                )
            )
        finally:
            for process in processes:
                process.kill()
                process.wait(30)
    return {"network cut": [seconds for some in found for seconds in some]}


async def _stop(
    process: subprocess.Popen[bytes], left: Sequence[asyncio.Future[float]]
) -> list[float]:
    await asyncio.sleep(10 * random.random())
    process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    return [await moment_of(seen) - began - GRACE for seen in left]


async def swaps(stage: Stage, tries: int) -> Rows:
    """Have one page leave while another one joins: mostly both come between two looks."""
    rooms = [f"presence:swap:{n}" for n in range(SWAP_LANES)]
    observer, times = Observer(stage, rooms), Times()
    async with opened(observer):
        await asyncio.gather(
            *(_swap(stage, observer, room, tries // SWAP_LANES, times) for room in rooms)
        )
    if times.checks < len(times.joins) / 2:
        raise RuntimeError(f"Looks saw {len(times.joins) - times.checks} swaps: not at one moment?")
    return {"swap: who joins": times.joins, "swap: who leaves": times.leaves}


async def _swap(stage: Stage, observer: Observer, room: str, tries: int, times: Times) -> None:
    page = await _next(stage, room)
    seen = observer.expect(room, page.is_joined_in)
    await page.join()
    await asyncio.wait_for(seen, PATIENCE)
    for _ in range(tries):
        coming = await _next(stage, room)
        joined = observer.expect(room, coming.is_joined_in)
        left = observer.expect(room, page.is_left_in)
        await asyncio.sleep(random.random())
        joining, leaving = await asyncio.gather(coming.join(), page.leave())
        times.joins.append(await moment_of(joined) - joining)
        times.leaves.append(await moment_of(left) - leaving - GRACE)
        times.checks += coming.checks
        page = coming
    await page.leave()


async def _next(stage: Stage, room: str) -> Page:
    page = Page(stage, room)
    await page.open()
    return page


async def _of_pages(stage: Stage, tries: Tries) -> Rows:
    found = await asyncio.gather(
        joins(stage, tries.joins), cuts(stage, tries.cuts), swaps(stage, tries.swaps)
    )
    return {name: seconds for rows in found for name, seconds in rows.items()}


def run(tries: Tries, cases: Sequence[str] = CASES) -> dict[str, Any]:
    """Run the cases. Returns the times by what happened, and the results of each traffic."""
    results: dict[str, Any] = {"rows": {}}
    if {"pages", "tabs"} & set(cases):
        with live_site(pings=True, PRESENCE_LIST_LIMIT=str(LIST_LIMIT)) as site:
            rows: Rows = {}
            if "pages" in cases:
                rows |= asyncio.run(_of_pages(site.stage, tries))
            if "tabs" in cases:
                rows |= asyncio.run(tabs.gone(site.stage, tries.tabs))
            results["rows"] = {name: spread(seconds) for name, seconds in rows.items()}
    for name in ("busy", "flood"):
        if name in cases:
            results[name] = measured = asyncio.run(traffic.measure(getattr(tries, name)))
            measured |= {kind: spread(measured[kind]) for kind in ("joins", "leaves")}
    return results


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return the number of tries, the median, the 99th percentile and the maximum."""
    ordered = sorted(seconds)
    return {
        "tries": len(ordered),
        "p50": median(ordered),
        "p99": ordered[round(0.99 * (len(ordered) - 1))],
        "max": ordered[-1],
    }


def main() -> None:
    """Run the cases named on the command line, or all; print times and verdicts."""
    parser = argparse.ArgumentParser(prog="python -m bench.freshness", description=__doc__)
    parser.add_argument(
        "cases",
        nargs="*",
        choices=[*CASES, []],
        metavar="case",
        help="pages, tabs, busy, flood; default: all",
    )
    results = run(LONG, parser.parse_args().cases or CASES)
    found = of_freshness(results)
    print(report.freshness(results))
    print(report.figures(found, {name: BOUNDS[name].judge(value) for name, value in found.items()}))


if __name__ == "__main__":
    main()
