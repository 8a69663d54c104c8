"""FakePresence: Centrifugo, worker and clock under the control of a test."""

from __future__ import annotations

import time
import unittest
from contextlib import ExitStack
from itertools import count
from typing import Any, Final

from django.test import override_settings

from presence import services
from presence.backends.memory import MemoryStore
from presence.centrifugo.gateway import Gateway
from presence.conf import conf
from presence.sync.statistics import Report
from presence.testing.assertions import SENT, Assertions
from presence.testing.centrifugo import Client, Connection, FakeCentrifugo
from presence.testing.clock import Clock, Inline
from presence.testing.people import id_of, is_anonymous, sign, visitor
from presence.testing.signals import SentSignal, SignalRecorder
from presence.web.access import polled_channel

__all__ = ["FakePresence", "PresenceTestMixin"]

ISSUER_KEY: Final = "presence.testing: a secret that no server knows"
MOMENT: Final = 1e-6
"""Seconds between two readings of the clock: of two claims the later one counts."""
AT_ONCE: Final = 1e-9
"""Interval of ticks that is so short that no tick counts as overlapping."""


class FakePresence(Assertions):
    """This app without servers. During a `with` block, the process keeps rosters in memory and
    talks to a fake Centrifugo, and time passes only if the test says so.

    Only `tick` polls, as the tick of a worker does: rosters, versions, diffs, signals, template
    tags, the widget and PresenceManager show its result. The settings of the site hold, and may be
    overridden within the block. Django's own clock, for example of sessions, does not change. Of
    nested blocks, the innermost counts.
    """

    def __init__(self) -> None:
        self.clock = Clock(time.time(), step=MOMENT)
        self.store = MemoryStore(clock=self.clock)
        self.centrifugo = FakeCentrifugo(self.clock)
        self._recorder = SignalRecorder()
        self._ids = count(1)
        self._stack = ExitStack()

    def __enter__(self) -> FakePresence:
        with ExitStack() as stack:
            stack.enter_context(
                override_settings(
                    PRESENCE_BACKEND="memory",
                    PRESENCE_WATCH=0,
                    CENTRIFUGO_TOKEN_SECRET=conf.CENTRIFUGO_TOKEN_SECRET or ISSUER_KEY,
                )
            )
            stack.enter_context(
                services.replaced(
                    store=self.store,
                    gateway=Gateway(self.centrifugo),
                    executor=Inline,
                    clock=self.clock,
                )
            )
            stack.enter_context(self._recorder)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def connect(self, channel: str, user: Any = None, *, session_key: str = "") -> Connection:
        """Subscribe a browser of `user` to `channel`, as a page with its widget does.

        `user` is an instance or a primary key; None, "" and AnonymousUser are anonymous, and each
        is another visitor unless the `session_key` is the same. The connection has the claims of
        the site's tokens: PRESENCE_USER_INFO and PRESENCE_VISIBLE are called, but not
        PRESENCE_AUTHORIZE, as there is no page. It shows after the next `tick`. Raises
        InvalidChannel for a channel that is not valid or not polled, ValueError for a user that
        does not exist.
        """
        from presence.web.views import register_channels  # which needs the settings of a site

        polled_channel(channel)
        browser = visitor(user, session_key)
        # A requester per channel, so that no limit for one requester applies.
        register_channels([channel], by=[f"test:{channel}"])
        signed = sign(browser, now=self.clock())
        client = Client(f"client-{next(self._ids):06}", browser.id, signed)
        return Connection(self.centrifugo, channel, client)

    def disconnect(self, channel: str, user: Any = None) -> None:
        """Close all connections of `user` to `channel` (None: of all anonymous visitors).

        They leave with the first tick that runs PRESENCE_LEAVE_GRACE seconds or more after the tick
        that misses them: see `settle`. Raises ValueError if there is no such connection.
        """
        key = "" if is_anonymous(user) else id_of(user)
        found = [
            client
            for client in self.centrifugo.clients(channel)
            if (client.member_id == key if key else not client.user)
        ]
        if not found:
            raise ValueError(f"Nobody is connected to {channel!r} as {user!r}")
        for client in found:
            self.centrifugo.unsubscribe(channel, client.id)

    def advance(self, seconds: float) -> None:
        """Let time pass without a tick: heartbeats, cursors and the leave grace grow older."""
        if not seconds >= 0:
            raise ValueError(f"The clock cannot be advanced by {seconds!r} s: give at least 0")
        self.clock.advance(seconds)

    def tick(self, *, after: float = 0.0, check: bool = True) -> Report:
        """Let `after` seconds pass, run a tick of the worker, and return its report.

        Raises AssertionError if anything failed, for example PRESENCE_FETCH. With `check` False,
        failures are only in the report and the log.
        """
        self.advance(after)
        report = services.sync().tick(interval=AT_ONCE)
        if check and report.failures:
            raise AssertionError(f"The tick failed: {'; '.join(report.failures)}")
        return report

    def settle(self) -> None:
        """Run a tick and, if members are missing, another one after the leave grace: then rosters
        show exactly who is connected."""
        self.tick()
        known = self.store.known_channels().polled
        if any(state.leaving for state in self.store.load_states([*known]).states.values()):
            self.tick(after=conf.PRESENCE_LEAVE_GRACE)

    def signals(self, channel: str | None = None) -> list[SentSignal]:
        """Return the signals that were sent for a channel (None: for all), oldest first."""
        return [signal for signal in self._recorder.sent if channel in (None, signal.channel)]

    def clear(self) -> None:
        """Forget the publications and signals so far; members stay."""
        services.outbox.flush(SENT)
        self.centrifugo.clear()
        self._recorder.sent.clear()


class PresenceTestMixin(unittest.TestCase):
    """Gives each test an empty FakePresence as `self.presence`.

    Put it before TestCase, or any other of Django's test cases. Your own `setUp` must call
    `super().setUp()`.
    """

    presence: FakePresence

    def setUp(self) -> None:
        super().setUp()
        self.presence = self.enterContext(FakePresence())
