"""A site on three nodes of Centrifugo that share a Redis."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from presence_devtools import servers
from presence_devtools.servers import Centrifugo
from tests.balancer import Balancer, balancer

PRESENCE_TTL = 8
"""Seconds after which entries of a killed node expire; 60 in Centrifugo's own configuration."""


@dataclass
class Node:
    """A node, the `front` that leads clients to it, and the link to its Redis."""

    centrifugo: Centrifugo
    front: Balancer
    to_redis: Balancer

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.front.port}/connection/websocket"

    def fail(self, how: str, other: Node) -> None:
        """Kill, pause or partition the node; the balancer leads new clients to another."""
        process = self.centrifugo.server.process
        assert process
        self.front.target = other.centrifugo.port
        if how == "killed":
            self.centrifugo.server.stop(signal.SIGKILL)
        elif how == "paused":
            process.send_signal(signal.SIGSTOP)
        else:
            self.to_redis.cut_off = True

    def recover(self, how: str) -> None:
        if how == "killed":
            self.centrifugo.server.start()
        elif how == "paused":
            assert self.centrifugo.server.process
            self.centrifugo.server.process.send_signal(signal.SIGCONT)
        else:
            self.to_redis.cut_off = False
        self.front.target = self.centrifugo.port


def see_each_other(nodes: list[Node]) -> bool:
    """Return whether each node answers, and lists just these nodes."""
    listed = set()
    for node in nodes:
        try:
            answer = requests.post(
                f"{node.centrifugo.api_url}/info",
                json={},
                headers={"X-API-Key": servers.API_KEY},
                timeout=2,
            ).json()
        except (requests.RequestException, ValueError):
            return False
        found = answer.get("result", {}).get("nodes", [])
        listed.add(frozenset(each["uid"] for each in found))
    return len(listed) == 1 and len(listed.pop()) == len(nodes)


@contextmanager
def cluster(directory: Path) -> Iterator[list[Node]]:
    """Run three nodes with one configuration, each behind a balancer and a link to the Redis."""
    with ExitStack() as stack:
        (directory / "engine").mkdir()
        url, _ = stack.enter_context(servers.redis_server(directory / "engine"))
        nodes = []
        for number in range(3):
            place = directory / f"node{number}"
            place.mkdir()
            link = stack.enter_context(balancer(int(url.rpartition(":")[2].partition("/")[0])))
            started = stack.enter_context(
                servers.centrifugo_server(place, configured(place, link.port))
            )
            front = stack.enter_context(balancer(started.port))
            nodes.append(Node(started, front, link))
        yield nodes


def configured(place: Path, redis_port: int) -> Path:
    config = json.loads(servers.CONFIG.read_text())
    config["client"] |= {
        "ping_interval": "2s",
        "pong_timeout": "1s",
        "presence_update_interval": "2s",
    }
    config["engine"] = {
        "type": "redis",
        "redis": {
            "address": f"redis://127.0.0.1:{redis_port}",
            "presence_ttl": f"{PRESENCE_TTL}s",
        },
    }
    path = place / "config.json"
    path.write_text(json.dumps(config))
    return path
