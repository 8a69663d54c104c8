"""Records of ticks: their parts, in any number of processes, are written and read here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import msgspec

from presence.backends.base import BatchState, RosterStore, TickParts, TickStart
from presence.exceptions import CommandError, PresenceError
from presence.roster.commit import Commit, State
from presence.roster.messages import UNREADABLE
from presence.transport.log_lines import line_logger

logger = line_logger("presence.sync")

T = TypeVar("T")
Pulse = Callable[["Report"], None]
"""Callback that tells the open pages that a tick ended, and counts a failure of that in the
report."""

OVERLAP = 0.7
"""Fraction of an interval below which two ticks overlap. Of two beats that run at once, one is at
most half an interval behind the other; a tick that waited for a worker is less late."""

OVERDUE = 0.9
"""Fraction of the deadline after which a tick with missing parts is ended: the next tick may come a
little early."""

RECENT = 1.5
"""Fraction of the deadline until which an overdue tick counts as the one before."""

CHUNK = 1000
"""Channels whose states are loaded in one round trip, where all known channels are."""


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """One tick over all channels. Times are in seconds since 1970 by the store's clock.

    `missing` of its `shards` were not reported. `overlapping`: another tick had begun shortly
    before. `clock_ahead`: seconds by which the clock of the worker that ended it was ahead of the
    store's; None if unknown, or if the store's clock was set since.
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
    """Records of ticks at `now`.

    `began`: start of the newest tick, finished or not. `history`: finished ticks, newest first.
    `behind`: occupied channels that were not polled since the last finished tick began, with the
    time of their last good poll. `looked`: when the last look began or ended, None if none did.
    """

    now: float
    began: float | None
    history: list[Tick]
    behind: dict[str, float]
    looked: float | None = None

    @property
    def last(self) -> Tick | None:
        """The last tick that finished."""
        return self.history[0] if self.history else None


class OpenTick(msgspec.Struct, frozen=True, kw_only=True):
    """A tick that has begun; the next one comes after `every` seconds, the one before began at
    `before` (0: unknown). Without an id, it is not recorded."""

    id: str = ""
    started: float = 0.0
    before: float = 0.0
    every: float = 0.0
    overlapping: bool = False


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a tick that one process did."""

    overlapping: bool
    report: Report


def begin(
    store: RosterStore, *, interval: float, deadline: float, pulse: Pulse | None = None
) -> OpenTick:
    """Begin a tick, and end overdue earlier ticks. Raises StoreError.

    `interval` is the time between two ticks; no part of a tick starts after `deadline`. Both are in
    seconds. `pulse` is called for an overdue tick if it is that of one interval ago: an older one
    says nothing about now.
    """
    tick = secrets.token_hex(4)
    begun = store.begin_tick(tick)
    overlapping = begun.since is not None and begun.since < OVERLAP * interval
    if overlapping:
        logger.warning(
            "tick=overlapping id=%s since_s=%.1f every_s=%g (do two beats run?)",
            *(tick, begun.since, interval),
        )
    _end_overdue(store, begun, deadline, pulse)
    before = 0.0 if begun.since is None else begun.now - begun.since
    return OpenTick(
        id=tick, started=begun.now, before=before, every=interval, overlapping=overlapping
    )


def add(
    store: RosterStore,
    tick: OpenTick,
    number: int,
    report: Report,
    *,
    of: int,
    pulse: Pulse | None = None,
) -> Tick | None:
    """Add the report of part `number` of `of` parts. Returns the tick's record if this ended it.

    Raises StoreError.
    """
    part = _Part(overlapping=tick.overlapping, report=msgspec.structs.replace(report, again={}))
    parts = store.add_part(tick.id, number, msgspec.json.encode(part), of=of)
    return _end(store, tick.id, parts, tick.started, pulse) if parts else None


def read(store: RosterStore) -> Statistics:
    """Return the records of ticks. Raises StoreError."""
    logged = store.load_ticks()
    history = [tick for raw in logged.records if (tick := _recorded(raw, logged.now))]
    since = history[0].started if history else logged.now
    return Statistics(
        now=logged.now,
        began=logged.began,
        history=history,
        behind=_behind(store, since),
        looked=logged.looked,
    )


def _end_overdue(
    store: RosterStore, begun: TickStart, deadline: float, pulse: Pulse | None
) -> None:
    # abs: the clock was set back.
    overdue = {t: at for t, at in begun.open.items() if abs(begun.now - at) >= OVERDUE * deadline}
    found = store.load_ticks(records=False, parts=True).parts if overdue else {}
    for tick, started in overdue.items():
        if tick in found:  # else it has been closed since
            is_recent = abs(begun.now - started) < RECENT * deadline
            record = _end(store, tick, found[tick], started, pulse if is_recent else None)
            if record:
                logger.warning(
                    "tick=incomplete id=%s shards=%d missing=%d (did a worker end?) %s",
                    *(tick, record.shards, record.missing, record.report.line()),
                )


def _end(
    store: RosterStore, tick: str, found: TickParts, started: float, pulse: Pulse | None
) -> Tick | None:
    # A part that cannot be read counts as missing.
    parts = [part for raw in found.parts if (part := _decode(raw, _Part, "part"))]
    report = Report()
    for part in parts:
        report.absorb(part.report)
    report.seconds.total = max(0.0, found.now - started)
    missing = max(1, found.of) - len(parts)
    # After one failed channel, or one lost shard, what the other pages show is still true.
    if pulse and (report.polled or not (report.errors or missing)):
        pulse(report)
    record = Tick(
        id=tick,
        started=started,
        finished=found.now,
        shards=max(1, found.of - 1),
        missing=missing,
        overlapping=any(part.overlapping for part in parts),
        clock_ahead=time.time() - found.now,
        report=report,
    )
    return record if store.close_tick(tick, msgspec.json.encode(record)) else None


def _decode(raw: bytes, kind: type[T], name: str) -> T | None:
    """Return the record; if it cannot be read, log that and return None."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except UNREADABLE as error:
        logger.warning("%s=unreadable error=%r", name, str(error))
        return None


def _recorded(raw: bytes, now: float) -> Tick | None:
    """Return the tick with no time after `now`: the clock may have been set back since."""
    tick = _decode(raw, Tick, "tick")
    if tick is None or tick.finished <= now:
        return tick
    started = min(tick.started, now)
    return msgspec.structs.replace(tick, started=started, finished=now, clock_ahead=None)


def _behind(store: RosterStore, since: float) -> dict[str, float]:
    """Return the occupied channels with a last good poll before `since`, with its time."""
    old = {channel: at for channel, at in store.known_channels().polled.items() if at < since}
    return {
        channel: old[channel]
        for loaded in load_in_chunks(store, old)
        for channel, state in loaded.states.items()
        if state.occupied
    }


def load_in_chunks(store: RosterStore, channels: Iterable[str]) -> Iterator[BatchState]:
    """Load the states of any number of channels, CHUNK in each round trip. Raises StoreError."""
    names = sorted(channels)
    for start in range(0, len(names), CHUNK):
        yield store.load_states(names[start : start + CHUNK])


Part = Literal["total", "read", "store", "publish"]

COUNTS = (
    *("channels", "changed", "members", "joins", "leaves", "updates", "anonymous"),
    *("published", "held", "errors", "refused", "polled"),
)
KEPT_FAILURES = 20
RETRY = 5.0
"""Seconds after which a channel whose poll failed is polled again."""
NAMED = 3
"""Channels that the message of an error names at most."""


class Seconds(msgspec.Struct):
    """Duration of a tick and of its parts, which overlap: their sum may be larger."""

    total: float = 0.0
    read: float = 0.0
    store: float = 0.0
    publish: float = 0.0


class Report(msgspec.Struct):
    """Result of a tick. `--json` prints all of its fields but the last four.

    `channels` were polled, and the rosters of `changed` of them changed. `members` and `anonymous`
    count the people now; `held` members are missing, but still shown. `published` counts
    publications, `errors` failures; `failures` holds the first KEPT_FAILURES messages. `again`
    names the channels to poll again, and in how many seconds, as their poll failed or lost a race.
    `refused` commits lost to another tick. The polls of `polled` channels were good.
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
    again: dict[str, float] = msgspec.field(default_factory=dict)
    refused: int = 0
    polled: int = 0

    @property
    def outage(self) -> bool:
        """Whether it failed before any channel was polled, as while a server is down."""
        return bool(self.errors) and not self.channels

    @contextmanager
    def catching(self, *channels: str) -> Iterator[None]:
        """Log and count an error of the block, and go on.

        For one channel, any exception is caught: its data may be malformed in an unexpected way.
        For several channels, or none, only a PresenceError is.
        """
        try:
            yield
        except PresenceError as error:
            self.failed(error, *channels)
        except Exception as error:
            if len(channels) != 1:
                raise
            logger.exception("channel=failed name=%s", *channels)
            self.again[channels[0]] = RETRY
            self.fail(f"{channels[0]}: {type(error).__name__}: {error}")

    def failed(self, error: object, *channels: str) -> None:
        """Log and count an error of `channels`; without any, of the whole tick."""
        if not channels:
            logger.error("tick=failed error=%r", str(error))
            self.fail(error)
            return
        if not (isinstance(error, CommandError) and error.permanent):
            self.again |= dict.fromkeys(channels, RETRY)
        names, count = ",".join(channels[:NAMED]), len(channels)
        logger.error("channel=failed name=%s channels=%d error=%r", names, count, str(error))
        self.fail(f"{names}: {error}", count=count)

    def refuse(self, *channels: str) -> None:
        """Count channels whose commits lost to another tick, which may have read an older state."""
        self.refused += len(channels)
        self.again |= dict.fromkeys(channels, 0.0)

    def count(self, counted: State | Commit) -> None:
        """Count the members and visitors of a channel."""
        self.members += counted.total
        self.anonymous += counted.anonymous

    def count_commit(self, commit: Commit) -> None:
        """Count a commit that was taken, or that needs no write."""
        self.count(commit)
        change = commit.change
        self.changed += bool(change)
        self.joins += len(change.joins)
        self.leaves += len(change.leaves)
        self.updates += len(change.updates)
        self.held += commit.held

    def absorb(self, other: Report) -> None:
        """Add the report of another part of the same tick, except its total time."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for part in ("read", "store", "publish"):
            spent = getattr(self.seconds, part) + getattr(other.seconds, part)
            setattr(self.seconds, part, spent)
        self.failures = [*self.failures, *other.failures][:KEPT_FAILURES]
        self.again |= other.again

    def fail(self, failure: object, *, count: int = 1) -> None:
        """Count `count` failures with one cause."""
        self.errors += count
        if len(self.failures) < KEPT_FAILURES:
            self.failures.append(str(failure) or type(failure).__name__)

    @contextmanager
    def timed(self, part: Part, clock: Callable[[], float]) -> Iterator[None]:
        """Add the duration of the block to one of `seconds`."""
        started = clock()
        try:
            yield
        finally:
            spent = getattr(self.seconds, part) + clock() - started
            setattr(self.seconds, part, spent)

    def as_dict(self) -> dict[str, Any]:
        """Return the tick for JSON; seconds are rounded to four decimals."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        for name in ("failures", "again", "refused", "polled"):
            del shown[name]
        shown["seconds"] = {part: round(s, 4) for part, s in shown["seconds"].items()}
        return shown

    def line(self) -> str:
        """Return the tick as `key=value`, for the log."""
        shown = self.as_dict()
        seconds = shown.pop("seconds")
        pairs = shown | {f"{part}_s": spent for part, spent in seconds.items()}
        return " ".join(f"{key}={value}" for key, value in pairs.items())
