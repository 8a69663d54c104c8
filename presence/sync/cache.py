"""The rosters that this process wrote last, so that they need not be loaded and decoded again."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import NamedTuple

from presence.roster.commit import Commit, State
from presence.roster.types import Roster

__all__ = ["KEPT_MEMBERS", "RosterCache"]

KEPT_MEMBERS = 200_000
"""Members that are kept in all: 60 MB, at 309 bytes for one with a short name and no more."""


class _Entry(NamedTuple):
    epoch: str
    rev: int
    digest: bytes
    roster: Roster


class RosterCache:
    """Rosters by channel, those used last; `limit` counts members, and one for each channel.

    A roster is given out for the very state that it belongs to: an epoch is the name of one life
    of a channel, chosen at random, and its `rev` rises with every write. Two who commit the same
    pending are both told that theirs was taken: the `digest` tells whose it was.

    Safe in threads, without a lock, which an exception out of a signal handler could leave taken:
    each step is one operation of the dict. The size may be off after such an exception, so it is
    counted anew before anything is dropped.
    """

    def __init__(self, limit: int = KEPT_MEMBERS) -> None:
        self._limit = limit
        self._size = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def roster(self, state: State) -> Roster | None:
        """The roster of that state, None where it is not known."""
        if not state.rev:
            return Roster()
        entry = self._entries.get(state.channel)
        found = (state.epoch, state.rev, state.digest)
        if entry is None or (entry.epoch, entry.rev, entry.digest) != found:
            return None
        with suppress(KeyError):  # another thread dropped it
            self._entries.move_to_end(state.channel)
        return entry.roster

    def keep(self, commit: Commit) -> None:
        """Keep the roster that a commit leaves, once it was taken.

        The commit raised `rev` by one. Where something is pending nobody else can commit until
        that is acknowledged, which raises it by one more. That of a partial answer is not kept: it
        has no digest that would tell it from another.
        """
        rev = commit.rev + (2 if commit.pending else 1)
        self._drop(commit.channel)
        if not commit.digest:
            return
        self._entries[commit.channel] = _Entry(commit.epoch, rev, commit.digest, commit.after)
        self._size += _size(commit.after)
        if self._size > self._limit:
            self._shrink()

    def _shrink(self) -> None:
        self._size = sum(_size(entry.roster) for entry in list(self._entries.values()))
        for channel in list(self._entries):
            if self._size <= self._limit:
                break
            self._drop(channel)

    def _drop(self, channel: str) -> None:
        if entry := self._entries.pop(channel, None):
            self._size -= _size(entry.roster)


def _size(roster: Roster) -> int:
    return 1 + roster.total
