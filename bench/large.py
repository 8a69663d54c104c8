"""A million presence entries, several workers, and growth with channels and with members.

One crowd serves them all: a connection is in some channels of the large case and in every growing
room that is larger than its number, or it is in some of the many small channels.
"""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median

from bench import bare, growth, workers
from bench.growth import Spent
from bench.site import Site, running, seconds
from bench.sizes import Sizes
from bench.worker import Worker

LARGE = "presence:large:{}"
TIER = "presence:tier{}:{}"
ROOM = "presence:room:{}"


def run(sizes: Sizes) -> dict[str, object]:
    """Results of the three cases; times in seconds, medians."""
    with running(processes=2) as site:
        entries = _fill(site, sizes)
        site.settle(entries)
        million = _million(site, sizes)
        shared = workers.run(site, sizes, _tiers(sizes, sizes.growth[-1]), sizes.growth[-1])
        spent = {
            "channels": _grow(site, sizes, {n: _tiers(sizes, n) for n in sizes.growth}),
            "members": _grow(site, sizes, {n: [ROOM.format(n)] for n in sizes.growth}),
        }
        return {
            "million": million,
            "workers": shared,
            "growth": {what: growth.medians(lines) for what, lines in spent.items()},
            "doubled": {what: growth.doubled(lines) for what, lines in spent.items()},
        }


def _fill(site: Site, sizes: Sizes) -> int:
    """Connect everybody; the number of entries that makes."""
    users: dict[str, list[str]] = {f"u{n}": [] for n in range(sizes.million)}
    everybody = list(users)
    large = [LARGE.format(n) for n in range(sizes.channels)]
    small = [TIER.format(_tier(sizes, n), n) for n in range(sizes.growth[-1])]
    groups = sizes.channels // sizes.per_connection
    for number, user in enumerate(everybody):
        at = number % groups * sizes.per_connection
        users[user] += large[at : at + sizes.per_connection]
        users[user] += [ROOM.format(size) for size in sizes.growth if number < size]
    others = [f"s{n}" for n in range(len(small) * sizes.few // sizes.per_connection)]
    for number in range(len(small) * sizes.few):
        users.setdefault(others[number % len(others)], []).append(small[number // sizes.few])
    site.crowd.connect(users)
    return sum(map(len, users.values()))


def _tier(sizes: Sizes, number: int) -> int:
    """The smallest size of which the channel of that number is part."""
    return next(size for size in sizes.growth if number < size)


def _tiers(sizes: Sizes, size: int) -> list[str]:
    return [TIER.format(tier, "*") for tier in sizes.growth if tier <= size]


def _million(site: Site, sizes: Sizes) -> dict[str, object]:
    """Steady ticks against raw reads, and the memory of workers that did nothing else."""
    patterns = [LARGE.format("*")]
    reads = bare.reads([LARGE.format(n) for n in range(sizes.channels)])
    client = bare.Bare(site.api_url)
    with Worker(site.api_url, site.redis_url, patterns) as worker:
        first = worker.tick()
    site.crowd.settle()
    raw, steady = [], []
    with Worker(site.api_url, site.redis_url, patterns) as worker:
        for _ in range(sizes.growth_rounds):
            raw.append(seconds(lambda: client.read(reads)))
            steady.append(worker.tick())
    return {
        "entries": steady[-1].members,
        "raw_read": median(raw),
        "tick_steady": median(done.seconds for done in steady),
        "ratio": median(done.seconds / read for done, read in zip(steady, raw, strict=True)),
        "steady_mb": steady[-1].memory,
        "tick_first": first.seconds,
        "first_mb": first.memory,
    }


def _grow(site: Site, sizes: Sizes, cases: dict[int, list[str]]) -> Spent:
    """For each size, a tick where everybody is new and a tick where nothing changed."""
    spent: Spent = {"steady": {}, "first": {}}
    with ExitStack() as stack:
        of_size = {
            size: stack.enter_context(Worker(site.api_url, site.redis_url, patterns))
            for size, patterns in cases.items()
        }
        for _ in range(sizes.growth_rounds):
            for size, worker in of_size.items():
                site.forget()
                spent["first"].setdefault(size, []).append(worker.tick().seconds)
                site.crowd.settle()
                spent["steady"].setdefault(size, []).append(worker.tick().seconds)
    return spent
