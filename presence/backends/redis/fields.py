"""The hash of a channel in Redis: its fields <-> states, commits and positions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec.structs import replace

from presence.backends.base import StoredRoster, StoredSnapshot
from presence.backends.tracker import StoredPresence
from presence.roster.commit import Commit, Damage, State
from presence.roster.messages import Position
from presence.roster.people import ServerMember

MOST: Final = 2**53
"""Above any number of ours: up to it Lua and JavaScript count one by one."""
MAX_OFFSET: Final = 2**64
DIGITS: Final = 20
"""Maximum length of a number: Python is slow with very long ones, or refuses them."""


SETTLED: Final = 10_000
"""States that are kept as they were read: some 10 MB."""

Row = list[bytes | None] | Exception
"""The values of fields, or the error of a hash that is none."""


def state(channel: str, row: Row) -> State:
    """The state in the values of NAMES, or in the error that stands in their place. What cannot be
    read is left out of it, and told as its damage."""
    if isinstance(row, Exception):
        return State(channel=channel, damage=Damage(str(row), b"", b""))
    if not is_there(row):
        return State(channel=channel)
    if any(row[at] for at in _UNSETTLED):
        return _read_state(channel, *row)
    return _settled_state(channel, *row)


def _read_state(channel: str, *row: bytes | None) -> State:
    *values, suspect = row
    found: dict[str, Any] = {}
    reasons: list[str] = []
    for (name, read), value in zip(_READERS.items(), values, strict=True):
        try:
            found[name] = read(value)
        except ValueError as error:
            reasons.append(f"{name}: {error}")
    if suspect:
        reasons.append(f"a reader could not read its {suspect.decode(errors='replace')}")
    if not reasons and bool(found["epoch"]) != bool(found["version"]):
        reasons.append(f"version {found['version']} of the epoch {found['epoch']!r}")
    if not reasons:
        return State(channel=channel, **found)
    raw = dict(zip(NAMES, row, strict=True))
    damage = Damage("; ".join(reasons), raw["rev"] or b"", raw["pending"] or b"")
    return State(channel=channel, damage=damage, **found)


# Between two ticks most rows stay the same: comparing one takes a tenth of the time of reading it.
# Rows with something pending may be large, and are not kept.
_settled_state = lru_cache(maxsize=SETTLED)(_read_state)


def is_there(row: Row) -> bool:
    """Whether what a row is of was ever written."""
    return isinstance(row, Exception) or any(value is not None for value in row)


def whole(row: Row) -> StoredRoster:
    """Return what the values of WHOLE, or of ROSTER, hold; `rev` is 0 if it cannot be read."""
    if isinstance(row, Exception):
        return StoredRoster(0, b"", b"")
    raw, roster, *snapshot = row
    try:
        rev = _positive(raw)
    except ValueError:
        rev = 0
    return StoredRoster(rev, roster or b"", snapshot[0] or b"" if snapshot else b"")


def stored(row: Row, *, polled: float | None, now: float) -> StoredSnapshot:
    """Return the snapshot in the values of SHOWN, or in the error in their place."""
    nothing = StoredSnapshot(snapshot=None, position=None, polled=polled, now=now)
    if isinstance(row, Exception):
        return replace(nothing, damage=str(row))
    if not is_there(row):
        return nothing
    snapshot, at, epoch, version = row
    try:
        if _whole(version) == 0 and _epoch(epoch) == "":
            return nothing  # Only hidden users were in it.
        return replace(
            nothing,
            snapshot=snapshot or b"",
            position=position(at),
            epoch=_name(epoch),
            version=_positive(version),
        )
    except ValueError as error:
        return replace(nothing, snapshot=snapshot, damage=str(error))


def found(row: Row, members: list[ServerMember]) -> StoredPresence:
    """Return the roster of a row of `rev` and `roster`, with the members without a websocket."""
    if isinstance(row, Exception):
        return StoredPresence(members=members, damage=str(row))
    rev, everybody = row
    damage = "it is missing" if rev and not everybody else ""
    return StoredPresence(everybody or b"", members, damage)


def commit_fields(commit: Commit) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: getattr(commit, name)
        for name in ("epoch", "version", "run", "digest", "leaving", "total", "anonymous")
    }
    fields |= {"listed": int(commit.listed), "position": text(commit.position)}
    if commit.roster is not None:
        fields["roster"] = commit.roster
    if commit.snapshot is not None:
        fields["snapshot"] = commit.snapshot
    return fields


def pairs(fields: Mapping[str, Any]) -> list[Any]:
    return [part for pair in fields.items() for part in pair]


def text(position: Position | None) -> str:
    return f"{position.offset}:{position.epoch}" if position else ""


def unsignalled(changes: tuple[tuple[float, bytes], ...]) -> bytes:
    return b"\n".join(b"%r %b" % (moment, pending) for moment, pending in changes)


def position(raw: bytes | None) -> Position | None:
    """Raises ValueError for what is none."""
    if not raw:
        return None
    offset, colon, epoch = raw.partition(b":")
    if not (colon and epoch):
        raise ValueError(f"{raw[:40]!r} is no offset and epoch")
    return Position(_whole(offset, MAX_OFFSET), epoch.decode())


def seconds(raw: bytes) -> float:
    """Return a time as this app writes it. Raises ValueError for anything else."""
    if not math.isfinite(time := float(raw)):
        raise ValueError(f"{raw[:40]!r} is not a time")
    return time


def _whole(raw: bytes | None, limit: int = MOST) -> int:
    """A number as this app writes it. Raises ValueError for anything else."""
    given = raw or b""
    padded = given.startswith(b"0") and len(given) > 1
    if not given.isdigit() or padded or len(given) > DIGITS:
        raise ValueError(f"{given[:40]!r} is no whole number")
    if (number := int(given)) >= limit:
        raise ValueError(f"{given!r} is too large")
    return number


def _positive(raw: bytes | None) -> int:
    if number := _whole(raw):
        return number
    raise ValueError("it is 0")


def _name(raw: bytes | None) -> str:
    if name := (raw or b"").decode():
        return name
    raise ValueError("it is missing")


def _epoch(raw: bytes | None) -> str:
    if raw is None:
        raise ValueError("it is missing")
    return raw.decode()


def _flag(raw: bytes | None) -> bool:
    if raw not in (b"0", b"1"):
        raise ValueError(f"{(raw or b'')[:40]!r} is neither 0 nor 1")
    return raw == b"1"


def _bytes(raw: bytes | None) -> bytes:
    return raw or b""


def _changes(raw: bytes | None) -> tuple[tuple[float, bytes], ...]:
    lines = [line.partition(b" ") for line in (raw or b"").split(b"\n") if line]
    return tuple((seconds(moment), pending) for moment, _, pending in lines)


_READERS: Final[dict[str, Callable[[bytes | None], Any]]] = {
    "rev": _positive,
    "epoch": _epoch,
    "version": _whole,
    "run": _name,
    "digest": _bytes,
    "leaving": _bytes,
    "pending": _bytes,
    "unsignalled": _changes,
    "position": position,
    "listed": _flag,
    "total": _whole,
    "anonymous": _whole,
}
ROSTER: Final = ("rev", "roster")
WHOLE: Final = (*ROSTER, "snapshot")
SHOWN: Final = ("snapshot", "position", "epoch", "version")
SUSPECT: Final = "suspect"
"""Field in which a reader notes what else of the hash it could not read."""
NAMES: Final = (*_READERS, SUSPECT)
_UNSETTLED: Final = tuple(map(NAMES.index, ("leaving", "pending", "unsignalled", SUSPECT)))
"""Places in a row of what is only there for a while."""
