"""Bytes that one reader of a channel is sent for a tick, against the full list."""

from __future__ import annotations

from presence.roster import messages
from presence.roster.commit import Rules, State, plan
from presence.roster.messages import Member, Roster

CHANGES = 20
"""Half of them leaves, half joins."""


def run(sizes: tuple[int, ...]) -> dict[int, dict[str, int]]:
    """For each number of members: the diff, the full list, and the diff of a counted room."""
    return {
        size: {
            "full_list": sum(len(messages.encode(_member(n))) + 1 for n in range(size)) + 1,
            "diff": _published(size, limit=size),
            "counted": _published(size, limit=0),
        }
        for size in sizes
    }


def _published(size: int, *, limit: int) -> int:
    old = Roster({str(n): _member(n) for n in range(size)})
    new = Roster({str(n): _member(n) for n in range(CHANGES // 2, size + CHANGES // 2)})
    commit = plan(
        State(channel="presence:b", rev=1, epoch="k3f9a1c2", version=12, listed=limit > 0),
        old,
        new,
        digest=b"",
        run="",
        now=0.0,
        rules=Rules(grace=0.0, list_limit=limit),
        new_epoch=str,
    )
    return len(messages.decode(commit.pending, messages.Pending).publication)


def _member(number: int) -> Member:
    return Member(str(number), f"User u{number}", {"color": "#4363d8"})
