"""The suites, each made of the parts of one contract."""

from __future__ import annotations

from presence.testing.contract import (
    committing,
    keeping,
    members,
    mending,
    publishing,
    setback,
    staying,
    ticking,
)
from presence.testing.contract.cursors import CursorsContract
from presence.testing.contract.ledger import LedgerContract as Books
from presence.testing.contract.windows import WindowsContract

__all__ = ["BackendContract", "LedgerContract", "StoreContract", "TrackerContract"]


class StoreContract(
    committing.LoadingContract,
    committing.CommittingContract,
    publishing.AcknowledgingContract,
    publishing.DroppingContract,
    publishing.SignalledContract,
    keeping.KnownContract,
    keeping.SweepingContract,
    keeping.NodesContract,
    keeping.ClaimingContract,
    mending.MendingContract,
    setback.StoreSetBackContract,
):
    """What a presence.backends.base.RosterStore keeps to, beside what a Ledger does."""


class TrackerContract(
    members.JoiningContract,
    staying.StaleMembersContract,
    staying.MembersAheadContract,
    staying.AtOnceContract,
    ticking.StandingContract,
    ticking.ProfilesContract,
    ticking.PresentContract,
    ticking.LastSeenContract,
    CursorsContract,
    WindowsContract,
    setback.TrackerSetBackContract,
):
    """What a presence.backends.tracker.Tracker keeps to."""


class LedgerContract(Books, setback.LedgerSetBackContract):
    """Contract of a presence.backends.base.Ledger."""


class BackendContract(StoreContract, LedgerContract, TrackerContract):
    """All three of them."""
