"""What one tick did."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

from presence.exceptions import PresenceError
from presence.roster.commit import Commit, State

__all__ = ["Report", "Seconds"]

logger = logging.getLogger("presence.sync")

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
