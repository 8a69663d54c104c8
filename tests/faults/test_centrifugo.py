"""Faults of Centrifugo, and of the proxy between it and the site."""

from __future__ import annotations

import signal
import time

import pytest

from presence_devtools.servers import wait_until
from tests.faults.site import BOUND, NODES_SETTLE, Site, room

ANSWERS = ["500", "429", "half", "wrong key", "html", "drip"]


@pytest.mark.fault(
    "Centrifugo, or a proxy before it, answers 500, 429, half a body, HTML, byte by byte, or that "
    "the key is wrong"
)
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


@pytest.mark.fault("a proxy resets idle connections")
def test_proxy_that_resets_idle_connections_is_not_noticed(site: Site) -> None:
    with room(site, "idle") as here:
        site.to_centrifugo.reset_idle = True
        here.crowd.go("ada")
        here.crowd.come("dan")
        here.end()
        here.judge()
        site.to_centrifugo.reset_idle = False


@pytest.mark.fault("Centrifugo stands still for 20 s")
def test_centrifugo_stopped_for_20_seconds_takes_nobody_out(site: Site) -> None:
    with room(site, "stopped") as here:
        here.crowd.go("ada")
        process = site.centrifugo.server.process
        assert process
        process.send_signal(signal.SIGSTOP)
        time.sleep(20.0)  # the fault itself
        process.send_signal(signal.SIGCONT)
        here.end()
        here.crowd.come("dan")
        here.judge()


@pytest.mark.fault("Centrifugo is restarted")
def test_centrifugo_restarted_takes_nobody_out(site: Site) -> None:
    with room(site, "restarted") as here:
        site.centrifugo.server.stop(signal.SIGKILL)
        site.centrifugo.server.start()
        here.end()
        here.crowd.come("dan")
        here.crowd.go("ada")
        here.judge(within=NODES_SETTLE + BOUND)
