"""What a tick is held against: the same requests by a bare HTTP client, and the original's loop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cent
import msgspec
import redis
import requests

from presence.centrifugo.gateway import Publication
from presence_devtools.servers import API_KEY

BATCH = 100
_HEADERS = {"X-API-Key": API_KEY, "Content-Type": "application/json"}


class Bare:
    """Batches of 100 requests, made ready beforehand; every answer is thrown away."""

    def __init__(self, api_url: str) -> None:
        self._url = f"{api_url}/batch"
        self._sessions = [requests.Session(), requests.Session()]

    def read(self, batches: Sequence[bytes]) -> None:
        """One after the other."""
        self._send(self._sessions[0], batches)

    def read_two(self, batches: Sequence[bytes]) -> None:
        """Two in flight."""
        with ThreadPoolExecutor(2) as pool:
            halves = (batches[::2], batches[1::2])
            for done in [
                pool.submit(self._send, *one) for one in zip(self._sessions, halves, strict=True)
            ]:
                done.result()

    publish = read

    def _send(self, session: requests.Session, batches: Sequence[bytes]) -> None:
        for body in batches:
            response = session.post(self._url, data=body, headers=_HEADERS)
            response.raise_for_status()
            if not response.content:
                raise RuntimeError("an empty answer")


def reads(channels: Sequence[str]) -> list[bytes]:
    """The batches that read the presence of the channels."""
    return _batches([{"presence": {"channel": channel}} for channel in channels])


def publishes(publications: Sequence[Publication]) -> list[bytes]:
    """The batches that publish the same data to the same feeds."""
    return _batches([{"publish": {"channel": p.feed, "data": p.data}} for p in publications])


def _batches(commands: list[dict[str, Any]]) -> list[bytes]:
    parts = (commands[at : at + BATCH] for at in range(0, len(commands), BATCH))
    return [msgspec.json.encode({"commands": part, "parallel": True}) for part in parts]


class Original:
    """The loop this project replaces: for each channel one request, one write, one publication."""

    def __init__(self, api_url: str, redis_url: str) -> None:
        self._cent = cent.Client(api_url, API_KEY, timeout=60.0)
        self._redis = redis.Redis.from_url(redis_url)

    def loop(self, channels: Sequence[str]) -> None:
        for channel in channels:
            shown = self._cent.presence(cent.PresenceRequest(channel=channel)).presence
            members = [
                {"id": one.user, "name": info["name"], "info": info["info"]}
                for one in shown.values()
                if (info := one.conn_info)
            ]
            self._redis.set(f"original:{channel}", json.dumps(members))
            self._cent.publish(cent.PublishRequest(channel=channel, data={"users": members}))
