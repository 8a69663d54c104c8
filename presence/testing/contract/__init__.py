"""Suites that every backend has to pass, to be run on one of your own.

A backend is one class that is a presence.backends.base.RosterStore (and so a Ledger) and a
presence.backends.tracker.Tracker. Subclass `BackendContract` in a test module, and give it a
fixture `backend`; pytest finds the tests. A fixture `peer` gives what another process would have
of the same backend; it is the very same object by default.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            *("committing", "cursors", "keeping", "ledger", "members", "mending", "publishing"),
            *("setback", "staying", "ticking", "tracking", "windows", "writing"),
        )
    )
)

from presence.testing.clock import Clock  # noqa: E402
from presence.testing.contract.suites import (  # noqa: E402
    BackendContract,
    LedgerContract,
    StoreContract,
    TrackerContract,
)

__all__ = ["BackendContract", "Clock", "LedgerContract", "StoreContract", "TrackerContract"]
