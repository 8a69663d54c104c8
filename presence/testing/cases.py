"""The fake presence in Django's test cases."""

from __future__ import annotations

import unittest

from presence.testing.site import FakePresence

__all__ = ["PresenceTestMixin"]


class PresenceTestMixin(unittest.TestCase):
    """Gives each test of a test case an empty FakePresence, as `self.presence`.

    Put it before TestCase, or any other of Django's test cases. A `setUp` of one's own has to call
    `super().setUp()`.
    """

    presence: FakePresence

    def setUp(self) -> None:
        super().setUp()
        self.presence = self.enterContext(FakePresence())
