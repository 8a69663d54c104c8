"""The hash of a channel in Redis: its fields <-> states, commits and positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from presence.exceptions import StoreError
from presence.plan import Commit, State
from presence.roster import Position

__all__ = ["NAMES", "commit_fields", "pairs", "position", "state", "text"]

NAMES = (
    *("rev", "epoch", "version", "run", "digest", "leaving", "pending", "unsignalled"),
    *("position", "listed", "total", "anonymous"),
)


def state(channel: str, row: list[bytes | None]) -> State:
    raw = dict(zip(NAMES, (value or b"" for value in row), strict=True))
    if not raw["rev"]:
        return State(channel=channel)
    try:
        return _read_state(channel, raw)
    except ValueError as error:
        raise StoreError(
            f"Redis: the hash of {channel} holds what this app never wrote ({error}): delete it, "
            "or give the app a PRESENCE_PREFIX of its own"
        ) from error


def _read_state(channel: str, raw: dict[str, bytes]) -> State:
    return State(
        channel=channel,
        rev=int(raw["rev"]),
        epoch=raw["epoch"].decode(),
        version=int(raw["version"]),
        run=raw["run"].decode(),
        digest=raw["digest"],
        leaving=raw["leaving"],
        pending=raw["pending"],
        unsignalled=tuple(_unsignalled(raw["unsignalled"])),
        position=position(raw["position"]),
        listed=raw["listed"] == b"1",
        total=int(raw["total"]),
        anonymous=int(raw["anonymous"]),
    )


def _unsignalled(lines: bytes) -> Iterator[tuple[float, bytes]]:
    for line in lines.splitlines():
        moment, _, pending = line.partition(b" ")
        yield float(moment), pending


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


def position(text: bytes | None) -> Position | None:
    if not text:
        return None
    offset, _, epoch = text.decode().partition(":")
    return Position(int(offset), epoch)
