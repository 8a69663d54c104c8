"""The suites, each made of the parts of one contract."""

from __future__ import annotations

from presence.testing.contract import (
    channels,
    commits,
    cursors,
    damage,
    ledger,
    limits,
    members,
    revocations,
    stale_members,
    users,
    watch,
)


class StoreContract(
    commits.LoadingContract,
    commits.CommittingContract,
    commits.AcknowledgingContract,
    commits.DroppingContract,
    commits.SignalledContract,
    channels.KnownContract,
    channels.SweepingContract,
    channels.NodesContract,
    channels.ClaimingContract,
    damage.ReplacementContract,
):
    """Contract of a presence.backends.base.RosterStore, without its TickLog and ChannelRegistry."""


class TrackerContract(
    members.JoiningContract,
    members.ConcurrencyContract,
    members.RosterContract,
    stale_members.StaleMembersContract,
    stale_members.MembersAheadContract,
    stale_members.TrackerStateContract,
    users.ProfilesContract,
    users.LastSeenContract,
    cursors.MovingContract,
    cursors.StaleCursorsContract,
    cursors.CursorsAheadContract,
    cursors.RemovingContract,
    limits.RateLimitContract,
    limits.FlagContract,
):
    """Contract of a presence.backends.tracker.Tracker."""


class LedgerContract(ledger.TicksContract, ledger.RegistryContract):
    """Contract of a presence.backends.base.TickLog and ChannelRegistry."""


class WatchContract(watch.WatchContract, watch.WatchSetBackContract):
    """Contract of a presence.backends.base.WatchStore that is a Tracker as well."""


class RevocationContract(revocations.RevocationContract, revocations.RevocationSetBackContract):
    """Contract of a presence.backends.revocations.RevocationStore."""


class BackendContract(
    StoreContract, LedgerContract, WatchContract, RevocationContract, TrackerContract
):
    """Contract of a whole backend."""
