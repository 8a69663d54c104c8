"""What is likely to be missing where a room is not as a test claims."""

from __future__ import annotations

from presence.backends.memory import MemoryStore
from presence.conf import conf
from presence.roster import messages
from presence.roster.messages import Leaving
from presence.testing.centrifugo import FakeCentrifugo

__all__ = ["for_absence", "for_count", "for_presence"]


def for_absence(store: MemoryStore, centrifugo: FakeCentrifugo, channel: str, key: str) -> str:
    """Why the member `key` may not be shown in `channel`."""
    here = [one for one in centrifugo.clients(channel) if one.member_id == key]
    if any(one.signed.hidden for one in here):
        return "They are connected, but PRESENCE_VISIBLE says that nobody may know"
    if here and not here[0].user and conf.PRESENCE_ANONYMOUS != "list":
        return f"They are anonymous, and PRESENCE_ANONYMOUS is {conf.PRESENCE_ANONYMOUS!r}"
    if here:
        return "They are connected: has there been a tick() since?"
    elsewhere = [
        *(c for c in centrifugo.channels() if _connected(centrifugo, c, key)),
        *(c for c in _tracked_channels(store) if _sources(store, c, key)),
    ]
    if elsewhere:
        return f"They are in {', '.join(map(repr, dict.fromkeys(elsewhere)))}"
    return "They are connected to no channel, and server code has joined them to none"


def for_presence(store: MemoryStore, centrifugo: FakeCentrifugo, channel: str, key: str) -> str:
    """Why the member `key` may still be shown in `channel`."""
    if _connected(centrifugo, channel, key):
        return "They are connected: close() what connect() returned, or disconnect() them"
    if sources := _sources(store, channel, key):
        said_by = ", ".join(map(repr, sources))
        return (
            f"Server code joined them (source {said_by}): they go when it has them leave, or "
            f"{conf.PRESENCE_TIMEOUT:g} s (PRESENCE_TIMEOUT) after their last heartbeat"
        )
    missing = _leaving(store, channel).get(key)
    if missing is None:
        return "They left: has there been a tick() since? settle() lets the leave grace pass, too"
    return (
        f"They have been missing for {missing:.0f} s: a leave is believed at the first tick() "
        f"after {conf.PRESENCE_LEAVE_GRACE:g} s (PRESENCE_LEAVE_GRACE), which settle() lets pass"
    )


def for_count(store: MemoryStore, channel: str) -> str:
    """Why a count may not be what it will be."""
    if store.load_snapshots([channel])[channel].polled is None:
        return "No tick() has looked at this channel"
    if leaving := _leaving(store, channel):
        gone = ", ".join(leaving)
        return f"Once PRESENCE_LEAVE_GRACE has passed (see settle()) these leave: {gone}"
    return ""


def _connected(centrifugo: FakeCentrifugo, channel: str, key: str) -> bool:
    return any(one.member_id == key for one in centrifugo.clients(channel))


def _tracked_channels(store: MemoryStore) -> list[str]:
    return sorted(store.load_tracker_state(timeout=conf.PRESENCE_TIMEOUT).channels)


def _sources(store: MemoryStore, channel: str, key: str) -> list[str]:
    found = store.load_members([channel], timeout=conf.PRESENCE_TIMEOUT)[channel]
    return [one.source for one in found.members if one.user == key]


def _leaving(store: MemoryStore, channel: str) -> dict[str, float]:
    """Who is missing, and for how many seconds."""
    loaded = store.load_states([channel])
    raw = loaded.states[channel].leaving
    members = messages.decode(raw, Leaving).members if raw else {}
    return {key: loaded.now - since for key, since in members.items()}
