"""Tools for sites to test their own code without servers; see docs/testing.md.

Nothing here imports pytest: the fixture is in presence.pytest_plugin.
"""

from __future__ import annotations

from presence.testing.centrifugo import Connection, FakeCentrifugo
from presence.testing.clock import Clock
from presence.testing.signals import SentSignal
from presence.testing.site import FakePresence, PresenceTestMixin

__all__ = [
    "Clock",
    "Connection",
    "FakeCentrifugo",
    "FakePresence",
    "PresenceTestMixin",
    "SentSignal",
]
