"""A site under load holds what `bench/load.py` promises, at a small size."""

from __future__ import annotations

import pytest

from bench.load import PROMISES, QUICK, broken, run


@pytest.mark.contract
def test_load_connections_reconnects_snapshots_and_moves_break_no_promise() -> None:
    found = run(QUICK)
    assert not broken(found, PROMISES), found
    assert found["held"]["ticks"] >= QUICK.seconds / 2
