"""Likely causes why a room differs from the assertion of a test."""

from __future__ import annotations

from presence.backends.memory import MemoryStore
from presence.conf import conf
from presence.roster import messages
from presence.roster.messages import Leaving
from presence.testing.centrifugo import FakeCentrifugo

__all__ = ["for_absence", "for_count", "for_presence"]


def for_absence(store: MemoryStore, centrifugo: FakeCentrifugo, channel: str, key: str) -> str:
    """Return why the member `key` may not be shown in `channel`."""
    here = [client for client in centrifugo.clients(channel) if client.member_id == key]
    if any(client.signed.hidden for client in here):
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
    """Return why the member `key` may still be shown in `channel`."""
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
    """Return why a count may still change."""
    if store.load_snapshots([channel])[channel].polled is None:
        return "No tick() has looked at this channel"
    if leaving := _leaving(store, channel):
        gone = ", ".join(leaving)
        return f"Once PRESENCE_LEAVE_GRACE has passed (see settle()) these leave: {gone}"
    return ""


def _connected(centrifugo: FakeCentrifugo, channel: str, key: str) -> bool:
    return any(client.member_id == key for client in centrifugo.clients(channel))


def _tracked_channels(store: MemoryStore) -> list[str]:
    return sorted(store.load_tracker_state(timeout=conf.PRESENCE_TIMEOUT).channels)


def _sources(store: MemoryStore, channel: str, key: str) -> list[str]:
    found = store.load_members([channel], timeout=conf.PRESENCE_TIMEOUT)[channel]
    return [member.source for member in found.members if member.user == key]


def _leaving(store: MemoryStore, channel: str) -> dict[str, float]:
    """Return the missing members, with the seconds that they have been missing."""
    loaded = store.load_states([channel])
    raw = loaded.states[channel].leaving
    members = messages.decode(raw, Leaving).members if raw else {}
    return {key: loaded.now - since for key, since in members.items()}
