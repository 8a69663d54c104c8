"""The main case: a thousand channels of a hundred members each."""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from statistics import median

from bench import bare
from bench.site import Recorder, Site, running, seconds, tick
from bench.sizes import Sizes

CHURN = 0.05
"""The part of the members of every channel that is replaced before a tick."""


class Thousand:
    """Channels in groups; each connection is in all channels of one group."""

    def __init__(self, site: Site, sizes: Sizes) -> None:
        self.site, self.sizes = site, sizes
        names = [f"presence:b:{n}" for n in range(sizes.channels)]
        size = sizes.per_connection
        self.groups = [names[at : at + size] for at in range(0, len(names), size)]
        self.live: list[list[str]] = [[] for _ in self.groups]
        self._new = count()
        self.recorder = Recorder(site.api_url)
        self.sync = site.sync(self.recorder, ["presence:b:*"])
        self.bare = bare.Bare(site.api_url)
        self.original = bare.Original(site.api_url, site.redis_url)
        self.channels = names
        self.reads = bare.reads(names)

    def fill(self) -> None:
        self._join(self.sizes.members)
        tick(self.sync)
        self.settle()

    def churn(self) -> None:
        """Replace a part of every channel's members."""
        leaving = round(self.sizes.members * CHURN)
        self.site.crowd.disconnect([user for group in self.live for user in group[:leaving]])
        self.live = [group[leaving:] for group in self.live]
        self._join(leaving)
        self.settle()

    def settle(self) -> None:
        self.site.settle(self.sizes.channels * self.sizes.members)

    def _join(self, number: int) -> None:
        users: dict[str, list[str]] = {}
        for group, live in zip(self.groups, self.live, strict=True):
            new = [f"u{next(self._new)}" for _ in range(number)]
            live += new
            users |= dict.fromkeys(new, group)
        self.site.crowd.connect(users)

    def round(self, spent: dict[str, list[float]], *, number: int) -> None:
        """Measure things close together; the order changes from turn to turn."""
        steady = {
            "raw_read": lambda: self.bare.read(self.reads),
            "raw_read_2": lambda: self.bare.read_two(self.reads),
            "tick_steady": lambda: tick(self.sync),
        }
        names = list(steady)
        for turn in range(self.sizes.steady_turns):
            first = (number + turn) % len(names)
            for name in names[first:] + names[:first]:
                spent[name].append(seconds(steady[name]))
        if number < self.sizes.original_rounds:
            spent["original_loop"].append(seconds(lambda: self.original.loop(self.channels)))
            self.settle()
        self.churn()
        self.recorder.last = []
        spent["churn_raw_read"].append(seconds(steady["raw_read"]))
        spent["tick_churn5"].append(seconds(lambda: tick(self.sync)))
        self.settle()
        batches = bare.publishes(self.recorder.last)
        spent["raw_publish"].append(seconds(lambda: self.bare.publish(batches)))
        self.settle()


def run(sizes: Sizes) -> dict[str, object]:
    """Seconds of each thing (medians), and the ratios (medians of those of single rounds)."""
    spent: dict[str, list[float]] = defaultdict(list)
    with running() as site:
        case = Thousand(site, sizes)
        case.fill()
        for number in range(sizes.rounds):
            case.round(spent, number=number)
    raw, steady = spent["raw_read"], spent["tick_steady"]
    floor = [r + p for r, p in zip(spent["churn_raw_read"], spent["raw_publish"], strict=True)]
    ratios = {
        "tick_steady / raw_read": _ratio(steady, raw),
        "tick_steady / raw_read_2": _ratio(steady, spent["raw_read_2"]),
        "tick_churn5 / (raw_read + raw_publish)": _ratio(spent["tick_churn5"], floor),
        "original_loop / tick_steady": median(spent["original_loop"]) / median(steady),
    }
    return {"seconds": {name: median(all_) for name, all_ in spent.items()}, "ratios": ratios}


def _ratio(over: list[float], under: list[float]) -> float:
    return median(a / b for a, b in zip(over, under, strict=True))
