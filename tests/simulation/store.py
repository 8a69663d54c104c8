"""Store of the simulator: the memory backend, which can be rolled back or damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from presence.backends.base import Acknowledgement
from presence.backends.memory import MemoryStore
from presence.roster.commit import Commit, State, mark_damaged
from tests.unit.fakes import Clock


class FaultyStore(MemoryStore):
    """A store that records all commits and acknowledgements, and tells `planned` of each commit.
    `down` is its outage; its clock is `ahead` of others."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=lambda: clock() + self.ahead)
        self.ahead = 0.0
        self.planned: Callable[[Commit], None] = lambda _: None
        self._run = "life-0"
        self.down = False
        self.lives = 0
        self.committed: dict[tuple[str, str, int], list[bytes]] = {}
        self.acknowledged: list[tuple[str, bytes]] = []

    def save(self) -> dict[str, Any]:
        """Return a copy of the data, as Redis writes one to its disk."""
        dicts, others = ("_rooms", "_polled", "_due", "_revoked"), ("_nodes", "_counts", "_looking")
        saved = {name: dict(getattr(self, name)) for name in dicts}
        return saved | {name: getattr(self, name) for name in others}

    def roll_back(self, saved: dict[str, Any]) -> None:
        """Begin another life with an older copy; later writes are lost."""
        self.lives += 1
        vars(self).update({k: dict(v) if isinstance(v, dict) else v for k, v in saved.items()})
        self._run = f"life-{self.lives}"

    def damage(self, channel: str, field: str, value: bytes) -> bool:
        """Overwrite a part of a channel with bytes that no tick wrote. Returns whether there was
        anything to overwrite."""
        with self._lock:
            if (room := self._rooms.get(channel)) is None:
                return False
            state = room.state
            if field in ("roster", "snapshot"):
                self._rooms[channel] = room._replace(**{field: value})
                return True
            if field == "state":  # nothing of it can be read but what tells it from another
                state = State(channel=channel, rev=state.rev, pending=state.pending)
            else:
                state = msgspec.structs.replace(state, damage=None, **{field: value})
            self._rooms[channel] = room._replace(state=mark_damaged(state, field))
            return True

    def _commit(self, commit: Commit) -> bool:
        taken = super()._commit(commit)
        if taken:
            self.planned(commit)
        if taken and commit.snapshot:
            key = commit.channel, commit.epoch, commit.version
            self.committed.setdefault(key, []).append(commit.snapshot)
        return taken

    def _acknowledge(self, done: Acknowledgement, *, to_signal: bool) -> bool:
        taken = super()._acknowledge(done, to_signal=to_signal)
        if taken:
            self.acknowledged.append((done.channel, done.pending))
        return taken
