"""Contract of a Tracker for rate limits and flags."""

from __future__ import annotations

from functools import partial

from presence.backends.base import Hit
from presence.backends.tracker import Tracker
from presence.testing.contract.base import Contract, run_all


class RateLimitContract(Contract):
    def test_hit_rate_limit_refuses_more_than_the_limit(self, backend: Tracker) -> None:
        taken = [backend.hit_rate_limit("c1", limit=3, seconds=60) for _ in range(5)]
        assert taken == [True, True, True, False, False]
        assert backend.hit_rate_limit("c2", limit=3, seconds=60), "each name has its own limit"

    def test_hit_rate_limit_several_times_returns_how_many_are_allowed(
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

    def test_hit_rate_limit_by_concurrent_callers_allows_the_limit(
        self, backend: Tracker, peer: Tracker
    ) -> None:
        taken: list[bool] = []

        def take(by: Tracker) -> None:
            taken.append(bool(by.hit_rate_limit("c1", limit=3, seconds=60)))

        run_all([partial(take, by) for by in (backend, peer) * 4])
        assert sorted(taken) == [False] * 5 + [True] * 3


class FlagContract(Contract):
    def test_flag_is_set_only_for_its_name(self, backend: Tracker) -> None:
        assert not backend.has_flag("c1")
        backend.set_flag("c1", seconds=60)
        assert (backend.has_flag("c1"), backend.has_flag("c2")) == (True, False)

    def test_check_limits_counts_hits_and_returns_flags(self, backend: Tracker) -> None:
        def admit(name: str) -> tuple[bool, bool]:
            (admitted,), (flag,) = backend.check_limits([Hit(name, 2, seconds=60)], ["c1:room"])
            return bool(admitted), flag

        assert [admit("c1"), admit("c2")] == [(True, False), (True, False)]
        backend.set_flag("c1:room", seconds=60)
        assert [admit("c1"), admit("c1")] == [(True, True), (False, True)]
        assert not backend.hit_rate_limit("c1", limit=2, seconds=60)
