"""Test suites that every backend has to pass. Run them on a backend of your own.

They are provisional: a later release may change the contract and its tests.

A backend is a class that is both a presence.backends.base.RosterStore and a
presence.backends.tracker.Tracker. Subclass `BackendContract` in a test module, and give it a
fixture `backend`; pytest finds the tests. The fixture `peer` returns the object that another
process would have for the same data; by default it is the same object.
"""

from __future__ import annotations

import pkgutil

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
)

from presence.testing.contract.base import Clock  # noqa: E402
from presence.testing.contract.suites import (  # noqa: E402
    BackendContract,
    LedgerContract,
    RevocationContract,
    StoreContract,
    TrackerContract,
    WatchContract,
)

__all__ = [
    "BackendContract",
    "Clock",
    "LedgerContract",
    "RevocationContract",
    "StoreContract",
    "TrackerContract",
    "WatchContract",
]
