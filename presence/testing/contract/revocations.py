"""Contract of a RevocationStore."""

from __future__ import annotations

from presence.backends.base import RosterStore
from presence.backends.revocations import AHEAD, FRESH, Revocation
from presence.testing.contract.base import Clock, Contract

__all__ = ["RevocationContract", "RevocationSetBackContract"]

ADA = Revocation("1", "s1")
BEA = Revocation("2", "", "presence:doc:42")
SESSION = Revocation("", "s3")


def kept(backend: RosterStore, *, limit: int = 100) -> list[Revocation]:
    return [revocation for revocation, *_ in backend.load_revocations(limit=limit).kept]


class RevocationContract(Contract):
    def test_revocations_of_an_empty_store_are_none(self, backend: RosterStore) -> None:
        assert kept(backend) == []
        backend.note_enforced([])

    def test_revocation_is_kept_with_its_time_until_it_ends(
        self, backend: RosterStore, peer: RosterStore, clock: Clock
    ) -> None:
        made = clock()
        backend.revoke([ADA, BEA, SESSION], seconds=600)
        now, found, _ = peer.load_revocations(limit=10)
        assert abs(now - made) < 0.001
        assert {each.revocation for each in found} == {ADA, BEA, SESSION}
        assert all(abs(each.at - made) < 0.001 for each in found)
        clock.advance(599)
        assert len(kept(peer)) == 3
        clock.advance(2)
        assert kept(peer) == []

    def test_revocations_that_were_never_enforced_come_first_then_the_longest_ago(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        for revocation in (ADA, BEA, SESSION):
            backend.revoke([revocation], seconds=600)
            clock.advance(1)
        assert kept(backend, limit=2) == [ADA, BEA]
        backend.note_enforced(backend.load_revocations(limit=1).kept)
        found = backend.load_revocations(limit=10).kept
        assert [each.is_new for each in found] == [True, True, False]
        clock.advance(1)
        assert kept(backend) == [BEA, SESSION, ADA]
        backend.note_enforced(backend.load_revocations(limit=2).kept)
        assert kept(backend) == [ADA, BEA, SESSION]

    def test_revocation_made_again_is_kept_from_then_on_and_comes_first(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        backend.revoke([ADA, BEA], seconds=600)
        before = backend.load_revocations(limit=10).kept
        backend.note_enforced(before)
        clock.advance(500)
        backend.revoke([ADA], seconds=600)
        backend.note_enforced(before)
        assert kept(backend, limit=1) == [ADA], "this one was not enforced"
        clock.advance(200)
        assert kept(backend) == [ADA]

    def test_revocations_that_ended_do_not_keep_others_waiting(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        backend.revoke([Revocation(str(number)) for number in range(50)], seconds=10)
        clock.advance(20)
        backend.revoke([ADA, BEA], seconds=600)
        assert kept(backend, limit=5) == [ADA, BEA]
        clock.advance(600)
        assert kept(backend, limit=5) == []

    def test_revocations_that_were_made_and_enforced_just_now_are_fresh(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        backend.revoke([ADA], seconds=600)
        clock.advance(FRESH)
        backend.revoke([BEA], seconds=600)
        assert backend.load_revocations(limit=1).fresh == []
        backend.note_enforced(backend.load_revocations(limit=2).kept)
        clock.advance(FRESH / 2)
        (fresh,) = backend.load_revocations(limit=1).fresh
        assert (fresh.revocation, fresh.is_new) == (BEA, False)
        backend.note_enforced([fresh])
        clock.advance(FRESH / 2)
        assert backend.load_revocations(limit=1).fresh == []

    def test_revocation_of_any_text_is_kept(self, backend: RosterStore) -> None:
        strange = Revocation('a "b"\n %d', "ü", "presence:*[x]")
        backend.revoke([strange], seconds=600)
        assert kept(backend) == [strange]


class RevocationSetBackContract(Contract):
    def test_revocation_from_before_the_clock_was_set_back_is_forgotten(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        backend.revoke([ADA], seconds=600)
        clock.advance(-AHEAD / 2)
        assert kept(backend) == [ADA]
        clock.advance(-AHEAD)
        assert kept(backend) == []
