"""Contract of a RevocationStore: who is signed out, or has lost a permission, since when."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["AHEAD", "FRESH", "KeptRevocation", "KeptRevocations", "Revocation", "RevocationStore"]

AHEAD: Final = 60.0
"""Seconds by which a revocation may lie ahead. One from further ahead was made before the clock was
set back, and would close new connections: it is forgotten."""

FRESH: Final = 5.0
"""Seconds for which the leave of a revoked user needs no grace: Centrifugo may take a moment to end
connections, and looks to poll the rooms. For longer, another device of theirs that reloads a page
would be seen leaving."""


class Revocation(NamedTuple):
    """The end of access of a user, or of one session of theirs ("": of all), to one channel ("": to
    all). `user` is their id, `session` a hash. A session may be named without its user."""

    user: str = ""
    session: str = ""
    channel: str = ""


class KeptRevocation(NamedTuple):
    """A revocation, when it was made and when it ends, in seconds since 1970, and whether it was
    never enforced."""

    revocation: Revocation
    at: float
    ends: float
    is_new: bool


class KeptRevocations(NamedTuple):
    """Revocations whose turn it is, the time at which they were loaded, and those that were both
    made and enforced in the last FRESH seconds."""

    now: float
    kept: list[KeptRevocation]
    fresh: list[KeptRevocation]


class RevocationStore(ABC):
    """Revocations, each kept for some seconds."""

    @abstractmethod
    def revoke(self, revocations: Sequence[Revocation], *, seconds: float) -> None:
        """Keep revocations that are made now. They are to be enforced before all others."""

    @abstractmethod
    def load_revocations(self, *, limit: int) -> KeptRevocations:
        """Load at most `limit` revocations: first those that were never enforced, the oldest first,
        then those that were longest ago. Those that have ended are forgotten. Loads all fresh ones
        as well."""

    @abstractmethod
    def note_enforced(self, enforced: Sequence[KeptRevocation]) -> None:
        """Note that revocations are enforced as of now."""
