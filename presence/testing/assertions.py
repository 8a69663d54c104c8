"""What a test may claim about a room, and why it is not so."""

from __future__ import annotations

from typing import Any, Final, NoReturn
from unittest.mock import ANY

from django.dispatch import Signal

from presence import assembly, naming
from presence.backends.memory import MemoryStore
from presence.present import read_present
from presence.snapshots import read_snapshot
from presence.testing import reasons
from presence.testing.centrifugo import FakeCentrifugo
from presence.testing.people import id_of
from presence.testing.signals import Ear, name_of

__all__ = ["Assertions"]


__tracebackhide__ = True  # of pytest
__unittest = True  # of unittest: what fails is the line in the test

SENT: Final = 1.0
"""Seconds that are given to the thread that publishes cursors."""


class Assertions:
    """The part of FakePresence that asserts. Users are given as to `connect`, or as the Connection
    that it returned; channels by their full name. Every failure says what is there instead, and
    what is likely to be missing."""

    store: MemoryStore
    centrifugo: FakeCentrifugo
    _ear: Ear

    def present(self, channel: str) -> list[dict[str, Any]]:
        """The records of everybody in `channel`, as PresenceManager.list_presences gives them for
        its key."""
        return read_present([channel])[channel]

    def published(self, channel: str) -> list[dict[str, Any]]:
        """What subscribers of the feed of `channel` were sent, oldest first: diffs, reloads,
        events; of a cursor channel, what moved from Python."""
        assembly.outbox.flush(SENT)
        feed = channel if naming.is_cursor_channel(channel) else naming.feed_of(channel)
        return self.centrifugo.published(feed)

    def assert_present(self, channel: str, user: Any) -> None:
        """`user` is shown to be in `channel`."""
        key, there = id_of(user), self.present(channel)
        if key not in _ids(there):
            why = reasons.for_absence(self.store, self.centrifugo, channel, key)
            _fail(f"{key!r} is not in {channel!r}", _people(there), why)

    def assert_absent(self, channel: str, user: Any) -> None:
        """`user` is not shown to be in `channel`."""
        key, there = id_of(user), self.present(channel)
        if key in _ids(there):
            why = reasons.for_presence(self.store, self.centrifugo, channel, key)
            _fail(f"{key!r} is in {channel!r}", _people(there), why)

    def assert_count(self, channel: str, count: int, *, anonymous: int | None = None) -> None:
        """`count` members are shown to be in `channel`, and so many `anonymous` visitors beside
        them (None: any number)."""
        there, found = self.present(channel), read_snapshot(channel).anonymous
        if len(there) == count and anonymous in (None, found):
            return
        beside = "" if anonymous is None else f" and {anonymous} anonymous"
        _fail(
            f"{channel!r} has {len(there)} members and {found} anonymous, not {count}{beside}",
            _people(there),
            reasons.for_count(self.store, channel),
        )

    def assert_published(self, channel: str, event: str, payload: Any = ANY) -> None:
        """broadcast_to_presence sent `event` to the pages in `channel`, with that payload."""
        events = self._events(channel)
        if not _among(events, event, payload):
            what = event if payload is ANY else f"{event} {payload!r}"
            _fail(f"{what} was not published in {channel!r}", _listed("Published", events))

    def assert_not_published(self, channel: str, event: str, payload: Any = ANY) -> None:
        """broadcast_to_presence did not send `event` to `channel` (with that payload)."""
        events = self._events(channel)
        if _among(events, event, payload):
            _fail(f"{event} was published in {channel!r}", _listed("Published", events))

    def assert_signal(self, signal: Signal, channel: str, user: Any = None) -> None:
        """A signal of presence.signals was sent about `channel`, and told of `user` if given."""
        if not self._heard(signal, channel, user):
            self._fail_signal("was not sent", signal, channel, user)

    def assert_no_signal(self, signal: Signal, channel: str, user: Any = None) -> None:
        """A signal of presence.signals was not sent about `channel` (or did not tell of `user`)."""
        if self._heard(signal, channel, user):
            self._fail_signal("was sent", signal, channel, user)

    def _events(self, channel: str) -> list[tuple[str, Any]]:
        messages = self.published(channel)
        return [(m["event"], m["payload"]) for m in messages if m.get("type") == "presence.event"]

    def _heard(self, signal: Signal, channel: str, user: Any) -> bool:
        name, key = name_of(signal), None if user is None else id_of(user)
        return any(
            key is None or key in [member.id for member in one.members]
            for one in self._ear.caught
            if (one.name, one.channel) == (name, channel)
        )

    def _fail_signal(self, what: str, signal: Signal, channel: str, user: Any) -> NoReturn:
        about = "" if user is None else f" of {id_of(user)!r}"
        sent = [
            f"{one.name} of {one.channel!r} {[member.id for member in one.members]}"
            for one in self._ear.caught
        ]
        _fail(f"{name_of(signal)}{about} {what} about {channel!r}", _listed("Sent", sent))


def _ids(there: list[dict[str, Any]]) -> list[str]:
    return [record["id"] for record in there]


def _people(there: list[dict[str, Any]]) -> str:
    return _listed("There", [f"{record['name']} ({record['id']})" for record in there])


def _listed(what: str, things: list[Any]) -> str:
    return f"{what}: {', '.join(map(str, things)) or 'nothing'}"


def _among(events: list[tuple[str, Any]], event: str, payload: Any) -> bool:
    return (event, payload) in events


def _fail(*parts: str) -> NoReturn:
    raise AssertionError(". ".join(part for part in parts if part))
