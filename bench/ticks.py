"""Cases of a tick: the usual site, a large one, growth with channels and with members."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import cent
import msgspec
import redis
import requests

from bench import looks, workers
from bench.bounds import Sizes
from bench.crowd import replaying
from bench.site import Recorder, Site, processor_seconds, running, seconds, tick
from bench.workers import Worker
from presence.centrifugo.gateway import Gateway
from presence.roster import messages
from presence.roster.commit import State, make_commit
from presence.roster.messages import Member, Roster
from presence_devtools import servers

BATCH = 100
_HEADERS = {"X-API-Key": servers.API_KEY, "Content-Type": "application/json"}


class Bare:
    """A bare HTTP client: batches of 100 requests that were encoded before; answers are ignored."""

    def __init__(self, api_url: str) -> None:
        self._url = f"{api_url}/batch"
        self._sessions = [requests.Session(), requests.Session()]

    def read(self, batches: Sequence[bytes]) -> None:
        """Send the batches one after the other."""
        self._send(self._sessions[0], batches)

    def read_two(self, batches: Sequence[bytes]) -> None:
        """Send the batches with two in flight."""
        with ThreadPoolExecutor(2) as pool:
            halves = (batches[::2], batches[1::2])
            list(pool.map(self._send, self._sessions, halves))

    publish = read

    def _send(self, session: requests.Session, batches: Sequence[bytes]) -> None:
        for body in batches:
            response = session.post(self._url, data=body, headers=_HEADERS)
            response.raise_for_status()
            if not response.content:
                raise RuntimeError("an empty answer")


def reads(channels: Sequence[str]) -> list[bytes]:
    """Encode the batches that read the presence of the channels."""
    return _batches([{"presence": {"channel": channel}} for channel in channels])


def publishes(commands: Sequence[dict[str, Any]]) -> list[bytes]:
    """Encode the batches that publish the same data to the same feeds."""
    return _batches(
        [{"publish": {name: p[name] for name in ("channel", "data")}} for p in commands]
    )


def _batches(commands: list[dict[str, Any]]) -> list[bytes]:
    parts = (commands[at : at + BATCH] for at in range(0, len(commands), BATCH))
    return [msgspec.json.encode({"commands": part, "parallel": True}) for part in parts]


class Original:
    """The loop this project replaces: for each channel one request, one write, one publication."""

    def __init__(self, api_url: str, redis_url: str) -> None:
        self._cent = cent.Client(api_url, servers.API_KEY, timeout=60.0)
        self._redis = redis.Redis.from_url(redis_url)

    def loop(self, channels: Sequence[str]) -> None:
        for channel in channels:
            shown = self._cent.presence(cent.PresenceRequest(channel=channel)).presence
            members = [
                {"id": client.user, "name": info["name"], "info": info["info"]}
                for client in shown.values()
                if (info := client.conn_info)
            ]
            self._redis.set(f"original:{channel}", json.dumps(members))
            self._cent.publish(cent.PublishRequest(channel=channel, data={"users": members}))


Spent = dict[str, dict[int, list[float]]]
"""Seconds of each round by size, for each kind of tick: "first" (everybody is new) and "steady"
(nothing changed)."""

Growth = dict[str, dict[int, float]]
"""One figure by kind and size."""


def medians(spent: Spent) -> Growth:
    """Return the median seconds of each size."""
    return {kind: {size: median(s) for size, s in line.items()} for kind, line in spent.items()}


def doubled(spent: Spent) -> Growth:
    """Return, for each size whose double was measured, the ratio of their times.

    It is the median of the ratios of single rounds: what slows the whole machine affects both.
    """
    return {
        kind: {
            size: median(twice / once for twice, once in zip(line[2 * size], s, strict=True))
            for size, s in line.items()
            if 2 * size in line
        }
        for kind, line in spent.items()
    }


CHURN = 0.05
"""Share of the members of every channel that is replaced before a tick."""


class _Thousand:
    """The usual site: channels in groups; each connection is in all channels of one group."""

    def __init__(self, site: Site, sizes: Sizes) -> None:
        self.site, self.sizes = site, sizes
        names = [f"presence:b:{n}" for n in range(sizes.channels)]
        size = sizes.per_connection
        self.groups = [names[at : at + size] for at in range(0, len(names), size)]
        self.live: list[list[str]] = [[] for _ in self.groups]
        self._new = count()
        self.recorder = Recorder(site.api_url)
        self.sync = site.sync(Gateway(self.recorder), ["presence:b:*"])
        self.bare = Bare(site.api_url)
        self.original = Original(site.api_url, site.redis_url)
        self.channels = names
        self.reads = reads(names)

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
        """Measure everything in turns; the order changes each time."""
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
            spent["tick_steady_processor"].append(processor_seconds(steady["tick_steady"]))
        if number < self.sizes.original_rounds:
            spent["original_loop"].append(seconds(lambda: self.original.loop(self.channels)))
            self.settle()
        self.churn()
        self.recorder.last = []
        spent["churn_raw_read"].append(seconds(steady["raw_read"]))
        spent["tick_churn5"].append(seconds(lambda: tick(self.sync)))
        self.settle()
        batches = publishes(self.recorder.last)
        spent["raw_publish"].append(seconds(lambda: self.bare.publish(batches)))
        self.settle()


def thousand(sizes: Sizes) -> dict[str, object]:
    """Measure the usual site. Returns median seconds, and medians of the ratios of rounds."""
    spent: dict[str, list[float]] = defaultdict(list)
    with running() as site:
        case = _Thousand(site, sizes)
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


LARGE = "presence:large:{}"
TIER = "presence:tier{}:{}"
ROOM = "presence:room:{}"


def large(sizes: Sizes) -> dict[str, object]:
    """Measure a million entries, shards, and growth. Times are in seconds (medians)."""
    with running(processes=2) as site:
        entries = _fill(site, sizes)
        site.settle(entries)
        million = _million(site, sizes)
        shared = workers.run(site, sizes, _tiers(sizes, sizes.growth[-1]), sizes.growth[-1])
        looked = _idle_look(site, sizes)
        spent = {
            "channels": _grow(site, sizes, {n: _tiers(sizes, n) for n in sizes.growth}),
            "members": _grow(site, sizes, {n: [ROOM.format(n)] for n in sizes.growth}),
        }
        return {
            "million": million,
            "workers": shared,
            "looks": looked,
            "growth": {what: medians(lines) for what, lines in spent.items()},
            "doubled": {what: doubled(lines) for what, lines in spent.items()},
        }


def _fill(site: Site, sizes: Sizes) -> int:
    """Connect everybody. Returns the number of presence entries."""
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
    """Return the smallest size that includes the channel of that number."""
    return next(size for size in sizes.growth if number < size)


def _tiers(sizes: Sizes, size: int) -> list[str]:
    return [TIER.format(tier, "*") for tier in sizes.growth if tier <= size]


def _million(site: Site, sizes: Sizes) -> dict[str, object]:
    """Compare steady ticks with raw reads, and measure the memory of their workers."""
    patterns = [LARGE.format("*")]
    batches = reads([LARGE.format(n) for n in range(sizes.channels)])
    client = Bare(site.api_url)
    with Worker(site.api_url, site.redis_url, patterns) as worker:
        first = worker.tick()
    site.crowd.settle()
    raw, steady = [], []
    with Worker(site.api_url, site.redis_url, patterns) as worker:
        for _ in range(sizes.growth_rounds):
            raw.append(seconds(lambda: client.read(batches)))
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


def _idle_look(site: Site, sizes: Sizes) -> dict[str, float]:
    """Compare looks at the small channels, where nobody moves, with a bare call."""
    pattern = TIER.format("*", "*")
    sync = site.sync(Gateway(Recorder(site.api_url)), [pattern])
    site.forget()
    tick(sync)
    site.crowd.settle()
    client, body = Bare(site.api_url), _batches([{"channels": {"pattern": pattern}}])
    return looks.idle(sync, lambda: client.read(body), rounds=sizes.look_rounds)


def _grow(site: Site, sizes: Sizes, cases: dict[int, list[str]]) -> Spent:
    """Measure, for each size, a tick with everybody new and one with nothing changed."""
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


def replayed(sizes: Sizes) -> tuple[Spent, dict[int, float]]:
    """Measure one room larger than any crowd: times by size, and memory (MB) of the worker."""
    spent: Spent = {"steady": {}, "first": {}}
    memory: dict[int, float] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis_url, _ = stack.enter_context(servers.redis_server(directory))
        client = stack.enter_context(redis.Redis.from_url(redis_url))
        of_size = {}
        for size in sizes.replayed:
            url = stack.enter_context(replaying(size))
            of_size[size] = stack.enter_context(Worker(url, redis_url, ["presence:*"]))
        for _ in range(sizes.growth_rounds):
            for size, worker in of_size.items():
                client.flushdb()
                spent["first"].setdefault(size, []).append(worker.tick().seconds)
                done = worker.tick()
                spent["steady"].setdefault(size, []).append(done.seconds)
                memory[size] = done.memory
    return spent, memory


CHANGES = 20
"""Changes of one tick: half of them leaves, half joins."""


def published(sizes: tuple[int, ...]) -> dict[int, dict[str, int]]:
    """Return the bytes that one reader is sent for CHANGES, for each number of members: the full
    list, the diff, and the diff of a counted room."""
    return {
        size: {
            "full_list": sum(len(messages.encode(_member(n))) + 1 for n in range(size)) + 1,
            "diff": _published(size, limit=size),
            "counted": _published(size, limit=0),
        }
        for size in sizes
    }


def _published(size: int, *, limit: int) -> int:
    old = Roster({str(n): _member(n) for n in range(size)})
    new = Roster({str(n): _member(n) for n in range(CHANGES // 2, size + CHANGES // 2)})
    commit = make_commit(
        State(channel="presence:b", rev=1, epoch="k3f9a1c2", version=12, listed=limit > 0),
        old,
        new,
        digest=b"",
        run="",
        now=0.0,
        grace=0.0,
        list_limit=limit,
        new_epoch=str,
    )
    return len(messages.decode(commit.pending, messages.Pending).publication)


def _member(number: int) -> Member:
    return Member(str(number), f"User u{number}", {"color": "#4363d8"})
