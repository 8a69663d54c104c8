"""Fixtures of every suite, and helpers that write to a store and read from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from presence.backends.base import (
    Acknowledgement,
    Restart,
    RosterStore,
    Suspect,
    Writes,
)
from presence.roster import messages
from presence.roster.commit import Commit, State, restart
from presence.roster.messages import Change, Member, Position, Roster, Snapshot
from presence.testing.clock import Clock

__all__ = [
    "ADA",
    "ROOM",
    "Clock",
    "Contract",
    "acknowledge",
    "commit",
    "drop",
    "note_last_seen",
    "rosters",
    "run_all",
    "settled",
    "signalled",
    "state",
    "suspect",
    "sweep",
    "write",
]


def run_all(works: Sequence[Callable[[], object]]) -> None:
    """Run each callable in its own thread, and fail if any of them raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors


class Contract:
    """Fixtures of a suite. A subclass gives `backend`: a new, empty backend that goes by the time
    of `clock`."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def backend(self, clock: Clock) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__} has to give a fixture `backend`: an empty backend on `clock`"
        )

    @pytest.fixture
    def peer(self, backend: Any) -> Any:
        """Return what another process has for the same data; by default the same object."""
        return backend


ROOM = "presence:room"
ADA = Member("ada", "Ada \U0001f600")


def commit(
    version: int = 1, *, rev: int = 0, publish: bool = True, members: int = 1, **fields: Any
) -> Commit:
    """Return a commit to follow `rev`: `version` of an epoch, with 0 or 1 members."""
    epoch = fields.get("epoch", "e")
    pending = messages.Pending(
        epoch, version, msgspec.Raw(b'{"n":%d}' % version), Change(total=members)
    )
    shown = {
        "roster": messages.encode(Roster({"ada": ADA} if members else {})),
        "snapshot": messages.encode(
            Snapshot(epoch, version, [ADA] if members else [], total=members)
        ),
        "pending": messages.encode(pending),
    }
    defaults: dict[str, Any] = {
        **{"channel": ROOM, "epoch": "e", "run": "r", "digest": b"\x00\xff\r\n"},
        **{"total": members, "leaving": b""},
        **(shown if publish else {}),
    }
    return Commit(rev=rev, version=version, **(defaults | fields))


def state(store: RosterStore, channel: str = ROOM) -> State:
    """Return the state of a channel."""
    return store.load_states([channel]).states[channel]


def write(
    store: RosterStore,
    commits: Sequence[Commit] = (),
    *,
    polled: Sequence[str] = (),
    now: float = 0.0,
) -> list[bool]:
    """Write commits; return whether each was accepted."""
    return store.write(Writes(commits=commits, polled=polled, now=now)).committed


def acknowledge(
    store: RosterStore, done: Sequence[tuple[str, bytes, Position | None]], now: float
) -> list[bool]:
    """Acknowledge each (channel, pending, position) at `now`; return whether each was accepted."""
    acknowledgements = [Acknowledgement(*published, now) for published in done]
    return store.write(Writes(acknowledgements=acknowledgements)).acknowledged


def signalled(store: RosterStore, done: Sequence[tuple[str, bytes]]) -> None:
    """Note that the signals of each (channel, pending) were sent."""
    store.write(Writes(signalled=done))


def drop(store: RosterStore, pending: bytes, *, epoch: str, now: float) -> bool:
    """Drop `pending` of the room; version 1 of `epoch` follows. Return whether it was accepted."""
    stored = store.load_snapshots([ROOM])[ROOM].snapshot or b""
    restarted = Restart(epoch, restart(stored, epoch))
    given_up = Acknowledgement(ROOM, pending, None, now, restarted)
    return store.write(Writes(acknowledgements=[given_up])).acknowledged[0]


def suspect(store: RosterStore, field: str, found: bytes) -> None:
    """Report a field of the room that cannot be read."""
    store.write(Writes(suspects=[Suspect(ROOM, field, found)]))


def sweep(store: RosterStore, channels: Mapping[str, float]) -> list[str]:
    """Delete the channels that are empty, and return them."""
    return store.write(Writes(sweep=channels)).swept


def note_last_seen(store: object, users: Mapping[str, float]) -> None:
    """Store when users were last in a channel."""
    assert isinstance(store, RosterStore)
    store.write(Writes(last_seen=users))


def rosters(store: RosterStore, channels: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    """Return `rev` and roster of each channel that has a roster."""
    return store.load_states([], rosters=channels).rosters


def settled(store: RosterStore, version: int = 1, **fields: Any) -> Commit:
    """Commit, acknowledge and signal; return the commit."""
    made = commit(version, rev=state(store).rev, **fields)
    write(store, polled=[made.channel], now=1.0)
    assert write(store, [made]) == [True]
    assert acknowledge(store, [(made.channel, made.pending, Position(version, "S"))], 1.0) == [True]
    signalled(store, [(made.channel, made.pending)])
    return made
