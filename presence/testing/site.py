"""A site whose Centrifugo, worker and clock belong to the test."""

from __future__ import annotations

import time
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
from presence.testing.centrifugo import Client, FakeCentrifugo
from presence.testing.clock import Clock, Inline
from presence.testing.connection import Connection
from presence.testing.people import id_of, is_anonymous, sign, visitor
from presence.testing.signals import SentSignal, SignalRecorder
from presence.web.access import polled_channel

__all__ = ["FakePresence"]

ISSUER_KEY: Final = "presence.testing: a secret that no server knows"
MOMENT: Final = 1e-6
"""Seconds between two readings of the clock: of two claims the later one counts."""
AT_ONCE: Final = 1e-9
"""Seconds between two ticks of which none is called early, however soon a test calls the next."""


class FakePresence(Assertions):
    """Everything of this app without servers: for the length of a `with` block, the process keeps
    its rosters in memory, talks to a fake Centrifugo, and time passes only when told to.

    Nothing is polled but by `tick`, which is the tick of a worker: rosters, versions, diffs,
    signals, template tags, the widget and PresenceManager show what it leaves. Settings of the
    site hold, and may be overridden within. Django's own clock, of sessions for example, is left
    alone. Of nested blocks the innermost counts.
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
                    PRESENCE_NUDGE=0,
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
        """Have a browser of `user` subscribe to `channel`, as a page that shows its widget does.

        `user` is an instance or a primary key; anonymous are None, "" and AnonymousUser: each a
        visitor of their own, unless their `session_key` is the same. The connection carries what
        the site's tokens would: PRESENCE_USER_INFO and PRESENCE_VISIBLE are asked, but not
        PRESENCE_AUTHORIZE, as there is no page. Nobody sees it before `tick`. Raises
        InvalidChannel for what cannot be a channel or is not polled, ValueError for no such user.
        """
        from presence.web.views import register_channels  # which needs the settings of a site

        polled_channel(channel)
        who = visitor(user, session_key)

        # As many rooms as the test likes.
        register_channels([channel], by=[f"test:{channel}"])
        signed = sign(who, now=self.clock())
        client = Client(f"client-{next(self._ids):06}", who.id, signed)
        return Connection(self.centrifugo, channel, client)

    def disconnect(self, channel: str, user: Any = None) -> None:
        """End every connection of `user` to `channel` (None: of everybody anonymous).

        They leave at the first tick that comes PRESENCE_LEAVE_GRACE seconds after the one that
        misses them: see `settle`. Raises ValueError if there is no such connection.
        """
        key = "" if is_anonymous(user) else id_of(user)
        there = self.centrifugo.clients(channel)
        found = [one for one in there if (one.member_id == key if key else not one.user)]
        if not found:
            raise ValueError(f"Nobody is connected to {channel!r} as {user!r}")
        for client in found:
            self.centrifugo.unsubscribe(channel, client.id)

    def advance(self, seconds: float) -> None:
        """Let time pass, without a tick: heartbeats, cursors and the leave grace grow old."""
        if not seconds >= 0:
            raise ValueError(f"The clock cannot be advanced by {seconds!r} s: give at least 0")
        self.clock.advance(seconds)

    def tick(self, *, after: float = 0.0, check: bool = True) -> Report:
        """Run a tick of the worker, `after` so many seconds; what it did.

        Raises AssertionError where something failed, PRESENCE_FETCH for example, unless `check`
        is False: then it is in the `failures` of the report, and the log.
        """
        self.advance(after)
        report = services.sync().tick(interval=AT_ONCE)
        if check and report.failures:
            raise AssertionError(f"The tick failed: {'; '.join(report.failures)}")
        return report

    def settle(self) -> None:
        """Tick, and where somebody is leaving once more after the leave grace: until everybody
        sees what is so."""
        self.tick()
        known = self.store.known_channels().polled
        if any(state.leaving for state in self.store.load_states([*known]).states.values()):
            self.tick(after=conf.PRESENCE_LEAVE_GRACE)

    def signals(self, channel: str | None = None) -> list[SentSignal]:
        """The signals that were sent, of one channel or of all, oldest first."""
        return [one for one in self._recorder.sent if channel in (None, one.channel)]

    def clear(self) -> None:
        """Forget what was published and signalled so far; who is here stays."""
        services.outbox.flush(SENT)
        self.centrifugo.clear()
        self._recorder.sent.clear()
