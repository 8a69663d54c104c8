"""Histories of the simulator in CI, and that it notices what is wrong."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from presence.roster.messages import Position
from tests.simulation.browser import Browser
from tests.simulation.centrifugo import Cluster
from tests.simulation.faults import KINDS
from tests.simulation.world import simulate

SEEDS = 300
happened = Counter[str]()
ran: list[int] = []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def simulate_all(seeds: range, browser: Browser) -> None:
    for seed in seeds:
        simulate(seed, browser)


@pytest.mark.parametrize("block", range(0, SEEDS, 30))
def test_history_with_faults_ends_with_pages_that_show_the_truth(
    browser: Browser, block: int
) -> None:
    for seed in range(block, block + 30):
        happened.update(simulate(seed, browser).happened)
        ran.append(seed)


def test_histories_have_every_kind_of_fault() -> None:
    if len(ran) < SEEDS:
        pytest.skip("only some of the histories ran")
    assert {kind for kind in KINDS if happened[kind] < 5} == set()


@pytest.mark.parametrize("seed", [0, 6, 7])
def test_seed_twice_has_the_same_trace(browser: Browser, seed: int) -> None:
    first, second = (simulate(seed, browser).lines for _ in range(2))
    assert len(first) > 50
    assert first == second


def test_simulator_notices_a_centrifugo_that_takes_a_version_twice(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Cluster._answer_publish

    def forgetful(self: Cluster, *, channel: str, **publication: Any) -> Position:
        stream = self.stream(channel)
        stream.version = ("", 0)
        stream.keys.clear()
        return real(self, channel=channel, **publication)

    monkeypatch.setattr(Cluster, "_answer_publish", forgetful)
    with pytest.raises(AssertionError, match="a repeat"):
        simulate_all(range(0, 400, 8), browser)


def test_simulator_notices_publications_that_are_lost(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is told that it missed nothing, but did."""
    real = Cluster.recover

    def lossy(self: Cluster, feed: str, since: Position | None) -> tuple[bool, list[bytes]]:
        recovered, missed = real(self, feed, since)
        return recovered, missed[:-1]

    monkeypatch.setattr(Cluster, "recover", lossy)
    with pytest.raises(AssertionError):
        simulate_all(range(100), browser)


def test_simulator_notices_an_error_that_is_taken_for_an_empty_room(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("presence.sync.tick.NODES_SETTLE", 0.0)
    monkeypatch.setattr(Cluster, "_counts", lambda self: {})
    with pytest.raises(AssertionError, match="an error was taken for an empty room"):
        simulate_all(range(100), browser)
