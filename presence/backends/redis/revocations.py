"""Revocations in Redis: one sorted set, in the order in which they are to be enforced."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from presence.backends.redis.connection import Connection
from presence.backends.revocations import (
    AHEAD,
    FRESH,
    KeptRevocation,
    KeptRevocations,
    Revocation,
    RevocationStore,
)


class RedisRevocations(Connection, RevocationStore):
    """The contract of RevocationStore."""

    def revoke(self, revocations: Sequence[Revocation], *, seconds: float) -> None:
        encoded = map(msgspec.json.encode, revocations)
        self._run([self._timed("revoke", self._keys.revoked, seconds, *encoded)])

    def load_revocations(self, *, limit: int) -> KeptRevocations:
        load = self._timed("revocations", self._keys.revoked, limit, AHEAD, FRESH)
        ((now, found, enforced),) = self._run([load])
        kept = map(_decoded, found[::2], found[1::2])
        fresh = [_decoded(member, now) for member in enforced]
        return KeptRevocations(float(now), list(kept), fresh)

    def note_enforced(self, enforced: Sequence[KeptRevocation]) -> None:
        self._run([self._timed("enforced", self._keys.revoked, *map(_member, enforced))])


def _member(kept: KeptRevocation) -> bytes:
    return b"%.6f %.6f %b" % (kept.at, kept.ends, msgspec.json.encode(kept.revocation))


def _decoded(member: bytes, score: bytes) -> KeptRevocation:
    at, ends, revocation = member.split(b" ", 2)
    decoded = msgspec.json.decode(revocation, type=Revocation)
    return KeptRevocation(decoded, float(at), float(ends), is_new=float(score) < 0)
