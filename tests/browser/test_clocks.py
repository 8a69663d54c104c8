"""Pages whose clock is wrong, and is put right while they are open."""

from __future__ import annotations

import pytest

from tests.browser.one_page_site import Crowd, Tick, Visit, expect_ids, include, live
from tests.browser.test_pulse import Pulse, expect_live, expect_stale, pulse

__all__ = ["pulse"]

SKEW = """globalThis.ahead = %d * 3_600_000;
const RealDate = Date;
globalThis.Date = class extends RealDate {
    static now() { return RealDate.now() + globalThis.ahead; }
    constructor(...given) { super(...(given.length ? given : [Date.now()])); }
};"""


@pytest.mark.fault("the clock of a browser is an hour ahead or behind")
@pytest.mark.parametrize("hours", [1, -1])
def test_page_whose_clock_is_an_hour_off_and_put_right_shows_all_changes(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, pulse: Pulse, hours: int
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    guest = visit("ada")
    page = guest.new_page()
    page.add_init_script(SKEW % hours)
    page.goto(guest.stage.page(include(channel)))
    widget = live(page, channel)
    expect_ids(widget, [guest.id, "u1"])
    crowd.join("u2", channel)
    tick()
    expect_ids(widget, [guest.id, "u1", "u2"])
    pulse()
    expect_stale(widget, seconds=2.5)
    page.evaluate("globalThis.ahead = 0")
    pulse()
    expect_live(widget)
    crowd.leave("u1")
    tick()
    expect_ids(widget, [guest.id, "u2"])
