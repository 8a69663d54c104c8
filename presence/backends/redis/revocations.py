"""Revocations in Redis: one hash, with a field for each user, session and channel."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import msgspec

from presence.backends.redis.connection import Connection
from presence.backends.revocations import (
    AHEAD,
    KeptRevocation,
    KeptRevocations,
    Revocation,
    RevocationStore,
)


class RedisRevocations(Connection, RevocationStore):
    """The contract of RevocationStore."""

    def revoke(self, revocations: Sequence[Revocation], *, seconds: float) -> None:
        self._run([self._timed("revoke", self._keys.revoked, seconds, *map(_field, revocations))])

    def load_revocations(self, *, limit: int) -> KeptRevocations:
        load = self._timed("revocations", self._keys.revoked, limit, AHEAD)
        ((now, *found),) = self._run([load])
        kept = [
            KeptRevocation(
                msgspec.json.decode(field, type=Revocation), float(at), not int(enforced)
            )
            for field, at, enforced in zip(found[::3], found[1::3], found[2::3], strict=True)
        ]
        return KeptRevocations(float(now), kept)

    def note_enforced(self, enforced: Sequence[KeptRevocation]) -> None:
        pairs = chain.from_iterable(
            (_field(kept.revocation), f"{kept.at:.6f}") for kept in enforced
        )
        self._run([self._timed("enforced", self._keys.revoked, *pairs)])


def _field(revocation: Revocation) -> bytes:
    return msgspec.json.encode(revocation)
