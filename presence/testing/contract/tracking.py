"""Calls of a Tracker as tests want them."""

from __future__ import annotations

from presence.backends.tracker import Tracker
from presence.roster.people import ServerMember

__all__ = [
    *("META", "ODD_NAMES", "OTHER", "ROOM", "TIMEOUT"),
    *("beat", "join", "leave", "listed", "pairs"),
]

ROOM = "presence:room"
OTHER = "presence:other"
TIMEOUT = 60.0
META = b'{"name":"Ada Lovelace"}'
ODD_NAMES = ["7", "ada lovelace", "héloïse \U0001f600", "a" * 200, " 1 2 ", '["a","b"]', "a:b%\\"]


def join(
    tracker: Tracker, user: str, *, source: str = "", meta: bytes = META, channel: str = ROOM
) -> ServerMember:
    return tracker.save_member(channel, user, source=source, meta=meta, timeout=TIMEOUT)


def leave(
    tracker: Tracker, user: str, *, source: str = "", channel: str = ROOM
) -> ServerMember | None:
    return tracker.delete_member(channel, user, source=source, timeout=TIMEOUT)


def beat(tracker: Tracker, user: str, *, source: str = "", channel: str = ROOM) -> bool:
    return tracker.touch_member(channel, user, source=source, timeout=TIMEOUT)


def listed(
    tracker: Tracker, channel: str = ROOM, *, timeout: float = TIMEOUT
) -> list[ServerMember]:
    """Who is there by `members`, which `present` must agree with."""
    found = tracker.load_members([channel], timeout=timeout)[channel]
    assert tracker.load_present([channel], timeout=timeout)[channel].members == found
    return found


def pairs(tracker: Tracker, channel: str = ROOM) -> list[tuple[str, str]]:
    """Users and sources, sorted; each of them once."""
    found = sorted((one.user, one.source) for one in listed(tracker, channel))
    assert len(found) == len(set(found))
    return found
