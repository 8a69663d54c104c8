"""Assertions about rooms, events and signals, with likely causes of a failure."""

from __future__ import annotations

from typing import Any, Final, NoReturn
from unittest.mock import ANY

from django.dispatch import Signal

from presence import services
from presence.backends.memory import MemoryStore
from presence.conf import conf
from presence.roster import channel_names, messages
from presence.roster.messages import Leaving
from presence.snapshots import read_channel, read_snapshot
from presence.testing.centrifugo import FakeCentrifugo
from presence.testing.people import id_of
from presence.testing.signals import SignalRecorder, name_of
from presence.web.access import polled_channel

__all__ = ["SENT", "Assertions"]


__tracebackhide__ = True  # of pytest
__unittest = True  # of unittest: a traceback ends at the line in the test

SENT: Final = 1.0
"""Seconds that the thread gets to publish cursors."""


class Assertions:
    """Assertions of FakePresence.

    A user is given as for `connect`, or as the Connection that it returned; a channel by its full
    name. Every failure says what is there instead, and its likely cause. A channel that is not
    polled raises InvalidChannel.
    """

    store: MemoryStore
    centrifugo: FakeCentrifugo
    _recorder: SignalRecorder

    def present(self, channel: str) -> list[dict[str, Any]]:
        """Return the records of the members of `channel`, as PresenceManager.list_presences does
        for its key."""
        _check(channel)
        return read_channel(channel)

    def published(self, channel: str) -> list[dict[str, Any]]:
        """Return the publications on the feed of `channel`, oldest first: diffs, reloads, events.
        For a cursor channel, return the moves made from Python."""
        services.outbox.flush(SENT)
        if channel_names.is_cursor_channel(channel):
            return self.centrifugo.published(channel)
        _check(channel)
        return self.centrifugo.published(channel_names.feed_of(channel))

    def assert_present(self, channel: str, user: Any) -> None:
        """Assert that `user` is shown in `channel`."""
        key, there = id_of(user), self.present(channel)
        if key not in _ids(there):
            reason = _explain_absence(self.store, self.centrifugo, channel, key)
            _fail(f"{key!r} is not in {channel!r}", _people(there), reason)

    def assert_absent(self, channel: str, user: Any) -> None:
        """Assert that `user` is not shown in `channel`."""
        key, there = id_of(user), self.present(channel)
        if key in _ids(there):
            reason = _explain_presence(self.store, self.centrifugo, channel, key)
            _fail(f"{key!r} is in {channel!r}", _people(there), reason)

    def assert_count(self, channel: str, count: int, *, anonymous: int | None = None) -> None:
        """Assert that `channel` shows `count` members, and as many `anonymous` visitors (None: any
        number)."""
        there, found = self.present(channel), read_snapshot(channel).anonymous
        if len(there) == count and anonymous in (None, found):
            return
        members = f"{len(there)} member{'s' if len(there) != 1 else ''}"
        visitors = "" if anonymous is None else f" and {anonymous} anonymous"
        _fail(
            f"{channel!r} has {members} and {found} anonymous, not {count}{visitors}",
            _people(there),
            _explain_count(self.store, channel),
        )

    def assert_published(self, channel: str, event: str, payload: Any = ANY) -> None:
        """Assert that broadcast_to_presence sent `event` with that payload to `channel`."""
        self._assert_event(channel, event, payload, published=True)

    def assert_not_published(self, channel: str, event: str, payload: Any = ANY) -> None:
        """Assert that broadcast_to_presence sent no `event` (with that payload) to `channel`."""
        self._assert_event(channel, event, payload, published=False)

    def assert_signal(self, signal: Signal, channel: str, user: Any = None) -> None:
        """Assert that a signal of presence.signals was sent for `channel` (and `user`)."""
        self._assert_signal(signal, channel, user, sent=True)

    def assert_no_signal(self, signal: Signal, channel: str, user: Any = None) -> None:
        """Assert that a signal of presence.signals was not sent for `channel` (and `user`)."""
        self._assert_signal(signal, channel, user, sent=False)

    def _assert_event(self, channel: str, event: str, payload: Any, *, published: bool) -> None:
        messages = self.published(channel)
        events = [(m["event"], m["payload"]) for m in messages if m.get("type") == "presence.event"]
        if ((event, payload) in events) is not published:
            wanted = repr(event) if payload is ANY else f"{event!r} with {payload!r}"
            was = "was not" if published else "was"
            found = [f"{name!r} with {given!r}" for name, given in events]
            _fail(f"{wanted} {was} published in {channel!r}", _listed("Published", found))

    def _assert_signal(self, signal: Signal, channel: str, user: Any, *, sent: bool) -> None:
        _check(channel)
        name, key = name_of(signal), None if user is None else id_of(user)
        matching = [
            signal
            for signal in self._recorder.sent
            if (signal.name, signal.channel) == (name, channel)
            and (key is None or key in signal.ids)
        ]
        if bool(matching) is not sent:
            member = "" if key is None else f" of {key!r}"
            was = "was not" if sent else "was"
            found = [f"{s.name} about {s.channel!r} of {s.ids}" for s in self._recorder.sent]
            _fail(f"{name}{member} {was} sent about {channel!r}", _listed("Sent", found))


def _check(channel: str) -> None:
    """Raise InvalidChannel for a channel that cannot have members. Only a room that is its own feed
    can have them without being polled: server code joins them."""
    if channel_names.feed_of(channel_names.validate_channel(channel)) != channel:
        polled_channel(channel)


def _ids(there: list[dict[str, Any]]) -> list[str]:
    return [record["id"] for record in there]


def _people(there: list[dict[str, Any]]) -> str:
    people = [f"{record['name']} ({record['id']})" for record in there]
    return _listed("There", people or ["nobody"])


def _listed(label: str, items: list[str]) -> str:
    return f"{label}: {', '.join(items) or 'nothing'}"


def _fail(*parts: str) -> NoReturn:
    raise AssertionError(". ".join(part for part in parts if part))


def _explain_absence(store: MemoryStore, centrifugo: FakeCentrifugo, channel: str, key: str) -> str:
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


def _explain_presence(
    store: MemoryStore, centrifugo: FakeCentrifugo, channel: str, key: str
) -> str:
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


def _explain_count(store: MemoryStore, channel: str) -> str:
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
