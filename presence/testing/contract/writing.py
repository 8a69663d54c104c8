"""Writes of one kind to a RosterStore, as tests want them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from presence.backends.base import Acknowledgement, RosterStore, Writes
from presence.roster import messages
from presence.roster.commit import Commit, State
from presence.roster.messages import Change, Member, Position, Roster, Snapshot

__all__ = [
    *("ADA", "ROOM", "acknowledge", "commit", "rosters"),
    *("settled", "signalled", "state", "write"),
]

ROOM = "presence:room"
ADA = Member("ada", "Ada \U0001f600")


def commit(
    version: int = 1, *, rev: int = 0, publish: bool = True, who: int = 1, **fields: Any
) -> Commit:
    """A commit of `who` members as `version` of an epoch, upon `rev`."""
    epoch = fields.get("epoch", "e")
    pending = messages.Pending(
        epoch, version, msgspec.Raw(b'{"n":%d}' % version), Change(total=who)
    )
    shown = {
        "roster": messages.encode(Roster({"ada": ADA} if who else {})),
        "snapshot": messages.encode(Snapshot(epoch, version, [ADA] if who else [], total=who)),
        "pending": messages.encode(pending),
    }
    defaults: dict[str, Any] = {
        **{"channel": ROOM, "epoch": "e", "run": "r", "digest": b"\x00\xff\r\n"},
        **{"total": who, "leaving": b""},
        **(shown if publish else {}),
    }
    return Commit(rev=rev, version=version, **(defaults | fields))


def state(store: RosterStore, channel: str = ROOM) -> State:
    """The state of one channel."""
    return store.load_states([channel]).states[channel]


def write(
    store: RosterStore,
    commits: Sequence[Commit] = (),
    *,
    polled: Sequence[str] = (),
    now: float = 0.0,
) -> list[bool]:
    """Write commits; whether each was taken."""
    return store.write(Writes(commits=commits, polled=polled, now=now)).committed


def acknowledge(
    store: RosterStore, done: Sequence[tuple[str, bytes, Position | None]], now: float
) -> list[bool]:
    """Acknowledge each (channel, pending, position) at `now`; whether each was taken."""
    acknowledgements = [Acknowledgement(*one, now) for one in done]
    return store.write(Writes(acknowledgements=acknowledgements)).acknowledged


def signalled(store: RosterStore, done: Sequence[tuple[str, bytes]]) -> None:
    """Note that the signals of each (channel, pending) were sent."""
    store.write(Writes(signalled=done))


def rosters(store: RosterStore, channels: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    """The `rev` and the roster of each channel that has one."""
    return store.load_states([], rosters=channels).rosters


def settled(store: RosterStore, version: int = 1, **fields: Any) -> Commit:
    """Commit, acknowledge and signal."""
    one = commit(version, rev=state(store).rev, **fields)
    write(store, polled=[one.channel], now=1.0)
    assert write(store, [one]) == [True]
    assert acknowledge(store, [(one.channel, one.pending, Position(version, "S"))], 1.0) == [True]
    signalled(store, [(one.channel, one.pending)])
    return one
