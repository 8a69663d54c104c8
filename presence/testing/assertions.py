"""What a test may claim about a room, and why it is not so."""

from __future__ import annotations

from typing import Any, Final, NoReturn
from unittest.mock import ANY

from django.dispatch import Signal

from presence import services
from presence.backends.memory import MemoryStore
from presence.roster import channel_names
from presence.snapshots import read_channel, read_snapshot
from presence.testing import reasons
from presence.testing.centrifugo import FakeCentrifugo
from presence.testing.people import id_of
from presence.testing.signals import SignalRecorder, name_of
from presence.web.access import polled_channel

__all__ = ["SENT", "Assertions"]


__tracebackhide__ = True  # of pytest
__unittest = True  # of unittest: what fails is the line in the test

SENT: Final = 1.0
"""Seconds that are given to the thread that publishes cursors."""


class Assertions:
    """The part of FakePresence that asserts. Users are given as to `connect`, or as the Connection
    that it returned; channels by their full name. Every failure says what is there instead, and
    what is likely to be missing; a channel in which nobody could ever be raises InvalidChannel."""

    store: MemoryStore
    centrifugo: FakeCentrifugo
    _recorder: SignalRecorder

    def present(self, channel: str) -> list[dict[str, Any]]:
        """The records of everybody in `channel`, as PresenceManager.list_presences gives them for
        its key."""
        _check(channel)
        return read_channel(channel)

    def published(self, channel: str) -> list[dict[str, Any]]:
        """What subscribers of the feed of `channel` were sent, oldest first: diffs, reloads,
        events; of a cursor channel, what moved from Python."""
        services.outbox.flush(SENT)
        if channel_names.is_cursor_channel(channel):
            return self.centrifugo.published(channel)
        _check(channel)
        return self.centrifugo.published(channel_names.feed_of(channel))

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
        members = f"{len(there)} member{'s' if len(there) != 1 else ''}"
        beside = "" if anonymous is None else f" and {anonymous} anonymous"
        _fail(
            f"{channel!r} has {members} and {found} anonymous, not {count}{beside}",
            _people(there),
            reasons.for_count(self.store, channel),
        )

    def assert_published(self, channel: str, event: str, payload: Any = ANY) -> None:
        """broadcast_to_presence sent `event` to the pages in `channel`, with that payload."""
        self._assert_event(channel, event, payload, published=True)

    def assert_not_published(self, channel: str, event: str, payload: Any = ANY) -> None:
        """broadcast_to_presence did not send `event` to `channel` (with that payload)."""
        self._assert_event(channel, event, payload, published=False)

    def assert_signal(self, signal: Signal, channel: str, user: Any = None) -> None:
        """A signal of presence.signals was sent about `channel`, and told of `user` if given."""
        self._assert_signal(signal, channel, user, sent=True)

    def assert_no_signal(self, signal: Signal, channel: str, user: Any = None) -> None:
        """A signal of presence.signals was not sent about `channel` (or did not tell of `user`)."""
        self._assert_signal(signal, channel, user, sent=False)

    def _assert_event(self, channel: str, event: str, payload: Any, *, published: bool) -> None:
        messages = self.published(channel)
        events = [(m["event"], m["payload"]) for m in messages if m.get("type") == "presence.event"]
        if ((event, payload) in events) is not published:
            what = repr(event) if payload is ANY else f"{event!r} with {payload!r}"
            was = "was not" if published else "was"
            told = [f"{name!r} with {given!r}" for name, given in events]
            _fail(f"{what} {was} published in {channel!r}", _listed("Published", told))

    def _assert_signal(self, signal: Signal, channel: str, user: Any, *, sent: bool) -> None:
        _check(channel)
        name, key = name_of(signal), None if user is None else id_of(user)
        about = [one for one in self._recorder.sent if (one.name, one.channel) == (name, channel)]
        heard = [one for one in about if key is None or key in one.ids]
        if bool(heard) is not sent:
            who = "" if key is None else f" of {key!r}"
            was = "was not" if sent else "was"
            told = [f"{one.name} about {one.channel!r} of {one.ids}" for one in self._recorder.sent]
            _fail(f"{name}{who} {was} sent about {channel!r}", _listed("Sent", told))


def _check(channel: str) -> None:
    """Server code may have joined members to any room; all else is in channels that are polled."""
    if channel_names.feed_of(channel_names.validate_channel(channel)) != channel:
        polled_channel(channel)


def _ids(there: list[dict[str, Any]]) -> list[str]:
    return [record["id"] for record in there]


def _people(there: list[dict[str, Any]]) -> str:
    people = [f"{record['name']} ({record['id']})" for record in there]
    return _listed("There", people or ["nobody"])


def _listed(what: str, things: list[str]) -> str:
    return f"{what}: {', '.join(things) or 'nothing'}"


def _fail(*parts: str) -> NoReturn:
    raise AssertionError(". ".join(part for part in parts if part))
