"""A burst of log-outs, and what it costs that tokens are renewed.

`python -m bench.log_outs` runs a whole site with 10,000 connections, or with another number of them
after it. A tenth of their sessions is revoked at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import requests

from bench.crowd import Crowd
from bench.live_site import LiveSite, live_site
from bench.pages import attribute
from bench.processor import family_seconds
from presence.backends.redis.store import RedisStore
from presence.backends.revocations import Revocation
from presence.centrifugo.gateway import Gateway
from presence.centrifugo.http import HttpTransport
from presence.roster import messages
from presence.roster.channel_names import session_channel, session_pattern
from presence.roster.messages import Roster
from presence_devtools import servers
from tests.browser.one_page_site import include
from tests.stored_rooms import rosters

ROOM = "presence:office:{}"
MEMBERS = 10
"""Connections in each room."""
LIFETIME = 600
"""Seconds between two renewals: the default of PRESENCE_TOKEN_LIFETIME."""
PATIENCE = 60.0
SETTLE = 5.0
STEP = 0.05
"""Seconds between two counts of what is left."""


class Office:
    """Rooms of ten, in which each member has a session of their own."""

    def __init__(self, site: LiveSite, connections: int) -> None:
        self.users = {f"u{n}": ROOM.format(n // MEMBERS) for n in range(connections)}
        self.store = RedisStore(url=site.stage.redis_url, prefix="presence", timeout=PATIENCE)
        api = HttpTransport(site.stage.centrifugo.api_url, servers.API_KEY, timeout=PATIENCE)
        self._gateway = Gateway(api)

    def channels(self) -> dict[str, list[str]]:
        """Return the channels of each connection."""
        return {user: [room, session_channel(user, "s")] for user, room in self.users.items()}

    def connected(self) -> int:
        """Return the number of sessions that are connected."""
        return len(self._gateway.survey([session_pattern("", "")]).clients)

    def shown(self) -> set[str]:
        """Return who is in the rosters."""
        found = rosters(self.store, [*set(self.users.values())]).values()
        return {who for _, raw in found for who in messages.decode(raw, Roster).members}


def burst(site: LiveSite, connections: int) -> dict[str, float]:
    """Revoke a tenth of the sessions at once. Returns seconds until connections and rosters are
    rid of them, and the longest look meanwhile."""
    office = Office(site, connections)
    crowd = Crowd(site.stage.centrifugo.ws_url, servers.TOKEN_SECRET)
    try:
        crowd.connect(office.channels())
        servers.wait_until(lambda: len(office.shown()) == connections, "all show", timeout=120)
        time.sleep(SETTLE)
        out = [user for n, user in enumerate(office.users) if n % 10 == 0]
        looks, worker, began = len(site.looks()), site.worker_seconds(), time.monotonic()
        for user in out:
            office.store.revoke([Revocation(user, "s")], seconds=LIFETIME)
        noted = time.monotonic() - began
        closed = _after(began, lambda: office.connected() <= connections - len(out))
        gone = _after(began, lambda: not office.shown() & {*out})
        servers.wait_until(lambda: len(site.looks()) > looks, "the look is logged")
        return {
            "log-outs": len(out),
            "seconds to note them": noted,
            "connections closed after": closed,
            "nobody shows after": gone,
            "looks": len(site.looks()) - looks,
            "longest look": max(site.looks()[looks:]),
            "worker's seconds": site.worker_seconds() - worker,
        }
    finally:
        crowd.close()


def renewals(site: LiveSite, *, times: int) -> dict[str, float]:
    """Exchange the grants of a page for tokens. Returns the milliseconds of processor time of the
    web process for one exchange, and its part of a core for 10,000 pages, of two exchanges each."""
    session = requests.Session()
    session.get(f"{site.stage.url}/enter/", params={"who": "ada"})
    html = session.get(site.stage.page(include("presence:renewal"))).text
    grants = {"grants": [attribute(html, "grant")]}
    url = site.stage.url + attribute(html, "tokens")
    pid = site.stage.web.process.pid  # type: ignore[union-attr]
    session.post(url, json=grants).raise_for_status()
    before = family_seconds(pid)
    for _ in range(times):
        session.post(url, json=grants).raise_for_status()
    spent = (family_seconds(pid) - before) / times
    return {"ms of the web process": 1000 * spent, "10,000: core": 2 * 10_000 / LIFETIME * spent}


def _after(began: float, condition: Callable[[], bool]) -> float:
    while not condition():
        if time.monotonic() - began > PATIENCE:
            return float("inf")
        time.sleep(STEP)
    return time.monotonic() - began


def main(connections: int) -> None:
    with live_site(pings=False) as site:
        found: dict[str, Any] = renewals(site, times=300)
        found |= burst(site, connections)
    for name, value in found.items():
        print(f"{name}: {value:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 10_000)
