"""The suites, each made of the parts of one contract."""

from __future__ import annotations

from presence.testing.contract import ledger, store, tracker

__all__ = ["BackendContract", "LedgerContract", "StoreContract", "TrackerContract"]


class StoreContract(
    store.LoadingContract,
    store.CommittingContract,
    store.AcknowledgingContract,
    store.DroppingContract,
    store.SignalledContract,
    store.KnownContract,
    store.SweepingContract,
    store.NodesContract,
    store.ClaimingContract,
    store.MendingContract,
    store.StoreSetBackContract,
):
    """Contract of a presence.backends.base.RosterStore, without its TickLog and ChannelRegistry."""


class TrackerContract(
    tracker.JoiningContract,
    tracker.StaleMembersContract,
    tracker.MembersAheadContract,
    tracker.AtOnceContract,
    tracker.StandingContract,
    tracker.ProfilesContract,
    tracker.PresentContract,
    tracker.LastSeenContract,
    tracker.CursorsContract,
    tracker.WindowsContract,
    tracker.TrackerSetBackContract,
):
    """Contract of a presence.backends.tracker.Tracker."""


class LedgerContract(ledger.TicksContract, ledger.RegistryContract, ledger.LedgerSetBackContract):
    """Contract of a presence.backends.base.TickLog and ChannelRegistry."""


class BackendContract(StoreContract, LedgerContract, TrackerContract):
    """All three of them."""
