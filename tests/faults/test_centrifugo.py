"""Faults of Centrifugo, and of the proxy between it and the site."""

from __future__ import annotations

import pytest

from presence_devtools.servers import wait_until
from tests.faults.site import Site, room

ANSWERS = ["500", "429", "half", "wrong key", "html", "drip"]


@pytest.mark.parametrize("fault", ANSWERS)
def test_answers_of_a_bad_proxy_take_nobody_out(site: Site, fault: str) -> None:
    with room(site, f"answers-{fault.replace(' ', '-')}") as here:
        proxy = site.to_centrifugo
        proxy.fault, before = fault, proxy.faults
        here.crowd.go("ada")
        here.crowd.come("dan")
        wait_until(lambda: proxy.faults > before + 3, "the site asks")
        proxy.fault = ""
        here.end()
        here.judge()


def test_proxy_that_resets_idle_connections_is_not_noticed(site: Site) -> None:
    with room(site, "idle") as here:
        site.to_centrifugo.reset_idle = True
        here.crowd.go("ada")
        here.crowd.come("dan")
        here.end()
        here.judge()
        site.to_centrifugo.reset_idle = False
