"""How often something may be done, and what is kept in mind."""

from __future__ import annotations

from functools import partial

from presence.backends.tracker import Tracker
from presence.testing.contract.base import Contract
from presence.testing.contract.side_by_side import run_all

__all__ = ["WindowsContract"]


class TakingContract(Contract):
    def test_nothing_is_taken_more_often_than_the_most_in_a_window(self, backend: Tracker) -> None:
        taken = [backend.hit_rate_limit("c1", limit=3, seconds=60) for _ in range(5)]
        assert taken == [True, True, True, False, False]
        assert backend.hit_rate_limit("c2", limit=3, seconds=60), "another's are another's"

    def test_take_several_times_at_once_returns_how_many_are_within_the_most(
        self, backend: Tracker
    ) -> None:
        assert [backend.hit_rate_limit("c1", limit=10, seconds=60, times=4) for _ in range(4)] == [
            4,
            4,
            2,
            0,
        ]
        assert backend.hit_rate_limit("c2", limit=1, seconds=60, times=5) == 1
        assert backend.hit_rate_limit("c2", limit=1, seconds=60) == 0

    def test_of_many_who_take_at_once_no_more_may(self, backend: Tracker, peer: Tracker) -> None:
        taken: list[bool] = []

        def take(by: Tracker) -> None:
            taken.append(bool(by.hit_rate_limit("c1", limit=3, seconds=60)))

        run_all([partial(take, by) for by in (backend, peer) * 4])
        assert sorted(taken) == [False] * 5 + [True] * 3


class RememberingContract(Contract):
    def test_what_is_remembered(self, backend: Tracker) -> None:
        assert not backend.has_flag("c1")
        backend.set_flag("c1", seconds=60)
        assert (backend.has_flag("c1"), backend.has_flag("c2")) == (True, False)


class AdmittingContract(Contract):
    def test_admitting_takes_one_name_and_tells_whether_the_other_is_remembered(
        self, backend: Tracker
    ) -> None:
        def admit(name: str) -> tuple[bool, bool]:
            return backend.admit(name, limit=2, seconds=60, known="c1:room")

        assert [admit("c1"), admit("c2")] == [(True, False), (True, False)]
        backend.set_flag("c1:room", seconds=60)
        assert [admit("c1"), admit("c1")] == [(True, True), (False, True)]
        assert not backend.hit_rate_limit("c1", limit=2, seconds=60)


class WindowsContract(TakingContract, RememberingContract, AdmittingContract):
    """All about windows."""
