"""Three nodes of Centrifugo that share a Redis: killed, paused and partitioned.

`make test-faults LONG=1` runs it for an hour (MINUTES), with other moves for another SEED.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator

import pytest

from presence_devtools import servers
from presence_devtools.servers import wait_until
from tests.faults.cluster import PRESENCE_TTL, Node, cluster, see_each_other
from tests.faults.site import BOUND, NODES_SETTLE, Room, Site, room
from tests.faults.site import site as running_site

MINUTES = float(os.environ.get("MINUTES") or (60 if os.environ.get("LONG") else 0))
SEED = int(os.environ.get("SEED") or 16)
HOW = ["killed", "paused", "partitioned"]
WITHIN = max(NODES_SETTLE, PRESENCE_TTL) + BOUND
"""Seconds after the last fault: leaves wait until the nodes have settled."""
REPORT = servers.ROOT / "bench" / "faults.json"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    if not servers.centrifugo_binary():
        pytest.skip("the development server has one node: `make centrifugo` builds Centrifugo")
    with cluster(tmp_path_factory.mktemp("nodes")) as running:
        yield running


@pytest.fixture(scope="module")
def site(nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site"), nodes[0].centrifugo) as running:
        yield running


@pytest.mark.skipif(not MINUTES, reason="runs with LONG=1 or MINUTES=1: docs/reliability.md")
@pytest.mark.fault("one of three nodes of Centrifugo is killed, paused, or cut off from its Redis")
def test_nodes_that_are_killed_paused_and_partitioned_take_nobody_out(
    site: Site, nodes: list[Node]
) -> None:
    dice, took = random.Random(SEED), list[float]()
    ends = time.monotonic() + 60 * MINUTES
    with room(site, "cluster", pages=3, urls=[node.url for node in nodes]) as here:
        while not took or time.monotonic() < ends:
            for how in dice.sample(HOW, len(HOW)):
                fail(site, nodes, how, here, dice)
            # Centrifugo goes on failing until its nodes are connected to Redis and list each other.
            wait_until(lambda: see_each_other(nodes), "the nodes see each other", timeout=90)
            here.end()
            took.append(here.judge(within=WITHIN))
    if MINUTES:
        REPORT.write_text(json.dumps(report(took), indent=2) + "\n")


def fail(site: Site, nodes: list[Node], how: str, here: Room, dice: random.Random) -> None:
    """Have a node fail for some seconds, in which people come and go on all others."""
    failing, other = dice.sample(nodes, 2)
    failing.fail(how, other)
    site.to_centrifugo.target = other.centrifugo.port
    move(here, dice)
    time.sleep(dice.uniform(3.0, 6.0))  # the fault itself
    move(here, dice)
    failing.recover(how)


def move(here: Room, dice: random.Random) -> None:
    """Have a user come, and one who is there leave."""
    there = [user for user in here.crowd.clients if not user.startswith("page")]
    here.crowd.come(f"u{len(here.crowd.moves)}")
    here.crowd.go(dice.choice(there))


def report(took: list[float]) -> dict[str, float | int]:
    """Return the figures of a long run: seconds until all pages showed the truth."""
    took = sorted(took)
    return {
        **{"minutes": MINUTES, "seed": SEED, "rounds": len(took), "bound_s": WITHIN},
        **{"p50_s": round(took[len(took) // 2], 1), "p100_s": round(took[-1], 1)},
    }
