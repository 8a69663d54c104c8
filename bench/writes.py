"""Cursors moved from Python, against one dictionary of all of them in Django's cache."""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median

from bench.sizes import Sizes
from bench.writer import Writer
from tests.browser.one_page_site import Stage

USERS = 100
"""Whom each process moves."""
PROCESSES = 8
SOON = 0.2
"""Seconds in which every process has heard when to begin."""
KINDS = ("bulk", "single", "dictionary")
KEY = "bench:rates"
CHANNEL = f"cursors:{KEY}"
KEPT = "bench:kept-{}"


def run(stage: Stage, sizes: Sizes) -> dict[str, object]:
    """Updates per second of each approach, how many times those of the dictionary that is, round
    by round; and of the cursors that processes wrote at once, how many were kept (the fewest)."""
    with ExitStack() as stack:
        writers = [stack.enter_context(Writer(stage)) for _ in range(PROCESSES)]
        rates = _rates(writers[0], sizes)
        kept = [_keep(writers, KEPT.format(n)) for n in range(sizes.kept_rounds)]
    ratios = {
        kind: [one / other for one, other in zip(rates[kind], rates["dictionary"], strict=True)]
        for kind in KINDS[:2]
    }
    return {
        "users": USERS,
        "updates_a_second": {kind: median(found) for kind, found in rates.items()},
        "ratios": {kind: median(found) for kind, found in ratios.items()},
        "spread": {kind: [min(found), max(found)] for kind, found in ratios.items()},
        "written": PROCESSES * USERS,
        "kept": min(ours for ours, _ in kept),
        "dictionary_kept": median(theirs for _, theirs in kept),
    }


def _rates(writer: Writer, sizes: Sizes) -> dict[str, list[float]]:
    """Updates per second, round by round; the order changes. The first round is warm-up."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for round_ in range(sizes.write_rounds + 1):
        turn = round_ % len(KINDS)
        for kind in KINDS[turn:] + KINDS[:turn]:
            rate = USERS / writer.ask(kind, KEY, 0, USERS)
            if round_:
                found[kind].append(rate)
    return found


def _keep(writers: list[Writer], key: str) -> tuple[int, int]:
    """Let every process move users of its own, once each: how many there are then, with us and in
    the dictionary."""
    for kind in ("single", "dictionary"):
        moment = time.time() + SOON
        for number, writer in enumerate(writers):
            writer.begin("at", moment, kind, key, number * USERS, USERS)
        for writer in writers:
            writer.end()
    ours, theirs = writers[0].ask("kept", key)
    return ours, theirs
