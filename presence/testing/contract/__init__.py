"""Suites that every backend has to pass, to be run on a backend of your own.

They are provisional: a later release may change the contract, and its tests with it.

A backend is one class that is a presence.backends.base.RosterStore and a
presence.backends.tracker.Tracker. Subclass `BackendContract` in a test module, and give it a
fixture `backend`; pytest finds the tests. A fixture `peer` gives what another process would have
of the same backend; it is the very same object by default.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("base", "ledger", "store", "tracker"))
)

from presence.testing.contract.base import Clock  # noqa: E402
from presence.testing.contract.suites import (  # noqa: E402
    BackendContract,
    LedgerContract,
    StoreContract,
    TrackerContract,
)

__all__ = ["BackendContract", "Clock", "LedgerContract", "StoreContract", "TrackerContract"]
