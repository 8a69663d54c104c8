"""The fake presence in Django's test cases."""

from __future__ import annotations

import unittest

from presence.testing.site import FakePresence

__all__ = ["PresenceTestMixin"]


class PresenceTestMixin(unittest.TestCase):
    """Gives each test an empty FakePresence as `self.presence`.

    Put it before TestCase, or any other of Django's test cases. Your own `setUp` must call
    `super().setUp()`.
    """

    presence: FakePresence

    def setUp(self) -> None:
        super().setUp()
        self.presence = self.enterContext(FakePresence())
