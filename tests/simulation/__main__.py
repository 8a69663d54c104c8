"""Run histories of the simulator: `python -m tests.simulation --seeds 10000`, or one `--seed`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import django

BLOCK = 25


def run_block(seeds: range) -> tuple[Counter[str], str]:
    """Run the histories of some seeds. Returns what happened, and the first failure or ""."""
    from tests.simulation.browser import Browser
    from tests.simulation.world import simulate

    happened = Counter[str]()
    browser = Browser()
    try:
        for seed in seeds:
            happened += simulate(seed, browser).happened
    except Exception:
        return happened, traceback.format_exc()
    finally:
        browser.close()
    return happened, ""


def show(seed: int) -> int:
    """Run one history, and print its trace."""
    from tests.simulation.browser import Browser
    from tests.simulation.world import World

    browser = Browser()
    world = World(seed, browser)
    try:
        world.run()
    finally:
        print("\n".join(world.lines))
        browser.close()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    if given.seed is not None:
        return show(given.seed)
    began, done, happened = time.monotonic(), 0, Counter[str]()
    ends = given.first + given.seeds
    blocks = [range(n, min(n + BLOCK, ends)) for n in range(given.first, ends, BLOCK)]
    with ProcessPoolExecutor(2, initializer=prepare) as pool:
        for block, (found, failure) in zip(blocks, pool.map(run_block, blocks), strict=True):
            happened += found
            done += len(block)
            if failure:
                print(failure)
                pool.shutdown(cancel_futures=True)
                return 1
            if done % 1000 < BLOCK:
                print(f"{done} histories in {time.monotonic() - began:.0f} s", flush=True)
    print("\n".join(f"{count:8} {kind}" for kind, count in sorted(happened.items())))
    print(f"{done} histories hold, in {time.monotonic() - began:.0f} s")
    return 0


def prepare() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    logging.disable(logging.CRITICAL)


if __name__ == "__main__":
    prepare()
    sys.exit(main())
