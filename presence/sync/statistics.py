"""What the ticks did, in whichever processes their parts ran: written here, and read here."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

from presence.backends.base import RosterStore, TickParts, TickStart
from presence.exceptions import PresenceError
from presence.roster.commit import Commit, State
from presence.roster.messages import UNREADABLE

__all__ = ["OpenTick", "Report", "Seconds", "Statistics", "Tick", "add", "begin", "read"]

logger = logging.getLogger("presence.sync")

OVERLAP = 0.7
"""Part of an interval that has to lie between two ticks. Of two beats that run at once, one is
never more than half an interval behind the other; a tick that waited for a worker is less late."""

OVERDUE = 0.9
"""Part of its deadline after which a tick that is not whole will not become so: the next tick
may come a little early."""

CHUNK = 1000


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """One tick over every channel. Times by the store's clock, in seconds since 1970.

    Of its `shards`, `missing` did not come in. `overlapping`: another one had begun a moment ago.
    `clock_ahead`: seconds by which the clock of the worker that ended it was ahead of the store's;
    None where that is not known, or the store's was set since.
    """

    id: str
    started: float
    finished: float
    shards: int = 1
    missing: int = 0
    overlapping: bool = False
    clock_ahead: float | None = None
    report: Report


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the ticks at `now`.

    `began`: when the newest one did, finished or not. `running`: those that have not ended.
    `history`: the finished ones, newest first. `behind`: the channels with somebody in them that
    were not polled since the last of them began, with the time of their last good poll.
    """

    now: float
    began: float | None
    running: int
    history: list[Tick]
    behind: dict[str, float]

    @property
    def last(self) -> Tick | None:
        """The last tick that finished."""
        return self.history[0] if self.history else None

    @property
    def staleness(self) -> float | None:
        """Seconds since the oldest of what is shown was true; None where there was no tick."""
        times = [*self.behind.values(), *(tick.started for tick in self.history[:1])]
        return self.now - min(times) if times else None

    @property
    def incomplete(self) -> int:
        """Shards of the ticks in `history` that did not come in."""
        return sum(tick.missing for tick in self.history)

    @property
    def overlapping(self) -> int:
        """Ticks in `history` that began a moment after another one."""
        return sum(tick.overlapping for tick in self.history)


class OpenTick(msgspec.Struct, frozen=True, kw_only=True):
    """A tick that has begun; without an id, one that is not recorded."""

    id: str = ""
    started: float = 0.0
    overlapping: bool = False


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """What a process did of a tick."""

    overlapping: bool
    report: Report


def begin(store: RosterStore, *, every: float, deadline: float) -> OpenTick:
    """Begin a tick; end those before it that are overdue. All in seconds. Raises StoreError.

    `every`: the time between two ticks. `deadline`: after it no part of a tick is begun.
    """
    tick = secrets.token_hex(4)
    begun = store.begin_tick(tick)
    overlapping = begun.since is not None and begun.since < OVERLAP * every
    if overlapping:
        logger.warning(
            "tick=overlapping id=%s since_s=%.1f every_s=%g (do two beats run?)",
            *(tick, begun.since, every),
        )
    _end_overdue(store, begun, deadline)
    return OpenTick(id=tick, started=begun.now, overlapping=overlapping)


def add(store: RosterStore, tick: OpenTick, number: int, report: Report, *, of: int) -> Tick | None:
    """Add what part `number` of `of` parts did. The record of the tick, for whoever ended it.

    Raises StoreError.
    """
    part = _Part(overlapping=tick.overlapping, report=msgspec.structs.replace(report, leaving=[]))
    parts = store.add_part(tick.id, number, msgspec.json.encode(part), of=of)
    return _end(store, tick.id, parts, tick.started) if parts else None


def read(store: RosterStore) -> Statistics:
    """What is on record. Raises StoreError."""
    logged = store.load_ticks()
    history = [tick for raw in logged.records if (tick := _recorded(raw, logged.now))]
    since = history[0].started if history else logged.now
    return Statistics(
        now=logged.now,
        began=logged.began,
        running=len(logged.open),
        history=history,
        behind=_behind(store, since),
    )


def _end_overdue(store: RosterStore, begun: TickStart, deadline: float) -> None:
    # abs: the clock was set back.
    overdue = {t: at for t, at in begun.open.items() if abs(begun.now - at) >= OVERDUE * deadline}
    found = store.load_ticks(parts=True).parts if overdue else {}
    for tick, started in overdue.items():
        if tick in found:  # else it has been closed since
            record = _end(store, tick, found[tick], started)
            if record:
                logger.warning(
                    "tick=incomplete id=%s shards=%d missing=%d (did a worker end?) %s",
                    *(tick, record.shards, record.missing, record.report.line()),
                )


def _end(store: RosterStore, tick: str, found: TickParts, started: float) -> Tick | None:
    parts = [part for part in map(_part, found.parts) if part]
    report = _sum([part.report for part in parts])
    report.seconds.total = max(0.0, found.now - started)
    record = Tick(
        id=tick,
        started=started,
        finished=found.now,
        shards=max(1, found.of - 1),
        missing=max(1, found.of) - len(parts),
        overlapping=any(part.overlapping for part in parts),
        clock_ahead=time.time() - found.now,
        report=report,
    )
    return record if store.close_tick(tick, msgspec.json.encode(record)) else None


def _sum(reports: Sequence[Report]) -> Report:
    total = Report()
    for report in reports:
        total.absorb(report)
    return total


def _part(raw: bytes) -> _Part | None:
    """None, and an entry in the log, for what is none: it counts as missing."""
    try:
        return msgspec.json.decode(raw, type=_Part)
    except UNREADABLE as error:
        logger.warning("part=unreadable error=%r", str(error))
        return None


def _recorded(raw: bytes, now: float) -> Tick | None:
    """The tick as of `now`: one that was recorded before the clock was set back has just ended."""
    try:
        tick = msgspec.json.decode(raw, type=Tick)
    except UNREADABLE as error:
        logger.warning("tick=unreadable error=%r", str(error))
        return None
    if tick.finished <= now:
        return tick
    started = min(tick.started, now)
    return msgspec.structs.replace(tick, started=started, finished=now, clock_ahead=None)


def _behind(store: RosterStore, since: float) -> dict[str, float]:
    """The occupied channels whose last good poll was before `since`, with its time."""
    old = {channel: at for channel, at in store.known_channels().polled.items() if at < since}
    names = sorted(old)
    behind: dict[str, float] = {}
    for start in range(0, len(names), CHUNK):
        states = store.load_states(names[start : start + CHUNK]).states
        behind |= {channel: old[channel] for channel, state in states.items() if state.occupied}
    return behind


Part = Literal["total", "read", "store", "publish"]


COUNTS = (
    *("channels", "changed", "members", "joins", "leaves", "updates", "anonymous"),
    *("published", "held", "errors", "refused"),
)
KEPT_FAILURES = 20
NAMED = 3
"""Channels that an error names, of those that it left as they are."""


class Seconds(msgspec.Struct):
    """How long a tick took, and its parts, which overlap: they may add up to more."""

    total: float = 0.0
    read: float = 0.0
    store: float = 0.0
    publish: float = 0.0


class Report(msgspec.Struct):
    """The outcome of a tick; its fields, less the last three, are what `--json` prints.

    `channels` were polled, the rosters of `changed` of them changed. `members` and `anonymous`
    are here now; `held` members are missing but not yet believed gone. `published` publications
    went out. `errors` counts what failed, `failures` says what (KEPT_FAILURES of them).
    `leaving` names the channels where somebody began to be missing: they are to be polled again
    when the grace has passed, counted from the end of the tick. `refused` commits
    lost to another tick.
    """

    channels: int = 0
    changed: int = 0
    members: int = 0
    joins: int = 0
    leaves: int = 0
    updates: int = 0
    anonymous: int = 0
    published: int = 0
    held: int = 0
    errors: int = 0
    seconds: Seconds = msgspec.field(default_factory=Seconds)
    failures: list[str] = []
    leaving: list[str] = []
    refused: int = 0

    @contextmanager
    def catching(self, *channels: str) -> Iterator[None]:
        """Log and count what goes wrong in the block, and go on.

        What goes wrong with one channel may be any exception: its data may be odd in a way that
        nobody thought of. With several, or with none, it is a PresenceError.
        """
        try:
            yield
        except PresenceError as error:
            self.failed(error, *channels)
        except Exception as error:
            if len(channels) != 1:
                raise
            logger.exception("channel=failed name=%s", *channels)
            self.fail(f"{channels[0]}: {type(error).__name__}: {error}")

    def failed(self, error: object, *channels: str) -> None:
        """Log and count an error that left `channels` as they are; without any, the whole tick."""
        if not channels:
            logger.error("tick=failed error=%r", str(error))
            self.fail(error)
            return
        names, count = ",".join(channels[:NAMED]), len(channels)
        logger.error("channel=failed name=%s channels=%d error=%r", names, count, str(error))
        self.fail(f"{names}: {error}", count=count)

    def count(self, counted: State | Commit) -> None:
        """Count who is in a channel."""
        self.members += counted.total
        self.anonymous += counted.anonymous

    def count_commit(self, commit: Commit) -> None:
        """Count a commit that was taken, or that leaves its channel as it is."""
        self.count(commit)
        change = commit.change
        self.changed += bool(change)
        self.joins += len(change.joins)
        self.leaves += len(change.leaves)
        self.updates += len(change.updates)
        self.held += commit.held
        if commit.begins_to_leave:
            self.leaving.append(commit.channel)

    def absorb(self, other: Report) -> None:
        """Add what another part of the same tick did. Its total time is not added."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for part in ("read", "store", "publish"):
            spent = getattr(self.seconds, part) + getattr(other.seconds, part)
            setattr(self.seconds, part, spent)
        self.failures = [*self.failures, *other.failures][:KEPT_FAILURES]
        self.leaving = [*self.leaving, *other.leaving]

    def fail(self, failure: object, *, count: int = 1) -> None:
        """Count `count` failures that have one cause."""
        self.errors += count
        if len(self.failures) < KEPT_FAILURES:
            self.failures.append(str(failure) or type(failure).__name__)

    @contextmanager
    def timed(self, part: Part, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
        """Add the time that the block takes to one of `seconds`."""
        started = clock()
        try:
            yield
        finally:
            spent = getattr(self.seconds, part) + clock() - started
            setattr(self.seconds, part, spent)

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of the tick; seconds to the tenth of a millisecond."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        for name in ("failures", "leaving", "refused"):
            del shown[name]
        shown["seconds"] = {part: round(s, 4) for part, s in shown["seconds"].items()}
        return shown

    def line(self) -> str:
        """The tick as `key=value`, for the log."""
        shown = self.as_dict()
        seconds = shown.pop("seconds")
        pairs = shown | {f"{part}_s": spent for part, spent in seconds.items()}
        return " ".join(f"{key}={value}" for key, value in pairs.items())
