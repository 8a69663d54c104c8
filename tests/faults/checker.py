"""Judge of a run with faults. It reads what subscribers recorded and what the crowd did.

It imports nothing of the app. All times are of one monotonic clock, in seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SLACK = 0.5
"""Seconds for which the journal may be behind or ahead of what Centrifugo knows."""


@dataclass
class Move:
    """Connect or close of a user in a room: the journal notes a connect after it was acknowledged,
    and a close before it is sent."""

    at: float
    user: str
    connects: bool


@dataclass
class Heard:
    """Entry of a subscriber's record.

    Its `kind` is "subscribed", with whether Centrifugo recovered what was missed, "publication" or
    "snapshot", with the message.
    """

    at: float
    kind: str
    data: Any = None


@dataclass
class Judgement:
    """Members that a subscriber shows at the end, and since when; and what is wrong."""

    members: set[str] | None = None
    since: float = 0.0
    wrong: list[str] = field(default_factory=list)


def truth(moves: Iterable[Move]) -> set[str]:
    """Return the users who are connected after all moves."""
    open_: dict[str, int] = {}
    for move in moves:
        open_[move.user] = open_.get(move.user, 0) + (1 if move.connects else -1)
    return {user for user, count in open_.items() if count > 0}


def judge(record: Sequence[Heard], moves: Sequence[Move]) -> Judgement:
    """Replay a record by the rules of a page: each version once, and none left out, except after a
    snapshot."""
    state = _Replay(moves)
    for heard in record:
        state.hear(heard)
    return state.done


def check(
    records: Mapping[str, Sequence[Heard]],
    moves: Sequence[Move],
    *,
    ended: float,
    within: float,
    signals: Sequence[Sequence[Any]] | None = None,
) -> float:
    """Raise AssertionError unless all subscribers were told right, and in time.

    `ended` is the time at which the last fault ended. The last change and that must be at most
    `within` seconds before the subscriber showed the truth. `signals` are the lines that receivers
    of signals wrote: (name, channel, members, version). Returns the seconds that it took.
    """
    assert records, "nobody listened"
    right, longest = truth(moves), 0.0
    start = max([ended, *(move.at for move in moves)])
    for name, record in records.items():
        found = judge(record, moves)
        assert not found.wrong, f"{name}: {found.wrong}"
        assert found.members == right, f"{name} shows {found.members}, {right} are connected"
        longest = max(longest, found.since - start)
        assert found.since - start <= within, f"{name}: right after {found.since - start:.1f} s"
        if signals is not None:
            missing = [*unsignalled(record, signals)]
            assert not missing, f"no signal of {missing}"
    return longest


class _Replay:
    """Page that takes one entry of a record after the other."""

    def __init__(self, moves: Sequence[Move]) -> None:
        self.done = Judgement()
        self._moves = moves
        self._epoch, self._version = "", -1
        self._stale = True  # until a snapshot comes
        self._held: list[Heard] = []
        self._told: set[tuple[str, int]] = set()
        self._ever: set[tuple[str, int]] = set()
        self._leaves: Counter[str] = Counter()

    def hear(self, heard: Heard) -> None:
        if heard.kind == "subscribed":
            if not heard.data:
                self._stale, self._told = True, set()
        elif heard.kind == "snapshot":
            self._show_snapshot(heard)
        elif heard.data.get("type") in ("presence.diff", "presence.reload"):
            self._note(heard)
            self._held.append(heard)
            self._apply_held(heard.at)

    def _note(self, heard: Heard) -> None:
        """Note that a publication was told, once in one life of a subscription."""
        key = heard.data["epoch"], heard.data["version"]
        again = key in self._ever
        self._ever.add(key)
        if key in self._told:
            self.done.wrong.append(f"version {key} was told twice")
        self._told.add(key)
        for user in () if again else heard.data.get("leaves", ()):
            self._leaves[user] += 1
            if self._leaves[user] > _absences(self._moves, user, heard.at + SLACK):
                self.done.wrong.append(f"{user} did not leave, told with version {key}")

    def _show_snapshot(self, heard: Heard) -> None:
        epoch, version = heard.data["epoch"], heard.data["version"]
        if epoch == self._epoch and version < self._version:
            return  # older than what the page shows
        self._epoch, self._version, self._stale = epoch, version, False
        # A page does not go back to what it held of another epoch.
        self._held = [each for each in self._held if each.data["epoch"] == epoch]
        self._set({member["id"] for member in heard.data["members"]}, heard.at)
        self._apply_held(heard.at)

    def _apply_held(self, at: float) -> None:
        if self._stale:
            return
        held, self._held = self._held, []
        for index, each in enumerate(held):
            data = each.data
            if data["epoch"] != self._epoch or data["type"] == "presence.reload":
                if data["epoch"] == self._epoch and data["version"] <= self._version:
                    continue  # the snapshot has it
                self._stale, self._held = True, held[index:]
                return
            if data["version"] <= self._version:
                continue  # the snapshot has it
            if (data["base"], data["version"]) != (self._version, self._version + 1):
                self.done.wrong.append(f"version {data['version']} follows {self._version}")
            self._version = data["version"]
            after = (self.done.members or set()) - set(data["leaves"])
            self._set(after | {member["id"] for member in data["joins"]}, at)

    def _set(self, members: set[str], at: float) -> None:
        if members != self.done.members:
            self.done.members, self.done.since = members, at


def _absences(moves: Sequence[Move], user: str, until: float) -> int:
    """Return how often the user had no connection any more."""
    count, absences = 0, 0
    for move in moves:
        if move.user == user and move.at <= until:
            count += 1 if move.connects else -1
            absences += count == 0
    return absences


def unsignalled(record: Sequence[Heard], signals: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Yield the joins and leaves that were told, but that no receiver of signals noted."""
    noted = {(name, user, version) for name, _, members, version in signals for user in members}
    for heard in record:
        if heard.kind != "publication":
            continue
        for member in heard.data.get("joins", ()):
            if ("presence_joined", member["id"], heard.data["version"]) not in noted:
                yield f"join of {member['id']}"
        for user in heard.data.get("leaves", ()):
            if ("presence_left", user, heard.data["version"]) not in noted:
                yield f"leave of {user}"
